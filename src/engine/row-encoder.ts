/**
 * Result rows of a statement, encoded as wire spec sections 2.4 and 2.5 say. Values are copied from the WASM heap
 * straight into the response; no JavaScript value is made of them.
 */

import { assert } from '../lib/assert.ts';
import { WORD_SIZE, Writer, pad8 } from '../lib/bytes.ts';
import {
  SQLITE_NOMEM,
  SQLITE_TOOBIG,
  SqliteError,
  TYPE_BLOB,
  TYPE_FLOAT,
  TYPE_INTEGER,
  TYPE_NULL,
  TYPE_TEXT,
  VALUE_BLOB,
  VALUE_FLAGS,
  VALUE_FLOAT,
  VALUE_INTEGER,
  VALUE_NULL,
  VALUE_TEXT,
  type Heap,
  type Pointer,
  type Sqlite,
  type Statement,
  type ValueLayout,
} from '../sqlite/index.ts';
import { beginRow, setColumnType, valueType, writeColumns, type ValueType } from '../wire/index.ts';

/** What the declared type of a column makes of its values. */
const PLAIN = 0;
const DATE = 1;
const BOOLEAN = 2;

/** An integer that stands for a double: beside the flags of `VALUE_FLAGS`. */
const CONVERTED_FLOAT = -1;

/** Up to this length a loop is faster than a native copy with its view object. */
const SHORT_TEXT = 48;

export class RowEncoder {
  readonly #statement: Statement;
  readonly #sqlite: Sqlite;
  readonly #layout: ValueLayout;
  readonly #maxRowBytes: number;
  #generation = -1;
  #columnCount = 0;
  #declared: number[] = [];
  /** What every message of the result starts with. */
  #columns: Uint8Array = new Uint8Array(0);

  constructor(statement: Statement, maxRowBytes: number) {
    this.#statement = statement;
    const { sqlite } = statement.connection;
    this.#sqlite = sqlite;
    assert(sqlite.valueLayout !== undefined, 'a connection is open');
    this.#layout = sqlite.valueLayout;
    this.#maxRowBytes = maxRowBytes;
  }

  get columnCount(): number {
    return this.#columnCount;
  }

  /** To be called after the first step of an execution: until then a schema change is not known. */
  refresh(): void {
    const { generation, columnCount } = this.#statement;
    if (generation === this.#generation && columnCount === this.#columnCount) return;
    this.#generation = generation;
    this.#columnCount = columnCount;
    const names: Uint8Array[] = [];
    this.#declared = [];
    for (let column = 0; column < columnCount; column++) {
      names.push(this.#statement.columnName(column));
      this.#declared.push(declaredKind(this.#statement.columnDeclaredType(column)));
    }
    const writer = new Writer();
    writeColumns(writer, names);
    this.#columns = writer.copy();
  }

  writeColumns(writer: Writer): void {
    writer.raw(this.#columns);
  }

  /** Writes the row that the statement stands on. Throws SqliteError if it is too large. */
  writeRow(writer: Writer): void {
    const { exports, heap } = this.#sqlite;
    const { size, flags } = this.#layout;
    const header = beginRow(writer, this.#columnCount);
    let value = exports.sqlite3_column_value(this.#statement.pointer, 0);
    let { words } = heap;
    for (let column = 0; column < this.#columnCount; column++, value += size) {
      let kind = words[(value + flags) >> 2]! & VALUE_FLAGS;
      if (!isPlain(kind)) {
        kind = this.#settle(column);
        // The heap may have grown.
        ({ words } = heap);
      }
      setColumnType(writer, header, column, this.#writeValue(writer, column, words, value, kind));
      if (writer.offset - header > this.#maxRowBytes) {
        throw new SqliteError(SQLITE_TOOBIG, `a row of the result is larger than ${this.#maxRowBytes} bytes`);
      }
    }
  }

  /** Writes a value and gives its type on the wire. `words`: of the heap. */
  #writeValue(writer: Writer, column: number, words: Int32Array, value: Pointer, kind: number): ValueType {
    const { number, pointer, length } = this.#layout;
    const declared = this.#declared[column]!;
    switch (kind) {
      case VALUE_INTEGER:
        writer.words(words[(value + number) >> 2]!, words[(value + number + 4) >> 2]!);
        return integerType(declared);
      case VALUE_FLOAT:
        writer.words(words[(value + number) >> 2]!, words[(value + number + 4) >> 2]!);
        return valueType.float;
      case CONVERTED_FLOAT:
        writer.double(this.#sqlite.exports.sqlite3_column_double(this.#statement.pointer, column));
        return valueType.float;
      case VALUE_TEXT:
        writeText(writer, this.#sqlite.heap, words[(value + pointer) >> 2]!, words[(value + length) >> 2]!);
        return declared === DATE ? valueType.iso8601 : valueType.text;
      case VALUE_BLOB:
        writeBlob(writer, this.#sqlite.heap, words[(value + pointer) >> 2]!, words[(value + length) >> 2]!);
        return valueType.blob;
      case VALUE_NULL:
      default:
        // NULL in a date column is an empty text, in a BOOLEAN column 0: eight zero bytes like NULL itself.
        writer.words(0, 0);
        return nullType(declared);
    }
  }

  /** Has SQLite decide what a value is that it has in two forms, or not written out, and complete it. */
  #settle(column: number): number {
    const { exports } = this.#sqlite;
    const { pointer, connection } = this.#statement;
    switch (exports.sqlite3_column_type(pointer, column)) {
      case TYPE_INTEGER:
        return VALUE_INTEGER;
      case TYPE_FLOAT:
        return CONVERTED_FLOAT;
      case TYPE_TEXT:
        if (exports.sqlite3_column_text(pointer, column) === 0) throw connection.error(SQLITE_NOMEM);
        return VALUE_TEXT;
      case TYPE_BLOB:
        if (exports.sqlite3_column_blob(pointer, column) === 0 && exports.sqlite3_column_bytes(pointer, column) > 0) {
          throw connection.error(SQLITE_NOMEM);
        }
        return VALUE_BLOB;
      case TYPE_NULL:
      default:
        return VALUE_NULL;
    }
  }
}

/** Whether one of the flags is set that `#writeValue` knows, and no other. */
function isPlain(kind: number): boolean {
  return kind <= VALUE_BLOB && kind > 0 && (kind & (kind - 1)) === 0;
}

function writeText(writer: Writer, heap: Heap, text: Pointer, size: number): void {
  const { bytes: source, view } = heap;
  if (size > SHORT_TEXT) {
    // Text on the wire ends at its first NUL.
    const end = source.subarray(text, text + size).indexOf(0);
    writer.textBytes(source.subarray(text, end < 0 ? text + size : text + end));
    return;
  }
  const padded = pad8(size + 1);
  writer.reserve(padded);
  const { bytes, offset, view: target } = writer;
  let length = 0;
  for (; length + 4 <= size; length += 4) {
    const word = view.getInt32(text + length, true);
    // One of the four bytes is a NUL (Hacker's Delight, "Find First 0-Byte").
    if (((word - 0x01010101) & ~word & 0x80808080) !== 0) break;
    target.setInt32(offset + length, word, true);
  }
  for (; length < size; length++) {
    const byte = source[text + length]!;
    if (byte === 0) break;
    bytes[offset + length] = byte;
  }
  const end = pad8(length + 1);
  for (let i = length; i < end; i++) bytes[offset + i] = 0;
  writer.offset = offset + end;
}

function writeBlob(writer: Writer, heap: Heap, blob: Pointer, size: number): void {
  writer.reserve(WORD_SIZE + pad8(size));
  writer.safeUint64(size);
  writer.raw(heap.bytes.subarray(blob, blob + size));
  writer.zeros(pad8(size) - size);
}

const DATE_TYPE = /^(?:datetime|date|timestamp)$/i;
const BOOLEAN_TYPE = /^boolean$/i;

function declaredKind(type: string | undefined): number {
  if (type === undefined) return PLAIN;
  return DATE_TYPE.test(type) ? DATE : BOOLEAN_TYPE.test(type) ? BOOLEAN : PLAIN;
}

function integerType(declared: number): ValueType {
  return declared === DATE ? valueType.unixtime : declared === BOOLEAN ? valueType.boolean : valueType.integer;
}

function nullType(declared: number): ValueType {
  return declared === DATE ? valueType.iso8601 : declared === BOOLEAN ? valueType.boolean : valueType.null;
}
