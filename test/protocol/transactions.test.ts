/** Explicit transactions, and those that the server has ended (wire spec section 5.6, design rules 8 to 11). */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { fails, requests, type Connection } from '../support/connection.ts';
import { breakSqlite, smallLimits, TestNode } from '../support/node.ts';
import { turns, until } from '../support/wait.ts';

const IDLE_MS = 30_000;
/** Longer than the pause between two looks at idle transactions. */
const TICK_MS = 1000;

let server: TestNode;
before(async () => {
  server = await TestNode.start({
    engine: { ...smallLimits, transactionIdleTimeoutMs: IDLE_MS, busyTimeoutMs: 1e9 },
    // SQLite breaks here, and that is logged.
    expectErrors: true,
  });
});
// What a test that failed holds back would stop the others too.
afterEach(() => server.host.files.release());
after(() => server.close());

let names = 0;
async function fresh(count = 1): Promise<{ readonly name: string; readonly clients: Connection[] }> {
  const name = `transactions ${names++}`;
  const clients = await server.connectMany(name, count);
  await clients[0]!.exec('CREATE TABLE t (a UNIQUE)');
  return { name, clients };
}

const values = async (connection: Connection): Promise<unknown[]> =>
  (await connection.query('SELECT a FROM t ORDER BY a')).map(([value]) => value);

const FOREVER = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT';

test('control through EXEC_SQL, QUERY_SQL and prepared statements', async () => {
  const { clients } = await fresh();
  const [client] = clients as [Connection];
  await client.exec('BEGIN; INSERT INTO t VALUES (1); COMMIT');
  await client.query('BEGIN');
  await client.query('INSERT INTO t VALUES (2)');
  await client.query('COMMIT');
  for (const sql of ['BEGIN', 'INSERT INTO t VALUES (3)', 'END']) await client.prepare(sql);
  for (const id of [0, 1, 2]) await client.call(requests.exec(id));
  await client.call(requests.query(0));
  await fails(client.call(requests.exec(0)), 1, 'cannot start a transaction within a transaction');
  await fails(client.call(requests.exec(1)), 2067, 'UNIQUE constraint failed: t.a');
  await client.call(requests.query(2));
  await fails(client.exec('COMMIT'), 1, 'cannot commit - no transaction is active');
  await fails(client.exec('ROLLBACK'), 1, 'cannot rollback - no transaction is active');
  assert.deepEqual(await values(client), [1, 2, 3]);
});

test('an error in the middle of a script leaves the transaction open', async () => {
  const { clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  const script = 'BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (1); COMMIT';
  await fails(client.exec(script), 2067, 'UNIQUE constraint failed: t.a');
  assert.deepEqual(await values(client), [1]);
  assert.deepEqual(await values(other), []);
  await client.exec('ROLLBACK');
  assert.deepEqual(await values(client), []);
});

test('savepoints: nested, rolled back to, released; the outermost is a transaction', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('SAVEPOINT a; INSERT INTO t VALUES (1); SAVEPOINT b; INSERT INTO t VALUES (2)');
  await client.exec('SAVEPOINT c; INSERT INTO t VALUES (3); ROLLBACK TO b; INSERT INTO t VALUES (4)');
  await client.exec('RELEASE b');
  assert.deepEqual(await values(client), [1, 4]);
  assert.deepEqual(await values(other), []);
  await fails(client.exec('RELEASE absent'), 1, 'no such savepoint: absent');
  await client.exec('RELEASE a');
  assert.deepEqual(await values(other), [1, 4]);
  assert.equal(server.database(name).lock.owner, undefined);
  await client.exec('SAVEPOINT a; DELETE FROM t; ROLLBACK TO a');
  await client.exec('INSERT INTO t VALUES (5); ROLLBACK');
  assert.deepEqual(await values(client), [1, 4]);
  await client.exec('BEGIN; SAVEPOINT s; INSERT INTO t VALUES (6)');
  assert.deepEqual(await client.query('DELETE FROM t WHERE a = 1 RETURNING a'), [[1]]);
  await client.exec('RELEASE s; COMMIT');
  assert.deepEqual(await values(other), [4, 6]);
});

test('a transaction sees one state, and its own writes', async () => {
  const { clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('BEGIN');
  await other.exec('INSERT INTO t VALUES (1)');
  assert.deepEqual(await values(client), [1]);
  await other.exec('INSERT INTO t VALUES (2)');
  assert.deepEqual(await values(client), [1]);
  await client.exec('COMMIT; BEGIN; INSERT INTO t VALUES (3)');
  assert.deepEqual(await values(client), [1, 2, 3]);
  assert.deepEqual(await values(other), [1, 2]);
  await client.exec('CREATE TABLE u (b); INSERT INTO u VALUES (7)');
  assert.equal(await client.value('SELECT b FROM u'), 7);
  await fails(other.query('SELECT b FROM u'), 1, 'no such table: u');
  await client.exec('ROLLBACK');
  await fails(client.query('SELECT b FROM u'), 1, 'no such table: u');
});

/** The client's transaction was ended by the server: nothing works until ROLLBACK. */
async function expectAborted(client: Connection, name: string, cause: RegExp): Promise<void> {
  assert.equal(server.database(name).lock.owner, undefined, 'the lock is free');
  const refused = [
    'INSERT INTO t VALUES (77)',
    'SELECT 1',
    'COMMIT',
    'END',
    'BEGIN',
    'SAVEPOINT x',
    'ROLLBACK TO x',
    '',
  ];
  for (const sql of refused) await fails(client.exec(sql), 516, cause);
  await fails(client.query('SELECT a FROM t'), 516, cause);
  await fails(client.query('PRAGMA user_version'), 516, cause);
  const { statement } = await client.prepare('INSERT INTO t VALUES (78)');
  await fails(client.call(requests.exec(statement)), 516, cause);
  await fails(client.call(requests.query(statement)), 516, /rolled back: .*; send ROLLBACK to go on$/);
  await client.call(requests.finalize(statement));
  await fails(client.exec('BEGIN; INSERT INTO t VALUES (79)'), 516, cause);
  // What says nothing of the transaction works.
  assert.equal((await client.call(requests.leader)).kind, 'server');
  await client.call(requests.interrupt);
}

async function expectWell(client: Connection): Promise<void> {
  await fails(client.exec('ROLLBACK'), 1, 'cannot rollback - no transaction is active');
  await client.exec('BEGIN; INSERT INTO t VALUES (100); COMMIT; DELETE FROM t WHERE a = 100');
}

test('a write transaction that is idle too long is ended', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('BEGIN; INSERT INTO t VALUES (1)');
  const waiting = other.exec('INSERT INTO t VALUES (2)');
  await server.queued(name, 1);
  server.host.clock.leap(IDLE_MS - TICK_MS);
  await turns(20);
  assert.equal(server.database(name).lock.waiting, 1);
  // Each statement starts the time anew.
  await client.exec('INSERT INTO t VALUES (3)');
  server.host.clock.leap(IDLE_MS - TICK_MS);
  assert.deepEqual(await values(client), [1, 3]);
  server.host.clock.leap(IDLE_MS + 2 * TICK_MS);
  await waiting;
  assert.deepEqual(await values(other), [2]);
  await expectAborted(client, name, /the client was idle for more than 30000 ms inside a write transaction/);
  assert.deepEqual(await client.exec('ROLLBACK'), { lastInsertId: 2, changes: 1 });
  await expectWell(client);
});

test('a transaction that only reads may idle', async () => {
  const { clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('INSERT INTO t VALUES (1); BEGIN');
  assert.deepEqual(await values(client), [1]);
  await other.exec('INSERT INTO t VALUES (2)');
  server.host.clock.leap(10 * IDLE_MS);
  assert.deepEqual(await values(client), [1]);
  await client.exec('COMMIT');
});

test('waiting for the disk is not idling', async () => {
  const { clients } = await fresh(3);
  const [client, other] = clients as [Connection, Connection];
  server.host.files.hold();
  const written = other.exec('INSERT INTO t VALUES (1)');
  await server.host.files.stuck();
  await client.exec('BEGIN IMMEDIATE');
  const reading = values(client);
  await turns(20);
  server.host.clock.leap(10 * IDLE_MS);
  await turns(20);
  server.host.files.release();
  assert.deepEqual(await reading, [1]);
  await written;
  await client.exec('INSERT INTO t VALUES (2); COMMIT');
});

test('a transaction that outgrows its limit is ended', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('CREATE TABLE big (b); BEGIN; INSERT INTO t VALUES (1)');
  const fill = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await client.exec('INSERT INTO big VALUES (zeroblob(1000000))');
  };
  await fails(fill(), 13, /the transaction changes more than 4194304 bytes of pages/);
  await other.exec('INSERT INTO t VALUES (2)');
  await expectAborted(client, name, /the transaction changes more than 4194304 bytes/);
  await client.query('ROLLBACK');
  await expectWell(client);
  assert.deepEqual(await values(other), [2]);
  // In autocommit there is nothing to acknowledge.
  const many = 'INSERT INTO big SELECT zeroblob(1000000) FROM (VALUES (1), (2), (3), (4), (5), (6))';
  await fails(client.exec(many), 13, /changes more than/);
  await fails(client.query(`${many} RETURNING 1`), 13, /changes more than/);
  assert.equal(await client.value('SELECT count(*) FROM big'), 0);
  await expectWell(client);
});

test('a write that takes too long ends its transaction, a read does not', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('BEGIN; INSERT INTO t VALUES (1)');
  await fails(client.query(`${FOREVER} count(*) FROM c`), 9, /maxStepMs/);
  assert.deepEqual(await values(client), [1]);
  await fails(client.exec(`INSERT INTO t ${FOREVER} x FROM c WHERE x < 0`), 9, /maxStepMs/);
  await other.exec('INSERT INTO t VALUES (2)');
  await expectAborted(client, name, /maxStepMs/);
  await client.exec('ROLLBACK');
  await expectWell(client);
  assert.deepEqual(await values(client), [2]);
});

test('a restart of SQLite ends transactions; who waits, waits on', async () => {
  const { name, clients } = await fresh(5);
  const [waiter, holder, reader, second, idle] = clients as [
    Connection,
    Connection,
    Connection,
    Connection,
    Connection,
  ];
  await holder.exec('BEGIN; INSERT INTO t VALUES (1)');
  await reader.exec('BEGIN');
  assert.deepEqual(await values(reader), []);
  const waiting = [waiter.exec('INSERT INTO t VALUES (2)')];
  await server.queued(name, 1);
  waiting.push(second.exec('INSERT INTO t VALUES (3)'));
  await server.queued(name, 2);
  breakSqlite(server);
  await fails(holder.exec('INSERT INTO t VALUES (4)'), 1, /the SQL engine failed and was restarted/);
  await Promise.all(waiting);
  for (const client of [holder, reader]) {
    await fails(client.query('SELECT 1'), 516, /the SQL engine failed and was restarted/);
    await fails(client.exec('COMMIT'), 516, /./);
    await client.exec('ROLLBACK');
    assert.deepEqual(await values(client), [2, 3]);
  }
  assert.deepEqual(await values(idle), [2, 3]);
  await expectWell(holder);
});

test('a restart of SQLite while rows are sent, and writes wait for the disk', async () => {
  const { clients } = await fresh(4);
  const [stream, breaker, writer, inTransaction] = clients as [Connection, Connection, Connection, Connection];
  await writer.exec(`INSERT INTO t ${FOREVER} x FROM c LIMIT 20000`);
  stream.pause();
  stream.send(requests.querySql('SELECT a, zeroblob(1000) FROM t'));
  await inTransaction.exec('BEGIN');
  inTransaction.pause();
  inTransaction.send(requests.querySql('SELECT a, zeroblob(1000) FROM t'));
  await turns(50);
  server.host.files.hold();
  const written = writer.exec('INSERT INTO t VALUES (-1)');
  await server.host.files.stuck();
  breakSqlite(server);
  await fails(breaker.query('SELECT 1'), 1, /the SQL engine failed and was restarted/);
  server.host.files.release();
  assert.equal((await written).changes, 1);
  for (const client of [stream, inTransaction]) {
    client.resume();
    await fails(client.rows(), 1, /the result was ended/);
  }
  assert.equal(await stream.value('SELECT count(*) FROM t'), 20_001);
  await inTransaction.exec('ROLLBACK');
  assert.equal(await breaker.value('PRAGMA integrity_check'), 'ok');
});

test('state of a connection that a restart cannot bring back: the database must be opened again', async () => {
  const { name, clients } = await fresh(2);
  const [client, breaker] = clients as [Connection, Connection];
  await client.exec('CREATE TEMP TABLE x (a)');
  const { statement } = await client.prepare('SELECT 1');
  breakSqlite(server);
  await fails(breaker.query('SELECT 1'), 1, /the SQL engine failed/);
  await fails(client.query('SELECT * FROM x'), 12, 'no database opened');
  await fails(client.call(requests.query(statement)), 12, 'no database opened');
  await client.open(name);
  await fails(client.call(requests.query(statement)), 12, 'no statement with the given id');
  await expectWell(client);
});

test('ROLLBACK of an aborted transaction may be followed by more', async () => {
  const { clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  const abort = async (): Promise<void> => {
    await client.exec('BEGIN IMMEDIATE; INSERT INTO t VALUES (1)');
    server.host.clock.leap(IDLE_MS + 2 * TICK_MS);
    await fails(client.exec('INSERT INTO t VALUES (1)'), 516, /idle/);
  };
  await abort();
  await client.exec('ROLLBACK; INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)');
  assert.deepEqual(await values(other), [2, 3]);
  await abort();
  await client.exec(' -- comment\n ;rollback /* x */ transaction; BEGIN; INSERT INTO t VALUES (4); COMMIT');
  assert.deepEqual(await values(other), [2, 3, 4]);
  await abort();
  await fails(client.query('ROLLBACK; SELECT 1'), 1, 'nonempty statement tail');
  await fails(client.query('ROLLBACK nonsense'), 1, /syntax error/);
  await fails(client.query('SELECT 1'), 516, /idle/);
  const rows = await client.queryTyped('ROLLBACK;');
  assert.deepEqual(rows, { columns: [], rows: [], parts: 1 });
  await expectWell(client);
});

test('what the client itself has rolled back needs no acknowledgement', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)');
  await fails(client.exec('INSERT OR ROLLBACK INTO t VALUES (1)'), 2067, 'UNIQUE constraint failed: t.a');
  assert.equal(server.database(name).lock.owner, undefined);
  assert.deepEqual(await values(client), [1]);
  await fails(client.exec('COMMIT'), 1, 'cannot commit - no transaction is active');
  await client.exec('BEGIN; INSERT INTO t VALUES (3)');
  await fails(client.query('INSERT OR ROLLBACK INTO t VALUES (1) RETURNING a'), 2067, 'UNIQUE constraint failed: t.a');
  await other.exec('INSERT INTO t VALUES (4)');
  await client.exec('BEGIN; INSERT INTO t VALUES (5)');
  // ABORT, the default, undoes the statement; FAIL keeps what came before; IGNORE and REPLACE go on.
  await fails(client.exec('INSERT INTO t VALUES (6), (1)'), 2067, /./);
  await fails(client.exec('INSERT OR FAIL INTO t VALUES (7), (1), (8)'), 2067, /./);
  await client.exec('INSERT OR IGNORE INTO t VALUES (9), (1), (10); COMMIT');
  assert.deepEqual(await values(other), [1, 4, 5, 7, 9, 10]);
});

test('a trigger that rolls back ends the transaction as the client had it written', async () => {
  const { clients } = await fresh();
  const [client] = clients as [Connection];
  await client.exec("CREATE TRIGGER g BEFORE INSERT ON t WHEN new.a = 13 BEGIN SELECT RAISE(ROLLBACK, 'not 13'); END");
  await client.exec('BEGIN; INSERT INTO t VALUES (1)');
  await fails(client.exec('INSERT INTO t VALUES (13)'), 1811, 'not 13');
  assert.deepEqual(await values(client), []);
  await expectWell(client);
});

test('foreign keys that are checked at the commit: the transaction stays open', async () => {
  const { clients } = await fresh();
  const [client] = clients as [Connection];
  await client.exec(
    'CREATE TABLE p (a PRIMARY KEY); CREATE TABLE c (a REFERENCES p DEFERRABLE INITIALLY DEFERRED); BEGIN; INSERT INTO c VALUES (1)',
  );
  await fails(client.exec('COMMIT'), 787, 'FOREIGN KEY constraint failed');
  await client.exec('INSERT INTO p VALUES (1); COMMIT');
  assert.equal(await client.value('SELECT count(*) FROM c'), 1);
});

test('a client that goes frees the lock at once', async () => {
  const { name, clients } = await fresh(3);
  const [first, second, other] = clients as [Connection, Connection, Connection];
  await first.exec('BEGIN; INSERT INTO t VALUES (1)');
  const waiting = other.exec('INSERT INTO t VALUES (2)');
  await server.queued(name, 1);
  first.close();
  await waiting;
  await second.exec('BEGIN; INSERT INTO t VALUES (3)');
  const again = other.exec('INSERT INTO t VALUES (4)');
  await server.queued(name, 1);
  second.reset();
  await again;
  assert.deepEqual(await values(other), [2, 4]);
  await until(() => server.database(name).sessions.size === 1, 'one client left');
});

test('a result that is read slowly inside a write transaction counts as idling', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec(`INSERT INTO t ${FOREVER} x FROM c LIMIT 20000; BEGIN IMMEDIATE`);
  client.pause();
  client.send(requests.querySql('SELECT a, zeroblob(1000) FROM t'));
  const waiting = other.exec('INSERT INTO t VALUES (-1)');
  await server.queued(name, 1);
  await turns(50);
  server.host.clock.leap(IDLE_MS + 2 * TICK_MS);
  await waiting;
  client.resume();
  await fails(client.rows(), 1, /the result was ended/);
  await fails(client.exec('COMMIT'), 516, /idle/);
  await client.exec('ROLLBACK');
});
