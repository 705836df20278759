/** Clients that half-close, close or reset, at every point of a request (design rule 29, wire spec section 5.7). */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { fails, requests, type Connection } from '../support/connection.ts';
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
  const name = `leaving ${names++}`;
  const clients = await server.connectMany(name, count);
  await clients[0]!.exec('CREATE TABLE t (a)');
  return { name, clients };
}

const values = async (connection: Connection): Promise<unknown[]> =>
  (await connection.query('SELECT a FROM t ORDER BY rowid')).map(([value]) => value);

const left = (name: string, count: number): Promise<void> =>
  until(() => server.database(name).sessions.size === count, `${count} clients of ${name}`);

const MANY =
  'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 20000) SELECT x, zeroblob(1000) FROM c';

test('half closed with an open transaction: rolled back, the lock goes on', async () => {
  const { clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  client.send(requests.execSql('BEGIN IMMEDIATE'), requests.execSql('INSERT INTO t VALUES (1)'));
  client.half();
  await client.result();
  await client.result();
  await client.ended();
  await other.exec('INSERT INTO t VALUES (2)');
  assert.deepEqual(await values(other), [2]);
});

test('half closed while a write waits for the lock: it fails with 5, the rest is answered, then the end', async () => {
  const { name, clients } = await fresh(2);
  const [holder, client] = clients as [Connection, Connection];
  await holder.exec('BEGIN IMMEDIATE');
  client.send(requests.execSql('INSERT INTO t VALUES (1)'), requests.leader);
  await server.queued(name, 1);
  client.half();
  await fails(client.result(), 5, 'database is locked');
  const response = await client.response();
  assert.ok(response.kind === 'server' && response.id === NODE_ID);
  await client.ended();
  await holder.exec('COMMIT');
  assert.deepEqual(await values(holder), []);
});

test('writes that would have to wait after the half close fail too', async () => {
  const { name, clients } = await fresh(2);
  const [holder, client] = clients as [Connection, Connection];
  await holder.exec('BEGIN IMMEDIATE');
  const insert = requests.execSql('INSERT INTO t VALUES (1)');
  client.send(insert, requests.querySql('SELECT a FROM t'), insert, requests.execSql('BEGIN'), insert);
  await server.queued(name, 1);
  client.half();
  await fails(client.result(), 5, 'database is locked');
  assert.deepEqual((await client.rows()).rows, []);
  await fails(client.result(), 5, 'database is locked');
  await client.result();
  await fails(client.result(), 5, 'database is locked');
  await client.ended();
  await server.queued(name, 0);
  await holder.exec('COMMIT');
});

test('reset while a write waits for the lock: it is taken out', async () => {
  for (const leave of ['reset', 'close'] as const) {
    const { name, clients } = await fresh(3);
    const [holder, client, other] = clients as [Connection, Connection, Connection];
    await holder.exec('BEGIN IMMEDIATE');
    client.send(requests.execSql('INSERT INTO t VALUES (1)'));
    await server.queued(name, 1);
    other.send(requests.execSql('INSERT INTO t VALUES (2)'));
    await server.queued(name, 2);
    client[leave]();
    await server.queued(name, 1);
    await holder.exec('COMMIT');
    await other.result();
    assert.deepEqual(await values(other), [2]);
  }
});

test('what has executed is kept, whoever hears of it', async () => {
  for (const leave of ['half', 'close', 'reset'] as const) {
    for (const sql of ['INSERT INTO t VALUES (1)', 'BEGIN; INSERT INTO t VALUES (1); COMMIT']) {
      const { name, clients } = await fresh(2);
      const [client, other] = clients as [Connection, Connection];
      server.host.files.hold();
      client.send(requests.execSql(sql));
      await server.host.files.stuck();
      client[leave]();
      // A socket that was closed looks like a half-closed one until something is sent.
      if (leave === 'reset') await left(name, 1);
      else await turns(20);
      server.host.files.release();
      if (leave === 'half') {
        await client.result();
        await client.ended();
      }
      await other.exec('INSERT INTO t VALUES (2)');
      assert.deepEqual(await values(other), [1, 2]);
    }
  }
});

test('half closed while rows are sent: all of them, then the end', async () => {
  const { clients } = await fresh(1);
  const [client] = clients as [Connection];
  client.pause();
  client.send(requests.querySql(MANY));
  client.half();
  await turns(50);
  client.resume();
  assert.equal((await client.rows()).rows.length, 20_000);
  await client.ended();
});

test('reset while rows are sent: the state they were read from is let go', async () => {
  for (const begin of ['', 'BEGIN', 'BEGIN IMMEDIATE']) {
    const { name, clients } = await fresh(2);
    const [client, other] = clients as [Connection, Connection];
    await other.exec(`INSERT INTO t SELECT zeroblob(3000) FROM (${MANY} LIMIT 2000)`);
    if (begin !== '') await client.exec(begin);
    client.pause();
    client.send(requests.querySql('SELECT a FROM t'));
    await turns(30);
    const emptied = other.exec('DELETE FROM t');
    if (begin !== 'BEGIN IMMEDIATE') {
      await emptied;
      assert.ok(server.database(name).store.retainedImages > 0, 'the reader keeps its pages');
    }
    client.reset();
    await emptied;
    const { store } = server.database(name);
    await until(() => store.retainedImages === 0, 'old versions recycled');
  }
});

test('a client that leaves in the middle of a sort or with temporary tables leaves no files', async () => {
  const { name, clients } = await fresh(1);
  const [client] = clients as [Connection];
  await client.exec(`CREATE TEMP TABLE x AS ${MANY.replace('20000', '5000')}`);
  client.pause();
  client.send(requests.querySql('SELECT * FROM x ORDER BY random()'));
  await until(() => server.node.metrics().tempBytes > 0, 'temporary files');
  client.reset();
  await until(() => server.node.metrics().tempBytes === 0, 'temporary files gone');
  await left(name, 0);
});

test('many clients leave at once, in the middle of everything', async () => {
  const { name, clients } = await fresh(40);
  const [other, ...leaving] = clients as [Connection, ...Connection[]];
  const scripts = [
    'INSERT INTO t VALUES (1)',
    'BEGIN IMMEDIATE; INSERT INTO t VALUES (2)',
    'BEGIN; SELECT a FROM t WHERE 0',
    'CREATE TEMP TABLE x (a); INSERT INTO x VALUES (1)',
  ];
  for (const [index, client] of leaving.entries()) {
    client.send(requests.execSql(scripts[index % scripts.length]!), requests.querySql(MANY), requests.interrupt);
  }
  await turns(3);
  for (const [index, client] of leaving.entries()) {
    if (index % 2 === 0) client.reset();
    else client.close();
  }
  await left(name, 1);
  await other.exec('INSERT INTO t VALUES (3)');
  assert.equal(await other.value('SELECT count(*) FROM t WHERE a = 2'), 0);
  assert.equal(await other.value('PRAGMA integrity_check'), 'ok');
});

test('a client that has gone is not served any further', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  // The first request waits for the disk; the others are behind it when the client resets.
  server.host.files.hold();
  const list = [];
  for (let i = 0; i < 500; i++) list.push(requests.execSql('INSERT INTO t VALUES (?)', i));
  client.send(...list);
  await server.host.files.stuck();
  client.reset();
  await left(name, 1);
  server.host.files.release();
  await other.exec('INSERT INTO t VALUES (-1)');
  assert.deepEqual(await values(other), [0, -1]);
});

test('the node is closed under its clients: they get the end', async () => {
  const own = await TestNode.start();
  const [idle, transaction, waiting, stream] = (await own.connectMany('closing', 4)) as [
    Connection,
    Connection,
    Connection,
    Connection,
  ];
  await idle.exec('CREATE TABLE t (a)');
  await transaction.exec('BEGIN IMMEDIATE; INSERT INTO t VALUES (1)');
  waiting.send(requests.execSql('INSERT INTO t VALUES (2)'));
  await own.queued('closing', 1);
  stream.pause();
  stream.send(requests.querySql(MANY));
  await turns(20);
  await own.node.close();
  stream.resume();
  for (const client of [idle, transaction, waiting, stream]) await client.closed();
  const again = await TestNode.start({ directory: own.directory });
  const client = await again.connect('closing');
  assert.deepEqual(await values(client), []);
  await again.close();
  const { rm } = await import('node:fs/promises');
  await rm(own.directory, { recursive: true, force: true });
});

test('half closed before its CONNECT is served: the connection does not stay as that of a peer', async () => {
  const { clients } = await fresh(1);
  const client = clients[0]!;
  const connections = server.node.metrics().connections;
  server.host.files.hold();
  const connect = { kind: 'connect', id: 77n, address: '127.0.0.1:1' } as const;
  client.send(requests.execSql('INSERT INTO t VALUES (1)'), connect);
  client.half();
  await until(() => server.host.files.waiting === 1, 'the write is under way');
  await turns(10);
  server.host.files.release();
  assert.equal((await client.result()).changes, 1);
  await client.ended();
  await server.connectionCount(connections - 1);
});
