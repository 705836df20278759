import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Writer } from '../lib/bytes.ts';
import { SQLITE_ROW, VALUE_FLAGS, VALUE_INTEGER, VALUE_TEXT, type Statement } from '../sqlite/index.ts';
import { column, prepare, run, World, type Value } from '../sqlite/sqlite.test.helpers.ts';
import { RowsReader, writeRowsEnd, type WireValue } from '../wire/index.ts';
import { RowEncoder } from './row-encoder.ts';

let world: World;
before(async () => {
  world = await World.create();
});

/** Integers in two forms: a whole REAL kept as one, and with the text it was made from. */
const WHOLE_REAL = 0x20;
const ZEROS = 0x400;

/** The row that the statement stands on, by way of the wire. */
function encoded(statement: Statement): WireValue[] {
  const encoder = new RowEncoder(statement, 1e6);
  encoder.refresh();
  const writer = new Writer();
  encoder.writeColumns(writer);
  encoder.writeRow(writer);
  writeRowsEnd(writer, true);
  const reader = new RowsReader(writer.copy());
  const row = reader.row();
  assert.ok(row !== undefined && reader.row() === undefined, 'one row');
  return row;
}

/** What a value of SQLite's is on the wire: a text ends at its first NUL. */
function asOnWire(value: Value): Value {
  return typeof value === 'string' ? value.split('\0', 1)[0]! : value;
}

function plain({ value }: WireValue): Value {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  return value instanceof Uint8Array ? Buffer.from(value) : (value as Value);
}

/** Compares every row of a statement with what SQLite's own functions say of it. */
function compare(statement: Statement): void {
  let rows = 0;
  while (statement.step() === SQLITE_ROW) {
    const wire = encoded(statement).map(plain);
    const own = wire.map((_, index) => asOnWire(column(statement, index)));
    assert.deepEqual(wire, own);
    rows++;
  }
  assert.ok(rows > 0);
  statement.finalize();
}

function flagsOf(statement: Statement, index: number): { read(): number; write(flags: number): void } {
  const { heap, exports, valueLayout } = statement.connection.sqlite;
  const word = exports.sqlite3_column_value(statement.pointer, index) + valueLayout!.flags;
  return {
    read: () => heap.uint32(word) & VALUE_FLAGS,
    write: flags => void heap.setUint32(word, (heap.uint32(word) & ~VALUE_FLAGS) | flags),
  };
}

test('values of every kind and size are on the wire what SQLite says they are', () => {
  const connection = world.renew().connect();
  const texts = Array.from({ length: 70 }, (_, size) => `'${'abcdefghij'.repeat(7).slice(0, size)}'`);
  const integers = ['0', '-1', '9007199254740993', '-9223372036854775807 - 1', '9223372036854775807', '4294967296'];
  const floats = ['0.0', '-0.0', '1e308 * 10', '-1e308 * 10', '5e-324', '3.0', 'CAST(7 AS REAL)'];
  const blobs = ["x''", "x'00'", 'zeroblob(0)', 'zeroblob(100)', `x'${'0badcafe'.repeat(30)}'`];
  const cut = ['1', '3', '4', '5', '47', '48', '60'].map(
    size => `substr('${'t'.repeat(70)}', 1, ${size}) || char(0) || 'x'`,
  );
  for (const values of [texts, integers, floats, blobs, cut, ['NULL', "''", 'char(0)', "json('[1]')"]]) {
    compare(prepare(connection, `SELECT ${values.join(', ')}`));
    compare(prepare(connection, `SELECT column1 FROM (VALUES (${values.join('), (')}))`));
  }
  run(connection, 'CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, r REAL, n NUMERIC, b BLOB)');
  const insert = "INSERT INTO t(a, r, n, b) VALUES (5, 5, '7', zeroblob(9)), ('x', 1e10, 8.5, 'q'), (1, 2, 'y', 3)";
  compare(prepare(connection, `${insert} RETURNING *, r, r + 0, a || ''`));
  compare(prepare(connection, 'SELECT *, rowid, a + 1, typeof(a), r * 1 FROM t ORDER BY r'));
});

test('a value that SQLite has in two forms, or not written out, is what SQLite takes it for', () => {
  const connection = world.renew().connect();
  const { exports } = world.sqlite;
  const zeros = prepare(connection, 'SELECT ?, 1');
  exports.sqlite3_bind_zeroblob(zeros.pointer, 1, 20);
  assert.equal(zeros.step(), SQLITE_ROW);
  assert.equal(flagsOf(zeros, 0).read() & ZEROS, ZEROS, 'SQLite has not written them out');
  assert.deepEqual(encoded(zeros).map(plain), [Buffer.alloc(20), 1]);
  zeros.finalize();

  const real = prepare(connection, 'SELECT 12, 13');
  assert.equal(real.step(), SQLITE_ROW);
  flagsOf(real, 0).write(WHOLE_REAL);
  assert.deepEqual(encoded(real), [
    { type: 2, value: 12 },
    { type: 1, value: 13n },
  ]);
  real.finalize();

  const both = prepare(connection, "SELECT '12', 5");
  assert.equal(both.step(), SQLITE_ROW);
  flagsOf(both, 0).write(VALUE_TEXT | VALUE_INTEGER);
  assert.deepEqual(encoded(both).map(plain), [column(both, 0), 5]);
  both.finalize();
});
