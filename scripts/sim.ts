/**
 * Seeded simulations of a whole node and of a whole cluster in turn (test/simulation), as many as fit in the time.
 *
 *   npm run sim -- --seconds 60          seeds from one that is chosen by the clock
 *   npm run sim -- --seed 7              one run
 *   npm run sim -- --seed 7 --trace      and what happens in it
 *   npm run sim -- --seed 7 --seconds 60 seeds from 7 on
 *   npm run sim -- --kind cluster        runs of one kind only: node or cluster
 *
 * `--steps N` is the number of times that the node starts in each run, or of things that happen to a cluster. A run that fails prints its seed and how to
 * repeat it; the others go on. Exit code 1 if any failed. SUMMARY_FILE, if set, gets the counts appended.
 */

import { appendFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { synchronousWasm } from '../src/simulation/index.ts';
import { DEFAULT_HAPPENINGS, simulateCluster } from '../test/simulation/cluster-simulation.ts';
import { DEFAULT_STEPS, simulate } from '../test/simulation/simulation.ts';

const USAGE = 'usage: npm run sim -- [--seconds N] [--seed S] [--kind node|cluster] [--steps N] [--trace]';

const KINDS = {
  node: { run: simulate, steps: DEFAULT_STEPS },
  cluster: { run: simulateCluster, steps: DEFAULT_HAPPENINGS },
};
type Kind = keyof typeof KINDS;

interface Settings {
  readonly seconds: number;
  readonly firstSeed: number;
  readonly kinds: readonly Kind[];
  readonly steps: number | undefined;
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
  const options = { seconds: text, seed: text, kind: text, steps: text, trace: { type: 'boolean' } } as const;
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
  const { seed, seconds, kind, steps, trace = false } = values;
  if (kind !== undefined && !(kind in KINDS)) fail(`--kind ${kind}: node or cluster is needed`);
  return {
    // A seed alone is one run.
    seconds: wholeNumber('seconds', seconds ?? (seed === undefined ? '10' : '0')),
    firstSeed: seed === undefined ? Date.now() % 1_000_000_000 : wholeNumber('seed', seed),
    kinds: kind === undefined ? ['node', 'cluster'] : [kind as Kind],
    steps: steps === undefined ? undefined : wholeNumber('steps', steps),
    trace,
  };
}

const { seconds, firstSeed, kinds, steps, trace } = settings();
synchronousWasm();
const endMs = performance.now() + seconds * 1000;
const total: Record<string, Record<string, number>> = {};
let passed = 0;
let failed = 0;

async function run(kind: Kind, seed: number): Promise<void> {
  const counted = (total[kind] ??= {});
  const options = { seed, steps: steps ?? KINDS[kind].steps, ...(trace ? { onTrace: console.log } : {}) };
  const { failure, hash, counts } = await KINDS[kind].run(options);
  for (const [what, count] of Object.entries(counts)) counted[what] = (counted[what] ?? 0) + count;
  if (trace) console.log(`${kind} seed ${seed}: ${hash}`);
  if (failure === undefined) {
    passed++;
    return;
  }
  failed++;
  console.error(`${kind} seed ${seed} failed: ${failure.stack ?? failure.message}`);
  console.error(`to repeat it: npm run sim -- --kind ${kind} --seed ${seed} --steps ${options.steps} --trace`);
}

console.log(`seeds from ${firstSeed} on`);
for (let seed = firstSeed; passed + failed === 0 || performance.now() < endMs; seed++) {
  for (const kind of kinds) await run(kind, seed);
}
for (const [kind, counts] of Object.entries(total)) {
  for (const [what, count] of Object.entries(counts)) console.log(`${String(count).padStart(10)} ${kind}: ${what}`);
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
if (process.env['SUMMARY_FILE'] !== undefined) appendFileSync(process.env['SUMMARY_FILE'], `${passed} ${failed} 0\n`);
if (failed > 0) process.exitCode = 1;
