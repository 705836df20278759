/**
 * Measures how long a client cannot write when the leader of three nodes on this machine is killed (SIGKILL), and when
 * it hands leadership over as planned.
 *
 * A client writes one row after the other; an interruption is the time from one acknowledgement to the next, which lies
 * around the event. Prints the median and the longest of both kinds, and what the client was told meanwhile.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { numberOption } from '../src/cli/usage.ts';
import { connect, DqliteError } from '../src/client/index.ts';
import { startCluster, type NodeProcess } from './bench/cluster.ts';
import { orUsage, scriptArguments } from './options.ts';

const USAGE = `npm run failover -- [--trials N] [--latency-ms N]

Measures how long a client cannot write when the leader of three nodes on this machine is killed, and when it hands over.

  --trials N       how often each of them is done (default 20)
  --latency-ms N   as in dqlite-node serve (default 20)`;

const TEXT = { type: 'string' } as const;
const { values } = scriptArguments({ trials: TEXT, 'latency-ms': TEXT }, USAGE);
const trials = orUsage(() => numberOption('trials', values.trials, [1, 10_000], USAGE)) ?? 20;
const latencyMs = orUsage(() => numberOption('latency-ms', values['latency-ms'], [1, 10_000], USAGE)) ?? 20;
const SETTLE_MS = 1000;

const folder = mkdtempSync(path.join(os.tmpdir(), 'dqlite-node-failover-'));
const nodes = await startCluster(folder, 3, ['--latency-ms', String(latencyMs)]);
const db = await connect({
  servers: nodes.map(({ address }) => address),
  database: 'failover.db',
  acquireTimeoutMs: 30_000,
});
await db.exec('CREATE TABLE t (x)');

let over = false;
let lastMs = performance.now();
let longestMs = 0;
let rows = 0;
const failures: Record<string, number> = {};
const writing = (async (): Promise<void> => {
  while (!over) {
    try {
      await db.exec('INSERT INTO t VALUES (1)');
      rows++;
    } catch (error) {
      if (!(error instanceof DqliteError)) throw error;
      const what = `${error.code}, committed: ${error.committed}`;
      failures[what] = (failures[what] ?? 0) + 1;
      continue;
    }
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    lastMs = nowMs;
  }
})();

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

async function leader(): Promise<NodeProcess> {
  const { id } = await db.cluster.leader();
  return nodes.find(node => node.id === id)!;
}

/** The longest time between two acknowledged writes around what happens. */
async function interruption(event: () => Promise<void>): Promise<number> {
  await sleep(SETTLE_MS);
  longestMs = 0;
  await event();
  const before = rows;
  while (rows < before + 20) await sleep(5);
  return longestMs;
}

function report(what: string, list: readonly number[]): void {
  const sorted = list.toSorted((a, b) => a - b);
  const at = (part: number): string => sorted[Math.floor((sorted.length - 1) * part)]!.toFixed(0);
  console.log(`${what}: median ${at(0.5)} ms, longest ${at(1)} ms, shortest ${at(0)} ms of ${sorted.length}`);
}

const kills: number[] = [];
const handovers: number[] = [];
for (let trial = 0; trial < trials; trial++) {
  const killed = await leader();
  kills.push(await interruption(() => killed.kill()));
  await killed.start();
  handovers.push(await interruption(() => db.cluster.transfer()));
}
over = true;
await writing;
const [count] = await db.sql<{ n: number }>`SELECT count(*) AS n FROM t`;
report('SIGKILL of the leader', kills);
report('planned handover', handovers);
console.log(
  `${rows} rows acknowledged, ${count!.n} found; failures of the client's calls: ${JSON.stringify(failures)}`,
);
await db.close();
for (const node of nodes) await node.stop();
rmSync(folder, { recursive: true });
if (count!.n < rows) process.exitCode = 1;
