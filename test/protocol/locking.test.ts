/** The write lock: first come, first served, no busy error before the deadline, upgrades (wire spec section 5.5, design rules 8 and 11). */

import { SqliteError } from '../../src/sqlite/index.ts';
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { fails, requests, type Connection } from '../support/connection.ts';
import { TestNode } from '../support/node.ts';
import { turns } from '../support/wait.ts';

const BUSY_TIMEOUT_MS = 5000;
const LOCKED = 'database is locked';

let server: TestNode;
before(async () => {
  server = await TestNode.start({ engine: { busyTimeoutMs: BUSY_TIMEOUT_MS, transactionIdleTimeoutMs: 0 } });
});
// What a test that failed holds back would stop the others too.
afterEach(() => server.host.files.release());
after(() => server.close());

let names = 0;
/** A new database with a table, and some connections to it. */
async function fresh(count: number): Promise<{ readonly name: string; readonly clients: Connection[] }> {
  const name = `locking ${names++}`;
  const clients = await server.connectMany(name, count);
  await clients[0]!.exec('CREATE TABLE t (a)');
  return { name, clients };
}

const values = async (connection: Connection): Promise<unknown[]> =>
  (await connection.query('SELECT a FROM t ORDER BY rowid')).map(([value]) => value);

test('sixteen clients with a hundred transactions each never see a busy database', async () => {
  const { clients } = await fresh(16);
  const rounds = 100;
  const batch = 25;
  await Promise.all(
    clients.map(async (client, number) => {
      for (let round = 0; round < rounds; round += batch) {
        const list = [];
        for (let i = round; i < round + batch; i++) {
          list.push(requests.execSql('BEGIN IMMEDIATE'));
          list.push(requests.execSql('INSERT INTO t VALUES (?)', number * rounds + i), requests.execSql('COMMIT'));
        }
        client.send(...list);
        for (let i = 0; i < list.length; i++) await client.result();
      }
    }),
  );
  assert.deepEqual(await clients[0]!.query('SELECT count(*), count(DISTINCT a), min(a), max(a) FROM t'), [
    [1600, 1600, 0, 1599],
  ]);
});

test('autocommit writes of many clients all succeed, each with its own answer', async () => {
  const { clients } = await fresh(16);
  await clients[0]!.exec('CREATE TABLE u (a INTEGER PRIMARY KEY, b UNIQUE)');
  await Promise.all(
    clients.map(async (client, number) => {
      for (let i = 0; i < 40; i++) {
        const id = number * 1000 + i;
        assert.deepEqual(await client.exec('INSERT INTO u VALUES (?, ?)', id, id), { lastInsertId: id, changes: 1 });
        assert.deepEqual(await client.exec('UPDATE u SET b = -b WHERE a IN (?, ?)', id, id), {
          lastInsertId: id,
          changes: 1,
        });
        await fails(client.exec('INSERT INTO u VALUES (?, 1)', id), 1555, 'UNIQUE constraint failed: u.a');
        assert.deepEqual(await client.exec('DELETE FROM u WHERE a < 0'), { lastInsertId: id, changes: 0 });
      }
    }),
  );
  assert.deepEqual(await clients[0]!.query('SELECT count(*) FROM u WHERE b = -a'), [[640]]);
});

test('a write that fails among those of others fails alone', async () => {
  const { clients } = await fresh(12);
  const [first] = clients;
  await first!.exec(`CREATE TABLE p (a INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);
    CREATE TABLE c (a REFERENCES p DEFERRABLE INITIALLY DEFERRED); CREATE TABLE u (a UNIQUE, b CHECK (b < 100));
    INSERT INTO u VALUES (0, 0);
    CREATE TRIGGER g BEFORE INSERT ON u WHEN new.b = 50 BEGIN SELECT RAISE(ROLLBACK, 'rolled back'); END;
    CREATE TRIGGER h BEFORE INSERT ON u WHEN new.b = 60 BEGIN SELECT RAISE(ABORT, 'aborted'); END`);
  const statements: readonly (readonly [string, number | undefined])[] = [
    ['INSERT INTO u VALUES (1, 1)', undefined],
    ['INSERT INTO u VALUES (2, 2), (0, 3)', 2067],
    ['INSERT OR ROLLBACK INTO u VALUES (3, 3), (0, 3)', 2067],
    ['INSERT INTO c VALUES (9)', 787],
    ['INSERT OR FAIL INTO u VALUES (4, 4), (0, 3), (5, 5)', 2067],
    ['INSERT INTO u VALUES (6, 50)', 1811],
    ['INSERT INTO u VALUES (7, 60)', 1811],
    ['INSERT OR IGNORE INTO u VALUES (0, 1), (8, 8)', undefined],
    ['INSERT OR REPLACE INTO u VALUES (0, 9)', undefined],
    ['INSERT INTO u VALUES (10, 200)', 275],
    ['INSERT INTO c VALUES (1)', undefined],
    ['UPDATE u SET b = b + 1 WHERE a = 1', undefined],
  ];
  // All arrive while the disk is busy.
  for (let round = 0; round < 3; round++) {
    server.host.files.hold();
    const blocker = first!.exec('INSERT INTO t VALUES (1)');
    await server.host.files.stuck();
    const outcomes = statements.map(async ([sql, code], index) => {
      // The first connection waits for its own answer.
      const client = index === 0 ? await server.connect(`locking ${names - 1}`) : clients[index]!;
      if (code === undefined) await client.exec(sql);
      else await fails(client.exec(sql), code, /./);
    });
    await turns(30);
    server.host.files.release();
    await blocker;
    await Promise.all(outcomes);
    const expected = await first!.query('SELECT a FROM u ORDER BY a');
    assert.deepEqual(expected, [[0], [1], [4], [8]]);
    assert.equal(await first!.value('SELECT count(*) FROM c'), 1);
    await first!.exec('DELETE FROM u WHERE a > 0; DELETE FROM c');
  }
  assert.equal(await first!.value('PRAGMA integrity_check'), 'ok');
});

test('whoever waits is served in the order of arrival', async () => {
  const { name, clients } = await fresh(12);
  const [holder, ...others] = clients;
  await holder!.exec('BEGIN IMMEDIATE; INSERT INTO t VALUES (0)');
  const answers = [];
  for (const [index, client] of others.entries()) {
    answers.push(client.exec('INSERT INTO t VALUES (?)', index + 1));
    await server.queued(name, index + 1);
  }
  await holder!.exec('COMMIT');
  await Promise.all(answers);
  assert.deepEqual(await values(holder!), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});

test('after the busy timeout the answer is 5, for each waiter at its own time', async () => {
  const { name, clients } = await fresh(3);
  const [holder, early, late] = clients;
  await holder!.exec('BEGIN IMMEDIATE');
  const first = early!.exec('INSERT INTO t VALUES (1)');
  await server.queued(name, 1);
  server.host.clock.leap(BUSY_TIMEOUT_MS / 2);
  const second = late!.exec('INSERT INTO t VALUES (2)');
  await server.queued(name, 2);
  await turns(20);
  assert.equal(early!.arrived, 0);
  server.host.clock.leap(BUSY_TIMEOUT_MS / 2);
  await fails(first, 5, LOCKED);
  assert.equal(server.database(name).lock.waiting, 1);
  await holder!.exec('COMMIT');
  await second;
  assert.deepEqual(await values(holder!), [2]);
});

test('every kind of write waits and may time out, no kind of read does', async () => {
  const { name, clients } = await fresh(2);
  const [holder, client] = clients as [Connection, Connection];
  await holder.exec('BEGIN IMMEDIATE; INSERT INTO t VALUES (0)');
  const insert = await client.prepare('INSERT INTO t VALUES (1)');
  const writes = [
    requests.execSql('INSERT INTO t VALUES (1)'),
    requests.execSql('SELECT 1 WHERE 0; INSERT INTO t VALUES (1)'),
    requests.execSql('BEGIN IMMEDIATE'),
    requests.execSql('BEGIN EXCLUSIVE'),
    requests.execSql('CREATE TABLE u (a)'),
    requests.execSql('VACUUM'),
    requests.execSql('PRAGMA user_version=5'),
    requests.execSql('UPDATE t SET a = 1 WHERE 0'),
    requests.querySql('INSERT INTO t VALUES (1)'),
    requests.querySql('INSERT INTO t VALUES (1) RETURNING a'),
    requests.querySql('BEGIN IMMEDIATE'),
    requests.exec(insert.statement),
    requests.query(insert.statement),
  ];
  for (const request of writes) {
    client.send(request);
    await server.queued(name, 1);
    server.host.clock.leap(BUSY_TIMEOUT_MS);
    await fails(client.response(), 5, LOCKED);
    await server.queued(name, 0);
  }
  assert.deepEqual(await values(client), []);
  await client.prepare('INSERT INTO t VALUES (2)');
  await client.exec('SELECT a FROM t');
  await client.exec('BEGIN');
  assert.deepEqual(await values(client), []);
  await client.exec('SAVEPOINT s; RELEASE s; COMMIT');
  await holder.exec('ROLLBACK');
  await client.exec('INSERT INTO t VALUES (3)');
  assert.deepEqual(await values(client), [3]);
});

test('a statement that timed out leaves nothing behind on its connection', async () => {
  const { name, clients } = await fresh(2);
  const [holder, client] = clients as [Connection, Connection];
  await client.exec('CREATE TEMP TABLE x (a)');
  const session = [...server.database(name).sessions].find(({ needsOwnConnection }) => needsOwnConnection)!;
  await holder.exec('BEGIN IMMEDIATE');
  // Neither is kept compiled: one is long, one uses a temporary table.
  const texts = [`INSERT INTO t VALUES (1) -- ${'x'.repeat(20_000)}`, 'INSERT INTO t SELECT a FROM x'];
  for (const leave of ['timeout', 'interrupt'] as const) {
    for (const sql of texts) {
      client.send(requests.execSql(sql));
      await server.queued(name, 1);
      if (leave === 'timeout') {
        server.host.clock.leap(BUSY_TIMEOUT_MS);
        await fails(client.response(), 5, LOCKED);
      } else {
        client.send(requests.interrupt);
        await client.empty();
      }
    }
  }
  // What is kept: the probe of the schema.
  assert.equal(session.ownConnection!.statements.size, 1);
  await holder.exec('ROLLBACK');
});

test('a busy answer inside a transaction leaves it open; the statement may be tried again', async () => {
  const { name, clients } = await fresh(2);
  const [holder, client] = clients as [Connection, Connection];
  await holder.exec('BEGIN IMMEDIATE');
  await client.exec('BEGIN');
  const attempt = client.exec('INSERT INTO t VALUES (1)');
  await server.queued(name, 1);
  server.host.clock.leap(BUSY_TIMEOUT_MS);
  await fails(attempt, 5, LOCKED);
  await fails(client.exec('BEGIN'), 1, 'cannot start a transaction within a transaction');
  await holder.exec('ROLLBACK');
  await client.exec('INSERT INTO t VALUES (2); COMMIT');
  assert.deepEqual(await values(holder), [2]);
});

test('a deferred transaction takes the lock with its first write and keeps it', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('BEGIN');
  await other.exec('INSERT INTO t VALUES (1)');
  // It has read nothing yet, so its snapshot begins here.
  await client.exec('INSERT INTO t VALUES (2)');
  const waiting = other.exec('INSERT INTO t VALUES (3)');
  await server.queued(name, 1);
  assert.deepEqual(await values(client), [1, 2]);
  await client.exec('COMMIT');
  await waiting;
  assert.deepEqual(await values(client), [1, 2, 3]);
});

test('an upgrade with an old snapshot fails with 517 at once, and only that statement', async () => {
  const { name, clients } = await fresh(3);
  const [client, other, third] = clients as [Connection, Connection, Connection];
  await client.exec('INSERT INTO t VALUES (0); BEGIN');
  assert.deepEqual(await values(client), [0]);
  await other.exec('INSERT INTO t VALUES (1)');
  await fails(client.exec('INSERT INTO t VALUES (2)'), 517, LOCKED);
  await fails(client.query('INSERT INTO t VALUES (2) RETURNING a'), 517, LOCKED);
  // Also while somebody else holds the lock: there is no point in waiting.
  await third.exec('BEGIN IMMEDIATE');
  await fails(client.exec('INSERT INTO t VALUES (2)'), 517, LOCKED);
  await third.exec('ROLLBACK');
  assert.deepEqual(await values(client), [0], 'the snapshot stays');
  await client.exec('COMMIT');
  assert.deepEqual(await values(client), [0, 1]);
  await client.exec('INSERT INTO t VALUES (3)');
  assert.equal(server.database(name).lock.owner, undefined);
});

test('an upgrade of the newest snapshot waits for the lock, and fails once its owner has written', async () => {
  const { name, clients } = await fresh(2);
  const [client, other] = clients as [Connection, Connection];
  await client.exec('BEGIN');
  assert.deepEqual(await values(client), []);
  await other.exec('BEGIN IMMEDIATE; INSERT INTO t VALUES (1)');
  let upgrade = client.exec('INSERT INTO t VALUES (2)');
  await server.queued(name, 1);
  await other.exec('ROLLBACK');
  await upgrade;
  await client.exec('COMMIT');

  await client.exec('BEGIN');
  assert.deepEqual(await values(client), [2]);
  await other.exec('BEGIN IMMEDIATE; INSERT INTO t VALUES (3)');
  upgrade = client.exec('INSERT INTO t VALUES (4)');
  await server.queued(name, 1);
  await other.exec('COMMIT');
  await fails(upgrade, 517, LOCKED);
  assert.deepEqual(await values(client), [2]);
  await client.exec('ROLLBACK; INSERT INTO t VALUES (5)');
  assert.deepEqual(await values(client), [2, 3, 5]);

  // A transaction that wrote nothing leaves the snapshot the newest.
  await client.exec('BEGIN');
  await values(client);
  await other.exec('BEGIN IMMEDIATE');
  upgrade = client.exec('INSERT INTO t VALUES (6)');
  await server.queued(name, 1);
  await other.exec('COMMIT');
  await upgrade;
  await client.exec('COMMIT');
});

test('readers are disturbed by nothing: a dropped table stays for who has seen it', async () => {
  const { clients } = await fresh(2);
  const [reader, writer] = clients as [Connection, Connection];
  await writer.exec('INSERT INTO t VALUES (1), (2)');
  await reader.exec('BEGIN');
  assert.deepEqual(await values(reader), [1, 2]);
  await writer.exec('BEGIN; DELETE FROM t; INSERT INTO t VALUES (3)');
  assert.deepEqual(await values(reader), [1, 2]);
  await writer.exec('COMMIT; DROP TABLE t; CREATE TABLE t (b, c); VACUUM');
  assert.deepEqual(await values(reader), [1, 2]);
  await reader.exec('COMMIT');
  await fails(values(reader), 1, 'no such column: a');
});

test('databases do not wait for each other', async () => {
  const { clients } = await fresh(1);
  const other = await fresh(1);
  await clients[0]!.exec('BEGIN IMMEDIATE');
  await other.clients[0]!.exec('INSERT INTO t VALUES (1)');
  await clients[0]!.exec('COMMIT');
});

test('writes that change nothing, sent ahead, are answered although nothing is ever written', async () => {
  const connection = await server.connect('nothing changes');
  await connection.exec('CREATE TABLE t (a)');
  const { statement } = await connection.prepare('DELETE FROM t WHERE a = ?');
  const answers = Array.from({ length: 50 }, (_, i) => connection.execPrepared(statement, i));
  for (const { changes } of await Promise.all(answers)) assert.equal(changes, 0);
  assert.equal(server.database('nothing changes').lock.owner, undefined);
});

test('a lock whose owner goes with the leadership passes to nobody', async () => {
  const own = await TestNode.start();
  const [holder, client] = await own.connectMany('deposed', 2);
  await holder!.exec('CREATE TABLE t (a); BEGIN IMMEDIATE');
  const waiting = fails(client!.exec('INSERT INTO t VALUES (1)'), 10250, 'not leader');
  await own.queued('deposed', 1);
  own.engine.stopLeading(() => new SqliteError(10506, 'leadership lost'));
  await waiting;
  const { store } = own.database('deposed');
  assert.equal(store.newest, store.committed, 'nothing is executed by a node that does not lead');
  own.engine.electionWon();
  own.engine.startLeading();
  await own.close();
});
