/**
 * Runs `Torture` with some seeds. For more: `TORTURE_SECONDS=600` goes through seeds for so long, `TORTURE_SEED=7`
 * repeats the run that failed.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from './sqlite.test.helpers.ts';
import { Torture, type Counts } from './torture.test.helpers.ts';

const STEPS = 1000;

const seconds = Number(process.env['TORTURE_SECONDS'] ?? 0);
const seed = process.env['TORTURE_SEED'];

async function runSeed(seed: number, total: Counts): Promise<void> {
  const autoVacuum = seed % 3;
  const world = await World.create();
  let step = 0;
  try {
    const torture = new Torture(world, seed, autoVacuum);
    for (; step < STEPS; step++) {
      torture.step();
      if (step % 400 === 399) await torture.breakInstance();
    }
    torture.finish();
    for (const [what, count] of Object.entries(torture.counts)) total[what] = (total[what] ?? 0) + count;
  } catch (error) {
    throw new Error(`TORTURE_SEED=${seed} failed at step ${step}`, { cause: error });
  }
}

test('whatever connections do, each reads the version it looks at, and followers have the same pages', async () => {
  const total: Counts = {};
  if (seed !== undefined) {
    await runSeed(Number(seed), total);
    return;
  }
  const endMs = performance.now() + seconds * 1000;
  for (let seed = 1; seed <= 3 || performance.now() < endMs; seed++) await runSeed(seed, total);
  if (seconds > 0) console.log(total);
  for (const what of ['versions', 'reads', 'streams', 'undos', 'faults', 'followers', 'error 5', 'error 517', 'left']) {
    assert.ok((total[what] ?? 0) > 3, `${what}: ${JSON.stringify(total)}`);
  }
});
