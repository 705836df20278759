/**
 * Seeded simulations of a whole node (test/simulation), one after the other, as many as fit in the time.
 *
 *   npm run sim -- --seconds 60          seeds from one that is chosen by the clock
 *   npm run sim -- --seed 7              one run
 *   npm run sim -- --seed 7 --trace      and what happens in it
 *   npm run sim -- --seed 7 --seconds 60 seeds from 7 on
 *
 * `--steps N` is the number of times that the node starts in each run. A run that fails prints its seed and how to
 * repeat it; the others go on. Exit code 1 if any failed. SUMMARY_FILE, if set, gets the counts appended.
 */

import { appendFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { synchronousWasm } from '../src/simulation/index.ts';
import { DEFAULT_STEPS, simulate } from '../test/simulation/simulation.ts';

const USAGE = 'usage: npm run sim -- [--seconds N] [--seed S] [--steps N] [--trace]';

interface Settings {
  readonly seconds: number;
  readonly firstSeed: number;
  readonly steps: number;
  readonly trace: boolean;
}

function fail(what: string): never {
  console.error(`${what}\n${USAGE}`);
  process.exit(2);
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : fail(`--${name} ${text}: a whole number is needed`);
}

function settings(): Settings {
  const text = { type: 'string' } as const;
  const options = { seconds: text, seed: text, steps: text, trace: { type: 'boolean' } } as const;
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
  const { seed, seconds, steps, trace = false } = values;
  return {
    // A seed alone is one run.
    seconds: wholeNumber('seconds', seconds ?? (seed === undefined ? '10' : '0')),
    firstSeed: seed === undefined ? Date.now() % 1_000_000_000 : wholeNumber('seed', seed),
    steps: steps === undefined ? DEFAULT_STEPS : wholeNumber('steps', steps),
    trace,
  };
}

const { seconds, firstSeed, steps, trace } = settings();
synchronousWasm();
const total: Record<string, number> = {};
const endMs = performance.now() + seconds * 1000;
let passed = 0;
let failed = 0;
console.log(`seeds from ${firstSeed} on, ${steps} starts each`);
for (let seed = firstSeed; passed + failed === 0 || performance.now() < endMs; seed++) {
  const { failure, hash, counts } = await simulate({ seed, steps, ...(trace ? { onTrace: console.log } : {}) });
  for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + count;
  if (trace) console.log(`seed ${seed}: ${hash}`);
  if (failure === undefined) {
    passed++;
    continue;
  }
  failed++;
  console.error(`seed ${seed} failed: ${failure.stack ?? failure.message}`);
  console.error(`to repeat it: npm run sim -- --seed ${seed} --steps ${steps} --trace`);
}
for (const [what, count] of Object.entries(total)) console.log(`${String(count).padStart(10)} ${what}`);
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
if (process.env['SUMMARY_FILE'] !== undefined) appendFileSync(process.env['SUMMARY_FILE'], `${passed} ${failed} 0\n`);
if (failed > 0) process.exitCode = 1;
