/**
 * Rows as JavaScript values, straight from the bytes of ROWS messages (wire spec sections 2.4, 4.4). This is where a
 * client spends its time, so nothing is made on the way but the values themselves.
 */

import { DecodeError, WORD_SIZE, pad8 } from '../lib/bytes.ts';
import { rowHeaderSize, rowsMarker, valueType } from '../wire/index.ts';
import { parseDate } from './dates.ts';
import type { Column, Value } from './types.ts';

/** How rows are given, with nothing left open. */
export interface RowFormat {
  readonly asArrays: boolean;
  readonly bigints: boolean;
  readonly dates: boolean;
  /** A BOOLEAN is a boolean; else the integer that it is stored as. */
  readonly booleans: boolean;
}

/** The columns of a result. All messages of a result repeat them, and so does the next run of the same statement. */
export interface RowShape {
  readonly columns: readonly Column[];
  readonly names: readonly string[];
  /** As they stand at the beginning of a message. */
  readonly preamble: Uint8Array;
  /** A column is named `__proto__`, which an assignment would take for something else. */
  readonly hasProto: boolean;
}

/** The largest high word of a number that is a safe integer. */
const MAX_SAFE_HIGH = 0x1fffff;
const TWO_32 = 4294967296;
/** Up to here, looking for the end of a text byte by byte is faster than a call. */
const SHORT_TEXT = 64;

/** Reads one message after the other; each gives its rows until there are no more. */
export class RowDecoder {
  readonly #format: RowFormat;
  #shape: RowShape | undefined;
  #bytes: Buffer = EMPTY;
  #position = 0;
  #end = 0;
  /** Whether the message begun last is the last of the result. */
  isLast = false;

  /** `shape`: what the columns will be, probably. */
  constructor(format: RowFormat, shape: RowShape | undefined) {
    this.#format = format;
    this.#shape = shape;
  }

  get shape(): RowShape | undefined {
    return this.#shape;
  }

  /** Starts with the body of a message. Throws DecodeError. */
  begin(body: Uint8Array): void {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.length);
    const end = bytes.length - WORD_SIZE;
    if (end < WORD_SIZE) throw new DecodeError('rows end early', 0);
    const marker = bytes[end]!;
    if (marker !== rowsMarker.done && marker !== rowsMarker.part) throw new DecodeError('rows without end marker', end);
    for (let i = end + 1; i < bytes.length; i++) {
      if (bytes[i] !== marker) throw new DecodeError('rows without end marker', end);
    }
    let shape = this.#shape;
    if (shape === undefined || !startsWith(bytes, shape.preamble)) shape = this.#shape = readShape(bytes, end);
    this.#bytes = bytes;
    this.#position = shape.preamble.length;
    this.#end = end;
    this.isLast = marker === rowsMarker.done;
  }

  /** The next row of the message; undefined after the last. Throws DecodeError, or RangeError for a value that does not fit. */
  row(): unknown {
    if (this.#position === this.#end) return undefined;
    const { names, hasProto } = this.#shape!;
    const count = names.length;
    const header = this.#position;
    this.#position += rowHeaderSize(count);
    if (count === 0 || this.#position > this.#end) throw new DecodeError('row header ends early', header);
    const bytes = this.#bytes;
    if (this.#format.asArrays) {
      const row: Value[] = [];
      for (let i = 0; i < count; i++) row.push(this.#value((bytes[header + (i >> 1)]! >> ((i & 1) << 2)) & 15, i));
      return row;
    }
    const row: Record<string, Value> = {};
    for (let i = 0; i < count; i++) {
      const value = this.#value((bytes[header + (i >> 1)]! >> ((i & 1) << 2)) & 15, i);
      if (hasProto) define(row, names[i]!, value);
      else row[names[i]!] = value;
    }
    return row;
  }

  #value(type: number, column: number): Value {
    const start = this.#position;
    const bytes = this.#bytes;
    switch (type) {
      case valueType.integer:
        this.#take(start, WORD_SIZE);
        return this.#format.bigints ? bytes.readBigInt64LE(start) : this.#integer(start, column);
      case valueType.float:
        this.#take(start, WORD_SIZE);
        return bytes.readDoubleLE(start);
      case valueType.text:
        return this.#text(start);
      case valueType.blob: {
        this.#take(start, WORD_SIZE);
        const length = bytes.readUInt32LE(start) + bytes.readUInt32LE(start + 4) * TWO_32;
        const from = start + WORD_SIZE;
        this.#take(from, pad8(length));
        // A copy, and not a Buffer: the bytes around it must not stay for its sake.
        return Uint8Array.prototype.slice.call(new Uint8Array(bytes.buffer, bytes.byteOffset + from, length));
      }
      case valueType.null:
        this.#take(start, WORD_SIZE);
        return null;
      case valueType.boolean:
        this.#take(start, WORD_SIZE);
        if (!this.#format.booleans)
          return this.#format.bigints ? bytes.readBigInt64LE(start) : this.#integer(start, column);
        return bytes.readUInt32LE(start) !== 0 || bytes.readUInt32LE(start + 4) !== 0;
      case valueType.unixtime: {
        this.#take(start, WORD_SIZE);
        if (this.#format.dates) return this.#date(this.#integer(start, column) * 1000, column);
        return this.#format.bigints ? bytes.readBigInt64LE(start) : this.#integer(start, column);
      }
      case valueType.iso8601: {
        const text = this.#text(start);
        if (text === '') return null;
        return this.#format.dates ? this.#date(parseDate(text), column, text) : text;
      }
      default:
        throw new DecodeError(`unknown value type ${type}`, start);
    }
  }

  #take(start: number, size: number): void {
    if (size > this.#end - start) throw new DecodeError('value ends early', start);
    this.#position = start + size;
  }

  #integer(start: number, column: number): number {
    const bytes = this.#bytes;
    const high = bytes.readInt32LE(start + 4);
    const low = bytes.readUInt32LE(start);
    if (high > MAX_SAFE_HIGH || high < -MAX_SAFE_HIGH - 1 || (high === -MAX_SAFE_HIGH - 1 && low === 0)) {
      const name = this.#shape!.names[column];
      throw new RangeError(
        `column "${name}" holds ${bytes.readBigInt64LE(start)}, which a number cannot hold exactly: ask for { integers: 'bigint' }`,
      );
    }
    return high * TWO_32 + low;
  }

  #date(ms: number, column: number, text?: string): Date {
    const date = new Date(ms);
    if (!Number.isNaN(date.getTime())) return date;
    const name = this.#shape!.names[column];
    throw new RangeError(
      `column "${name}" holds ${text === undefined ? `${ms / 1000} s` : JSON.stringify(text)}, which is not a date: ask for { dates: 'stored' }`,
    );
  }

  #text(start: number): string {
    const bytes = this.#bytes;
    const limit = Math.min(start + SHORT_TEXT, this.#end);
    let stop = start;
    while (stop < limit && bytes[stop] !== 0) stop++;
    if (stop === limit) {
      stop = bytes.indexOf(0, stop);
      if (stop === -1 || stop >= this.#end) throw new DecodeError('text without end', start);
    }
    this.#take(start, pad8(stop - start + 1));
    return bytes.toString('utf8', start, stop);
  }
}

const EMPTY = Buffer.alloc(0);

function startsWith(bytes: Buffer, preamble: Uint8Array): boolean {
  const { length } = preamble;
  if (bytes.length < length) return false;
  for (let i = 0; i < length; i++) if (bytes[i] !== preamble[i]) return false;
  return true;
}

function readShape(bytes: Buffer, end: number): RowShape {
  const count = bytes.readUInt32LE(0) + bytes.readUInt32LE(4) * TWO_32;
  const names: string[] = [];
  let position = WORD_SIZE;
  for (let i = 0; i < count; i++) {
    const stop = bytes.indexOf(0, position);
    if (stop === -1 || stop >= end) throw new DecodeError('column name without end', position);
    names.push(bytes.toString('utf8', position, stop));
    position += pad8(stop - position + 1);
    if (position > end) throw new DecodeError('column name ends early', position);
  }
  const columns = names.map(name => ({ name }));
  return { columns, names, preamble: Buffer.from(bytes.subarray(0, position)), hasProto: names.includes('__proto__') };
}

function define(row: Record<string, Value>, name: string, value: Value): void {
  Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
}
