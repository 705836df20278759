/** DUMP: the files of a database (wire spec sections 3.12 and 4.5), opened by stock SQLite. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import init from '@sqlite.org/sqlite-wasm';
import { encodeUtf8 } from '../../src/lib/bytes.ts';
import type { DumpedFile } from '../../src/wire/index.ts';
import { fails, requests, type Connection } from '../support/connection.ts';
import { TestNode } from '../support/node.ts';
import { turns, until } from '../support/wait.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start();
});
// What a test that failed holds back would stop the others too.
afterEach(() => server.host.files.release());
after(() => server.close());

const dump = (name: string | Uint8Array) =>
  ({ kind: 'dump', name: typeof name === 'string' ? encodeUtf8(name) : name }) as const;

/** The next answer, which is to a DUMP. */
async function received(connection: Connection): Promise<readonly DumpedFile[]> {
  const response = await connection.response();
  assert.ok(response.kind === 'files');
  return response.files.map(({ name, content }) => ({
    name: Uint8Array.from(name),
    content: Uint8Array.from(content),
  }));
}

function files(connection: Connection, name: string | Uint8Array): Promise<readonly DumpedFile[]> {
  connection.send(dump(name));
  return received(connection);
}

/** Rows of a query on a database file, by SQLite as its authors ship it. */
async function queryFile(content: Uint8Array, sql: string): Promise<unknown[]> {
  const { oo1, capi, wasm } = await init();
  const bytes = Uint8Array.from(content);
  // Write-ahead logging needs a file system.
  bytes.fill(1, 18, 20);
  const database = new oo1.DB();
  try {
    const pointer = wasm.allocFromTypedArray(bytes);
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
    capi.sqlite3_deserialize(database.pointer!, 'main', pointer, bytes.length, bytes.length, flags);
    return database.exec({ sql, rowMode: 'array', returnValue: 'resultRows' });
  } finally {
    database.close();
  }
}

test('the main file is complete, the write-ahead log is empty', async () => {
  const connection = await server.connect('dump');
  await connection.exec(`CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t (b);
    WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3000) INSERT INTO t SELECT x, 'row ' || x FROM c;
    DELETE FROM t WHERE a % 3 = 0`);
  const other = await server.raw();
  const [main, wal, ...more] = await files(other, 'dump');
  assert.deepEqual(more, []);
  assert.deepEqual(wal, { name: encodeUtf8('dump-wal'), content: new Uint8Array() });
  assert.deepEqual(main!.name, encodeUtf8('dump'));
  const { content } = main!;
  assert.equal(content.length, Number(await connection.value('PRAGMA page_count')) * 4096);
  assert.equal(Buffer.from(content.subarray(0, 16)).toString('latin1'), 'SQLite format 3\0');
  assert.equal(new DataView(content.buffer, content.byteOffset).getUint32(28), content.length / 4096);
  assert.deepEqual(await queryFile(content, 'PRAGMA integrity_check'), [['ok']]);
  assert.deepEqual(await queryFile(content, 'SELECT count(*), max(b) FROM t'), [[2000, 'row 998']]);
});

test('a dump holds what is committed, not more', async () => {
  const connection = await server.connect('committed');
  await connection.exec('CREATE TABLE t (a)');
  await connection.exec('BEGIN; INSERT INTO t VALUES (1)');
  assert.deepEqual(await queryFile((await files(connection, 'committed'))[0]!.content, 'SELECT * FROM t'), []);
  await connection.exec('COMMIT');
  server.host.files.hold();
  const inserted = connection.exec('INSERT INTO t VALUES (2)');
  await server.host.files.stuck();
  const other = await server.raw();
  assert.deepEqual(await queryFile((await files(other, 'committed'))[0]!.content, 'SELECT * FROM t'), [[1]]);
  server.host.files.release();
  await inserted;
  assert.deepEqual(await queryFile((await files(other, 'committed'))[0]!.content, 'SELECT * FROM t'), [[1], [2]]);
});

test('a database without content, and names', async () => {
  const connection = await server.raw();
  await fails(files(connection, 'unknown'), 1002, 'database does not exists');
  await fails(files(connection, ''), 1002, 'database does not exists');
  const strange = Uint8Array.of(0xff, 0x20, 0xfe);
  await connection.open(strange);
  const [main, wal] = await files(connection, strange);
  assert.deepEqual([main!.name, wal!.name], [strange, Uint8Array.of(...strange, ...encodeUtf8('-wal'))]);
  assert.equal(main!.content.length % 4096, 0);
  assert.deepEqual(await queryFile(main!.content, 'SELECT count(*) FROM sqlite_schema'), [[0]]);
  const long = 'l'.repeat(511);
  const other = await server.connect(long);
  const [first, second] = await files(other, long);
  assert.equal(first!.name.length, 511);
  assert.equal(second!.name.length, 515);
});

/** A database that a connection does not take at once. */
async function large(name: string): Promise<Connection> {
  const connection = await server.connect(name);
  await connection.exec('CREATE TABLE t (a)');
  for (let i = 0; i < 8; i++) await connection.exec('INSERT INTO t VALUES (zeroblob(1000000))');
  return connection;
}

/** Asks for a dump and takes nothing of it. Resolves when the server cannot send more. */
async function startDump(name: string): Promise<Connection> {
  const reader = await server.raw();
  reader.pause();
  reader.send(dump(name));
  const { store } = server.database(name);
  // Something is sent, but not all: the pages are pinned.
  await turns(50);
  assert.ok(store.size * 4096 > 8_000_000);
  return reader;
}

test('a slow reader gets the state of the beginning, whatever is written meanwhile', async () => {
  const connection = await large('slow');
  const reader = await startDump('slow');
  await connection.exec('DELETE FROM t; INSERT INTO t VALUES (1)');
  await connection.exec('VACUUM');
  reader.resume();
  const [main] = await received(reader);
  assert.deepEqual(await queryFile(main!.content, 'SELECT count(*), sum(length(a)) FROM t'), [[8, 8_000_000]]);
  const { store } = server.database('slow');
  await until(() => store.retainedImages === 0, 'old versions recycled');
});

test('an INTERRUPT cannot stop a dump: it is one message', async () => {
  await large('interrupted');
  const reader = await startDump('interrupted');
  reader.send(requests.interrupt);
  await turns(20);
  reader.resume();
  const [main] = await received(reader);
  assert.deepEqual(await queryFile(main!.content, 'SELECT count(*) FROM t'), [[8]]);
  await reader.empty();
});

test('a reader that goes away lets go of the pages', async () => {
  const connection = await large('gone');
  const reader = await startDump('gone');
  await connection.exec('DELETE FROM t; VACUUM');
  const { store } = server.database('gone');
  assert.ok(store.retainedImages > 1000);
  reader.reset();
  await until(() => store.retainedImages === 0, 'old versions recycled');
});

test('a database that is deleted and left while it is dumped stays readable to the dump', async () => {
  const connection = await large('deleted');
  const { used } = server.engine.slabs;
  const reader = await startDump('deleted');
  await connection.exec('BEGIN IMMEDIATE; PRAGMA delete_database; COMMIT');
  connection.close();
  await until(() => !server.engine.databases.has('deleted') || server.database('deleted').sessions.size === 0, 'left');
  // Somebody else's pages must not show up in the dump.
  const other = await server.connect('others');
  await other.exec('CREATE TABLE secret (a)');
  for (let i = 0; i < 8; i++) await other.exec('INSERT INTO secret VALUES (randomblob(1000000))');
  reader.resume();
  const [main] = await received(reader);
  assert.deepEqual(await queryFile(main!.content, 'PRAGMA integrity_check'), [['ok']]);
  assert.deepEqual(await queryFile(main!.content, 'SELECT count(*), sum(length(a)) FROM t'), [[8, 8_000_000]]);
  await until(() => !server.engine.databases.has('deleted'), 'the deleted database gone');
  assert.equal(await other.value('PRAGMA integrity_check'), 'ok');
  assert.ok(server.engine.slabs.used < used + 2100, 'its pages are free again');
});
