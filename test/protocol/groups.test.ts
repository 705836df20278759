/**
 * Autocommit writes of several clients that run as one SQLite transaction: each is answered as if it had run alone.
 * While the disk is busy with an earlier write, all that come gather in one group.
 */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { FileError } from '../../src/host/types.ts';
import { Failure, fails, requests, type Connection, type Plain } from '../support/connection.ts';
import { breakSqlite, smallLimits, TestNode } from '../support/node.ts';
import { turns, until } from '../support/wait.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start({ engine: { ...smallLimits, busyTimeoutMs: 1e9 }, expectErrors: true });
});
// What a test that failed holds back would stop the others too.
afterEach(() => {
  server.host.clock.hurry(0);
  server.host.files.fault = undefined;
  server.host.files.release();
});
after(() => server.close());

let names = 0;
let name = '';
/** Clients of a database of their own, and one more that keeps the disk busy. */
async function fresh(count: number, sql = 'CREATE TABLE t (a UNIQUE, b)'): Promise<Connection[]> {
  name = `group ${names++}`;
  const clients = await server.connectMany(name, count);
  await clients[0]!.exec(`CREATE TABLE busy (a); ${sql}`);
  return clients;
}

/** From here on the disk is busy. */
async function hold(): Promise<() => Promise<void>> {
  const writer = await server.connect(name);
  server.host.files.hold();
  const written = writer.exec('INSERT INTO busy VALUES (1)');
  const database = server.database(name);
  // A write that is held may be a new segment's; this one is on its way when nothing is left to propose.
  await until(() => database.hasUncommitted && !database.hasGroup && !database.hasBatch, 'the write on its way');
  await server.host.files.stuck();
  return async () => {
    server.host.files.release();
    await written;
    writer.close();
  };
}

type Answer = readonly [lastInsertId: number, changes: number] | string;

async function answerOf(client: Connection): Promise<Answer> {
  try {
    const { lastInsertId, changes } = await client.result();
    return [Number(lastInsertId), changes];
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return `${error.code} ${error.message}`;
  }
}

/** The writes, one of each client in their order, in one group. Fails if they do not make one version together. */
async function together(clients: readonly Connection[], ...texts: readonly string[]): Promise<Answer[]> {
  const { store } = server.database(name);
  const release = await hold();
  const { newest } = store;
  for (const [index, sql] of texts.entries()) {
    clients[index]!.send(requests.execSql(sql));
    await turns(5);
  }
  await turns(10);
  for (const client of clients) assert.equal(client.arrived, 0);
  assert.equal(store.newest, newest, 'the group is open');
  await release();
  const answers: Answer[] = [];
  for (const [index] of texts.entries()) answers.push(await answerOf(clients[index]!));
  assert.equal(store.newest, newest + 1, 'one version');
  return answers;
}

/** The same for writes of which one takes the whole group apart: all run again, each for itself. */
async function apart(clients: readonly Connection[], ...texts: readonly string[]): Promise<Answer[]> {
  const { store } = server.database(name);
  const release = await hold();
  const { newest } = store;
  for (const [index, sql] of texts.entries()) {
    clients[index]!.send(requests.execSql(sql));
    await turns(5);
  }
  await turns(10);
  for (const client of clients) assert.equal(client.arrived, 0);
  assert.ok(store.newest > newest, 'the group is gone');
  await release();
  const answers: Answer[] = [];
  for (const [index] of texts.entries()) answers.push(await answerOf(clients[index]!));
  return answers;
}

const values = async (client: Connection, sql = 'SELECT a FROM t ORDER BY rowid'): Promise<Plain[]> =>
  (await client.query(sql)).map(([value]) => value!);

test('each client has its own answer', async () => {
  const clients = await fresh(9, 'CREATE TABLE t (a UNIQUE, b NOT NULL CHECK (b < 10))');
  const answers = await together(
    clients,
    'INSERT INTO t VALUES (1, 1)',
    'INSERT INTO t VALUES (2, 2), (3, 3)',
    'INSERT INTO t VALUES (1, 1)',
    'INSERT INTO t VALUES (4, 4), (5, 10), (6, 6)',
    'INSERT INTO t VALUES (7, NULL)',
    'UPDATE t SET b = b + 1',
    'DELETE FROM t WHERE a = 2',
    'UPDATE t SET b = 0 WHERE a = 99',
    'INSERT INTO t VALUES (2, 2)',
  );
  assert.deepEqual(answers, [
    [1, 1],
    [3, 2],
    '2067 UNIQUE constraint failed: t.a',
    '275 CHECK constraint failed: b < 10',
    '1299 NOT NULL constraint failed: t.b',
    [0, 3],
    [0, 1],
    [0, 0],
    [4, 1],
  ]);
  assert.deepEqual(await clients[0]!.query('SELECT a, b FROM t ORDER BY rowid'), [
    [1, 2],
    [3, 4],
    [2, 2],
  ]);
});

test('conflict clauses, UPSERT, WITH, triggers and other tables act as they do alone', async () => {
  const clients = await fresh(
    10,
    `CREATE TABLE t (a UNIQUE, b); CREATE TABLE log (x); CREATE VIEW v AS SELECT a FROM t;
     CREATE TRIGGER added AFTER INSERT ON t BEGIN INSERT INTO log SELECT count(*) FROM t; END;
     CREATE TRIGGER no AFTER INSERT ON t WHEN new.a = 13 BEGIN SELECT RAISE(ABORT, 'unlucky'); END;
     CREATE TRIGGER through INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (new.a, 'view'); END`,
  );
  const answers = await together(
    clients,
    'INSERT INTO t VALUES (1, 1), (2, 2)',
    'INSERT OR REPLACE INTO t VALUES (1, 10)',
    'INSERT OR IGNORE INTO t VALUES (1, 11), (3, 3)',
    'INSERT OR FAIL INTO t VALUES (4, 4), (1, 12), (5, 5)',
    'INSERT INTO t VALUES (6, 6), (13, 0)',
    'INSERT INTO t VALUES (2, 20) ON CONFLICT (a) DO UPDATE SET b = excluded.b',
    'WITH c(x) AS (SELECT max(a) FROM t) INSERT INTO t SELECT x + 10, x FROM c',
    'INSERT INTO v VALUES (30)',
    "UPDATE t SET b = 'r' || (random() IS NOT NULL) WHERE a = 30",
    'INSERT INTO t SELECT x, x FROM log WHERE x = 100',
  );
  assert.deepEqual(answers, [
    [2, 2],
    [3, 1],
    [4, 1],
    '2067 UNIQUE constraint failed: t.a',
    '1811 unlucky',
    [0, 1],
    [6, 1],
    [0, 0],
    [0, 1],
    [0, 0],
  ]);
  assert.deepEqual(await clients[0]!.query('SELECT a, b FROM t ORDER BY a'), [
    [1, 10],
    [2, 20],
    [3, 3],
    [4, 4],
    [14, 4],
    [30, 'r1'],
  ]);
  assert.deepEqual(await values(clients[0]!, 'SELECT x FROM log ORDER BY rowid'), [1, 2, 2, 3, 4, 5, 6]);
  assert.equal(await clients[0]!.value('PRAGMA integrity_check'), 'ok');
});

test('what ends the whole transaction takes the group apart, and only its own statement fails', async () => {
  const setup = `CREATE TABLE t (a UNIQUE, b);
    CREATE TRIGGER no AFTER INSERT ON t WHEN new.a = 13 BEGIN SELECT RAISE(ROLLBACK, 'unlucky'); END;
    CREATE TABLE p (id INTEGER PRIMARY KEY);
    CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO t VALUES (0, 0)`;
  const cases: readonly (readonly [string, RegExp])[] = [
    ['INSERT OR ROLLBACK INTO t VALUES (7, 7), (0, 1)', /^2067 UNIQUE constraint failed: t.a$/],
    ['UPDATE OR ROLLBACK t SET a = 0', /^2067 UNIQUE constraint failed: t.a$/],
    ['INSERT INTO t VALUES (7, 7), (13, 1)', /^1811 unlucky$/],
    ['INSERT INTO c VALUES (99)', /^787 FOREIGN KEY constraint failed$/],
  ];
  for (const [sql, wanted] of cases) {
    const clients = await fresh(4, setup);
    const texts = ['INSERT INTO t VALUES (1, 1)', 'DELETE FROM t WHERE a = 99', sql, 'INSERT INTO t VALUES (2, 2)'];
    const [first, nothing, failed, last] = await apart(clients, ...texts);
    assert.deepEqual(
      [first, nothing, last],
      [
        [2, 1],
        [0, 0],
        [3, 1],
      ],
      sql,
    );
    assert.match(String(failed), wanted);
    assert.deepEqual(await values(clients[0]!), [0, 1, 2], sql);
    assert.deepEqual(await clients[2]!.exec('INSERT INTO t VALUES (3, 3)'), { lastInsertId: 4, changes: 1 });
  }
});

test('a member that is too large, or takes too long, fails alone', async () => {
  const clients = await fresh(3);
  const rows = 'WITH RECURSIVE c(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM c LIMIT 5000) SELECT x';
  const answers = await apart(
    clients,
    'INSERT INTO t VALUES (1, 1)',
    `INSERT INTO t ${rows}, zeroblob(2000) FROM c`,
    'INSERT INTO t VALUES (2, 2)',
  );
  assert.deepEqual(answers[0], [1, 1]);
  assert.match(String(answers[1]), /^13 the transaction changes more than/);
  assert.deepEqual(answers[2], [2, 1]);

  const release = await hold();
  const [first, slow, last] = clients as [Connection, Connection, Connection];
  first.send(requests.execSql('INSERT INTO t VALUES (3, 3)'));
  await turns(5);
  // Each look at the clock finds it half the limit later.
  server.host.clock.hurry(smallLimits.maxStepMs / 2);
  slow.send(requests.execSql(`INSERT INTO t ${rows}, 1 FROM c`));
  await turns(5);
  server.host.clock.hurry(0);
  last.send(requests.execSql('INSERT INTO t VALUES (4, 4)'));
  await turns(5);
  await release();
  assert.deepEqual(await answerOf(first), [3, 1]);
  assert.match(String(await answerOf(slow)), /^9 the statement ran longer/);
  assert.deepEqual(await answerOf(last), [4, 1]);
  assert.deepEqual(await values(first), [1, 2, 3, 4]);
});

test('members that are too large only together run alone', async () => {
  const clients = await fresh(8);
  const release = await hold();
  // Each changes a good half of what a transaction may; pages stay in SQLite's cache up to a quarter of a megabyte.
  for (const [index, client] of clients.entries()) {
    client.send(requests.execSql(`INSERT INTO t VALUES (${index}, zeroblob(1900000))`));
  }
  await turns(20);
  await release();
  for (const [index, client] of clients.entries()) assert.equal((await answerOf(client))[1], 1, `client ${index}`);
  assert.deepEqual((await values(clients[0]!)).toSorted(), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('counters are the client\u2019s own, wherever its statements run', async () => {
  const clients = await fresh(
    3,
    `CREATE TABLE t (a UNIQUE, b); CREATE TABLE seen (c, total, id);
     CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE q (p REFERENCES p)`,
  );
  const [one, two, three] = clients as [Connection, Connection, Connection];
  const counters = 'SELECT changes(), total_changes(), last_insert_rowid()';
  await together(clients, 'INSERT INTO t VALUES (1, 1), (2, 2)', 'INSERT INTO t VALUES (3, 3)', 'UPDATE t SET b = 0');
  assert.deepEqual(await one.query(counters), [[2, 2, 2]]);
  assert.deepEqual(await two.query(counters), [[1, 1, 3]]);
  assert.deepEqual(await three.query(counters), [[3, 3, 0]]);
  // On the connection of the client: its counters go on, also inside the statement.
  await one.exec('INSERT INTO seen SELECT changes(), total_changes(), last_insert_rowid()');
  assert.deepEqual(await one.query('SELECT * FROM seen'), [[2, 2, 2]]);
  assert.deepEqual(await one.query(counters), [[1, 3, 1]]);
  // And in the next group.
  await together(clients, 'DELETE FROM t WHERE a = 77', 'INSERT INTO t VALUES (3, 3)', 'INSERT INTO t VALUES (4, 4)');
  assert.deepEqual(await one.query(counters), [[0, 3, 1]]);
  assert.deepEqual(await two.query(counters), [[0, 1, 3]]);
  assert.deepEqual(await three.query(counters), [[1, 4, 4]]);
  await two.exec('BEGIN; INSERT INTO t VALUES (5, 5), (6, 6); COMMIT');
  assert.deepEqual(await two.query(counters), [[2, 3, 6]]);
  assert.deepEqual(await two.exec('CREATE TABLE u (a)'), { lastInsertId: 6, changes: 2 });
  // Inside a trigger they start from what the trigger\u2019s own statements do.
  await two.exec(`CREATE TRIGGER look AFTER DELETE ON t BEGIN
    INSERT INTO seen VALUES (changes(), total_changes(), last_insert_rowid());
    INSERT INTO seen VALUES (changes(), total_changes(), last_insert_rowid()); END; DELETE FROM seen`);
  assert.deepEqual(await three.exec('DELETE FROM t WHERE a = 4'), { lastInsertId: 4, changes: 1 });
  assert.deepEqual(await three.query('SELECT c, id FROM seen ORDER BY rowid'), [
    [1, 4],
    [1, 1],
  ]);
  assert.deepEqual(await three.query(counters), [[1, 7, 4]]);
});

test('counters after statements that change rows on the side, or take them back', async () => {
  const [client, other] = (await fresh(
    2,
    `CREATE TABLE t (a UNIQUE, b); CREATE TABLE p (id INTEGER PRIMARY KEY);
     CREATE TABLE q (p REFERENCES p DEFERRABLE INITIALLY DEFERRED); CREATE TABLE r (p REFERENCES p)`,
  )) as [Connection, Connection];
  const counters = 'SELECT changes(), total_changes(), last_insert_rowid()';
  await client.exec('INSERT INTO t VALUES (1, 1), (2, 2)');
  // Alone this fails when it is committed.
  await fails(client.query('INSERT INTO q VALUES (9) RETURNING p'), 787, 'FOREIGN KEY constraint failed');
  assert.deepEqual(await client.query(counters), [[0, 2, 1]]);
  await client.exec('INSERT INTO p VALUES (1), (2), (3)');
  await fails(client.query('UPDATE p SET id = id RETURNING zeroblob(1000000)'), 18, /returned more than/);
  assert.deepEqual(await client.query(counters), [[0, 5, 3]]);
  // DROP TABLE deletes the rows that foreign keys could refer to, and counts them.
  await client.exec('UPDATE t SET b = 1');
  assert.deepEqual(await client.exec('DROP TABLE p'), { lastInsertId: 3, changes: 3 });
  assert.equal(await client.value('SELECT total_changes()'), 10);
  await other.exec('INSERT INTO t VALUES (3, 3)');
  await other.exec('CREATE TABLE p (id INTEGER PRIMARY KEY)');
  assert.deepEqual(await other.exec('DROP TABLE p'), { lastInsertId: 3, changes: 0 });
});

test('INTERRUPT does not stop what has run: its answer, then EMPTY', async () => {
  const clients = await fresh(3);
  const release = await hold();
  const [one, two, three] = clients as [Connection, Connection, Connection];
  one.send(requests.execSql('INSERT INTO t VALUES (1, 1)'), requests.interrupt);
  two.send(requests.execSql('INSERT INTO t VALUES (2, 2)'));
  await turns(10);
  two.send(requests.interrupt);
  three.send(requests.execSql('INSERT INTO t VALUES (1, 1)'), requests.interrupt);
  await turns(10);
  for (const client of clients) assert.equal(client.arrived, 0);
  await release();
  assert.deepEqual(await answerOf(one), [1, 1]);
  await one.empty();
  assert.deepEqual(await answerOf(two), [2, 1]);
  await two.empty();
  assert.match(String(await answerOf(three)), /^2067/);
  await three.empty();
  assert.deepEqual(await values(three), [1, 2]);
});

test('clients that leave while their statement is in a group hurt nobody', async () => {
  const clients = await fresh(4, 'CREATE TABLE t (a UNIQUE, b)');
  const [one, two, three, four] = clients as [Connection, Connection, Connection, Connection];
  const { sessions } = server.database(name);
  const release = await hold();
  for (const [index, client] of clients.entries()) {
    client.send(requests.execSql('INSERT INTO t VALUES (?, 0)', index));
    await turns(5);
  }
  const count = sessions.size;
  one.reset();
  two.close();
  await until(() => sessions.size < count, 'clients gone');
  // Taken apart, only what somebody waits for must run again.
  four.send(requests.interrupt);
  await release();
  assert.equal((await answerOf(three))[1], 1);
  assert.equal((await answerOf(four))[1], 1);
  await four.empty();
  assert.deepEqual((await values(four)).slice(-2), [2, 3]);
});

test('a failed write to the disk undoes the group', async () => {
  const clients = await fresh(4);
  const [one, two, three, four] = clients as [Connection, Connection, Connection, Connection];
  const { files, clock } = server.host;
  await one.exec('INSERT INTO t VALUES (0, 0)');
  files.hold();
  one.send(requests.execSql('INSERT INTO t VALUES (1, 1)'));
  await files.stuck();
  two.send(requests.execSql('INSERT INTO t VALUES (2, 2)'));
  three.send(requests.execSql('INSERT INTO t VALUES (1, 1)'));
  four.send(requests.execSql('UPDATE t SET b = 9'));
  await turns(10);
  files.fault = () => new FileError('ENOSPC', 'x', 'no space left');
  files.release();
  for (const client of clients) assert.equal(await answerOf(client), '13 database or disk is full');
  files.fault = undefined;
  clock.leap(1000);
  await until(() => server.engine.writeRefusal() === undefined, 'space on the disk');
  assert.deepEqual(await one.query('SELECT a, b FROM t'), [[0, 0]]);
  assert.deepEqual(await together(clients, 'INSERT INTO t VALUES (1, 1)', 'UPDATE t SET b = 5'), [
    [2, 1],
    [0, 2],
  ]);
  // Counters of what was undone: nothing has happened.
  assert.deepEqual(await four.query('SELECT changes(), total_changes()'), [[0, 0]]);
});

test('with the SQLite instance a group is lost, and everybody is told', async () => {
  const clients = await fresh(4);
  const [one, two, three, reader] = clients as [Connection, Connection, Connection, Connection];
  const release = await hold();
  one.send(requests.execSql('INSERT INTO t VALUES (1, 1)'));
  two.send(requests.execSql('INSERT INTO t VALUES (2, 2)'));
  await turns(10);
  breakSqlite(server);
  three.send(requests.execSql('INSERT INTO t VALUES (3, 3)'));
  for (const client of [one, two, three]) assert.match(String(await answerOf(client)), /^1 /);
  await release();
  assert.deepEqual(await values(reader), []);
  await one.exec('INSERT INTO t VALUES (4, 4)');
  assert.deepEqual(await values(reader), [4]);
});

test('an instance that breaks when the group is committed', async () => {
  const clients = await fresh(3);
  const [one, two, reader] = clients as [Connection, Connection, Connection];
  const release = await hold();
  one.send(requests.execSql('INSERT INTO t VALUES (1, 1)'));
  two.send(requests.execSql('INSERT INTO t VALUES (2, 2)'));
  await turns(10);
  breakSqlite(server);
  await release();
  for (const client of [one, two]) assert.match(String(await answerOf(client)), /^1 /);
  assert.deepEqual(await values(reader), []);
  await two.exec('INSERT INTO t VALUES (4, 4)');
  assert.deepEqual(await values(reader), [4]);
});

test('a schema that changes between groups', async () => {
  const clients = await fresh(3);
  const [one, two, three] = clients as [Connection, Connection, Connection];
  assert.deepEqual(await together(clients, 'INSERT INTO t VALUES (1, 1)', 'INSERT INTO t VALUES (2, 2)'), [
    [1, 1],
    [2, 1],
  ]);
  await three.exec('ALTER TABLE t ADD COLUMN c DEFAULT 5');
  assert.deepEqual(await together(clients, 'INSERT INTO t VALUES (3, 3, 3)', 'UPDATE t SET b = c WHERE c = 5'), [
    [3, 1],
    [2, 2],
  ]);
  // While a group is open: it is over first, and what was compiled before means the new table.
  const release = await hold();
  one.send(requests.execSql('UPDATE t SET b = 0'));
  await turns(5);
  two.send(requests.execSql('DROP TABLE t; CREATE TABLE t (b DEFAULT 1, a DEFAULT 2); INSERT INTO t VALUES (7, 7)'));
  await turns(5);
  three.send(requests.execSql('UPDATE t SET b = 0'));
  await turns(5);
  await release();
  assert.deepEqual(await answerOf(one), [3, 3]);
  assert.equal((await answerOf(two))[1], 1);
  assert.deepEqual(await answerOf(three), [0, 1]);
  assert.deepEqual(await one.query('SELECT * FROM t'), [[0, 7]]);
  // What a trigger makes of it is looked at again, too.
  await two.exec(
    'CREATE TABLE ids (id); CREATE TRIGGER look AFTER UPDATE ON t BEGIN INSERT INTO ids VALUES (last_insert_rowid()); END',
  );
  assert.deepEqual(await one.exec('UPDATE t SET b = 0'), { lastInsertId: 3, changes: 1 });
  assert.deepEqual(await values(one, 'SELECT id FROM ids'), [3]);
});

test('a schema that begins anew with the numbers of the old one', async () => {
  const [one, two, other] = (await fresh(3)) as [Connection, Connection, Connection];
  const reads = 'SELECT a FROM t';
  await one.exec('INSERT INTO t VALUES (1, 1)');
  await two.exec('BEGIN; UPDATE t SET b = 2; COMMIT');
  await two.query('PRAGMA case_sensitive_like=1');
  assert.deepEqual(await one.query(reads), [[1]]);
  assert.deepEqual(await two.query(reads), [[1]]);
  await other.exec('BEGIN IMMEDIATE; PRAGMA delete_database; COMMIT');
  // As many changes of the schema as before, the tables in the other order.
  await other.exec('CREATE TABLE t (x, y, a UNIQUE); CREATE TABLE busy (a)');
  await other.exec("INSERT INTO t VALUES ('x', 'y', 'a'); INSERT INTO busy VALUES ('busy')");
  assert.deepEqual(await one.query(reads), [['a']]);
  assert.deepEqual(await two.query(reads), [['a']]);
  await fails(one.exec('INSERT INTO t VALUES (1, 1)'), 1, 'table t has 3 columns but 2 values were supplied');
  await one.exec('INSERT INTO busy VALUES (3)');
  await two.exec('UPDATE t SET a = a || 1');
  assert.deepEqual(await other.query('SELECT a FROM busy ORDER BY rowid'), [['busy'], [3]]);
  assert.deepEqual(await other.query('SELECT x, y, a FROM t'), [['x', 'y', 'a1']]);
  assert.equal(await other.value('PRAGMA integrity_check'), 'ok');
});

test('a transaction that begins ends the group, and sees what it did', async () => {
  const [one, two, three] = (await fresh(3)) as [Connection, Connection, Connection];
  const release = await hold();
  one.send(requests.execSql('INSERT INTO t VALUES (1, 1)'));
  await turns(10);
  await two.exec('BEGIN IMMEDIATE');
  two.send(requests.querySql('SELECT a FROM t'));
  three.send(requests.execSql('INSERT INTO t VALUES (3, 3)'));
  await server.queued(name, 1);
  await release();
  assert.deepEqual(await answerOf(one), [1, 1]);
  assert.equal((await two.rows()).rows.length, 1);
  await two.exec('INSERT INTO t VALUES (2, 2); COMMIT');
  assert.deepEqual(await answerOf(three), [3, 1]);
  assert.deepEqual(await values(one), [1, 2, 3]);
});

test('a read transaction whose snapshot a group has passed cannot write', async () => {
  const [one, two] = (await fresh(2)) as [Connection, Connection];
  await two.exec('BEGIN');
  assert.deepEqual(await two.query('SELECT a FROM t'), []);
  const release = await hold();
  one.send(requests.execSql('INSERT INTO t VALUES (1, 1)'));
  await turns(10);
  two.send(requests.execSql('INSERT INTO t VALUES (1, 1)'));
  await turns(10);
  await release();
  assert.match(String(await answerOf(two)), /^517 /);
  await two.exec('ROLLBACK');
  assert.deepEqual(await answerOf(one), [1, 1]);
});

test('a group takes so many members and so much data, then the next one begins', async () => {
  const clients = await fresh(4);
  const { store } = server.database(name);
  const release = await hold();
  const { newest } = store;
  // Larger than a batch, in members that are each far below.
  for (let round = 0; round < 4; round++) {
    for (const client of clients) client.send(requests.execSql('INSERT INTO t VALUES (NULL, zeroblob(500000))'));
  }
  await turns(20);
  await release();
  for (let round = 0; round < 4; round++) for (const client of clients) await client.result();
  assert.ok(store.newest > newest + 1);
  assert.equal(await clients[0]!.value('SELECT count(*) FROM t'), 16);
});

test('a client that sends one request after the other is answered in order, and to the end', async () => {
  const [client] = (await fresh(1)) as [Connection];
  // Answers that need no disk come while the group is being closed, and with them the next requests.
  for (let length = 1; length < 8; length++) {
    const list = Array.from({ length }, () => requests.execSql('UPDATE t SET b = 0 WHERE a = 77'));
    client.send(...list, requests.execSql('INSERT INTO t VALUES (?, 1)', length), ...list);
    for (let i = 0; i < length; i++) assert.deepEqual((await client.result()).changes, 0);
    assert.deepEqual((await client.result()).changes, 1);
    for (let i = 0; i < length; i++) assert.deepEqual((await client.result()).changes, 0);
  }
});
