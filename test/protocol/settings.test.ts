/** What pragmas report and what is refused (wire spec sections 6.1, 6.2 and 5.12). */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fails, requests, type Connection, type Plain } from '../support/connection.ts';
import { smallLimits, TestNode } from '../support/node.ts';
import { until } from '../support/wait.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start({ engine: smallLimits });
});
after(() => server.close());

let names = 0;
async function fresh(sql = ''): Promise<Connection> {
  const connection = await server.connect(`settings ${names++}`);
  if (sql !== '') await connection.exec(sql);
  return connection;
}
const again = (): Promise<Connection> => server.connect(`settings ${names - 1}`);

test('settings are those of dqlite', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  const reported: Readonly<Record<string, Plain>> = {
    page_size: 4096,
    journal_mode: 'wal',
    synchronous: 0,
    foreign_keys: 1,
    auto_vacuum: 0,
    recursive_triggers: 0,
    query_only: 0,
    trusted_schema: 1,
    user_version: 0,
    application_id: 0,
  };
  for (const [name, value] of Object.entries(reported)) {
    assert.equal(await connection.value(`PRAGMA ${name}`), value, name);
    assert.equal(await connection.value(`PRAGMA main.${name}`), value, `main.${name}`);
  }
  const { columns } = await connection.queryTyped('PRAGMA journal_mode');
  assert.deepEqual(columns, ['journal_mode']);
  // Inside a transaction too, and prepared.
  await connection.exec('BEGIN');
  assert.equal(await connection.value('PRAGMA journal_mode'), 'wal');
  await connection.exec('ROLLBACK');
  const { statement } = await connection.prepare('PRAGMA journal_mode');
  connection.send(requests.query(statement));
  assert.deepEqual((await connection.rows()).rows, [[{ type: 3, value: 'wal' }]]);
});

test('what is stored says write-ahead log, as C nodes have it', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  const dump = await connection.call({ kind: 'dump', name: new TextEncoder().encode(`settings ${names - 1}`) });
  assert.ok(dump.kind === 'files');
  assert.deepEqual([...dump.files[0]!.content.subarray(18, 20)], [2, 2]);
});

test('pragmas that are refused', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  const denied = [
    'journal_mode=wal',
    'journal_mode=delete',
    'journal_mode=off',
    'journal_mode(memory)',
    'page_size=4096',
    'page_size=1024',
    'synchronous=1',
    'synchronous=0',
    'wal_autocheckpoint=10',
    'wal_checkpoint',
    'wal_checkpoint(TRUNCATE)',
    'busy_timeout',
    'busy_timeout=1',
    'read_uncommitted',
    'read_uncommitted=1',
    'locking_mode',
    'locking_mode=exclusive',
    'hard_heap_limit=0',
    'soft_heap_limit=1',
    'temp_store_directory="/tmp"',
    'mmap_size=1',
    'temp_store=2',
    'cache_size=100000000',
    'cache_size=-100000000',
  ];
  for (const pragma of denied) {
    for (const form of [pragma, pragma.toUpperCase(), `main.${pragma}`]) {
      await fails(connection.query(`PRAGMA ${form}`), 23, /not authorized|authorization denied/);
      await fails(connection.exec(`PRAGMA ${form}`), 23, /not authorized|authorization denied/);
      await fails(connection.prepare(`PRAGMA ${form}`), 23, /not authorized|authorization denied/);
    }
  }
  // The table-valued forms.
  for (const call of ["journal_mode('delete')", "page_size('1024')", "locking_mode('exclusive')", "synchronous('2')"]) {
    await assert.rejects(connection.query(`SELECT * FROM pragma_${call}`));
  }
  assert.equal(await connection.value('PRAGMA page_size'), 4096);
  await connection.exec('INSERT INTO t VALUES (1)');
});

test('pragmas that a client may set are its own', async () => {
  const connection = await fresh(
    'CREATE TABLE p (a PRIMARY KEY); CREATE TABLE c (a REFERENCES p); CREATE TABLE t (a); INSERT INTO t VALUES (1)',
  );
  const other = await again();
  await connection.exec('PRAGMA foreign_keys=0');
  await connection.exec('INSERT INTO c VALUES (99)');
  assert.equal(await connection.value('PRAGMA foreign_keys'), 0);
  assert.equal(await other.value('PRAGMA foreign_keys'), 1);
  await fails(other.exec('INSERT INTO c VALUES (98)'), 787, 'FOREIGN KEY constraint failed');
  await connection.exec('PRAGMA query_only=1');
  await fails(connection.exec('INSERT INTO t VALUES (2)'), 8, 'attempt to write a readonly database');
  await other.exec('INSERT INTO t VALUES (3)');
  await connection.exec('PRAGMA query_only=0; INSERT INTO t VALUES (4)');
  await connection.exec('PRAGMA case_sensitive_like=1');
  assert.equal(await connection.value("SELECT 'A' LIKE 'a'"), 0);
  assert.equal(await other.value("SELECT 'A' LIKE 'a'"), 1);
  await connection.exec('PRAGMA user_version=17');
  assert.equal(await other.value('PRAGMA user_version'), 17);
});

test('databases: only the temporary one can be attached, files cannot be reached', async () => {
  const connection = await fresh('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  for (const file of ["'other.db'", "'/tmp/x'", "':memory:'", "'file:x?mode=memory'", "'dqlite'"]) {
    await fails(connection.exec(`ATTACH ${file} AS x`), 23, /not authorized|authorization denied/);
    await fails(connection.query(`VACUUM INTO ${file}`), 23, /not authorized|authorization denied/);
  }
  await fails(connection.exec('ATTACH ? AS x', '/tmp/file'), 23, /not authorized|authorization denied/);
  await fails(connection.exec('ATTACH (SELECT 1) AS x'), 23, /not authorized|authorization denied/);
  await connection.exec("ATTACH '' AS scratch; CREATE TABLE scratch.s (a); INSERT INTO scratch.s VALUES (5)");
  assert.deepEqual(await connection.query('SELECT s.a, t.a FROM s, t'), [[5, 1]]);
  await connection.exec('BEGIN; INSERT INTO scratch.s VALUES (6); INSERT INTO t VALUES (2); ROLLBACK');
  assert.equal(await connection.value('SELECT count(*) FROM s'), 1);
  const other = await again();
  await fails(other.query('SELECT * FROM s'), 1, 'no such table: s');
  await connection.exec('DETACH scratch');
  await fails(connection.query('SELECT * FROM s'), 1, 'no such table: s');
});

test('temporary tables are private, and do not keep anybody from writing', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  const other = await again();
  const before = server.node.metrics().commitIndex;
  await connection.exec('CREATE TEMP TABLE x (a); INSERT INTO x VALUES (1); BEGIN; INSERT INTO x VALUES (2)');
  await other.exec('INSERT INTO t VALUES (1)');
  await connection.exec('COMMIT');
  assert.equal(await connection.value('SELECT count(*) FROM x'), 2);
  await fails(other.query('SELECT * FROM x'), 1, 'no such table: x');
  assert.equal(server.node.metrics().commitIndex, before + 1, 'only the replicated table was replicated');
  // What such a client reads is committed state as for everybody.
  assert.deepEqual(await connection.query('SELECT t.a, count(*) FROM t, x'), [[1, 2]]);
});

test('VACUUM works, and a large one is refused before it starts', async () => {
  const connection = await fresh('CREATE TABLE t (a); CREATE TABLE u (b)');
  await connection.exec(`WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 500)
    INSERT INTO t SELECT zeroblob(2000) FROM c; DELETE FROM t WHERE rowid % 2`);
  const pages = Number(await connection.value('PRAGMA page_count'));
  await connection.exec('VACUUM');
  const fewer = Number(await connection.value('PRAGMA page_count'));
  assert.ok(fewer < pages, `${fewer} < ${pages}`);
  const other = await again();
  assert.equal(await other.value('SELECT count(*) FROM t'), 250);
  assert.equal(await other.value('PRAGMA integrity_check'), 'ok');
  await fails(connection.exec('BEGIN; VACUUM'), 1, 'cannot VACUUM from within a transaction');
  await connection.exec('ROLLBACK');
  for (let i = 0; i < 5; i++) await connection.exec('INSERT INTO u VALUES (zeroblob(1000000))');
  await fails(connection.exec('VACUUM'), 18, /VACUUM of a database of more than 4194304 bytes is refused/);
  await connection.exec('INSERT INTO u VALUES (1)');
});

test('auto_vacuum and incremental_vacuum', async () => {
  const connection = await fresh();
  await connection.exec('PRAGMA auto_vacuum=2; VACUUM');
  await connection.exec(`CREATE TABLE t (a); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 200)
    INSERT INTO t SELECT zeroblob(4000) FROM c; DELETE FROM t WHERE rowid > 100`);
  const pages = Number(await connection.value('PRAGMA page_count'));
  assert.equal(await connection.value('PRAGMA auto_vacuum'), 2);
  await connection.exec('PRAGMA incremental_vacuum(10)');
  assert.equal(await connection.value('PRAGMA page_count'), pages - 10);
  await connection.query('PRAGMA incremental_vacuum');
  const other = await again();
  assert.ok(Number(await other.value('PRAGMA page_count')) < pages - 50);
  assert.equal(await other.value('PRAGMA integrity_check'), 'ok');
});

const ONLY = 'PRAGMA delete_database must be the only statement run in the transaction.';

test('PRAGMA delete_database empties the database for everyone', async () => {
  const connection = await fresh('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const name = `settings ${names - 1}`;
  const other = await again();
  const reader = await again();
  const outside = /must be run in a write transaction\. Use BEGIN IMMEDIATE to start one\./;
  await fails(connection.exec('PRAGMA delete_database'), 1, outside);
  await fails(connection.query('PRAGMA delete_database'), 1, outside);
  await connection.exec('BEGIN');
  await fails(connection.exec('PRAGMA delete_database'), 1, outside);
  await connection.exec('ROLLBACK; BEGIN IMMEDIATE; INSERT INTO t VALUES (2)');
  await fails(connection.exec('PRAGMA delete_database'), 1, ONLY);
  await connection.exec('ROLLBACK; BEGIN IMMEDIATE; PRAGMA delete_database');
  await fails(connection.exec('INSERT INTO t VALUES (2)'), 1, ONLY);
  assert.equal(await connection.value('SELECT count(*) FROM t'), 1, 'it takes effect with the COMMIT');
  await connection.exec('ROLLBACK');
  assert.equal(await other.value('SELECT count(*) FROM t'), 1);

  await reader.exec('BEGIN');
  assert.equal(await reader.value('SELECT count(*) FROM t'), 1);
  await connection.exec('BEGIN IMMEDIATE; PRAGMA delete_database; COMMIT');
  for (const client of [connection, other]) {
    await fails(client.query('SELECT * FROM t'), 1, 'no such table: t');
    assert.equal(await client.value('SELECT count(*) FROM sqlite_schema'), 0);
  }
  assert.equal(await reader.value('SELECT count(*) FROM t'), 1, 'a reader keeps its snapshot');
  await reader.exec('COMMIT');
  await fails(reader.query('SELECT * FROM t'), 1, 'no such table: t');

  // The database can be used on.
  await other.exec('CREATE TABLE u (b); INSERT INTO u VALUES (7)');
  assert.equal(await connection.value('SELECT b FROM u'), 7);
  assert.equal(await connection.value('PRAGMA integrity_check'), 'ok');
  await connection.exec('BEGIN IMMEDIATE; PRAGMA delete_database; COMMIT');
  for (const client of [connection, other, reader]) client.close();
  await until(() => !server.engine.databases.has(name), 'the database gone with its last user');
});

test('a deleted database stays deleted after a restart', async () => {
  const own = await TestNode.start();
  const connection = await own.connect('a');
  const other = await own.connect('b');
  await other.exec('CREATE TABLE t (a)');
  await connection.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  await connection.query('BEGIN IMMEDIATE');
  await connection.query('PRAGMA delete_database');
  await connection.query('COMMIT');
  const restarted = await own.restart();
  const after = await restarted.connect('a');
  await fails(after.query('SELECT * FROM t'), 1, 'no such table: t');
  assert.equal(await (await restarted.connect('b')).value('SELECT count(*) FROM t'), 0);
  await restarted.close();
});
