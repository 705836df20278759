/**
 * Single values, the same in parameters and in rows (wire spec sections 2.1, 2.2): how to find one among encoded
 * bytes, read it and write it. `ValueCursor` is the common half of the parameter cursor and the rows reader;
 * it creates nothing while it moves, so that a server can copy payloads straight into SQLite's heap.
 */

import { unreachable } from '../lib/assert.ts';
import {
  DecodeError,
  WORD_SIZE,
  type Writer,
  decodeUtf8,
  encodeUtf8,
  pad8,
  textLength,
  uint32At,
} from '../lib/bytes.ts';
import { type ValueType, valueType } from './codes.ts';
import { writeText } from './text.ts';

/** A value as a JavaScript object. A row's ISO8601 null is SQL NULL in a column declared as a date. */
export type WireValue =
  | { readonly type: typeof valueType.integer; readonly value: bigint }
  | { readonly type: typeof valueType.float; readonly value: number }
  | { readonly type: typeof valueType.text; readonly value: string }
  | { readonly type: typeof valueType.blob; readonly value: Uint8Array }
  | { readonly type: typeof valueType.null; readonly value: null }
  | { readonly type: typeof valueType.unixtime; readonly value: bigint }
  | { readonly type: typeof valueType.iso8601; readonly value: string | null }
  | { readonly type: typeof valueType.boolean; readonly value: boolean };

/** Blob: length, bytes, zero padding. */
export function writeBlob(writer: Writer, bytes: Uint8Array): void {
  writer.safeUint64(bytes.length);
  const start = writer.offset;
  writer.raw(bytes);
  writer.padFrom(start);
}

/** Throws `DqliteError` USAGE for a text with a NUL inside. */
export function writeValue(writer: Writer, { type, value }: WireValue): void {
  switch (type) {
    case valueType.integer:
    case valueType.unixtime:
      return writer.int64(value);
    case valueType.float:
      return writer.double(value);
    case valueType.text:
    case valueType.iso8601:
      return writeText(writer, encodeUtf8(value ?? ''));
    case valueType.blob:
      return writeBlob(writer, value);
    case valueType.null:
      return writer.safeUint64(0);
    case valueType.boolean:
      return writer.safeUint64(value ? 1 : 0);
    default:
      return unreachable(type);
  }
}

/**
 * Stands on one value of a run of encoded values. `type`, `offset` and `length` describe it: the payload is
 * `bytes[offset, offset + length)`, for TEXT without the NUL, for BLOB without the length word. The methods that
 * return a value trust the caller to have looked at `type`.
 */
export class ValueCursor {
  readonly bytes: Uint8Array;
  type: ValueType = valueType.null;
  offset = 0;
  length = 0;
  /** Where the next value starts. */
  protected position: number;
  /** Where the run ends. */
  protected readonly end: number;
  /** Made when it is needed: a server takes most values without it. */
  #view: DataView | undefined = undefined;

  constructor(bytes: Uint8Array, position: number, end: number) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  /** Moves onto the next value, of the type that the tuple's header gave. */
  protected enter(type: number): void {
    const start = this.position;
    switch (type) {
      case valueType.integer:
      case valueType.float:
      case valueType.null:
      case valueType.unixtime:
      case valueType.boolean:
        this.#take(start, WORD_SIZE, WORD_SIZE);
        break;
      case valueType.text:
      case valueType.iso8601: {
        const length = textLength(this.bytes, start, this.end);
        if (length < 0) throw new DecodeError('text value without end', start);
        this.#take(start, length, pad8(length + 1));
        break;
      }
      case valueType.blob: {
        if (this.end - start < WORD_SIZE) throw new DecodeError('value ends early', start);
        const length = uint32At(this.bytes, start) + uint32At(this.bytes, start + 4) * 2 ** 32;
        this.#take(start + WORD_SIZE, length, pad8(length));
        break;
      }
      default:
        throw new DecodeError(`unknown value type ${type}`, start);
    }
    this.type = type;
  }

  #take(offset: number, length: number, size: number): void {
    if (size > this.end - offset) throw new DecodeError('value ends early', offset);
    this.offset = offset;
    this.length = length;
    this.position = offset + size;
  }

  /** INTEGER and UNIXTIME. */
  int64(): bigint {
    return this.#dataView().getBigInt64(this.offset, true);
  }

  /** FLOAT. */
  double(): number {
    return this.#dataView().getFloat64(this.offset, true);
  }

  /** BOOLEAN: every word but 0 is true. */
  boolean(): boolean {
    return uint32At(this.bytes, this.offset) !== 0 || uint32At(this.bytes, this.offset + 4) !== 0;
  }

  /** The payload as a view. */
  payload(): Uint8Array {
    return this.bytes.subarray(this.offset, this.offset + this.length);
  }

  /** TEXT and ISO8601. */
  text(): string {
    return decodeUtf8(this.payload());
  }

  /** Any type, as an object of its own. */
  value(): WireValue {
    const type = this.type;
    switch (type) {
      case valueType.integer:
      case valueType.unixtime:
        return { type, value: this.int64() };
      case valueType.float:
        return { type, value: this.double() };
      case valueType.text:
        return { type, value: this.text() };
      case valueType.iso8601:
        return { type, value: this.length === 0 ? null : this.text() };
      case valueType.blob:
        // Not slice(): the bytes may be a Node Buffer, whose slice is a view.
        return { type, value: new Uint8Array(this.payload()) };
      case valueType.null:
        return { type, value: null };
      case valueType.boolean:
        return { type, value: this.boolean() };
      default:
        return unreachable(type);
    }
  }

  #dataView(): DataView {
    this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    return this.#view;
  }
}
