import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError, Reader, Writer } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { assertTotal, damaged, parameterValue, parameterValues } from './arbitraries.test.helpers.ts';
import { valueType } from './codes.ts';
import { ParameterCursor, ParameterHeaderError, ParameterTuple, type ParameterValue } from './parameters.ts';

function encoded(tuple: ParameterTuple): Uint8Array {
  const writer = new Writer();
  tuple.encode(writer);
  return writer.copy();
}

function decoded(bytes: Uint8Array, schema: number): ParameterTuple {
  return ParameterTuple.decode(new Reader(bytes), schema);
}

function nulls(count: number): ParameterValue[] {
  return Array.from({ length: count }, () => ({ type: valueType.null, value: null }));
}

test('every tuple decodes to what was encoded, in both schemas', () => {
  fc.assert(
    fc.property(fc.array(parameterValue), fc.constantFrom(0, 1), (values, schema) => {
      const bytes = encoded(ParameterTuple.of(values, schema));
      assert.deepEqual(parameterValues(decoded(bytes, schema)), values);
    }),
    { numRuns: 300 },
  );
});

test('damaged tuples give values or a DecodeError', () => {
  const bytes = fc
    .tuple(fc.array(parameterValue, { minLength: 1, maxLength: 10 }), fc.constantFrom(0, 1))
    .map(([values, schema]) => encoded(ParameterTuple.of(values, schema)));
  fc.assert(
    fc.property(damaged(bytes), fc.constantFrom(0, 1), (bytes, schema) => {
      assertTotal(bytes => parameterValues(decoded(bytes, schema)), bytes);
    }),
    { numRuns: 500 },
  );
});

test('the header is padded together with the count', () => {
  const sizes = (schema: number, counts: number[]): number[] =>
    counts.map(count => ParameterTuple.of(nulls(count), schema).valuesOffset);
  assert.deepEqual(sizes(0, [0, 1, 7, 8, 15, 16, 255]), [0, 8, 8, 16, 16, 24, 256]);
  assert.deepEqual(sizes(1, [0, 1, 4, 5, 12, 13, 255]), [0, 8, 8, 16, 16, 24, 264]);
});

test('schema 0 up to 255 parameters, schema 1 from 256', () => {
  assert.equal(ParameterTuple.of(nulls(255)).schema, 0);
  const tuple = ParameterTuple.of(nulls(256));
  assert.equal(tuple.schema, 1);
  assert.equal(parameterValues(decoded(encoded(tuple), 1)).length, 256);
});

test('no parameters are no bytes; a header with count 0 means the same', () => {
  assert.equal(encoded(ParameterTuple.of([])).length, 0);
  assert.deepEqual(parameterValues(decoded(new Uint8Array(0), 1)), []);
  assert.deepEqual(parameterValues(decoded(new Uint8Array(8), 0)), []);
});

test('a cursor gives the place of each payload in the message', () => {
  const tuple = ParameterTuple.of([
    { type: valueType.text, value: 'abcdefgh' },
    { type: valueType.blob, value: new Uint8Array([1, 2, 3]) },
    { type: valueType.boolean, value: true },
  ]);
  const writer = new Writer();
  writer.zeros(16);
  tuple.encode(writer);
  const message = writer.copy();
  const reader = new Reader(message, 16);
  const cursor = new ParameterCursor(ParameterTuple.decode(reader, 0));
  const places: number[][] = [];
  while (cursor.next()) places.push([cursor.type, cursor.offset, cursor.length]);
  assert.deepEqual(places, [
    [valueType.text, 24, 8],
    [valueType.blob, 48, 3],
    [valueType.boolean, 56, 8],
  ]);
});

test('a boolean is every word but 0', () => {
  const bytes = new Uint8Array([1, valueType.boolean, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
  assert.deepEqual(parameterValues(decoded(bytes, 0)), [{ type: valueType.boolean, value: true }]);
});

test('UNIXTIME, unknown codes and truncated values are errors of the value, not of the header', () => {
  const bytes = encoded(ParameterTuple.of([{ type: valueType.integer, value: 1n }]));
  for (const type of [0, 6, 7, 8, 9, 12, 255]) {
    bytes[1] = type;
    const tuple = decoded(bytes, 0);
    assert.throws(() => new ParameterCursor(tuple).next(), DecodeError);
  }
  bytes[1] = valueType.integer;
  const truncated = decoded(bytes.subarray(0, 8), 0);
  assert.throws(
    () => new ParameterCursor(truncated).next(),
    (error: unknown) => error instanceof DecodeError && !(error instanceof ParameterHeaderError),
  );
});

test('a blob as long as 64 bits allow is truncated, not allocated', () => {
  const bytes = new Uint8Array(16).fill(255);
  bytes.set([1, valueType.blob, 0, 0, 0, 0, 0, 0]);
  assert.throws(() => parameterValues(decoded(bytes, 0)), DecodeError);
});

test('a header of 2^32 - 1 parameters is an overrun, as is one that is cut short', () => {
  assert.throws(() => decoded(new Uint8Array(64).fill(255), 1), ParameterHeaderError);
  assert.throws(() => decoded(new Uint8Array(2), 1), ParameterHeaderError);
});

test('a decoded blob is a copy, also out of a Node Buffer', () => {
  const bytes = Buffer.from(encoded(ParameterTuple.of([{ type: valueType.blob, value: new Uint8Array([7]) }])));
  const values = parameterValues(decoded(bytes, 0));
  bytes.fill(0);
  assert.deepEqual(values, [{ type: valueType.blob, value: new Uint8Array([7]) }]);
});

test('a byte order mark is a character like any other', () => {
  const values = [{ type: valueType.text, value: '\ufeffa' }];
  assert.deepEqual(parameterValues(ParameterTuple.of(values)), values);
});

test('text with a NUL inside is refused', () => {
  assert.throws(() => ParameterTuple.of([{ type: valueType.text, value: 'a\0b' }]), DqliteError);
});
