/**
 * Hostile clients against a node, and a good client beside them that must notice nothing. Afterwards nothing of the
 * hostile ones may be left: no connection, lock, statement, page version, temporary file, memory.
 */

import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SeededRandom } from '../../src/lib/random.ts';
import { defaultEngineOptions } from '../../src/engine/index.ts';
import { requests, type Connection } from './connection.ts';
import { attack, FUZZED } from './fuzzer.ts';
import { NODE_ID, smallLimits, TestNode } from './node.ts';

const MIB = 2 ** 20;
const CLIENTS_PER_ROUND = 40;
const AT_ONCE = 12;
/** Rounds until everything has been used once, and memory is what it will be. */
const WARM_UP_ROUNDS = 3;
/** What the JavaScript heap and buffers outside of it may have more than after the warm-up. */
const MAX_GROWTH = 32 * MIB;
/** No answer to the good client takes longer, whatever the others do. */
const CONTROL = 'control';
/** Short: endless statements are frequent here. */
const MAX_STEP_MS = 50;
/** Longer than a member may take to catch up. */
const PROMOTION_MS = 60_000;
/** What a request may wait for: a step of each hostile client that is served before, and a machine that is busy. */
const MAX_LATENCY_MS = defaultEngineOptions.maxStepMs + CLIENTS_PER_ROUND * MAX_STEP_MS;

export interface FuzzReport {
  readonly rounds: number;
  readonly clients: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly controlRequests: number;
  readonly maxLatencyMs: number;
  readonly growthBytes: number;
  readonly sqliteHeapBytes: number;
}

/** Reads and writes all the time, and knows what it must find. */
class Control {
  requests = 0;
  maxLatencyMs = 0;
  #stopping = false;
  readonly #connection: Connection;
  readonly #statement: number;
  #rows = 0;

  private constructor(connection: Connection, statement: number) {
    this.#connection = connection;
    this.#statement = statement;
  }

  static async start(node: TestNode): Promise<Control> {
    const connection = await node.connect(CONTROL);
    await connection.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)');
    const { statement } = await connection.prepare('SELECT v FROM t WHERE id = ?');
    return new Control(connection, statement);
  }

  async run(): Promise<void> {
    const connection = this.#connection;
    while (!this.#stopping) {
      const id = ++this.#rows;
      const written = await this.#timed(() => connection.exec('INSERT INTO t VALUES (?, ?)', id, `row ${id}`));
      assert.deepEqual(written, { lastInsertId: id, changes: 1 });
      const { rows } = await this.#timed(() => connection.queryPrepared(this.#statement, id));
      assert.deepEqual(rows, [[{ type: 3, value: `row ${id}` }]]);
      assert.equal(await this.#timed(() => connection.value('SELECT count(*) FROM t')), id);
      if (id % 10 === 0) {
        await this.#timed(() => connection.exec('BEGIN'));
        await this.#timed(() => connection.exec('DELETE FROM t'));
        assert.equal(await this.#timed(() => connection.value('SELECT count(*) FROM t')), 0);
        await this.#timed(() => connection.exec('ROLLBACK'));
      }
      if (id === 300) {
        assert.equal((await this.#timed(() => connection.exec('DELETE FROM t'))).changes, id);
        this.#rows = 0;
      }
    }
  }

  stop(): void {
    this.#stopping = true;
  }

  close(): void {
    this.#connection.close();
  }

  async #timed<T>(ask: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const answer = await ask();
    this.requests++;
    this.maxLatencyMs = Math.max(this.maxLatencyMs, performance.now() - startMs);
    return answer;
  }
}

/** Bytes that JavaScript holds. */
function memoryBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  const { heapUsed, arrayBuffers, external } = process.memoryUsage();
  return heapUsed + Math.max(arrayBuffers, external);
}

/**
 * All members and databases of the hostile clients are deleted: what is left after that is a leak. Who has asked for a
 * member to become a voter waits for the answer as long as the member may take to catch up.
 */
async function clean(node: TestNode): Promise<void> {
  const strangers = node.node.configuration.servers.filter(({ id }) => id !== NODE_ID);
  await node.connectionCount(1, strangers.length > 0 ? PROMOTION_MS : undefined); // the good client's
  for (const { id } of strangers) {
    const janitor = await node.raw();
    await janitor.call({ kind: 'remove', id });
    janitor.close();
    await node.connectionCount(1);
  }
  for (const key of [...node.engine.databases.keys()]) {
    if (key === CONTROL) continue;
    const janitor = await node.raw();
    await janitor.open(Buffer.from(key, 'latin1'));
    await janitor.call(requests.execSql('BEGIN IMMEDIATE; PRAGMA delete_database; COMMIT'));
    janitor.close();
    await node.connectionCount(1);
  }
}

async function round(node: TestNode, seed: number, counts: { sent: number; received: number }): Promise<void> {
  const random = new SeededRandom(seed);
  const seeds = Array.from({ length: CLIENTS_PER_ROUND }, () => random.uint32());
  const worker = async (): Promise<void> => {
    for (let next = seeds.pop(); next !== undefined; next = seeds.pop()) {
      const { sent, received } = await attack(node.address, new SeededRandom(next));
      counts.sent += sent;
      counts.received += received;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await clean(node);
}

/** Runs the rounds of the seeds, then of further ones from `next` on until the time is over. */
export async function fuzz(seeds: readonly number[], next: number | undefined, seconds: number): Promise<FuzzReport> {
  const node = await TestNode.start({ engine: { ...smallLimits, busyTimeoutMs: 200, maxStepMs: MAX_STEP_MS } });
  try {
    const control = await Control.start(node);
    const controlled = control.run();
    controlled.catch(() => {}); // looked at in the end
    const counts = { sent: 0, received: 0 };
    const endMs = performance.now() + seconds * 1000;
    const plan = [...seeds];
    let rounds = 0;
    let baseline = 0;
    let seed = next;
    for (;;) {
      let current = plan.shift();
      if (current === undefined && seed !== undefined && performance.now() < endMs) current = seed++;
      if (current === undefined) break;
      try {
        await Promise.race([round(node, current, counts), controlled]);
      } catch (error) {
        throw new Error(
          `SEED=${current} (round ${rounds}): ${error instanceof Error ? error.message : String(error)}`,
          { cause: error },
        );
      }
      if (++rounds === WARM_UP_ROUNDS) baseline = memoryBytes();
    }
    control.stop();
    await controlled;
    const { maxLatencyMs } = control;
    const growthBytes = baseline === 0 ? 0 : memoryBytes() - baseline;
    const { sqliteHeapBytes, databases } = node.node.metrics();
    control.close();
    assert.equal(databases, 1, `databases of nobody: ${FUZZED.join(', ')} or bent names`);
    assert.ok(maxLatencyMs < MAX_LATENCY_MS, `an answer to the good client took ${maxLatencyMs} ms`);
    assert.ok(growthBytes < MAX_GROWTH, `${growthBytes} bytes more than after ${WARM_UP_ROUNDS} rounds`);
    assert.ok(sqliteHeapBytes <= smallLimits.sqlite.heapBytes + 32 * MIB, `${sqliteHeapBytes} bytes of SQLite's heap`);
    await node.close();
    return {
      rounds,
      clients: rounds * CLIENTS_PER_ROUND,
      sentBytes: counts.sent,
      receivedBytes: counts.received,
      controlRequests: control.requests,
      maxLatencyMs,
      growthBytes,
      sqliteHeapBytes,
    };
  } catch (error) {
    await node.node.close(); // what is wrong is known: it need not be quiet too
    throw error;
  }
}

export function describeRun(report: FuzzReport): string {
  const mib = (bytes: number): string => (bytes / MIB).toFixed(1);
  return (
    `${report.rounds} rounds, ${report.clients} hostile clients, ${mib(report.sentBytes)} MiB sent, ` +
    `${mib(report.receivedBytes)} MiB answered; good client: ${report.controlRequests} requests, longest ` +
    `${Math.round(report.maxLatencyMs)} ms; ${mib(report.growthBytes)} MiB more in JavaScript, ` +
    `${mib(report.sqliteHeapBytes)} MiB heap of SQLite`
  );
}
