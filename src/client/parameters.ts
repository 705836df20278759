/** Values on their way to the server (wire spec sections 2.3, 2.6). */

import { encodeUtf8, type Writer } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { valueType, writeBlob } from '../wire/index.ts';
import type { Parameter } from './types.ts';

/** What a count of one byte can say. */
export const MAX_SCHEMA_0_PARAMETERS = 255;
/** A number that is sent as REAL even if it is whole: for copying what is stored. */
export class Real {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

export type BoundValue = Parameter | Real;

/** SQLite's own limit. */
const MAX_PARAMETERS = 32_766;
const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;

/** Throws DqliteError USAGE, naming the position, for what cannot be sent. */
export function checkParameters(parameters: readonly Parameter[]): void {
  if (parameters.length > MAX_PARAMETERS) {
    throw new DqliteError('USAGE', `${parameters.length} parameters, SQLite takes ${MAX_PARAMETERS} at most`);
  }
  for (let i = 0; i < parameters.length; i++) {
    const defect = defectOf(parameters[i]);
    if (defect !== undefined) throw new DqliteError('USAGE', `parameter ${i + 1} ${defect}`);
  }
}

function defectOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isNaN(value) ? 'is NaN, which SQLite has no value for' : undefined;
    case 'string':
      return value.includes('\0') ? 'has a NUL character inside, which text cannot hold; send a Uint8Array' : undefined;
    case 'boolean':
      return undefined;
    case 'bigint':
      return value < MIN_INT64 || value > MAX_INT64 ? `is ${value}, which does not fit 64 bits` : undefined;
    case 'undefined':
      return 'is undefined; write null for NULL';
    case 'object':
      if (value === null || value instanceof Uint8Array) return undefined;
      if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'is an invalid Date' : undefined;
      return `is ${Array.isArray(value) ? 'an array' : `an object (${value.constructor?.name ?? 'no prototype'})`}; SQLite has text, numbers and Uint8Array`;
    default:
      return `is a ${typeof value}`;
  }
}

/** Writes a tuple of values that were checked. `schema`: 0 up to 255 of them. */
export function writeParameters(writer: Writer, parameters: readonly BoundValue[], schema: number): void {
  const count = parameters.length;
  if (count === 0) return;
  const start = writer.offset;
  if (schema === 0) writer.uint8(count);
  else writer.uint32(count);
  for (let i = 0; i < count; i++) writer.uint8(typeOf(parameters[i]!));
  writer.padFrom(start);
  for (let i = 0; i < count; i++) writeValue(writer, parameters[i]!);
}

function typeOf(value: BoundValue): number {
  switch (typeof value) {
    case 'number':
      return isInteger(value) ? valueType.integer : valueType.float;
    case 'string':
      return valueType.text;
    case 'bigint':
      return valueType.integer;
    case 'boolean':
      return valueType.boolean;
    case 'object':
      if (value === null) return valueType.null;
      if (value instanceof Uint8Array) return valueType.blob;
      return value instanceof Date ? valueType.iso8601 : valueType.float;
  }
}

/** Minus zero is a float: an integer cannot be it. */
function isInteger(value: number): boolean {
  return Number.isSafeInteger(value) && !Object.is(value, -0);
}

function writeValue(writer: Writer, value: BoundValue): void {
  switch (typeof value) {
    case 'number':
      if (isInteger(value)) writeInteger(writer, value);
      else writer.double(value);
      break;
    case 'string':
      writeText(writer, value);
      break;
    case 'bigint':
      writer.int64(value);
      break;
    case 'boolean':
      writer.safeUint64(value ? 1 : 0);
      break;
    case 'object':
      if (value === null) writer.safeUint64(0);
      else if (value instanceof Uint8Array) writeBlob(writer, value);
      else if (value instanceof Date) writeText(writer, value.toISOString());
      else writer.double(value.value);
  }
}

/** Two's complement, without a bigint. */
function writeInteger(writer: Writer, value: number): void {
  writer.uint32(value >>> 0);
  writer.uint32(Math.floor(value / 4294967296) >>> 0);
}

/** Up to here a loop is faster than a call of the encoder. */
const SHORT_TEXT = 32;

function writeText(writer: Writer, text: string): void {
  const { length } = text;
  if (length > SHORT_TEXT) return writer.textBytes(encodeUtf8(text));
  writer.reserve(length + 8);
  const { bytes, offset } = writer;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return writer.textBytes(encodeUtf8(text));
    bytes[offset + i] = code;
  }
  writer.offset = offset + length;
  writer.zeros(8 - (length % 8));
}
