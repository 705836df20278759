/**
 * Seeded simulations of a whole node and of a whole cluster in turn (test/simulation), as many as fit in the time.
 *
 * A run that fails prints its seed and how to repeat it; the others go on. Exit code 1 if any failed. SUMMARY_FILE, if set,
 * gets the counts appended.
 */

import { appendFileSync } from 'node:fs';
import { numberOption, UsageError } from '../src/cli/usage.ts';
import { synchronousWasm } from '../src/simulation/index.ts';
import { DEFAULT_HAPPENINGS, simulateCluster } from '../test/simulation/cluster-simulation.ts';
import { DEFAULT_STEPS, simulate } from '../test/simulation/simulation.ts';
import { orUsage, scriptArguments } from './options.ts';

const USAGE = `npm run sim -- [options]

Runs whole nodes, and whole clusters, in a simulated world with faults, each run from a seed.

  --seconds N            as many runs as fit in this time (default 10; with --seed: one)
  --seed N               the first seed (default: from the clock)
  --kind node|cluster    runs of one kind only
  --steps N              starts of the node in a run (default ${DEFAULT_STEPS}), or things that happen to a cluster (${DEFAULT_HAPPENINGS})
  --trace                print what happens`;

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

const ANY_NUMBER = [0, Number.MAX_SAFE_INTEGER] as const;

function settings(): Settings {
  const text = { type: 'string' } as const;
  const options = { seconds: text, seed: text, kind: text, steps: text, trace: { type: 'boolean' } } as const;
  const { values } = scriptArguments(options, USAGE);
  const { kind, trace = false } = values;
  if (kind !== undefined && !Object.hasOwn(KINDS, kind)) {
    throw new UsageError(`--kind must be node or cluster, not "${kind}"`, USAGE);
  }
  const seed = numberOption('seed', values.seed, ANY_NUMBER, USAGE);
  return {
    // A seed alone is one run.
    seconds: numberOption('seconds', values.seconds, ANY_NUMBER, USAGE) ?? (seed === undefined ? 10 : 0),
    firstSeed: seed ?? Date.now() % 1_000_000_000,
    kinds: kind === undefined ? ['node', 'cluster'] : [kind as Kind],
    steps: numberOption('steps', values.steps, ANY_NUMBER, USAGE),
    trace,
  };
}

const { seconds, firstSeed, kinds, steps, trace } = orUsage(settings);
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
