/** Stopping a node by signal, with clients in every state: nothing that was answered is lost, nothing is left over. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { until } from '../support/wait.ts';
import { canListen, freePort } from '../support/ports.ts';
import { serve, type ServedNode } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Connection, Ended, requests } from '../support/connection.ts';

const DATABASE = 'stop.db';
/** A stopped node is gone at once, whatever its clients wait for. */
const STOP_MS = 2000;
const ROWS_ONLY_SLOW =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, hex(zeroblob(2000)) FROM n';

/** Inserts one row after the other until the connection ends. Gives the rows that were acknowledged. */
async function insertUntilClosed(client: Connection, first: number): Promise<number[]> {
  const acknowledged: number[] = [];
  try {
    for (let id = first; ; id++) {
      await client.exec('INSERT INTO t VALUES (?, ?)', id, `row ${id}`);
      acknowledged.push(id);
    }
  } catch (error) {
    assert.ok(error instanceof Ended, `a writer was told something else than the end: ${String(error)}`);
  }
  return acknowledged;
}

/** One client in each state that matters. Gives what resolves when all of them were disconnected. */
async function occupy(t: TestContext, { address }: ServedNode): Promise<() => Promise<number[]>> {
  const silent = await Connection.connect(address, { version: undefined });
  t.after(() => silent.close());
  const greeted = await Connection.connect(address);
  const idle = await Connection.open(address, DATABASE);
  await idle.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE other (id)');

  // A result without end, of which nothing is read.
  const stalled = await Connection.open(address, DATABASE);
  stalled.socket.pause();
  stalled.send(requests.querySql(ROWS_ONLY_SLOW));

  const writer = await Connection.open(address, DATABASE);
  const enough = new Promise<void>(resolve => {
    void until(() => writer.received > 32 * 24, 'thirty acknowledged inserts', 10_000).then(resolve);
  });
  const inserted = insertUntilClosed(writer, 1);
  await enough;

  // Another database: in the first one the transaction would stop the writer.
  const inTransaction = await Connection.open(address, 'other.db');
  await inTransaction.exec('CREATE TABLE t (id)');
  await inTransaction.exec('BEGIN; INSERT INTO t VALUES (1)');
  const waiting = await Connection.open(address, 'other.db');
  const refused = waiting.exec('INSERT INTO t VALUES (2)').then(
    () => assert.fail('a write that waited behind a transaction was done'),
    (error: unknown) => error,
  );
  return async () => {
    const acknowledged = await inserted;
    assert.ok((await refused) instanceof Error);
    stalled.socket.resume();
    await Promise.all([greeted, idle, inTransaction, waiting, stalled].map(client => client.closed()));
    return acknowledged;
  };
}

/** The signals that a process has a handler for. */
function handles(pid: number, signal: number): boolean {
  const mask = /^SigCgt:\s+([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return mask !== undefined && (BigInt(`0x${mask}`) & (1n << BigInt(signal - 1))) !== 0n;
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} with clients in every state`, async t => {
    const directory = temporaryDirectory(t);
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    // A write may wait for a minute: the node must not wait for it.
    const first = await serve(t, { directory, address, args: ['--busy-timeout-ms', '60000'] });
    assert.equal(first.address, address);
    const disconnected = await occupy(t, first);

    const startMs = performance.now();
    await first.stop(signal);
    const stopMs = performance.now() - startMs;
    assert.ok(stopMs < STOP_MS, `stopped after ${stopMs} ms`);
    assert.ok(await canListen(port), 'the port is free');
    const files = readdirSync(directory);
    assert.deepEqual(
      files.filter(name => /^(open-|tmp-|.*lock)/.test(name)),
      [],
    );
    const acknowledged = await disconnected();
    assert.ok(acknowledged.length >= 30);
    assert.equal(first.child.stdout, `ready ${address}\n`);

    const second = await serve(t, { directory, address });
    const reader = await Connection.open(address, DATABASE);
    const ids = (await reader.values('SELECT id FROM t ORDER BY id')).map(([id]) => Number(id));
    // The last insert may be there although its answer never arrived; nothing else.
    assert.deepEqual(ids.slice(0, acknowledged.length), acknowledged);
    assert.ok(ids.length <= acknowledged.length + 1);
    const other = await Connection.open(address, 'other.db');
    assert.deepEqual(await other.values('SELECT count(*) FROM t'), [[0n]], 'an open transaction is rolled back');
    await second.stop(signal);
  });
}

test('a second signal ends a node that takes its time to stop, and nothing is lost', async t => {
  const directory = temporaryDirectory(t);
  const node = await serve(t, { directory, args: ['--snapshot-threshold', '40'] });
  const client = await Connection.open(node.address, DATABASE);
  // A snapshot of 96 MiB keeps the node busy for a moment: it finishes what it has begun to write.
  await client.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)');
  const sum: number[] = [];
  while (!readdirSync(directory).some(name => name.startsWith('tmp-snapshot-'))) {
    sum.push(Number((await client.exec('INSERT INTO t (v) VALUES (randomblob(3000000))')).lastInsertId));
  }
  node.child.signal('SIGTERM');
  await until(
    () => node.child.hasExited || !handles(node.child.pid, 15),
    'the node has noticed the first signal',
    5000,
  );
  node.child.signal('SIGINT');
  const exit = await node.child.end(5000);
  assert.deepEqual(exit, { code: null, signal: 'SIGINT' });

  const again = await serve(t, { directory });
  const reader = await Connection.open(again.address, DATABASE);
  assert.deepEqual(await reader.values('SELECT count(*), sum(length(v)) FROM t'), [
    [BigInt(sum.length), BigInt(sum.length) * 3_000_000n],
  ]);
  await again.stop();
});
