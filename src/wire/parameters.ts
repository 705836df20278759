/**
 * Parameter tuples: the values that EXEC, QUERY and their SQL forms carry at their end (wire spec sections 2.3
 * and 2.6). A tuple is decoded in two steps with different consequences on the server: the header together
 * with the request's fixed fields (an overrun ends the connection), the values one by one while they are bound
 * (a bad one is a FAILURE). A tuple is a view; nothing of it is copied.
 */

import { assert } from '../lib/assert.ts';
import { DecodeError, type Reader, WORD_SIZE, Writer, pad8 } from '../lib/bytes.ts';
import { valueType } from './codes.ts';
import { ValueCursor, type WireValue, writeValue } from './values.ts';

/** UNIXTIME cannot be sent as a parameter. */
export type ParameterValue = Exclude<WireValue, { readonly type: typeof valueType.unixtime }>;

/** The largest count that schema 0 can express, the only schema that 1.11.1 understands. */
const MAX_SCHEMA_0_COUNT = 255;

/** The count and the type codes of a tuple do not fit the message. */
export class ParameterHeaderError extends DecodeError {}

/** Schema 0 has a 1-byte count, schema 1 a 4-byte count. */
function countSize(schema: number): number {
  return schema === 0 ? 1 : 4;
}

export class ParameterTuple {
  /** Holds the tuple from `start` on. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly schema: number;
  readonly count: number;

  private constructor(bytes: Uint8Array, start: number, schema: number, count: number) {
    this.bytes = bytes;
    this.start = start;
    this.schema = schema;
    this.count = count;
  }

  /** The rest of `reader` as a tuple of schema 0 or 1. Throws `ParameterHeaderError`. */
  static decode(reader: Reader, schema: number): ParameterTuple {
    const start = reader.offset;
    const size = reader.remaining;
    // No parameters: the tuple is absent altogether.
    if (size === 0) return new ParameterTuple(reader.bytes, start, schema, 0);
    if (size < WORD_SIZE) throw new ParameterHeaderError('parameter header shorter than a word', start);
    const count = schema === 0 ? reader.uint8('parameter count') : reader.uint32('parameter count');
    if (pad8(countSize(schema) + count) > size) {
      throw new ParameterHeaderError(`${count} parameters announced, ${size} bytes left`, start);
    }
    return new ParameterTuple(reader.bytes, start, schema, count);
  }

  /** Encodes values, in schema 0 if that can hold them. Throws `DqliteError` USAGE for a text with a NUL inside. */
  static of(
    values: readonly ParameterValue[],
    schema: number = values.length <= MAX_SCHEMA_0_COUNT ? 0 : 1,
  ): ParameterTuple {
    assert(schema === 1 || values.length <= MAX_SCHEMA_0_COUNT, 'schema 0 has at most 255 parameters');
    const writer = new Writer();
    if (values.length > 0) {
      if (schema === 0) writer.uint8(values.length);
      else writer.uint32(values.length);
      for (const { type } of values) writer.uint8(type);
      writer.padFrom(0);
      for (const value of values) writeValue(writer, value);
    }
    return new ParameterTuple(writer.written(), 0, schema, values.length);
  }

  /** Offset of the type codes in `bytes`, one byte each. */
  get typesOffset(): number {
    return this.start + countSize(this.schema);
  }

  /** Offset of the first value in `bytes`. */
  get valuesOffset(): number {
    return this.start + (this.count === 0 ? 0 : pad8(countSize(this.schema) + this.count));
  }

  encode(writer: Writer): void {
    assert(this.start % WORD_SIZE === 0, 'a parameter tuple starts at a word');
    writer.raw(this.bytes.subarray(this.start));
  }
}

/** Walks over the values of a tuple, in binding order. */
export class ParameterCursor extends ValueCursor {
  #typeOffset: number;
  readonly #typesEnd: number;

  constructor(tuple: ParameterTuple) {
    super(tuple.bytes, tuple.valuesOffset, tuple.bytes.length);
    this.#typeOffset = tuple.typesOffset;
    this.#typesEnd = tuple.typesOffset + tuple.count;
  }

  /**
   * Moves onto the next value; false after the last. Throws `DecodeError` for a truncated value and for a type that
   * cannot be a parameter.
   */
  next(): boolean {
    if (this.#typeOffset === this.#typesEnd) return false;
    const type = this.bytes[this.#typeOffset] as number;
    if (type === valueType.unixtime) throw new DecodeError('UNIXTIME parameter', this.#typeOffset);
    this.enter(type);
    this.#typeOffset++;
    return true;
  }
}
