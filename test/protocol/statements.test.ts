/** PREPARE, EXEC, QUERY, FINALIZE, EXEC_SQL, QUERY_SQL (wire spec sections 3.4 to 3.7, 5.1, 5.10). */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { encodeUtf8 } from '../../src/lib/bytes.ts';
import { RowsReader, requestType, responseType, type Request } from '../../src/wire/index.ts';
import { fails, message, parameters, requests, text, words, type Connection } from '../support/connection.ts';
import { TestNode } from '../support/node.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start();
});
after(() => server.close());

const NO_STATEMENT = 'no statement with the given id';
const ROWS_FROM_EXEC = 'rows yielded when none expected for EXEC request';
const TAIL = 'nonempty statement tail';

let names = 0;
async function fresh(sql = ''): Promise<Connection> {
  const connection = await server.connect(`statements ${names++}`);
  if (sql !== '') await connection.exec(sql);
  return connection;
}

/** PREPARE with schema 1: the offset where the rest begins. */
async function tailOf(connection: Connection, sql: string): Promise<number> {
  connection.send(requests.prepare(sql, 1));
  const { schema, body } = await connection.next();
  assert.equal(schema, 1, sql);
  assert.equal(body.length, 24);
  return Number(body.readBigUInt64LE(16));
}

test('PREPARE gives the lowest free id and the number of parameters', async () => {
  const connection = await fresh();
  const ids = async (sql: string): Promise<[number, number]> => {
    const { statement, parameterCount } = await connection.prepare(sql);
    return [statement, parameterCount];
  };
  assert.deepEqual(await ids('SELECT 1'), [0, 0]);
  assert.deepEqual(await ids('SELECT ?, ?'), [1, 2]);
  assert.deepEqual(await ids('SELECT :x, :x, ?3'), [2, 3]);
  assert.deepEqual(await ids('SELECT @a, $b, ?10'), [3, 10]);
  assert.equal((await connection.call(requests.finalize(1))).kind, 'empty');
  assert.equal((await connection.call(requests.finalize(2))).kind, 'empty');
  assert.deepEqual(await ids('SELECT 2'), [1, 0]);
  assert.deepEqual(await ids('SELECT 2'), [2, 0]);
  assert.deepEqual(await ids('SELECT 2'), [4, 0]);
  for (const id of [4, 3, 2, 1, 0]) await connection.call(requests.finalize(id));
  assert.deepEqual(await ids('SELECT 2'), [0, 0]);
});

test('ids that are stale or were never given', async () => {
  const connection = await fresh();
  for (let i = 0; i < 3; i++) await connection.prepare('SELECT 1');
  // C dqlite crashes when a statement below the highest was finalized.
  await connection.call(requests.finalize(1));
  for (const id of [1, 3, 1000, 0xffffffff]) {
    for (const request of [requests.exec(id), requests.query(id), requests.finalize(id)]) {
      await fails(connection.call(request), 12, NO_STATEMENT);
    }
  }
  assert.equal((await connection.call(requests.query(2))).kind, 'rows');
  const other = await fresh();
  await fails(other.call(requests.query(2)), 12, NO_STATEMENT);
});

test('errors of PREPARE leave no statement behind', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  await fails(connection.prepare('SELEC 1'), 1, 'near "SELEC": syntax error');
  await fails(connection.prepare('SELECT * FROM absent'), 1, 'no such table: absent');
  await fails(connection.prepare('INSERT INTO t VALUES (1, 2)'), 1, /2 values for 1 columns|has 1 columns/);
  await fails(connection.prepare('SELECT 1; SELECT 2'), 1, TAIL);
  await fails(connection.prepare('INSERT INTO t VALUES (1); SELECT 2'), 1, TAIL);
  await fails(connection.prepare('BEGIN; SELECT 2'), 1, TAIL);
  assert.equal((await connection.prepare('SELECT 1')).statement, 0);
  assert.equal(await connection.value('SELECT count(*) FROM t'), 0);
});

test('texts without a statement: code 0', async () => {
  const connection = await fresh();
  for (const sql of ['', ' ', '\t\r\n\f', ';', ' ; ;; ', '-- nothing', '/* nothing */', '/* unfinished', ';-- x\n;']) {
    await fails(connection.prepare(sql), 0, 'empty statement');
    await fails(connection.call(requests.prepare(sql, 1)), 0, 'empty statement');
    await fails(connection.query(sql), 0, 'empty statement');
  }
});

test('a rest without a statement is no rest', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  for (const rest of [';', '; ', ' ;;\n', '; -- x', '; /* x */', ';/* unfinished']) {
    await connection.prepare(`SELECT 1${rest}`);
    await connection.prepare(`INSERT INTO t VALUES (1)${rest}`);
    assert.equal(await connection.value(`SELECT 1${rest}`), 1);
  }
  assert.equal((await connection.prepare('SELECT 1')).statement, 12);
  await fails(connection.query('SELECT 1; SELECT 2'), 1, TAIL);
  await fails(connection.query('SELECT 1; nonsense'), 1, TAIL);
  await fails(connection.query('INSERT INTO t VALUES (1); SELECT 2'), 1, TAIL);
  await fails(connection.query('BEGIN; SELECT 2'), 1, TAIL);
  await fails(connection.query('PRAGMA user_version; SELECT 2'), 1, TAIL);
  assert.equal(await connection.value('SELECT count(*) FROM t'), 0, 'nothing of these texts was run');
  await fails(connection.query('COMMIT'), 1, 'cannot commit - no transaction is active');
});

test('schema 1 tells where the rest begins', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  const cases: readonly (readonly [string, number])[] = [
    ['SELECT 1; SELECT 2', 9],
    ['SELECT 1;', 9],
    ['SELECT 1', 8],
    ['SELECT 1 -- x', 13],
    ['  SELECT 1 ; x', 12],
    ["SELECT ';'; x", 11],
    ["SELECT 'ä'; x", 12],
    ['INSERT INTO t VALUES (1);INSERT', 25],
    ['BEGIN; COMMIT', 6],
    ['CREATE TABLE u (a); DROP TABLE u', 19],
    ['PRAGMA user_version; SELECT 1', 20],
  ];
  for (const [sql, tail] of cases) assert.equal(await tailOf(connection, sql), tail, sql);
  // A script is walked by preparing it again from there.
  const script = 'SELECT 1; INSERT INTO t VALUES (2);; SELECT 3 -- end';
  const statements: string[] = [];
  let offset = 0;
  for (;;) {
    const rest = script.slice(offset);
    try {
      const tail = await tailOf(connection, rest);
      statements.push(rest.slice(0, tail).trim());
      offset += tail;
    } catch {
      break;
    }
    if (offset === script.length) break;
  }
  assert.deepEqual(statements, ['SELECT 1;', 'INSERT INTO t VALUES (2);', '; SELECT 3 -- end']);
});

test('a statement of schema 1 is only what was before its tail', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  await tailOf(connection, 'INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)');
  connection.send(requests.exec(0));
  assert.deepEqual(await connection.result(), { lastInsertId: 1, changes: 1 });
  assert.deepEqual(await connection.query('SELECT a FROM t'), [[1]]);
});

test('EXEC_SQL runs all statements of the text up to the first error', async () => {
  const connection = await fresh('CREATE TABLE t (a UNIQUE)');
  assert.deepEqual(await connection.exec('INSERT INTO t VALUES (1), (2);\nINSERT INTO t VALUES (3); -- end'), {
    lastInsertId: 3,
    changes: 1,
  });
  const broken = 'INSERT INTO t VALUES (4); INSERT INTO t VALUES (1); INSERT INTO t VALUES (5)';
  await fails(connection.exec(broken), 2067, 'UNIQUE constraint failed: t.a');
  await fails(connection.exec('INSERT INTO t VALUES (6); SELEC'), 1, 'near "SELEC": syntax error');
  assert.deepEqual(await connection.query('SELECT a FROM t'), [[1], [2], [3], [4], [6]]);
  // Each statement compiles after the one before it ran.
  await connection.exec('CREATE TABLE u (b); ALTER TABLE u ADD COLUMN c DEFAULT 7; INSERT INTO u (b) VALUES (1)');
  assert.deepEqual(await connection.query('SELECT b, c FROM u'), [[1, 7]]);
});

test('EXEC_SQL spreads its parameters over the statements', async () => {
  const connection = await fresh('CREATE TABLE t (a, b)');
  await connection.exec(
    'INSERT INTO t VALUES (?, ?); INSERT INTO t VALUES (?1, 0); INSERT INTO t VALUES (?, ?)',
    1,
    2,
    3,
  );
  await connection.exec('INSERT INTO t VALUES (?, ?)', 'x', 'y', 'left over');
  assert.deepEqual(await connection.query('SELECT * FROM t'), [
    [1, 2],
    [3, 0],
    [null, null],
    ['x', 'y'],
  ]);
  const many = 'INSERT INTO t VALUES (?, ?);'.repeat(200);
  const values = Array.from({ length: 400 }, (_, index) => index);
  const request = { kind: 'execSql', database: 0, sql: encodeUtf8(many), parameters: parameters(values) } as Request;
  assert.equal((await connection.call(request)).kind, 'result');
  assert.deepEqual(await connection.query('SELECT count(*), max(b) FROM t WHERE rowid > 4'), [[200, 399]]);
});

test('rows from EXEC are refused, no rows are fine', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  await connection.exec('SELECT 1 WHERE 0');
  await fails(connection.exec('SELECT 1'), 1, ROWS_FROM_EXEC);
  await fails(connection.exec('INSERT INTO t VALUES (1); SELECT * FROM t'), 1, ROWS_FROM_EXEC);
  await fails(connection.exec('PRAGMA user_version'), 1, ROWS_FROM_EXEC);
  await connection.exec('BEGIN');
  await fails(connection.exec('SELECT 1'), 1, ROWS_FROM_EXEC);
  await connection.exec('SELECT 1 WHERE 0; COMMIT');
  const { statement } = await connection.prepare('SELECT ?');
  await fails(connection.call(requests.exec(statement, 1)), 1, ROWS_FROM_EXEC);
  assert.deepEqual(await connection.query('SELECT * FROM t'), [[1]]);
});

test('RETURNING through EXEC is refused and takes the statement back', async () => {
  const connection = await fresh('CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)');
  const name = `statements ${names - 1}`;
  const refused = [
    'INSERT INTO t VALUES (2) RETURNING a',
    'UPDATE t SET a = a + 10 RETURNING a',
    'DELETE FROM t RETURNING a',
  ];
  const { statement } = await connection.prepare(refused[0]!);
  await fails(connection.call(requests.exec(statement)), 1, ROWS_FROM_EXEC);
  for (const sql of refused) {
    await fails(connection.exec(sql), 1, ROWS_FROM_EXEC);
    assert.equal(server.database(name).lock.owner, undefined);
    assert.deepEqual(await connection.query('SELECT a FROM t'), [[1]]);
  }
  // In a transaction, only the statement is taken back.
  await connection.exec('BEGIN; INSERT INTO t VALUES (3)');
  for (const sql of refused) await fails(connection.exec(sql), 1, ROWS_FROM_EXEC);
  await connection.exec('COMMIT');
  assert.deepEqual(await connection.query('SELECT a FROM t'), [[1], [3]]);
  // No row is returned: nothing to refuse.
  await connection.exec('DELETE FROM t WHERE a > 100 RETURNING a');
});

test('writes through QUERY: RETURNING, and statements without columns', async () => {
  const connection = await fresh('CREATE TABLE t (a INTEGER PRIMARY KEY, b)');
  assert.deepEqual(await connection.query("INSERT INTO t (b) VALUES ('x'), ('y') RETURNING a, b"), [
    [1, 'x'],
    [2, 'y'],
  ]);
  const { statement } = await connection.prepare('INSERT INTO t (b) VALUES (?) RETURNING a');
  connection.send(requests.query(statement, 'z'));
  assert.deepEqual((await connection.rows()).rows, [[{ type: 1, value: 3n }]]);
  const none = await connection.queryTyped('UPDATE t SET b = 1 WHERE a = 99 RETURNING a');
  assert.deepEqual(none, { columns: ['a'], rows: [], parts: 1 });
  for (const sql of ["INSERT INTO t (b) VALUES ('q')", 'CREATE TABLE u (a)', 'BEGIN', 'SAVEPOINT s', 'ROLLBACK']) {
    connection.send(requests.querySql(sql));
    const { body } = await connection.next();
    assert.deepEqual(body, words(0, -1), sql);
  }
  await connection.query('BEGIN');
  assert.deepEqual(await connection.query('DELETE FROM t WHERE a = 1 RETURNING b'), [['x']]);
  await connection.query('COMMIT');
  assert.deepEqual(await connection.query('SELECT a FROM t'), [[2], [3], [4]]);
  const other = await server.connect(`statements ${names - 1}`);
  assert.equal(await other.value('SELECT count(*) FROM t'), 3);
});

test('RETURNING of many rows arrives whole', async () => {
  const connection = await fresh('CREATE TABLE t (a INTEGER PRIMARY KEY)');
  const insert =
    'INSERT INTO t WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 10000) SELECT x FROM c RETURNING a';
  const { rows, parts } = await connection.queryTyped(insert);
  assert.equal(rows.length, 10_000);
  assert.ok(parts >= 40);
  assert.equal(await connection.value('SELECT count(*) FROM t'), 10_000);
});

test('a deferred foreign key fails a RETURNING statement as it fails any other', async () => {
  const connection = await fresh(
    'CREATE TABLE p (a PRIMARY KEY); CREATE TABLE c (a REFERENCES p DEFERRABLE INITIALLY DEFERRED)',
  );
  await fails(connection.exec('INSERT INTO c VALUES (1)'), 787, 'FOREIGN KEY constraint failed');
  await fails(connection.query('INSERT INTO c VALUES (1) RETURNING a'), 787, 'FOREIGN KEY constraint failed');
  // OR FAIL commits what came before the row that failed: it is the commit that fails in the end.
  await connection.exec('CREATE TABLE d (a NOT NULL REFERENCES p DEFERRABLE INITIALLY DEFERRED)');
  for (const sql of [
    'INSERT OR FAIL INTO d VALUES (1), (NULL)',
    'INSERT OR FAIL INTO d VALUES (1), (NULL) RETURNING a',
  ]) {
    await fails(connection.query(sql), 787, 'FOREIGN KEY constraint failed');
  }
  assert.equal(await connection.value('SELECT count(*) FROM d'), 0);
  // No transaction is left behind.
  await fails(connection.exec('COMMIT'), 1, 'cannot commit - no transaction is active');
  assert.equal(await connection.value('SELECT count(*) FROM c'), 0);
  const other = await server.connect(`statements ${names - 1}`);
  await other.exec('INSERT INTO p VALUES (1)');
  await connection.exec('BEGIN');
  assert.deepEqual(await connection.query('INSERT INTO c VALUES (2) RETURNING a'), [[2]]);
  await fails(connection.exec('COMMIT'), 787, 'FOREIGN KEY constraint failed');
  await connection.exec('ROLLBACK');
});

test('counters are those of the connection, and stay until something changes them', async () => {
  const connection = await fresh();
  const expect = async (sql: string, lastInsertId: number, changes: number): Promise<void> =>
    assert.deepEqual(await connection.exec(sql), { lastInsertId, changes }, sql);
  await expect('', 0, 0);
  await expect('CREATE TABLE t (a UNIQUE, b)', 0, 0);
  await expect('INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)', 3, 3);
  await expect('', 3, 3);
  await expect(' ; -- nothing', 3, 3);
  await expect('CREATE TABLE u (a)', 3, 3);
  await expect('BEGIN', 3, 3);
  await expect('UPDATE t SET b = 0 WHERE a > 1', 3, 2);
  await expect('INSERT INTO t VALUES (9, 9)', 4, 1);
  await expect('ROLLBACK', 4, 1);
  await expect('ANALYZE', 4, 1);
  await expect('REPLACE INTO t VALUES (1, 7)', 4, 1);
  await expect('INSERT OR IGNORE INTO t VALUES (1, 8)', 4, 0);
  await expect('UPDATE t SET b = 1 WHERE a = 100', 4, 0);
  await expect('DELETE FROM t', 4, 3);
  await expect('SELECT * FROM t', 4, 3);
  await expect('INSERT INTO t (rowid, a) VALUES (-5, 1)', -5, 1);
  assert.deepEqual(await connection.query('SELECT last_insert_rowid(), changes()'), [[-5, 1]]);
  const other = await server.connect(`statements ${names - 1}`);
  assert.deepEqual(await other.exec(''), { lastInsertId: 0, changes: 0 });
  assert.deepEqual(await other.query('SELECT last_insert_rowid(), changes()'), [[0, 0]]);
});

test('a rowid of 64 bits is not rounded', async () => {
  const connection = await fresh('CREATE TABLE t (a INTEGER PRIMARY KEY)');
  for (const id of [9007199254740993n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    const response = await connection.call(requests.execSql('INSERT INTO t VALUES (?)', id));
    assert.deepEqual(response, { kind: 'result', lastInsertId: id, rowsAffected: 1 });
  }
});

test('what was a mere read when it was compiled may write now', async () => {
  const [client, other] = (await server.connectMany('kinds', 2)) as [Connection, Connection];
  // State of its own, so that all of its statements are compiled on its own connection.
  await client.query('PRAGMA case_sensitive_like=1');
  const create = 'CREATE TABLE IF NOT EXISTS t (a)';
  const counters = 'SELECT changes(), total_changes()';
  await client.exec(create);
  await client.exec(create);
  await other.exec('DROP TABLE t');
  await client.exec(create);
  await client.exec('BEGIN');
  await client.exec(create);
  await client.exec('SAVEPOINT s');
  await client.exec('DROP TABLE t');
  await client.exec(create);
  await client.exec(create);
  await client.exec('INSERT INTO t VALUES (1), (2)');
  // What fails to compile leaves the counters alone, also when it was compiled with success before.
  await client.exec('UPDATE t SET a = 0');
  await client.exec('ROLLBACK TO s');
  await client.exec('ALTER TABLE t RENAME TO u');
  await fails(client.exec('UPDATE t SET a = 0'), 1, 'no such table: t');
  assert.deepEqual(await client.query(counters), [[2, 4]]);
  await client.exec('CREATE TABLE t (a)');
  await client.exec(create);
  await client.exec('ROLLBACK');
  await client.exec('DROP TABLE t');
  await client.exec(create);
  await client.exec('INSERT INTO t VALUES (3)');
  assert.deepEqual(await other.query('SELECT a FROM t'), [[3]]);
});

test('prepared statements survive changes of the schema', async () => {
  const connection = await fresh('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const other = await server.connect(`statements ${names - 1}`);
  const { statement } = await connection.prepare('SELECT * FROM t');
  const run = async (): Promise<unknown> => {
    connection.send(requests.query(statement));
    const { columns, rows } = await connection.rows();
    return [columns, rows.map(row => row.map(({ value }) => value))];
  };
  assert.deepEqual(await run(), [['a'], [[1n]]]);
  await other.exec("ALTER TABLE t ADD COLUMN b DEFAULT 'x'");
  assert.deepEqual(await run(), [['a', 'b'], [[1n, 'x']]]);
  await other.exec('ALTER TABLE t RENAME COLUMN a TO c');
  assert.deepEqual(await run(), [['c', 'b'], [[1n, 'x']]]);
  await other.exec('DROP TABLE t');
  await fails(run(), 1, 'no such table: t');
  await fails(run(), 1, 'no such table: t');
  await other.exec("CREATE TABLE t (z); INSERT INTO t VALUES ('again')");
  assert.deepEqual(await run(), [['z'], [['again']]]);
});

test('the same inside a transaction, with a statement of the own connection', async () => {
  const connection = await fresh('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const { statement } = await connection.prepare('SELECT * FROM t');
  await connection.exec('BEGIN IMMEDIATE');
  connection.send(requests.query(statement));
  assert.deepEqual((await connection.rows()).columns, ['a']);
  await connection.exec('ALTER TABLE t ADD COLUMN b DEFAULT 5');
  connection.send(requests.query(statement));
  assert.deepEqual((await connection.rows()).columns, ['a', 'b']);
  await connection.exec('ROLLBACK');
  connection.send(requests.query(statement));
  assert.deepEqual((await connection.rows()).columns, ['a']);
});

test('a query that fails while it runs is answered with a clean FAILURE', async () => {
  const connection = await fresh();
  await fails(connection.query("SELECT json('{') AS j"), 1, 'malformed JSON');
  connection.send(requests.querySql("SELECT json('{') AS j"));
  const { body } = await connection.next();
  assert.deepEqual(body, Buffer.concat([words(1), text('malformed JSON')]));
  // After rows: the parts that were complete, then the failure.
  const sql = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 400)
    SELECT x, CASE WHEN x = 300 THEN json('{') ELSE 'x' END FROM c`;
  connection.send(requests.querySql(sql));
  const parts = await connection.parts();
  const failure = parts.pop();
  assert.equal(failure?.type, responseType.failure);
  assert.deepEqual(failure?.body, Buffer.concat([words(1), text('malformed JSON')]));
  // One, or more on a machine that is slow: a part also ends when it took long.
  assert.ok(parts.length > 0);
  let row = 0n;
  for (const { type, body: part } of parts) {
    assert.equal(type, responseType.rows);
    const reader = new RowsReader(part);
    reader.columnNames();
    for (let values = reader.row(); values !== undefined; values = reader.row()) assert.equal(values[0]!.value, ++row);
    assert.ok(!reader.done);
  }
  assert.ok(row > 0n && row < 300n, `${row} rows`);
  assert.equal(await connection.value('SELECT 1'), 1);
});

test('functions that reach outside are not there', async () => {
  const connection = await fresh();
  for (const sql of ["SELECT load_extension('x')", "SELECT readfile('/etc/passwd')", "SELECT writefile('x', 'y')"]) {
    await fails(connection.query(sql), 1, /no such function|not authorized/);
  }
});

test('the number of prepared statements has a limit that is named', async () => {
  const own = await TestNode.start({ engine: { maxStatements: 3 } });
  const connection = await own.connect('limit');
  for (let i = 0; i < 3; i++) await connection.prepare('SELECT 1');
  await fails(connection.prepare('SELECT 1'), 1, /3 prepared statements \(maxStatements\)/);
  await connection.call(requests.finalize(1));
  assert.equal((await connection.prepare('SELECT 1')).statement, 1);
  await own.close();
});

test('a prepared statement keeps its text, not the bytes that it arrived with', async () => {
  const connection = await fresh();
  const session = [...server.database(`statements ${names - 1}`).sessions][0]!;
  const filler = message(requestType.querySql, Buffer.concat([words(0), text(`SELECT 1 -- ${'x'.repeat(30_000)}`)]));
  connection.write(Buffer.concat([filler, message(requestType.prepare, Buffer.concat([words(0), text('SELECT 2')]))]));
  await connection.rows();
  await connection.response();
  assert.ok(session.prepared(0)!.sql.buffer.byteLength < 1000);
});
