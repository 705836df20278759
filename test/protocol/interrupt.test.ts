/** INTERRUPT: one EMPTY for each, in place of an answer that was stopped or after one that was not (wire spec section 5.9). */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { responseType } from '../../src/wire/index.ts';
import { requests, type Connection } from '../support/connection.ts';
import { NODE_ID, TestNode } from '../support/node.ts';
import { turns, until } from '../support/wait.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start({ engine: { busyTimeoutMs: 1e9 } });
});
// What a test that failed holds back would stop the others too.
afterEach(() => server.host.files.release());
after(() => server.close());

let names = 0;
async function fresh(count: number): Promise<{ readonly name: string; readonly clients: Connection[] }> {
  const name = `interrupt ${names++}`;
  const clients = await server.connectMany(name, count);
  await clients[0]!.exec('CREATE TABLE t (a)');
  return { name, clients };
}

const values = async (connection: Connection): Promise<unknown[]> =>
  (await connection.query('SELECT a FROM t ORDER BY rowid')).map(([value]) => value);

const MANY =
  'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 200000) SELECT x, zeroblob(200) FROM c';

/** The connection is in step: the next answer is to the next request. */
async function expectInStep(client: Connection): Promise<void> {
  const server = await client.call(requests.leader);
  assert.ok(server.kind === 'server' && server.id === NODE_ID);
}

test('with nothing to stop it is just answered', async () => {
  const none = await server.raw();
  none.send(requests.interrupt, requests.interrupt);
  await none.empty();
  await none.empty();
  const { clients } = await fresh(1);
  const [client] = clients as [Connection];
  client.send(requests.querySql('SELECT 1'), requests.interrupt, requests.execSql('INSERT INTO t VALUES (1)'));
  assert.equal((await client.rows()).rows.length, 1);
  await client.empty();
  await client.result();
  client.send({ kind: 'interrupt', database: 77 });
  await client.empty();
  await expectInStep(client);
});

test('a write that waits for the lock is taken out', async () => {
  const { name, clients } = await fresh(2);
  const [holder, client] = clients as [Connection, Connection];
  await holder.exec('BEGIN IMMEDIATE');
  const { statement } = await client.prepare('INSERT INTO t VALUES (3)');
  const queued = [
    requests.execSql('INSERT INTO t VALUES (1)'),
    requests.querySql('INSERT INTO t VALUES (2) RETURNING a'),
    requests.exec(statement),
    requests.execSql('BEGIN IMMEDIATE'),
  ];
  for (const request of queued) {
    // In one write, and later.
    client.send(request, requests.interrupt);
    await client.empty();
    client.send(request);
    await server.queued(name, 1);
    client.send(requests.interrupt);
    await client.empty();
    await server.queued(name, 0);
    await expectInStep(client);
  }
  await holder.exec('COMMIT');
  assert.deepEqual(await values(client), []);
  await client.exec('INSERT INTO t VALUES (4)');
  assert.deepEqual(await values(client), [4]);
});

test('what has executed is answered, then the INTERRUPT', async () => {
  const { clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  for (const returning of [false, true]) {
    server.host.files.hold();
    const sql = 'INSERT INTO t VALUES (1)';
    client.send(returning ? requests.querySql(`${sql} RETURNING a`) : requests.execSql(sql), requests.interrupt);
    await server.host.files.stuck();
    await turns(20);
    assert.equal(client.arrived, 0);
    server.host.files.release();
    if (returning) assert.equal((await client.rows()).rows.length, 1);
    else assert.equal((await client.result()).changes, 1);
    await client.empty();
    await expectInStep(client);
  }
  assert.deepEqual(await values(other), [1, 1]);
});

test('a result that is being sent stops between two messages', async () => {
  const { clients } = await fresh(1);
  const [client] = clients as [Connection];
  client.pause();
  client.send(requests.querySql(MANY));
  await turns(50);
  client.send(requests.interrupt);
  await turns(50);
  client.resume();
  let parts = 0;
  for (;;) {
    const { type, body } = await client.next();
    if (type === responseType.empty) break;
    assert.equal(type, responseType.rows);
    assert.equal(body[body.length - 1], 0xee, 'never the last part');
    parts++;
  }
  assert.ok(parts > 0);
  await expectInStep(client);
  assert.equal(server.engine.sqlite.connections.size > 0, true);
});

test('an INTERRUPT that comes with the query stops it early', async () => {
  const { clients } = await fresh(1);
  const [client] = clients as [Connection];
  client.send(requests.querySql(MANY), requests.interrupt);
  let received = 0;
  for (;;) {
    const { type, bytes } = await client.next();
    if (type === responseType.empty) break;
    received += bytes.length;
  }
  assert.ok(received < 10_000_000, `${received} bytes of 50 million`);
  await expectInStep(client);
});

test('in a transaction, which goes on', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('BEGIN; INSERT INTO t VALUES (1)');
  client.send(requests.querySql(`${MANY}`), requests.interrupt);
  for (;;) if ((await client.next()).type === responseType.empty) break;
  assert.deepEqual(await values(client), [1]);
  await client.exec('INSERT INTO t VALUES (2); COMMIT');
  assert.deepEqual(await values(other), [1, 2]);

  await other.exec('BEGIN');
  assert.deepEqual(await values(other), [1, 2]);
  await client.exec('BEGIN IMMEDIATE');
  other.send(requests.execSql('INSERT INTO t VALUES (3)'));
  await server.queued(name, 1);
  other.send(requests.interrupt);
  await other.empty();
  await client.exec('ROLLBACK');
  assert.deepEqual(await values(other), [1, 2]);
  await other.exec('INSERT INTO t VALUES (4); COMMIT');
  assert.deepEqual(await values(client), [1, 2, 4]);
});

test('rows that wait for the disk are not sent once they were stopped', async () => {
  const { clients } = await fresh(2);
  const [client, writer] = clients as [Connection, Connection];
  server.host.files.hold();
  const written = writer.exec('INSERT INTO t VALUES (1)');
  await server.host.files.stuck();
  await client.exec('BEGIN');
  client.send(requests.querySql('SELECT a FROM t'));
  await turns(20);
  client.send(requests.interrupt);
  await client.empty();
  server.host.files.release();
  await written;
  await expectInStep(client);
  assert.deepEqual(await values(client), [1]);
  await client.exec('COMMIT');
});

test('it concerns the request right before it, no other', async () => {
  const { name, clients } = await fresh(2);
  const [holder, client] = clients as [Connection, Connection];
  await holder.exec('BEGIN IMMEDIATE');
  client.send(requests.execSql('INSERT INTO t VALUES (1)'), requests.leader, requests.interrupt);
  await server.queued(name, 1);
  await turns(20);
  assert.equal(client.arrived, 0);
  await holder.exec('COMMIT');
  await client.result();
  assert.equal((await client.response()).kind, 'server');
  await client.empty();
  await expectInStep(client);
});

test('two of them are two answers', async () => {
  const { name, clients } = await fresh(2);
  const [holder, client] = clients as [Connection, Connection];
  await holder.exec('BEGIN IMMEDIATE');
  client.send(requests.execSql('INSERT INTO t VALUES (1)'), requests.interrupt, requests.interrupt);
  await client.empty();
  await client.empty();
  await server.queued(name, 0);
  client.send(requests.execSql('INSERT INTO t VALUES (2)'));
  await server.queued(name, 1);
  await holder.exec('COMMIT');
  await client.result();
  assert.deepEqual(await values(client), [2]);
});

test('behind much that is pipelined it still waits its turn', async () => {
  const { clients } = await fresh(1);
  const [client] = clients as [Connection];
  const list = [];
  for (let i = 0; i < 300; i++) list.push(requests.execSql('INSERT INTO t VALUES (?)', i));
  client.send(...list, requests.interrupt);
  for (let i = 0; i < 300; i++) assert.equal((await client.result()).changes, 1);
  await client.empty();
  await until(() => client.arrived === 0, 'nothing more');
  assert.equal((await values(client)).length, 300);
});
