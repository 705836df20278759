/**
 * What may be seen and answered while writes are on their way to the disk (design rules 1, 2, 5, 6, 11; invariants 1
 * and 2): the disk is held back, so that everything executed stays uncommitted.
 */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { FileError } from '../../src/host/types.ts';
import { fails, requests, type Connection } from '../support/connection.ts';
import { TestNode } from '../support/node.ts';
import { turns, until } from '../support/wait.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start({ expectErrors: true });
});
// What a test that failed holds back would stop the others too.
afterEach(() => {
  server.host.files.fault = undefined;
  server.host.files.release();
});
after(() => server.close());

let names = 0;
async function fresh(count: number, sql = ''): Promise<Connection[]> {
  const clients = await server.connectMany(`visibility ${names++}`, count);
  await clients[0]!.exec(`CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (0); ${sql}`);
  return clients;
}
const another = (): Promise<Connection> => server.connect(`visibility ${names - 1}`);

const values = async (connection: Connection): Promise<unknown[]> =>
  (await connection.query('SELECT a FROM t ORDER BY a')).map(([value]) => value);

/** From here on the disk is busy with a write that was asked for through another connection. */
async function holdBehind(sql: string): Promise<{ release(): Promise<void> }> {
  const writer = await another();
  server.host.files.hold();
  const written = writer.exec(sql);
  await server.host.files.stuck();
  return {
    async release() {
      server.host.files.release();
      await written;
    },
  };
}

/** Nothing has been answered, and nothing will be before the disk is done. */
async function expectSilence(...clients: Connection[]): Promise<void> {
  await turns(30);
  for (const client of clients) assert.equal(client.arrived, 0);
}

test('a read sees the committed state, at once', async () => {
  const [client] = (await fresh(1)) as [Connection];
  const { statement } = await client.prepare('SELECT count(*) FROM t');
  const held = await holdBehind('INSERT INTO t VALUES (1)');
  assert.deepEqual(await values(client), [0]);
  client.send(requests.query(statement));
  assert.deepEqual((await client.rows()).rows, [[{ type: 1, value: 1n }]]);
  await client.exec('SELECT a FROM t WHERE a = 1');
  // With state of its own on the connection too.
  await client.query('PRAGMA case_sensitive_like=1');
  assert.deepEqual(await values(client), [0]);
  await held.release();
  assert.deepEqual(await values(client), [0, 1]);
});

test('a write is answered when it is durable, and seen by everybody before that answer', async () => {
  const [client, other] = (await fresh(2)) as [Connection, Connection];
  server.host.files.hold();
  client.send(requests.execSql('INSERT INTO t VALUES (1)'));
  await server.host.files.stuck();
  await expectSilence(client);
  server.host.files.release();
  await client.result();
  assert.deepEqual(await values(other), [0, 1]);
});

test('answers that could come from an uncommitted write wait for it', async () => {
  await fresh(1, 'CREATE TABLE u (b); INSERT INTO u VALUES (1)');
  const cases: readonly (readonly [string, number | { changes: number }])[] = [
    ['INSERT INTO t VALUES (1)', 2067],
    ['INSERT OR IGNORE INTO t VALUES (1)', { changes: 0 }],
    ['UPDATE u SET b = 2 WHERE b = 1', { changes: 0 }],
    ['DELETE FROM u WHERE b = 7', { changes: 1 }],
    ['INSERT INTO nowhere VALUES (1)', 1],
    ['CREATE TABLE t (a)', 1],
  ];
  const clients = await server.connectMany(`visibility ${names - 1}`, cases.length);
  const held = await holdBehind('INSERT INTO t VALUES (1); DELETE FROM u; INSERT INTO u VALUES (7)');
  // The script's first statement holds the disk; the others wait behind it.
  await turns(20);
  for (const [index, [sql]] of cases.entries()) clients[index]!.send(requests.execSql(sql));
  await expectSilence(...clients);
  await held.release();
  for (const [index, [, expected]] of cases.entries()) {
    const answer = clients[index]!.result();
    if (typeof expected === 'number') await fails(answer, expected, /./);
    else assert.equal((await answer).changes, expected.changes, cases[index]![0]);
  }
});

test('a table that is not committed yet: PREPARE, EXEC and QUERY wait for it and work', async () => {
  const clients = await fresh(4);
  const held = await holdBehind('CREATE TABLE fresh (b)');
  const [prepare, query, exec, reader] = clients as [Connection, Connection, Connection, Connection];
  prepare.send(requests.prepare('SELECT * FROM fresh'));
  query.send(requests.querySql('SELECT count(*) FROM fresh'));
  exec.send(requests.execSql('INSERT INTO fresh VALUES (1)'));
  // What looks wrong may be right in a moment, too.
  reader.send(requests.querySql('SELECT b FROM t'));
  await expectSilence(prepare, query, exec, reader);
  await held.release();
  await fails(reader.rows(), 1, 'no such column: b');
  assert.equal((await prepare.response()).kind, 'stmt');
  assert.equal((await query.rows()).rows.length, 1);
  assert.equal((await exec.result()).changes, 1);
  prepare.send(requests.query(0));
  assert.deepEqual((await prepare.rows()).columns, ['b']);
});

test('a client that leaves while its statement waits for a table has run nothing', async () => {
  const [resetting, ending, other] = (await fresh(3)) as [Connection, Connection, Connection];
  const name = `visibility ${names - 1}`;
  const held = await holdBehind('CREATE TABLE fresh (b)');
  const script = 'INSERT INTO fresh VALUES (1); BEGIN IMMEDIATE';
  resetting.send(requests.execSql(script));
  ending.send(requests.execSql(script));
  await turns(20);
  const { sessions } = server.database(name);
  const count = sessions.size;
  resetting.reset();
  ending.close();
  await until(() => sessions.size < count, 'clients gone');
  await held.release();
  await other.exec('INSERT INTO t VALUES (1)');
  assert.equal(server.database(name).lock.owner, undefined);
  assert.ok(Number(await other.value('SELECT count(*) FROM fresh')) <= 1);
});

test('an uncommitted change of a table is not seen by reads', async () => {
  const [client] = (await fresh(1)) as [Connection];
  const held = await holdBehind('ALTER TABLE t ADD COLUMN b DEFAULT 5');
  const { columns } = await client.queryTyped('SELECT * FROM t');
  assert.deepEqual(columns, ['a']);
  const response = await client.call(requests.prepare('SELECT * FROM t'));
  assert.equal(response.kind, 'stmt');
  await held.release();
  client.send(requests.query(0));
  assert.deepEqual((await client.rows()).columns, ['a', 'b']);
  const dropped = await holdBehind('DROP TABLE t');
  assert.deepEqual(await client.query('SELECT * FROM t'), [[0, 5]]);
  await dropped.release();
  await fails(client.query('SELECT * FROM t'), 1, 'no such table: t');
});

test('a transaction sees the newest state, so its answers wait', async () => {
  const [client, second] = (await fresh(2)) as [Connection, Connection];
  const held = await holdBehind('INSERT INTO t VALUES (1)');
  await client.exec('BEGIN');
  client.send(requests.querySql('SELECT a FROM t ORDER BY a'), requests.execSql('COMMIT'));
  await second.exec('BEGIN IMMEDIATE');
  second.send(requests.execSql('INSERT INTO t VALUES (2)'));
  await expectSilence(client, second);
  await held.release();
  assert.deepEqual(
    (await client.rows()).rows.map(([cell]) => cell!.value),
    [0n, 1n],
  );
  await client.result();
  await second.result();
  await second.exec('COMMIT');
  assert.deepEqual(await values(client), [0, 1, 2]);
});

test('BEGIN, SAVEPOINT and ROLLBACK tell nothing and are answered at once', async () => {
  const [client] = (await fresh(1)) as [Connection];
  const held = await holdBehind('INSERT INTO t VALUES (1)');
  await client.exec('BEGIN');
  await client.exec('SAVEPOINT s');
  await client.query('SAVEPOINT s2');
  await client.exec('ROLLBACK');
  await client.exec('SAVEPOINT outer');
  await client.query('ROLLBACK');
  await client.exec('BEGIN IMMEDIATE');
  await client.exec('ROLLBACK');
  await client.exec('');
  await held.release();
});

test('what came before it in a text is answered for all the same', async () => {
  const clients = await fresh(4);
  const [insert, savepoint, commit, blank] = clients as [Connection, Connection, Connection, Connection];
  const held = await holdBehind('CREATE TABLE x (a)');
  insert.send(requests.execSql('INSERT INTO t VALUES (1); BEGIN'));
  savepoint.send(requests.execSql('INSERT INTO t VALUES (2); SAVEPOINT s'));
  commit.send(requests.execSql('BEGIN; INSERT INTO t VALUES (3); COMMIT; BEGIN; ROLLBACK'));
  // SQLite takes a byte order mark for a blank.
  blank.send(requests.execSql('INSERT INTO t VALUES (4);\u{feff}'));
  await expectSilence(...clients);
  await held.release();
  for (const client of clients) await client.result();
  assert.deepEqual(await values(clients[3]!), [0, 1, 2, 3, 4]);
});

test('a transaction of its own on committed ground runs at once; its COMMIT waits for the disk', async () => {
  const [client, other] = (await fresh(2)) as [Connection, Connection];
  server.host.files.hold();
  await client.exec('BEGIN');
  await client.exec('INSERT INTO t VALUES (1)');
  assert.deepEqual(await client.query('UPDATE t SET a = a + 10 RETURNING a'), [[10], [11]]);
  assert.deepEqual(await values(client), [10, 11]);
  client.send(requests.execSql('COMMIT'));
  await server.host.files.stuck();
  await expectSilence(client);
  assert.deepEqual(await values(other), [0]);
  // The lock is free: others may execute on top of it.
  other.send(requests.execSql('INSERT INTO t VALUES (2)'));
  await expectSilence(other);
  server.host.files.release();
  await client.result();
  await other.result();
  assert.deepEqual(await values(other), [2, 10, 11]);
});

test('writes that come while the disk is busy are one entry of the log', async () => {
  const clients = await fresh(24);
  const before = server.node.metrics().commitIndex;
  const held = await holdBehind('INSERT INTO t VALUES (1000)');
  for (const [index, client] of clients.entries()) client.send(requests.execSql('INSERT INTO t VALUES (?)', index + 1));
  await expectSilence(...clients);
  await held.release();
  for (const client of clients) assert.equal((await client.result()).changes, 1);
  assert.equal(server.node.metrics().commitIndex, before + 2);
});

test('a slot of the log holds an entry of each database', async () => {
  const [first] = (await fresh(1)) as [Connection];
  const others: Connection[] = [];
  for (let i = 0; i < 5; i++) others.push((await fresh(1))[0]!);
  const { commitIndex } = server.node.metrics();
  server.host.files.hold();
  const written = first.exec('INSERT INTO t VALUES (1)');
  await server.host.files.stuck();
  const { writes } = server.host.files;
  for (const other of others) other.send(requests.execSql('INSERT INTO t VALUES (1)'));
  await expectSilence(...others);
  server.host.files.release();
  await written;
  for (const other of others) await other.result();
  assert.equal(server.node.metrics().commitIndex, commitIndex + 1 + others.length);
  assert.equal(server.host.files.writes, writes + 1, 'written at once');
});

test('a full disk: what was not written is undone and refused, reads go on, then writes too', async () => {
  const [client, reader, transaction] = (await fresh(3)) as [Connection, Connection, Connection];
  await transaction.exec('BEGIN; SELECT 1 WHERE 0');
  const { files, clock } = server.host;
  files.fault = () => new FileError('ENOSPC', 'x', 'no space left');
  await fails(client.exec('INSERT INTO t VALUES (1)'), 13, 'database or disk is full');
  assert.deepEqual(await values(reader), [0]);
  await fails(client.exec('INSERT INTO t VALUES (2)'), 13, 'database or disk is full');
  await fails(client.query('INSERT INTO t VALUES (2) RETURNING a'), 13, 'database or disk is full');
  await fails(client.exec('BEGIN IMMEDIATE'), 13, 'database or disk is full');
  assert.deepEqual(await values(client), [0]);
  files.fault = undefined;
  clock.leap(1000);
  await until(() => server.engine.writeRefusal() === undefined, 'space on the disk');
  await client.exec('INSERT INTO t VALUES (3)');
  assert.deepEqual(await values(reader), [0, 3]);
  assert.equal(await reader.value('PRAGMA integrity_check'), 'ok');
});

test('too many open files: writes are refused while it is so, and no longer', async () => {
  const [client] = (await fresh(1)) as [Connection];
  const { files, clock } = server.host;
  for (let round = 0; round < 2; round++) {
    files.fault = () => new FileError('EMFILE', 'x', 'too many open files');
    await fails(client.exec('INSERT INTO t VALUES (1)'), 14, /too many files and connections open/);
    assert.deepEqual(await values(client), round === 0 ? [0] : [0, 2]);
    files.fault = undefined;
    clock.leap(1000);
    await until(() => server.engine.writeRefusal() === undefined, 'places for files');
    await client.exec('INSERT INTO t VALUES (?)', 2 + round);
  }
});

test('a full disk while others wait: everybody is told, nobody is left hanging', async () => {
  const clients = await fresh(6);
  const [a, b, c, d, e, f] = clients as [Connection, Connection, Connection, Connection, Connection, Connection];
  const { files, clock } = server.host;
  await c.exec('BEGIN');
  files.hold();
  a.send(requests.execSql('INSERT INTO t VALUES (1)'));
  await files.stuck();
  b.send(requests.execSql('INSERT INTO t VALUES (1)'));
  c.send(requests.querySql('SELECT a FROM t'));
  d.send(requests.execSql('BEGIN IMMEDIATE; INSERT INTO t VALUES (2)'));
  await turns(20);
  e.send(requests.execSql('INSERT INTO t VALUES (3)'));
  f.send(requests.prepare('SELECT * FROM absent'));
  await expectSilence(a, b, c, d, e, f);
  files.fault = () => new FileError('ENOSPC', 'x', 'no space left');
  files.release();
  await fails(a.result(), 13, 'database or disk is full');
  await fails(b.result(), 13, 'database or disk is full');
  await fails(c.rows(), 13, 'database or disk is full');
  await fails(d.result(), 13, 'database or disk is full');
  await fails(e.result(), 13, 'database or disk is full');
  await assert.rejects(f.response());
  // Transactions that stood on what is undone are gone.
  await fails(c.query('SELECT 1'), 516, /./);
  await fails(d.query('SELECT 1'), 516, /./);
  for (const client of [c, d]) await client.exec('ROLLBACK');
  files.fault = undefined;
  const name = `visibility ${names - 1}`;
  assert.equal(server.database(name).lock.owner, undefined);
  clock.leap(1000);
  await until(() => server.engine.writeRefusal() === undefined, 'space on the disk');
  await d.exec('INSERT INTO t VALUES (4)');
  for (const client of clients) assert.deepEqual(await values(client), [0, 4]);
});
