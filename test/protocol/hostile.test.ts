/** Clients that mean no good: bytes that are no protocol, requests without measure (wire spec sections 1.5 and 10.1, design rule 23). */

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { encodeUtf8 } from '../../src/lib/bytes.ts';
import { requestType, responseType, type Request } from '../../src/wire/index.ts';
import { Connection, encoded, Ended, Failure, fails, message, requests, text, words } from '../support/connection.ts';
import { TestNode } from '../support/node.ts';
import { turns, until } from '../support/wait.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

let server: TestNode;
before(async () => {
  server = await TestNode.start();
});
afterEach(() => {
  server.host.clock.hurry(0);
  server.host.files.release();
});
after(() => server.close());

/** Somebody who has nothing to do with it is served. */
async function expectUnharmed(node = server): Promise<void> {
  const other = await node.connect('unharmed', { deadlineMs: 3000 });
  await other.exec('CREATE TABLE IF NOT EXISTS t (a); INSERT INTO t VALUES (1)');
  assert.ok(Number(await other.value('SELECT count(*) FROM t')) > 0);
  other.close();
}

test('a request without a body is refused, and the connection goes on', async () => {
  const connection = await server.connect('empty');
  for (let type = 0; type < 256; type++) {
    connection.write(message(type, Buffer.alloc(0)));
    await fails(connection.response(), 1005, 'a request must have a body');
  }
  assert.equal(await connection.value('SELECT 1'), 1);
});

test('sizes beyond the limit are refused as soon as they are announced', async () => {
  for (const count of [2 ** 25 + 1, 0x1fffffff, 0x20000000, 0x20000001, 0xffffffff]) {
    const connection = await server.connect('large');
    connection.write(message(requestType.querySql, Buffer.alloc(0), { words: count }));
    await fails(connection.response(), 18, `message body of ${count * 8} bytes, the limit is ${256 * MIB}`);
    await connection.ended();
  }
  await expectUnharmed();
});

test('the limit of a request is exact, and answers before it are not lost', async () => {
  const own = await TestNode.start({ maxRequestBytes: 64 * KIB });
  const connection = await own.connect('limit');
  const request = (size: number): Buffer => {
    const sql = `SELECT 1 --${'x'.repeat(size - 8 - 12)}`;
    return message(requestType.querySql, Buffer.concat([words(0), text(sql)]));
  };
  assert.equal(request(64 * KIB).length, 8 + 64 * KIB);
  connection.write(request(64 * KIB));
  assert.equal((await connection.rows()).rows.length, 1);
  connection.write(
    Buffer.concat([encoded(requests.execSql('CREATE TABLE t (a)'), requests.leader), request(64 * KIB + 8)]),
  );
  await connection.result();
  assert.equal((await connection.response()).kind, 'server');
  await fails(connection.response(), 18, `message body of ${64 * KIB + 8} bytes, the limit is ${64 * KIB}`);
  await connection.ended();
  await own.close();
});

test('garbage instead of requests', async () => {
  const hello = Buffer.from('16030100fa010000f603030102030405060708090a0b0c0d0e0f', 'hex');
  const inputs: readonly Buffer[] = [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    hello,
    Buffer.alloc(1000, 0xff),
    Buffer.alloc(1000),
    Buffer.from('SELECT 1;\n'.repeat(100)),
  ];
  for (const input of inputs) {
    for (const version of [undefined, 1n]) {
      const connection = await server.raw({ version });
      connection.write(input);
      connection.half();
      // Whatever it says: it ends, soon.
      for (;;) {
        try {
          await connection.next(3000);
        } catch (error) {
          assert.ok(error instanceof Ended, String(error));
          break;
        }
      }
    }
  }
  await expectUnharmed();
});

test('everything that must never be sent to a C server, in one session', async () => {
  const connection = await server.connect('never');
  const refused = async (request: Request): Promise<void> => {
    await assert.rejects(connection.call(request), Failure);
  };
  connection.write(message(requestType.exec, Buffer.alloc(0)));
  await assert.rejects(connection.response(), Failure);
  await refused({ kind: 'describe', format: 1 });
  await connection.exec("CREATE TABLE d (a DATE, b BOOLEAN); INSERT INTO d VALUES (1.5, x'00')");
  for (let i = 0; i < 2; i++) await connection.prepare('SELECT 1');
  await connection.call(requests.finalize(0));
  for (const request of [requests.exec(0), requests.query(0), requests.finalize(0)]) await refused(request);
  await refused(requests.execSql('INSERT INTO d VALUES (1, 1) RETURNING a'));
  assert.equal((await connection.query('INSERT INTO d VALUES (1, 1) RETURNING a')).length, 1);
  assert.equal((await connection.query('SELECT * FROM d')).length, 2);
  const returning = await connection.prepare('INSERT INTO d VALUES (3, 3) RETURNING a');
  await refused(requests.exec(returning.statement));
  // Every declared type that C dqlite interprets, with every storage class.
  await connection.exec('CREATE TABLE declared (a DATE, b DATETIME, c TIMESTAMP, d BOOLEAN)');
  const stored = ['1.5', "x'00'", "'text'", '7', 'NULL'];
  for (const one of stored) await connection.exec(`INSERT INTO declared VALUES (${one}, ${one}, ${one}, ${one})`);
  assert.equal((await connection.query('SELECT * FROM declared')).length, stored.length);
  const pragmas = ['journal_mode=delete', 'page_size=1024', 'synchronous=2'];
  for (const sql of [...pragmas.map(pragma => `PRAGMA ${pragma}`), "ATTACH 'file' AS x"]) {
    await refused(requests.execSql(sql));
  }
  for (const name of ['', ':memory:', 'x-wal']) await refused(requests.open(name));
  await refused({ kind: 'heartbeat', timestamp: 1n });
  const names = Array.from({ length: 100 }, (_, index) => `1 AS ${'n'.repeat(60)}${index}`);
  assert.equal((await connection.query(`SELECT ${names.join(', ')}`)).length, 1);
  await refused({ kind: 'assign', id: 1n, role: 7 });
  await refused({ kind: 'remove', id: 0x2dc171858c3155ben });
  for (const role of [1, 2]) await refused({ kind: 'assign', id: 0x2dc171858c3155ben, role });
  // Names that are beginnings of each other.
  for (const [index, name] of ['n', 'ne', 'nev', 'neve'].entries()) {
    const other = await server.connect(name);
    await other.exec('CREATE TABLE own (a)');
    await other.exec('INSERT INTO own VALUES (?)', index);
    assert.equal(await other.value('SELECT a FROM own'), index);
  }
  await connection.exec('INSERT INTO d VALUES (2, 2)');
});

test('requests that are announced and never finished hold memory, up to a limit, and hurt no small ones', async () => {
  const own = await TestNode.start({ maxRequestBytes: 2 * MIB, maxBufferedBytes: 3 * MIB });
  const big = Buffer.concat([words(0), text('x'.repeat(2 * MIB - 100))]);
  const partial = message(requestType.execSql, big).subarray(0, 1.9 * MIB);
  const hogs = [await own.raw(), await own.raw()];
  hogs[0]!.write(partial);
  hogs[1]!.write(partial);
  // One of them is told; the other one keeps what it has.
  await until(() => hogs.some(({ arrived }) => arrived > 0), 'a refusal');
  const refused = hogs.find(({ arrived }) => arrived > 0)!;
  await fails(refused.response(), 18, /hold more memory than allowed/);
  await refused.ended();
  for (let i = 0; i < 20; i++) await expectUnharmed(own);
  // The memory is free once they are gone.
  for (const hog of hogs) hog.close();
  await own.connectionCount(0);
  const whole = message(requestType.querySql, Buffer.concat([words(0), text(`SELECT 1 --${'x'.repeat(1.5 * MIB)}`)]));
  const connection = await own.connect('after');
  connection.write(whole);
  assert.equal((await connection.rows()).rows.length, 1);
  await own.close();
});

test('more connections than allowed are told so; who leaves makes room', async () => {
  const own = await TestNode.start({ maxConnections: 3 });
  const served = await own.connectMany('limit', 3);
  const refused = await own.raw();
  await fails(refused.call(requests.leader), 5, 'this node serves 3 connections already (maxConnections)');
  await refused.ended();
  const silent = await own.raw();
  await own.connectionCount(5);
  served[0]!.close();
  await own.connectionCount(4);
  // Those that were refused and stay do not count.
  const next = await own.connect('limit');
  assert.equal(await next.value('SELECT 1'), 1);
  await fails((await own.raw()).call(requests.leader), 5, /maxConnections/);
  silent.close();
  await own.close();
});

test('a flood of connections that say nothing is bounded', async () => {
  const own = await TestNode.start({ maxConnections: 10 });
  const client = await own.connect('flood');
  const flood = await Promise.all(
    Array.from({ length: 300 }, () => Connection.connect(own.address, { version: undefined })),
  );
  await until(() => flood.filter(({ isOver }) => isOver).length >= 190, 'connections closed');
  assert.equal(own.node.metrics().connections, 110);
  assert.equal(await client.value('SELECT 1'), 1);
  for (const connection of flood) connection.close();
  await own.connectionCount(1);
  await expectUnharmed(own);
  await own.close();
});

test('who does not even greet, or was refused and stays, has to go', async () => {
  const own = await TestNode.start({ maxConnections: 20 });
  const client = await own.connect('deadline');
  const mute = Array.from({ length: 19 }, () => own.raw({ version: undefined }));
  for (const connection of await Promise.all(mute)) connection.write(Buffer.alloc(7));
  await own.connectionCount(20);
  const refused = await own.raw();
  await own.connectionCount(21);
  own.host.clock.leap(9000);
  assert.equal(await client.value('SELECT 1'), 1);
  assert.equal(own.node.metrics().connections, 21);
  own.host.clock.leap(1000);
  await own.connectionCount(1);
  await refused.ended();
  assert.equal(await client.value('SELECT 1'), 1);
  await own.close();
});

test('a client that was told everything and does not close has to go; one that has not read it may stay', async () => {
  const own = await TestNode.start({ maxRequestBytes: MIB });
  const [host, port] = own.address.split(':');
  const open = async (bytes: Buffer): Promise<net.Socket> => {
    const socket = net.connect({ host, port: Number(port), allowHalfOpen: true });
    socket.pause();
    await new Promise<void>(resolve => socket.write(Buffer.concat([words(1), bytes]), () => resolve()));
    return socket;
  };
  // More than it may send, and rows that nobody takes behind the end of a stream.
  const tooMuch = await open(message(requestType.querySql, Buffer.alloc(0), { words: MIB }));
  const deaf = await open(encoded(requests.open('linger'), requests.querySql('SELECT zeroblob(20000000)')));
  deaf.end();
  await until(() => own.host.net.pendingBytes > MIB, 'rows that wait');
  await turns(20);
  own.host.clock.leap(61_000);
  await own.connectionCount(1);
  let taken = 0;
  deaf.on('data', (bytes: Buffer) => (taken += bytes.length));
  deaf.resume();
  await until(() => taken > 20_000_000 && own.host.net.pendingBytes === 0, 'all rows');
  await turns(20);
  own.host.clock.leap(31_000);
  await own.connectionCount(0);
  for (const socket of [tooMuch, deaf]) socket.destroy();
  await own.close();
});

test('a peer is taken however many clients there are, and takes the place of none', async () => {
  const own = await TestNode.start({ maxConnections: 1 });
  const client = await own.connect('peer');
  const connect: Request = { kind: 'connect', id: 77n, address: '127.0.0.1:1' };
  const peers = [await own.raw(), await own.raw()];
  for (const peer of peers) peer.send(connect);
  const refused = await own.raw();
  await fails(refused.call(requests.leader), 5, /maxConnections/);
  refused.close();
  await own.connectionCount(3);
  own.host.clock.leap(60_000);
  await turns(20);
  assert.deepEqual(
    peers.map(({ isOver, arrived }) => [isOver, arrived]),
    peers.map(() => [false, 0]),
  );
  client.close();
  await own.connectionCount(2);
  const next = await own.connect('peer');
  assert.equal(await next.value('SELECT 1'), 1);
  const broken = await own.raw();
  broken.write(message(requestType.connect, Buffer.alloc(8)));
  await broken.ended();
  await own.close();
});

test('a client that asks and does not read is not served any further, and memory stays bounded', async () => {
  const connection = await server.connect('deaf');
  const other = await server.connect('deaf');
  await other.exec('CREATE TABLE t (a)');
  connection.pause();
  const count = 20_000;
  const burst = Buffer.concat(Array.from({ length: count }, () => encoded(requests.querySql('SELECT zeroblob(2000)'))));
  connection.write(burst);
  // 40 MB of answers were asked for.
  const { net: watched } = server.host;
  let most = 0;
  for (let i = 0; i < 300; i++) {
    await turns(1);
    most = Math.max(most, watched.pendingBytes);
    if (i % 50 === 0) await other.exec('INSERT INTO t VALUES (1)');
  }
  assert.ok(most < 200 * KIB, `${most} bytes wait for the client`);
  connection.resume();
  for (let i = 0; i < count; i++) {
    const { type, bytes } = await connection.next();
    assert.deepEqual([type, bytes.length], [responseType.rows, 2056]);
  }
});

test('a slow reader of a large result costs one piece, and hinders no writer', async () => {
  const name = 'slow';
  const reader = await server.connect(name);
  const writers = await server.connectMany(name, 4);
  await writers[0]!.exec('CREATE TABLE big (a); CREATE TABLE t (a)');
  for (let i = 0; i < 10; i++) await writers[0]!.exec('INSERT INTO big VALUES (zeroblob(1000000))');
  reader.pause();
  const rows = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 10) SELECT a FROM big, c';
  reader.send(requests.querySql(rows));
  await turns(100);
  const { store } = server.database(name);
  const before = server.node.metrics();
  let most = 0;
  await Promise.all(
    writers.map(async writer => {
      for (let i = 0; i < 100; i++) {
        await writer.exec('INSERT INTO t VALUES (?)', i);
        if (i % 10 === 0) await writer.exec('DELETE FROM t');
        most = Math.max(most, server.host.net.pendingBytes);
      }
    }),
  );
  assert.ok(most < 2 * MIB, `${most} bytes wait for the client`);
  const after = server.node.metrics();
  assert.ok(after.pageBytes < before.pageBytes + MIB, 'pages are recycled although the reader keeps its version');
  assert.ok(store.retainedImages < 100);
  reader.resume();
  assert.equal((await reader.rows()).rows.length, 100);
  await until(() => store.retainedImages === 0, 'old versions recycled');
});

test('small pieces to a reader that has stopped: the rest comes when it goes on', async () => {
  const connection = await server.connect('pieces');
  connection.pause();
  // Rows seem to take so long that each piece is a few kilobytes.
  server.host.clock.hurry(20);
  const count = 15_000;
  const sql = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT ${count}) SELECT x, zeroblob(500) FROM c`;
  connection.send(requests.querySql(sql));
  await until(() => server.host.net.pendingBytes > 0, 'a full socket');
  await turns(50);
  connection.resume();
  assert.equal((await connection.rows()).rows.length, count);
});

test('requests sent ahead are taken from the socket as they are served', async () => {
  const own = await TestNode.start({ maxBufferedBytes: MIB });
  const connection = await own.connect('ahead');
  const count = 150_000;
  const burst = encoded(...Array.from({ length: 1000 }, () => requests.interrupt));
  for (let i = 0; i < count / 1000; i++) connection.write(burst);
  let answers = 0;
  while (answers < count) {
    const { type } = await connection.next();
    assert.equal(type, responseType.empty);
    answers++;
  }
  await own.close();
});

test('requests sent ahead behind one that waits stay in the socket', async () => {
  const own = await TestNode.start({ maxBufferedBytes: 8 * MIB, engine: { busyTimeoutMs: 1e9 } });
  const [holder, client] = await own.connectMany('behind', 2);
  await holder!.exec('CREATE TABLE t (a); BEGIN IMMEDIATE');
  client!.send(requests.execSql('INSERT INTO t VALUES (1)'));
  await own.queued('behind', 1);
  const filler = encoded(requests.execSql(`SELECT 1 WHERE 0 -- ${'x'.repeat(10_000)}`));
  for (let i = 0; i < 2000; i++) client!.write(filler);
  await turns(200);
  // Twenty megabytes were sent; the kernel and the client hold what the server has not read.
  assert.ok(client!.socket.writableLength > 5 * MIB);
  await holder!.exec('ROLLBACK');
  for (let i = 0; i < 2001; i++) await client!.result();
  await own.close();
});

test('a connection that was reset at any moment leaves nothing', async () => {
  const [host, port] = server.address.split(':');
  const stream = Buffer.concat([
    words(1),
    encoded(
      requests.open('cut off'),
      requests.execSql('CREATE TABLE IF NOT EXISTS t (a); BEGIN; INSERT INTO t VALUES (1)'),
      requests.querySql('SELECT a, zeroblob(10000) FROM t, t t2, t t3'),
      { kind: 'dump', name: encodeUtf8('cut off') },
      requests.execSql('COMMIT'),
    ),
  ]);
  for (let cut = 0; cut < stream.length; cut += 7) {
    const socket = net.connect({ host, port: Number(port) });
    socket.on('error', () => {});
    await new Promise<void>(resolve => socket.write(stream.subarray(0, cut), () => resolve()));
    if (cut % 2 === 0) await turns(2);
    socket.resetAndDestroy();
  }
  await until(() => server.host.net.accepted.size === server.node.metrics().connections, 'connections known');
  await expectUnharmed();
});
