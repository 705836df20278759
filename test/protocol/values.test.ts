/** How parameters are bound and how result values are typed (wire spec sections 2.2 to 2.6). */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requestType, valueType } from '../../src/wire/index.ts';
import { encoded, fails, message, requests, text, words, type Connection, type Plain } from '../support/connection.ts';
import { TestNode } from '../support/node.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start();
});
after(() => server.close());

let names = 0;
async function fresh(sql = ''): Promise<Connection> {
  const connection = await server.connect(`values ${names++}`);
  if (sql !== '') await connection.exec(sql);
  return connection;
}

/** A tuple of schema 0 from type codes and the words of the values. */
function tuple(types: readonly number[], values: Buffer): Buffer {
  const header = Buffer.alloc(Math.ceil((1 + types.length) / 8) * 8);
  header.set([types.length, ...types]);
  return Buffer.concat([header, values]);
}

function withTuple(type: number, sql: string, parameters: Buffer): Buffer {
  return message(type, Buffer.concat([words(0), text(sql), parameters]));
}

async function bound(connection: Connection, type: number, value: Buffer): Promise<Plain[]> {
  connection.write(withTuple(requestType.querySql, 'SELECT typeof(?1), ?1', tuple([type], value)));
  const { rows } = await connection.rows();
  return rows[0]!.map(({ value }) => value);
}

const double = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
};

test('what the types of parameters become', async () => {
  const connection = await fresh();
  const cases: readonly (readonly [number, Buffer, string, Plain])[] = [
    [1, words(5), 'integer', 5n],
    [1, words(-1), 'integer', -1n],
    [1, words(2n ** 31n), 'integer', 2n ** 31n],
    [1, words(-(2n ** 31n)), 'integer', -(2n ** 31n)],
    [1, words(-(2n ** 31n) - 1n), 'integer', -(2n ** 31n) - 1n],
    [1, words(9007199254740993n), 'integer', 9007199254740993n],
    [1, words(-9007199254740993n), 'integer', -9007199254740993n],
    [1, words(2n ** 63n - 1n), 'integer', 2n ** 63n - 1n],
    [1, words(-(2n ** 63n)), 'integer', -(2n ** 63n)],
    [2, double(3.5), 'real', 3.5],
    [2, double(1), 'real', 1],
    [2, double(-0), 'real', -0],
    [2, double(Infinity), 'real', Infinity],
    [2, double(-Infinity), 'real', -Infinity],
    [2, double(5e-324), 'real', 5e-324],
    [2, double(NaN), 'null', null],
    [3, text('abcdefgh'), 'text', 'abcdefgh'],
    [3, text(''), 'text', ''],
    [3, text('ä😀'), 'text', 'ä😀'],
    [
      4,
      Buffer.concat([words(4), Buffer.from([0xde, 0, 0xbe, 0xef, 0, 0, 0, 0])]),
      'blob',
      Uint8Array.of(0xde, 0, 0xbe, 0xef),
    ],
    [4, words(0), 'blob', new Uint8Array()],
    [5, words(0), 'null', null],
    [5, words(77), 'null', null],
    [10, text('2024-02-29 12:34:56.5+02:00'), 'text', '2024-02-29 12:34:56.5+02:00'],
    [10, text(''), 'text', ''],
    [11, words(0), 'integer', 0n],
    [11, words(1), 'integer', 1n],
    [11, words(2), 'integer', 1n],
    [11, words(2n ** 63n), 'integer', 1n],
  ];
  for (const [type, value, typeName, expected] of cases) {
    assert.deepEqual(
      await bound(connection, type, value),
      [typeName, expected],
      `type ${type}, ${value.toString('hex')}`,
    );
  }
});

test('text is bound up to its first NUL, and any bytes pass', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  const bytes = Buffer.from([0x61, 0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80]);
  connection.write(withTuple(requestType.execSql, 'INSERT INTO t VALUES (?)', tuple([3], text(bytes))));
  await connection.result();
  assert.deepEqual(await connection.query('SELECT length(CAST(a AS BLOB)), hex(a) FROM t'), [
    [8, bytes.toString('hex').toUpperCase()],
  ]);
  connection.send(requests.querySql('SELECT a FROM t'));
  const { body } = await connection.next();
  assert.ok(body.includes(Buffer.concat([bytes, Buffer.alloc(8)])));
});

test('parameters that cannot be decoded fail with 1, whatever runs them', async () => {
  const connection = await fresh('CREATE TABLE t (a, b)');
  await connection.prepare('INSERT INTO t VALUES (?, ?)');
  await connection.prepare('SELECT ?, ?');
  const bad: readonly Buffer[] = [
    tuple([1, 9], words(1, 1)), // UNIXTIME
    tuple([0, 1], words(1, 1)),
    tuple([1, 6], words(1, 1)),
    tuple([1, 12], words(1, 1)),
    tuple([1, 255], words(1, 1)),
    tuple([1, 1], words(1)), // one is missing
    tuple([1, 3], Buffer.concat([words(1), Buffer.from('unending')])),
    tuple([1, 4], words(1, 9)), // a blob beyond the body
    tuple([1, 4], words(1, 2n ** 64n - 1n)),
    tuple([1, 4], words(1, 2n ** 63n)),
    tuple([1, 4], words(1, 0x100000000n)),
  ];
  for (const parameters of bad) {
    const hex = parameters.toString('hex');
    connection.write(withTuple(requestType.execSql, 'INSERT INTO t VALUES (?, ?)', parameters));
    await fails(connection.response(), 1, 'bind parameters');
    connection.write(withTuple(requestType.querySql, 'SELECT ?, ?', parameters));
    await fails(connection.response(), 1, 'bind parameters');
    connection.write(message(requestType.exec, Buffer.concat([words(0), parameters])));
    await fails(connection.response(), 1, 'bind parameters');
    connection.write(message(requestType.query, Buffer.concat([words(1n << 32n), parameters])));
    await fails(connection.response(), 1, 'bind parameters');
    // The statements can be used again.
    connection.send(requests.exec(0, 1, 2));
    await connection.result();
    connection.send(requests.query(1, 'x', 'y'));
    assert.equal((await connection.rows()).rows.length, 1, hex);
  }
  assert.deepEqual(await connection.query('SELECT DISTINCT a, b, count(*) FROM t'), [[1, 2, bad.length]]);
});

test('too many values: QUERY refuses, EXEC does not look', async () => {
  const connection = await fresh('CREATE TABLE t (a)');
  const insert = await connection.prepare('INSERT INTO t VALUES (?)');
  const select = await connection.prepare('SELECT ?');
  const range = 'column index out of range';
  await fails(connection.query('SELECT ?', 1, 2), 25, range);
  await fails(connection.query('SELECT 1', 1), 25, range);
  await fails(connection.call(requests.query(select.statement, 1, 2)), 25, range);
  await fails(connection.query('INSERT INTO t VALUES (?)', 1, 2), 25, range);
  await fails(connection.query('INSERT INTO t VALUES (?) RETURNING a', 1, 2), 25, range);
  await fails(connection.query('BEGIN', 1), 25, range);
  await fails(connection.call(requests.query(insert.statement, 1, 2)), 25, range);
  assert.equal(await connection.value('SELECT count(*) FROM t'), 0);
  await connection.call(requests.exec(insert.statement, 1, 2, 3));
  await connection.exec('INSERT INTO t VALUES (?)', 4, 5, 6);
  // Not even one that could not be decoded.
  connection.write(withTuple(requestType.execSql, 'INSERT INTO t VALUES (?)', tuple([1, 9], words(7, 7))));
  await connection.result();
  assert.deepEqual(await connection.query('SELECT a FROM t'), [[1], [4], [7]]);
});

test('too few values are NULL, and nothing stays bound', async () => {
  const connection = await fresh();
  const { statement } = await connection.prepare('SELECT ?, ?');
  const run = async (...values: Plain[]): Promise<unknown> => {
    connection.send(requests.query(statement, ...values));
    return (await connection.rows()).rows[0]!.map(({ value }) => value);
  };
  assert.deepEqual(await run(1, 2), [1n, 2n]);
  assert.deepEqual(await run(3), [3n, null]);
  assert.deepEqual(await run(), [null, null]);
  await connection.exec('BEGIN');
  assert.deepEqual(await run(1, 2), [1n, 2n]);
  assert.deepEqual(await run(), [null, null]);
  await connection.exec('ROLLBACK');
});

test('more than 255 parameters travel with schema 1', async () => {
  const connection = await fresh();
  const count = 1000;
  const values = Array.from({ length: count }, (_, index) => index);
  const sql = `SELECT ${values.map(() => '?').join('+')}`;
  assert.equal(await connection.value(sql, ...values), (count * (count - 1)) / 2);
  // 255 in schema 0, and a tuple of schema 1 with few.
  const most = values.slice(0, 255);
  assert.equal(await connection.value(`SELECT ${most.map(() => '?').join('+')}`, ...most), (255 * 254) / 2);
  const header = Buffer.from([3, 0, 0, 0, 1, 1, 1, 0]);
  const body = Buffer.concat([words(0), text('SELECT ? + ? + ?'), header, words(1, 2, 3)]);
  connection.write(message(requestType.querySql, body, { schema: 1 }));
  const response = await connection.next();
  assert.equal(response.schema, 0, 'only STMT has schema 1');
});

test('a tuple of no values is like none', async () => {
  const connection = await fresh();
  connection.write(withTuple(requestType.querySql, 'SELECT 1', words(0)));
  assert.equal((await connection.rows()).rows.length, 1);
});

const DECLARED = `CREATE TABLE t (
  id INTEGER PRIMARY KEY, plain, dt DATETIME, d date, ts TimeStamp, b Boolean,
  dt6 DATETIME(6), tz "TIMESTAMP WITH TIME ZONE", bo BOOL, ti TIME)`;

test('declared types of columns change how values are sent', async () => {
  const connection = await fresh(DECLARED);
  const columns = ['plain', 'dt', 'd', 'ts', 'b', 'dt6', 'tz', 'bo', 'ti'];
  const { integer, float, text: textType, blob, null: nullType, unixtime, iso8601, boolean } = valueType;
  const special = new Set(['dt', 'd', 'ts', 'b']);
  const cases: readonly (readonly [string, number, number, number])[] = [
    // value, ordinary type, type in a date column, type in a boolean column
    ['17', integer, unixtime, boolean],
    ['-1', integer, unixtime, boolean],
    ["'x'", textType, iso8601, textType],
    ["'2024-01-01'", textType, iso8601, textType],
    ["x'0102'", blob, blob, blob],
    ['1.5', float, float, float],
    ['9e999', float, float, float],
    ['NULL', nullType, iso8601, boolean],
  ];
  for (const [value, ordinary, date, bool] of cases) {
    await connection.exec(
      `REPLACE INTO t VALUES (1, ${value}, ${value}, ${value}, ${value}, ${value}, ${value}, ${value}, ${value}, ${value})`,
    );
    const { rows } = await connection.queryTyped(`SELECT ${columns.join(', ')} FROM t`);
    const types = rows[0]!.map(({ type }) => type);
    const expected = columns.map(name => (special.has(name) ? (name === 'b' ? bool : date) : ordinary));
    assert.deepEqual(types, expected, value);
  }
});

test('payloads in such columns', async () => {
  const connection = await fresh(DECLARED);
  const insert = (dt: string, b: string): Promise<unknown> =>
    connection.exec(`REPLACE INTO t (id, dt, b) VALUES (1, ${dt}, ${b})`);
  const row = async (): Promise<Buffer> => {
    connection.send(requests.querySql('SELECT dt, b FROM t'));
    const { body } = await connection.next();
    // Behind the preamble, without the marker.
    return body.subarray(24, body.length - 8);
  };
  const header = (types: number): Buffer => words(types);
  await insert('17', '17');
  assert.deepEqual(await row(), Buffer.concat([header(0xb9), words(17, 17)]));
  await insert('NULL', 'NULL');
  assert.deepEqual(await row(), Buffer.concat([header(0xba), words(0, 0)]));
  await insert("'123'", '-5');
  assert.deepEqual(await row(), Buffer.concat([header(0xb9), words(123, -5)]));
  await insert('1.0', '2.0');
  assert.deepEqual(await row(), Buffer.concat([header(0xb9), words(1, 2)]));
  // C servers abort on these.
  await insert('1.5', "'yes'");
  assert.deepEqual(await row(), Buffer.concat([header(0x32), double(1.5), text('yes')]));
  await insert("x'ff'", "x'00'");
  assert.deepEqual(
    await row(),
    Buffer.concat([header(0x44), words(1), Buffer.from('ff00000000000000', 'hex'), words(1, 0)]),
  );
});

test('only plain references to a column have its declared type', async () => {
  const connection = await fresh(
    `${DECLARED}; INSERT INTO t (dt, b) VALUES (1, 1); CREATE VIEW v AS SELECT dt, b FROM t`,
  );
  const types = async (sql: string): Promise<number[]> =>
    (await connection.queryTyped(sql)).rows[0]!.map(({ type }) => type);
  assert.deepEqual(await types('SELECT dt, b FROM t'), [9, 11]);
  assert.deepEqual(await types('SELECT dt AS x, b AS y FROM v'), [9, 11]);
  assert.deepEqual(await types('SELECT dt, b FROM (SELECT * FROM t)'), [9, 11]);
  assert.deepEqual(await types('SELECT (SELECT dt FROM t), (SELECT b FROM t)'), [9, 11]);
  assert.deepEqual(await types('SELECT max(dt), +b, CAST(dt AS DATETIME), 1 FROM t'), [1, 1, 1, 1]);
  // The type may change from row to row.
  await connection.exec("INSERT INTO t (dt, b) VALUES ('x', NULL), (NULL, 5), (2.5, x'00')");
  const { rows } = await connection.queryTyped('SELECT dt, b FROM t ORDER BY id');
  assert.deepEqual(
    rows.map(row => row.map(({ type }) => type)),
    [
      [9, 11],
      [10, 11],
      [10, 11],
      [2, 4],
    ],
  );
});

test('a table that is made again with other types is seen with those', async () => {
  const connection = await fresh('CREATE TABLE t (a DATE); INSERT INTO t VALUES (1)');
  const { statement } = await connection.prepare('SELECT a FROM t');
  const type = async (): Promise<number> => {
    connection.send(requests.query(statement));
    return (await connection.rows()).rows[0]![0]!.type;
  };
  assert.equal(await type(), valueType.unixtime);
  await connection.exec('DROP TABLE t; CREATE TABLE t (a BOOLEAN); INSERT INTO t VALUES (1)');
  assert.equal(await type(), valueType.boolean);
  await connection.exec('BEGIN; DROP TABLE t; CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  assert.equal(await type(), valueType.integer);
  await connection.exec('ROLLBACK');
  assert.equal(await type(), valueType.boolean);
});

test('values in rows: bytes as they are', async () => {
  const connection = await fresh();
  const value = async (sql: string): Promise<Buffer> => {
    connection.send(requests.querySql(`SELECT ${sql} AS v`));
    const { body } = await connection.next();
    return body.subarray(24, body.length - 8);
  };
  assert.deepEqual(await value("'a' || char(0) || 'b'"), text('a'));
  assert.deepEqual(await value(`'${'x'.repeat(60)}' || char(0) || 'b'`), text('x'.repeat(60)));
  for (const length of [0, 1, 7, 8, 9, 47, 48, 49, 63, 64, 1000]) {
    assert.deepEqual(await value(`'${'y'.repeat(length)}'`), text('y'.repeat(length)), `text of ${length}`);
    const blob = Buffer.alloc(Math.ceil(length / 8) * 8);
    assert.deepEqual(await value(`zeroblob(${length})`), Buffer.concat([words(length), blob]), `blob of ${length}`);
  }
  assert.deepEqual(await value("CAST(x'fffe80' AS TEXT)"), text(Buffer.from([0xff, 0xfe, 0x80])));
  assert.deepEqual(await value('9007199254740991'), words(9007199254740991n));
  assert.deepEqual(await value('9007199254740992'), words(9007199254740992n));
  assert.deepEqual(await value('9007199254740993'), words(9007199254740993n));
  assert.deepEqual(await value('-9007199254740993'), words(-9007199254740993n));
  assert.deepEqual(await value('9223372036854775807'), words(2n ** 63n - 1n));
  assert.deepEqual(await value('-9223372036854775808'), words(-(2n ** 63n)));
  assert.deepEqual(await value('-0.0'), double(-0));
  assert.deepEqual(await value('9e999'), double(Infinity));
  assert.deepEqual(await value('-9e999'), double(-Infinity));
  assert.deepEqual(await value('9e999 - 9e999'), words(0), 'NaN is NULL');
});

test('names of columns are as SQLite gives them: repeated, empty, long, of any bytes', async () => {
  const connection = await fresh();
  const long = 'c'.repeat(5000);
  const { columns, rows } = await connection.queryTyped(
    `SELECT 1, 1, 2 AS "", 3 AS "ä", 4 AS "${long}", 5 AS x, 6 AS x`,
  );
  assert.deepEqual(columns, ['1', '1', '', 'ä', long, 'x', 'x']);
  assert.equal(rows.length, 1);
  const sql = Buffer.concat([Buffer.from('SELECT 1 AS "'), Buffer.from([0xff, 0x80]), Buffer.from('"')]);
  connection.write(message(requestType.querySql, Buffer.concat([words(0), text(sql)])));
  const { body } = await connection.next();
  assert.deepEqual(body.subarray(8, 16), Buffer.from([0xff, 0x80, 0, 0, 0, 0, 0, 0]));
  connection.write(encoded(requests.interrupt));
  await connection.empty();
});

test('a text arrives up to its first NUL, whatever its length and wherever that is', async () => {
  const connection = await fresh('CREATE TABLE t (at INTEGER, v TEXT)');
  const all = 'äbcdefghijklmnopqrstuvwxyz0123456789ÿABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const lengths = 'WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 60)';
  await connection.exec(`${lengths} INSERT INTO t SELECT i, substr(?1, 1, i) FROM n`, all);
  const cut = 'substr(?1, 1, a.i) || char(0) || substr(?1, 1, b.i)';
  await connection.exec(`${lengths} INSERT INTO t SELECT a.i, ${cut} FROM n AS a, n AS b`, all);
  const rows = await connection.query('SELECT at, v FROM t');
  assert.equal(rows.length, 61 + 61 * 61);
  for (const [at, v] of rows) assert.equal(v, all.slice(0, Number(at)));
  connection.close();
});
