/**
 * How long a client cannot write when the leader of three nodes on this machine is killed (SIGKILL), and when it hands
 * leadership over as planned. A client writes one row after the other; an interruption is the longest time from one
 * acknowledgement to the next around the event.
 */

import { connect, DqliteError } from '../../src/client/index.ts';
import { startCluster, type NodeProcess } from './cluster.ts';

export interface FailoverTimes {
  /** Interruptions in milliseconds, sorted. */
  readonly kills: readonly number[];
  readonly handovers: readonly number[];
  readonly acknowledgedRows: number;
  readonly foundRows: number;
  /** What calls of the client failed with, and how often. */
  readonly failures: Readonly<Record<string, number>>;
}

/** Before each event: the cluster is at rest, and the node that was killed has come back. */
const SETTLE_MS = 1000;
const POLL_MS = 5;
const ROWS_AFTER = 20;

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

export async function measureFailover(folder: string, trials: number, latencyMs: number): Promise<FailoverTimes> {
  const nodes = await startCluster(folder, 3, ['--latency-ms', String(latencyMs)]);
  const servers = nodes.map(({ address }) => address);
  const db = await connect({ servers, database: 'failover.db', acquireTimeoutMs: 30_000 });
  await db.exec('CREATE TABLE t (x)');

  let isOver = false;
  let lastMs = performance.now();
  let longestMs = 0;
  let rows = 0;
  const failures: Record<string, number> = {};
  const writing = (async (): Promise<void> => {
    while (!isOver) {
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

  async function leader(): Promise<NodeProcess> {
    const { id } = await db.cluster.leader();
    return nodes.find(node => node.id === id)!;
  }

  async function interruption(event: () => Promise<void>): Promise<number> {
    await sleep(SETTLE_MS);
    longestMs = 0;
    await event();
    const before = rows;
    while (rows < before + ROWS_AFTER) await sleep(POLL_MS);
    return longestMs;
  }

  const kills: number[] = [];
  const handovers: number[] = [];
  for (let trial = 0; trial < trials; trial++) {
    const killed = await leader();
    kills.push(await interruption(() => killed.kill()));
    await killed.start();
    handovers.push(await interruption(() => db.cluster.transfer()));
  }
  isOver = true;
  await writing;
  const [count] = await db.sql<{ n: number }>`SELECT count(*) AS n FROM t`;
  await db.close();
  for (const node of nodes) await node.stop();
  const sorted = (list: readonly number[]): number[] => list.toSorted((a, b) => a - b);
  return {
    ...{ kills: sorted(kills), handovers: sorted(handovers), failures },
    ...{ acknowledgedRows: rows, foundRows: count!.n },
  };
}

/** The median of a sorted list. */
export function middle(sorted: readonly number[]): number {
  return sorted[sorted.length >> 1] ?? NaN;
}
