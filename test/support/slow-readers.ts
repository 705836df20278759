/**
 * Clients that send a query and do not read the answer, while others write. Each holds the version that it began to
 * read: what the writers replace since then must not pile up, and the writers must not notice.
 */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { median } from './median.ts';
import { serve } from './serve.ts';
import { temporaryDirectory } from './temporary.ts';
import { Connection, requests } from './connection.ts';

const WRITERS = 6;
/** Before the readers come. */
const CALM_SECONDS = 2;
/** Rows of 1 kB that are rewritten again and again. */
const ROWS = 2000;
/** Three more readers every so many seconds, with an older version than the next. */
const READERS_EVERY_SECONDS = 2;
const MAX_RSS = 700 * 2 ** 20;
/** Of the calm rate; the machine has other things to do too. */
const MIN_RATE = 0.5;
const MIB = 2 ** 20;

const SCHEMA = `
  CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);
  CREATE TABLE generation (id INTEGER PRIMARY KEY, number INTEGER);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
  INSERT INTO t SELECT i, randomblob(1000) FROM n;
  INSERT INTO generation SELECT id, 0 FROM t WHERE id <= 20;`;

/** 40 MB: much more than sockets and servers buffer. */
const LONG_READ = `SELECT number, v FROM t, generation LIMIT ${20 * ROWS}`;
const ENDLESS_READ =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, (SELECT v FROM t WHERE id = 1) FROM n';

/** One writer replaces a whole table at once, the others rows of another one. */
async function write(client: Connection, writer: number, counts: number[], state: { over: boolean }): Promise<void> {
  for (let row = writer; !state.over; row = (row + WRITERS) % ROWS) {
    if (writer === 0) await client.exec('UPDATE generation SET number = number + 1');
    else await client.exec('UPDATE t SET v = randomblob(1000) WHERE id = ?', row + 1);
    counts[writer]!++;
  }
}

/** A query of which nothing is read for now. What it gives in the end is what it saw in the beginning. */
async function stalledRead(address: string): Promise<() => Promise<void>> {
  const client = await Connection.open(address, 'x.db', { deadlineMs: 300_000 });
  const answer = client.values(LONG_READ);
  answer.catch(() => {});
  client.socket.pause();
  return async () => {
    client.socket.resume();
    const rows = await answer;
    assert.equal(rows.length, 20 * ROWS);
    assert.equal(new Set(rows.map(([number]) => number)).size, 1, 'a read sees one state from its start to its end');
    client.close();
  };
}

async function endlessRead(address: string): Promise<() => Promise<void>> {
  const client = await Connection.open(address, 'x.db');
  client.socket.pause();
  client.send(requests.querySql(ENDLESS_READ));
  return async () => client.close();
}

/** A transaction that has read something, and is then forgotten. */
async function forgottenTransaction(address: string): Promise<() => Promise<void>> {
  const client = await Connection.open(address, 'x.db');
  await client.exec('BEGIN');
  const before = await client.values('SELECT number FROM generation');
  return async () => {
    assert.deepEqual(await client.values('SELECT number FROM generation'), before, 'a transaction sees one state');
    client.close();
  };
}

export async function watchSlowReaders(t: TestContext, { seconds }: { readonly seconds: number }): Promise<void> {
  const node = await serve(t, { directory: temporaryDirectory(t) });
  const first = await Connection.open(node.address, 'x.db');
  await first.exec(SCHEMA);
  const counts = Array.from({ length: WRITERS }, () => 0);
  const state = { over: false };
  const clients = await Promise.all(counts.map(() => Connection.open(node.address, 'x.db')));
  const writing = Promise.all(clients.map((client, writer) => write(client, writer, counts, state)));
  const readers: (() => Promise<void>)[] = [];
  const rates: { calm: number[]; stalled: number[] } = { calm: [], stalled: [] };
  const resident: number[] = [];
  let before = 0;
  for (let second = 0; second < CALM_SECONDS + seconds; second++) {
    // The one place where time itself is waited for: a rate is something per second.
    await pass(1000);
    const total = counts.reduce((sum, count) => sum + count, 0);
    rates[readers.length === 0 ? 'calm' : 'stalled'].push(total - before);
    before = total;
    resident.push(node.child.memory().rss);
    const stalledSeconds = second + 1 - CALM_SECONDS;
    if (stalledSeconds < 0 || stalledSeconds % READERS_EVERY_SECONDS !== 0) continue;
    const { address } = node;
    readers.push(await stalledRead(address), await endlessRead(address), await forgottenTransaction(address));
  }
  state.over = true;
  await writing;
  const mib = (bytes: number): number => Math.round(bytes / MIB);
  const calm = median(rates.calm);
  const stalled = median(rates.stalled);
  t.diagnostic(
    `writes per second: ${calm} before, ${stalled} with up to ${readers.length} readers that do not read; ` +
      `resident: ${mib(resident[CALM_SECONDS - 1]!)} MiB before, at most ${mib(Math.max(...resident))} MiB`,
  );
  assert.ok(stalled > calm * MIN_RATE, `the writers slowed down: ${rates.calm.join(' ')} / ${rates.stalled.join(' ')}`);
  assert.ok(Math.max(...resident) < MAX_RSS, `${resident.map(mib).join(' ')} MiB`);
  assert.deepEqual(await first.values('SELECT count(*) FROM t'), [[BigInt(ROWS)]]);
  for (const goOn of readers) await goOn();
  await node.stop();
}
