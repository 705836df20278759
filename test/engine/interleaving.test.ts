/**
 * Clients at random, compared with plain SQLite connections: a few seeds here, more with INTERLEAVING_SECONDS
 * (`npm run stress`) or another SEED.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Interleaving, type Counts } from '../support/interleaving.ts';

const SECONDS = Number(process.env['INTERLEAVING_SECONDS'] ?? 0);
const FIRST_SEED = Number(process.env['SEED'] ?? 1);
const SEEDS = 8;
const STEPS = 800;

test('every client has the answers that it would have from SQLite alone', async t => {
  const total: Counts = { operations: 0, failures: 0, queued: 0, grouped: 0, undone: 0 };
  const endMs = performance.now() + SECONDS * 1000;
  let seed = FIRST_SEED;
  for (; seed < FIRST_SEED + SEEDS || performance.now() < endMs; seed++) {
    const counts = await Interleaving.play(seed, STEPS);
    for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += counts[key];
  }
  t.diagnostic(`SEED ${FIRST_SEED} to ${seed - 1}: ${JSON.stringify(total)}`);
  for (const [what, count] of Object.entries(total)) assert.ok(count > 0, what);
});
