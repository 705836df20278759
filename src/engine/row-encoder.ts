/**
 * Result rows of a statement, encoded as wire spec sections 2.4 and 2.5 say. Values are copied from the WASM heap
 * straight into the response; no JavaScript value is made of them.
 */

import { WORD_SIZE, Writer, pad8 } from '../lib/bytes.ts';
import {
  SQLITE_TOOBIG,
  SqliteError,
  TYPE_BLOB,
  TYPE_FLOAT,
  TYPE_INTEGER,
  TYPE_NULL,
  TYPE_TEXT,
  type Exports,
  type Statement,
} from '../sqlite/index.ts';
import { beginRow, setColumnType, valueType, writeColumns, type ValueType } from '../wire/index.ts';

/** What the declared type of a column makes of its values. */
const PLAIN = 0;
const DATE = 1;
const BOOLEAN = 2;

/** Up to this length a loop is faster than a native copy with its view object. */
const SHORT_TEXT = 48;
/** Doubles hold all integers below this exactly. */
const EXACT_LIMIT = 2 ** 53;

export class RowEncoder {
  readonly #statement: Statement;
  readonly #exports: Exports;
  readonly #maxRowBytes: number;
  #generation = -1;
  #columnCount = 0;
  #declared: number[] = [];
  /** What every message of the result starts with. */
  #columns: Uint8Array = new Uint8Array(0);

  constructor(statement: Statement, maxRowBytes: number) {
    this.#statement = statement;
    this.#exports = statement.connection.sqlite.exports;
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
    const exports = this.#exports;
    const { pointer } = this.#statement;
    const header = beginRow(writer, this.#columnCount);
    for (let column = 0; column < this.#columnCount; column++) {
      const declared = this.#declared[column]!;
      switch (exports.sqlite3_column_type(pointer, column)) {
        case TYPE_INTEGER:
          setColumnType(writer, header, column, integerType(declared));
          this.#writeInteger(writer, column);
          break;
        case TYPE_FLOAT:
          setColumnType(writer, header, column, valueType.float);
          writer.double(exports.sqlite3_column_double(pointer, column));
          break;
        case TYPE_TEXT:
          setColumnType(writer, header, column, declared === DATE ? valueType.iso8601 : valueType.text);
          this.#writeText(writer, column);
          break;
        case TYPE_BLOB:
          setColumnType(writer, header, column, valueType.blob);
          this.#writeBlob(writer, column);
          break;
        case TYPE_NULL:
        default:
          // NULL in a date column is an empty text, in a BOOLEAN column 0: eight zero bytes like NULL itself.
          setColumnType(writer, header, column, nullType(declared));
          writer.safeUint64(0);
          break;
      }
      if (writer.offset - header > this.#maxRowBytes) {
        throw new SqliteError(SQLITE_TOOBIG, `a row of the result is larger than ${this.#maxRowBytes} bytes`);
      }
    }
  }

  #writeInteger(writer: Writer, column: number): void {
    const { pointer } = this.#statement;
    const value = this.#exports.sqlite3_column_double(pointer, column);
    if (value >= 0 && value < EXACT_LIMIT) writer.safeUint64(value);
    else writer.int64(this.#exports.sqlite3_column_int64(pointer, column));
  }

  #writeText(writer: Writer, column: number): void {
    const { pointer, connection } = this.#statement;
    const text = this.#exports.sqlite3_column_text(pointer, column);
    const size = this.#exports.sqlite3_column_bytes(pointer, column);
    const { heap } = connection.sqlite;
    const { bytes: source } = heap;
    if (text === 0 && size > 0) throw connection.error(7);
    if (size > SHORT_TEXT) {
      // Text on the wire ends at its first NUL.
      const end = source.indexOf(0, text);
      writer.textBytes(source.subarray(text, end));
      return;
    }
    const padded = pad8(size + 1);
    writer.reserve(padded);
    const { bytes, offset, view: target } = writer;
    const { view } = heap;
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

  #writeBlob(writer: Writer, column: number): void {
    const { pointer, connection } = this.#statement;
    const blob = this.#exports.sqlite3_column_blob(pointer, column);
    const size = this.#exports.sqlite3_column_bytes(pointer, column);
    if (blob === 0 && size > 0) throw connection.error(7);
    writer.reserve(WORD_SIZE + pad8(size));
    writer.safeUint64(size);
    writer.raw(connection.sqlite.heap.bytes.subarray(blob, blob + size));
    writer.zeros(pad8(size) - size);
  }
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
