/** Handshake, framing, pipelining, half close (wire spec section 1). */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { encodeUtf8 } from '../../src/lib/bytes.ts';
import { requestType, responseType } from '../../src/wire/index.ts';
import { encoded, Ended, fails, message, requests, text, words, type Connection } from '../support/connection.ts';
import { NODE_ADDRESS, NODE_ID, TestNode } from '../support/node.ts';
import { turns } from '../support/wait.ts';

const LEGACY = 0x86104dd760433fe5n;
const SERVER = { kind: 'server', id: NODE_ID, address: NODE_ADDRESS };

let server: TestNode;
before(async () => {
  server = await TestNode.start();
});
after(() => server.close());

test('the handshake is answered with nothing', async () => {
  const connection = await server.raw();
  await turns(20);
  assert.equal(connection.received, 0);
  assert.deepEqual(await connection.call(requests.leader), SERVER);
});

test('the legacy handshake changes the answer to LEADER and nothing else', async () => {
  const connection = await server.raw({ version: LEGACY });
  const leader = await connection.call(requests.leader, 'legacyServer');
  assert.deepEqual(leader, { kind: 'legacyServer', address: NODE_ADDRESS });
  assert.deepEqual(await connection.call({ kind: 'client', id: 1n }), { kind: 'welcome', heartbeatTimeoutMs: 15_000 });
  await connection.open('legacy');
  assert.equal(await connection.value('SELECT 1'), 1);
});

test('any other first word closes the connection without a word', async () => {
  for (const version of [0n, 2n, LEGACY + 1n, 0x100000001n, 2n ** 64n - 1n]) {
    const alone = await server.raw({ version });
    await alone.ended();
    const withRequest = await server.raw({ version: undefined });
    withRequest.write(Buffer.concat([words(version), encoded(requests.leader)]));
    await withRequest.ended();
  }
});

test('a connection that ends inside the handshake is closed', async () => {
  const connection = await server.raw({ version: undefined });
  connection.write(Buffer.alloc(7));
  connection.half();
  await connection.ended();
});

test('the handshake may arrive together with requests, or in any pieces', async () => {
  const stream = Buffer.concat([words(1), encoded(requests.leader, requests.interrupt)]);
  for (let split = 0; split <= stream.length; split++) {
    const connection = await server.raw({ version: undefined });
    connection.write(stream.subarray(0, split));
    await turns(2);
    connection.write(stream.subarray(split));
    assert.deepEqual(await connection.response(), SERVER, `split at ${split}`);
    await connection.empty();
    connection.close();
  }
});

test('a request may arrive in any two pieces, and byte by byte', async () => {
  const connection = await server.connect('pieces');
  const request = encoded(requests.querySql("SELECT ?, 'x'", 'abcdefgh', Uint8Array.of(1, 2, 3)), requests.interrupt);
  const expect = async (): Promise<void> => {
    await assert.rejects(connection.response(), /column index out of range/);
    await connection.empty();
  };
  for (let split = 1; split < request.length; split++) {
    connection.write(request.subarray(0, split));
    await turns(2);
    connection.write(request.subarray(split));
    await expect();
  }
  for (const byte of request) {
    connection.write(Uint8Array.of(byte));
    await turns(1);
  }
  await expect();
});

test('hundreds of requests in one write are answered in their order', async () => {
  const connection = await server.connect('pipeline');
  await connection.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, b)');
  const { statement } = await connection.prepare('SELECT b FROM t WHERE a = ?');
  const count = 300;
  const list = [];
  for (let i = 1; i <= count; i++) {
    list.push(requests.execSql('INSERT INTO t VALUES (?, ?)', i, `row ${i}`), requests.query(statement, i));
    if (i % 3 === 0) list.push({ kind: 'client', id: BigInt(i) } as const);
    if (i % 5 === 0) list.push(requests.execSql('INSERT INTO t VALUES (1, 1)'));
    if (i % 7 === 0) list.push(requests.interrupt);
  }
  connection.send(...list);
  for (let i = 1; i <= count; i++) {
    assert.deepEqual(await connection.result(), { lastInsertId: i, changes: 1 });
    const { rows } = await connection.rows();
    assert.deepEqual(rows, [[{ type: 3, value: `row ${i}` }]]);
    if (i % 3 === 0) assert.equal((await connection.response()).kind, 'welcome');
    if (i % 5 === 0) await fails(connection.response(), 1555, 'UNIQUE constraint failed: t.a');
    if (i % 7 === 0) await connection.empty();
  }
});

test('a client that closes its side gets all answers, then the end', async () => {
  const connection = await server.connect('half');
  await connection.exec('CREATE TABLE t (a)');
  const list = [];
  for (let i = 0; i < 200; i++) list.push(requests.execSql('INSERT INTO t VALUES (?)', i));
  list.push(requests.querySql('SELECT count(*) FROM t'));
  list.push(
    requests.querySql('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000) SELECT x FROM c'),
  );
  connection.send(...list);
  connection.half();
  for (let i = 1; i <= 200; i++) assert.deepEqual(await connection.result(), { lastInsertId: i, changes: 1 });
  assert.deepEqual((await connection.rows()).rows, [[{ type: 1, value: 200n }]]);
  assert.equal((await connection.rows()).rows.length, 5000);
  await connection.ended();
});

test('a request that is not complete when the client closes its side is no request', async () => {
  const connection = await server.connect('cut');
  const request = encoded(requests.execSql('CREATE TABLE t (a)'));
  connection.write(Buffer.concat([encoded(requests.leader), request.subarray(0, request.length - 1)]));
  connection.half();
  assert.deepEqual(await connection.response(), SERVER);
  await connection.ended();
  const other = await server.connect('cut');
  await fails(other.query('SELECT * FROM t'), 1, 'no such table: t');
});

test('the header: extra is ignored and sent as 0, trailing bytes of a body are ignored', async () => {
  const connection = await server.connect('header');
  connection.write(message(requestType.leader, words(0), { extra: 0xffff }));
  assert.deepEqual(await connection.response(), SERVER);
  connection.write(message(requestType.leader, words(7, 8, 9)));
  assert.deepEqual(await connection.response(), SERVER);
  connection.write(message(requestType.finalize, words(0, 0, 0)));
  await fails(connection.response(), 12, 'no statement with the given id');
  connection.write(message(requestType.prepare, Buffer.concat([words(0), text('SELECT 1'), words(1, 2, 3)])));
  const stmt = await connection.next();
  assert.deepEqual([stmt.type, stmt.schema, stmt.extra], [responseType.stmt, 0, 0]);
});

test('unknown types and schemas are refused, and the connection goes on', async () => {
  const connection = await server.connect('unknown');
  const refused = async (type: number, schema: number, code: number, what: string): Promise<void> => {
    connection.write(message(type, words(0, 0, 0), { schema }));
    await fails(connection.response(), code, what);
  };
  for (const type of [2, 20, 21, 100, 255]) await refused(type, 0, 1005, 'unrecognized request type');
  // An unknown type is looked at before its schema.
  await refused(77, 9, 1005, 'unrecognized request type');
  const both: number[] = [
    requestType.prepare,
    requestType.exec,
    requestType.query,
    requestType.execSql,
    requestType.querySql,
  ];
  for (const type of Object.values(requestType)) {
    if (type === requestType.heartbeat) continue;
    if (!both.includes(type)) await refused(type, 1, 1005, 'unrecognized schema version');
    await refused(type, 2, both.includes(type) ? 1 : 1005, 'unrecognized schema version');
    await refused(type, 255, both.includes(type) ? 1 : 1005, 'unrecognized schema version');
  }
  assert.equal(await connection.value('SELECT 1'), 1);
});

test('bodies that are too short, or hold text without an end, close the connection', async () => {
  const unfinished = Buffer.from('abcdefgh');
  const cases: readonly (readonly [string, number, Buffer])[] = [
    ['OPEN without flags', requestType.open, text('x')],
    ['OPEN with an unfinished name', requestType.open, unfinished],
    ['OPEN with an unfinished vfs', requestType.open, Buffer.concat([text('x'), words(0), unfinished])],
    ['PREPARE without text', requestType.prepare, words(0)],
    ['PREPARE with an unfinished text', requestType.prepare, Buffer.concat([words(0), unfinished])],
    ['EXEC_SQL without text', requestType.execSql, words(0)],
    ['QUERY_SQL with an unfinished text', requestType.querySql, Buffer.concat([words(0), unfinished])],
    ['ADD without address', requestType.add, words(5)],
    ['DUMP with an unfinished name', requestType.dump, unfinished],
    ['CONNECT without address', requestType.connect, words(5)],
    ['parameters beyond the body', requestType.exec, Buffer.concat([words(0), Buffer.from([9, 1, 1, 1, 1, 1, 1, 1])])],
  ];
  for (const [what, type, body] of cases) {
    const connection = await server.raw();
    connection.write(Buffer.concat([message(type, body), encoded(requests.leader)]));
    await assert.rejects(connection.next(), Ended, what);
  }
  const schema1 = await server.raw();
  const body = Buffer.concat([words(0), Buffer.from([5, 0, 0, 0, 1, 1, 1, 1])]);
  schema1.write(message(requestType.exec, body, { schema: 1 }));
  await schema1.ended();
});

test('what was answered before such a message is not lost', async () => {
  const connection = await server.connect('before');
  const bad = message(requestType.execSql, words(0));
  connection.write(
    Buffer.concat([encoded(requests.execSql('CREATE TABLE t (a)'), requests.execSql('INSERT INTO t VALUES (1)')), bad]),
  );
  await connection.result();
  await connection.result();
  await connection.ended();
  const other = await server.connect('before');
  assert.equal(await other.value('SELECT count(*) FROM t'), 1);
});

test('names and texts travel as bytes', async () => {
  const name = Uint8Array.of(0xff, 0xfe, 0x41, 0xc3);
  const connection = await server.connect('bytes');
  const other: Connection = await server.raw();
  await other.open(name);
  await other.exec('CREATE TABLE t (a)');
  await fails(connection.query('SELECT * FROM t'), 1, 'no such table: t');
  const third = await server.raw();
  await third.open(name);
  assert.deepEqual(await third.query('SELECT * FROM t'), []);
  // Invalid UTF-8 in a literal of the text comes back as it was sent.
  const sql = Buffer.concat([encodeUtf8("SELECT '"), Buffer.from([0xff, 0x80, 0xc0]), encodeUtf8("'")]);
  third.write(message(requestType.querySql, Buffer.concat([words(0), text(sql)])));
  const { body } = await third.next();
  assert.ok(body.includes(Buffer.from([0xff, 0x80, 0xc0, 0x00])));
});
