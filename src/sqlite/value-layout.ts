/**
 * Where the values of a result row lie in the heap: one structure per column, one after the other. Reading them there
 * takes one call per row; SQLite's functions take two or three per value, which were a third of a long result's time.
 * Nothing of the structure is assumed but its flags (`Mem.flags` in SQLite's vdbeInt.h, the same since 2004); where in
 * it things are is found out by experiment.
 */

import { assert } from '../lib/assert.ts';
import { SQLITE_ROW } from './constants.ts';
import type { Connection } from './connection.ts';
import type { Pointer } from './wasm.ts';

export interface ValueLayout {
  /** Bytes from one value to the next. */
  readonly size: number;
  /** 16 bits, to be masked with `VALUE_FLAGS`. */
  readonly flags: number;
  /** The integer or the double: 64 bits. */
  readonly number: number;
  /** The bytes of a text or blob, and how many they are: 32 bits each. */
  readonly pointer: number;
  readonly length: number;
}

/** The flags that tell what a value is, and 0x400: zeros not written out. Other combinations than these: ask SQLite. */
export const VALUE_FLAGS = 0x43f;
export const VALUE_NULL = 0x01;
export const VALUE_TEXT = 0x02;
export const VALUE_INTEGER = 0x04;
export const VALUE_FLOAT = 0x08;
export const VALUE_BLOB = 0x10;

const INTEGER = 0x5eed_1dea_5eed_1deen;
const FLOAT = -1.5e300;
const TEXT_LENGTH = 0x5ee;
const BLOB_LENGTH = 0x1de;
const PROBE = `SELECT ${INTEGER}, ${FLOAT}, '${'t'.repeat(TEXT_LENGTH)}', x'${'b0'.repeat(BLOB_LENGTH)}', NULL`;
const KINDS = [VALUE_INTEGER, VALUE_FLOAT, VALUE_TEXT, VALUE_BLOB, VALUE_NULL];
const TEXT_COLUMN = 2;
const BLOB_COLUMN = 3;

/** The layout of any statement's values, found with one of a connection that is open. */
export function findValueLayout(connection: Connection): ValueLayout {
  const { exports, heap } = connection.sqlite;
  const statement = connection.prepareOwn(PROBE);
  try {
    assert(statement.step() === SQLITE_ROW, 'a row of constants');
    const values = Array.from(KINDS, (_, column) => exports.sqlite3_column_value(statement.pointer, column));
    const [first, second] = values as [Pointer, Pointer];
    const size = second - first;
    assert(size > 0 && size <= 256, `values are ${size} bytes apart`);
    assert(
      values.every((value, column) => value === first + column * size),
      'values do not lie side by side',
    );
    const { view } = heap;
    const find = (what: string, step: number, matches: (offset: number) => boolean): number => {
      for (let offset = 0; offset < size; offset += step) if (matches(offset)) return offset;
      assert(false, `${what} is not in the structure of a value`);
    };
    const wordIs = (column: number, offset: number, word: number): boolean =>
      view.getUint32(values[column]! + offset, true) === word;
    const pointers = {
      text: exports.sqlite3_column_text(statement.pointer, TEXT_COLUMN),
      blob: exports.sqlite3_column_blob(statement.pointer, BLOB_COLUMN),
    };
    return {
      size,
      flags: find('what a value is', 2, offset =>
        KINDS.every((kind, column) => (view.getUint16(values[column]! + offset, true) & VALUE_FLAGS) === kind),
      ),
      number: find(
        'a number',
        8,
        offset =>
          view.getBigInt64(first + offset, true) === INTEGER && view.getFloat64(second + offset, true) === FLOAT,
      ),
      pointer: find(
        'a pointer',
        4,
        offset => wordIs(TEXT_COLUMN, offset, pointers.text) && wordIs(BLOB_COLUMN, offset, pointers.blob),
      ),
      length: find(
        'a length',
        4,
        offset => wordIs(TEXT_COLUMN, offset, TEXT_LENGTH) && wordIs(BLOB_COLUMN, offset, BLOB_LENGTH),
      ),
    };
  } finally {
    statement.finalize();
  }
}
