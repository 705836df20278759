import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError, Writer, encodeUtf8 } from '../lib/bytes.ts';
import { assertTotal, damaged, decodeRows, encodeRows, rowsPart } from './arbitraries.test.helpers.ts';
import { valueType } from './codes.ts';
import { RowsReader } from './rows-reader.ts';
import { beginRow, rowHeaderSize, setColumnType, writeColumns } from './rows.ts';

const done = new Uint8Array(8).fill(0xff);

function words(...words: (number | Uint8Array)[]): Uint8Array {
  const body = new Uint8Array(words.length * 8);
  for (const [index, word] of words.entries()) {
    if (typeof word === 'number') body[index * 8] = word;
    else body.set(word, index * 8);
  }
  return body;
}

test('every rows body decodes to what was encoded', () => {
  fc.assert(
    fc.property(rowsPart, part => {
      assert.deepEqual(decodeRows(encodeRows(part)), part);
    }),
    { numRuns: 300 },
  );
});

test('damaged rows give rows or a DecodeError', () => {
  fc.assert(
    fc.property(damaged(rowsPart.map(encodeRows)), body => {
      assertTotal(decodeRows, body);
    }),
    { numRuns: 1000 },
  );
});

test('a row header has 16 columns a word', () => {
  assert.deepEqual([0, 1, 16, 17, 32, 33].map(rowHeaderSize), [0, 8, 8, 16, 16, 24]);
});

test('a row that was begun can be dropped, and its header does not shine through the next', () => {
  const writer = new Writer();
  const start = beginRow(writer, 1);
  setColumnType(writer, start, 0, valueType.blob);
  writer.offset = start;
  const header = beginRow(writer, 2);
  setColumnType(writer, header, 0, valueType.integer);
  setColumnType(writer, header, 1, valueType.boolean);
  assert.deepEqual(writer.copy(), words(0xb1));
});

test('a column name is cut at its first NUL', () => {
  const writer = new Writer();
  writeColumns(writer, [encodeUtf8('a\0bcdefghij')]);
  assert.deepEqual(writer.copy(), words(1, 'a'.charCodeAt(0)));
});

test('parts without rows and results without columns', () => {
  const part = new RowsReader(words(1, 65, new Uint8Array(8).fill(0xee)));
  assert.deepEqual([part.columnNames(), part.done, part.nextRow()], [['A'], false, false]);
  const write = new RowsReader(words(0, done));
  assert.deepEqual([write.columnNames(), write.done, write.nextRow()], [[], true, false]);
});

test('values that were not read are passed over', () => {
  const integer = (value: bigint) => ({ type: valueType.integer, value }) as const;
  const text = { type: valueType.text, value: 'a text of some words' } as const;
  const rows = [1n, 2n, 3n].map(value => [integer(value), text]);
  const reader = new RowsReader(encodeRows({ columns: ['i', 's'], rows, done: true }));
  const first: bigint[] = [];
  while (reader.nextRow() && reader.nextValue()) first.push(reader.int64());
  assert.deepEqual(first, [1n, 2n, 3n]);
  assert.equal(reader.nextRow(), false);
  assert.equal(reader.nextValue(), false);
});

test('empty text in a date column is null; the raw bytes of a text are at hand', () => {
  const row = [
    { type: valueType.iso8601, value: null },
    { type: valueType.text, value: '' },
  ];
  assert.deepEqual(decodeRows(encodeRows({ columns: ['d', 's'], rows: [row], done: true })).rows, [row]);
  const reader = new RowsReader(words(1, 65, valueType.text, new Uint8Array([0xc3, 0x28]), done));
  assert.ok(reader.nextRow() && reader.nextValue());
  assert.deepEqual(reader.payload(), new Uint8Array([0xc3, 0x28]));
});

test('what is not exactly one marker at the end is an error', () => {
  const halfMarker = new Uint8Array([255, 255, 255, 255, 238, 238, 238, 238]);
  for (const body of [
    new Uint8Array(0),
    done,
    words(1, 65),
    words(1, 65, halfMarker),
    words(1, 65, done, done),
    words(0, 1, done),
    words(0, done, done),
    words(1, 65, 0, 0, done),
    words(17, ...Array.from({ length: 17 }, () => 65), 0x11, done),
  ]) {
    assert.throws(() => decodeRows(body), DecodeError);
  }
});

test('2^60 columns are not allocated', () => {
  assert.throws(() => new RowsReader(words(new Uint8Array([0, 0, 0, 0, 0, 0, 0, 16]), 65, done)), DecodeError);
  assert.throws(() => new RowsReader(words(new Uint8Array([0, 0, 0, 0, 0, 1]), 65, done)), DecodeError);
});
