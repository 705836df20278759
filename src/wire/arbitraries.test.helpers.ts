/** What the tests of this folder share: arbitrary values and messages, and the check that a decoder is total. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DecodeError, Writer } from '../lib/bytes.ts';
import { ParameterCursor, ParameterTuple, type ParameterValue } from './parameters.ts';
import type { Request } from './requests.ts';
import type { Response } from './responses.ts';
import { RowsReader } from './rows-reader.ts';
import { writeColumns, writeRow, writeRowsEnd } from './rows.ts';
import { type WireValue } from './values.ts';
import { valueType } from './codes.ts';

/** Objects like those of the decoders: `deepEqual` looks at prototypes too. */
function record<T>(fields: { readonly [Name in keyof T]: fc.Arbitrary<T[Name]> }): fc.Arbitrary<T> {
  return fc.record<T>(fields, { noNullPrototype: true });
}

const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const word = fc.maxSafeNat();
// Every code point but NUL and the surrogates. (The string units of fast-check take 0.7 s to set up.)
const codePoint = fc.oneof(
  fc.integer({ min: 1, max: 0x7f }),
  fc.integer({ min: 0x80, max: 0xd7ff }),
  fc.integer({ min: 0xe000, max: 0x10ffff }),
);
export const text: fc.Arbitrary<string> = fc
  .array(codePoint)
  .map(points => points.map(point => String.fromCodePoint(point)).join(''));
/** Not necessarily UTF-8. */
export const textBytes: fc.Arbitrary<Uint8Array> = fc
  .uint8Array({ maxLength: 40 })
  .map(bytes => bytes.filter(byte => byte !== 0));
const blob = fc.uint8Array({ maxLength: 40 });

export const parameterValue: fc.Arbitrary<ParameterValue> = fc.oneof(
  record({ type: fc.constant(valueType.integer), value: int64 }),
  record({ type: fc.constant(valueType.float), value: fc.double() }),
  record({ type: fc.constant(valueType.text), value: text }),
  record({ type: fc.constant(valueType.blob), value: blob }),
  fc.constant({ type: valueType.null, value: null }),
  record({ type: fc.constant(valueType.iso8601), value: text.map(value => (value === '' ? null : value)) }),
  record({ type: fc.constant(valueType.boolean), value: fc.boolean() }),
);

export const wireValue: fc.Arbitrary<WireValue> = fc.oneof(
  { arbitrary: parameterValue, weight: 7 },
  { arbitrary: record({ type: fc.constant(valueType.unixtime), value: int64 }), weight: 1 },
);

const schema = fc.constantFrom(0, 1);
const parameters = fc
  .tuple(fc.array(parameterValue, { maxLength: 20 }), schema)
  .map(([values, schema]) => ParameterTuple.of(values, schema));

function message<Kind extends string, Fields>(
  kind: Kind,
  fields: { readonly [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> },
): fc.Arbitrary<Fields & { readonly kind: Kind }> {
  return record(fields).map(values => ({ kind, ...values }));
}

export const request: fc.Arbitrary<Request> = fc.oneof(
  message('leader', {}),
  message('client', { id: uint64 }),
  message('open', { name: textBytes, flags: uint64, vfs: textBytes }),
  message('prepare', { schema, database: word, sql: textBytes }),
  message('exec', { database: uint32, statement: uint32, parameters }),
  message('query', { database: uint32, statement: uint32, parameters }),
  message('finalize', { database: uint32, statement: uint32 }),
  message('execSql', { database: word, sql: textBytes, parameters }),
  message('querySql', { database: word, sql: textBytes, parameters }),
  message('interrupt', { database: word }),
  message('connect', { id: uint64, address: text }),
  message('add', { id: uint64, address: text }),
  message('assign', { id: uint64, role: fc.option(word, { nil: undefined }) }),
  message('remove', { id: uint64 }),
  message('dump', { name: textBytes }),
  message('cluster', { format: word }),
  message('transfer', { id: uint64 }),
  message('describe', { format: word }),
  message('weight', { weight: uint64 }),
);

export interface RowsPart {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly WireValue[])[];
  readonly done: boolean;
}

export const rowsPart: fc.Arbitrary<RowsPart> = fc.array(text, { maxLength: 35 }).chain(columns =>
  record({
    columns: fc.constant(columns),
    rows: fc.array(fc.array(wireValue, { minLength: columns.length, maxLength: columns.length }), {
      maxLength: columns.length === 0 ? 0 : 5,
    }),
    done: fc.boolean(),
  }),
);

export function encodeRows({ columns, rows, done }: RowsPart): Uint8Array {
  const writer = new Writer();
  writeColumns(
    writer,
    columns.map(name => new TextEncoder().encode(name)),
  );
  for (const row of rows) writeRow(writer, row);
  writeRowsEnd(writer, done);
  return writer.copy();
}

export function decodeRows(body: Uint8Array): RowsPart {
  const reader = new RowsReader(body);
  const rows: WireValue[][] = [];
  for (let row = reader.row(); row !== undefined; row = reader.row()) rows.push(row);
  return { columns: reader.columnNames(), rows, done: reader.done };
}

const file = record({
  name: textBytes,
  content: fc.integer({ min: 0, max: 4 }).map(words => new Uint8Array(words * 8).fill(words)),
});

export const response: fc.Arbitrary<Response> = fc.oneof(
  message('failure', { code: word, message: text }),
  message('server', { id: uint64, address: text }),
  message('legacyServer', { address: text }),
  message('welcome', { heartbeatTimeoutMs: word }),
  message('servers', { servers: fc.array(record({ id: uint64, address: text, role: word })) }),
  message('serversV0', { servers: fc.array(record({ id: uint64, address: text })) }),
  message('db', { database: uint32 }),
  message('stmt', {
    database: uint32,
    statement: uint32,
    parameterCount: word,
    tailOffset: fc.option(word, { nil: undefined }),
  }),
  message('result', { lastInsertId: int64, rowsAffected: word }),
  message('rows', { body: rowsPart.map(encodeRows) }),
  message('empty', {}),
  message('files', { files: fc.array(file) }),
  message('metadata', { failureDomain: uint64, weight: uint64 }),
);

export function parameterValues(tuple: ParameterTuple): WireValue[] {
  const values: WireValue[] = [];
  const cursor = new ParameterCursor(tuple);
  while (cursor.next()) values.push(cursor.value());
  return values;
}

/** A request for comparison: parameters by value, wherever their bytes lie. */
export function withValues(request: Request): object {
  if (!('parameters' in request)) return request;
  const { schema } = request.parameters;
  return { ...request, parameters: { schema, values: parameterValues(request.parameters) } };
}

/** Valid bytes with a few of them changed, a part cut off or something appended; sometimes bytes from nowhere. */
export function damaged(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const changes = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 9, 0x7f, 0xee, 0xff)), { maxLength: 4 });
  const mutated = fc
    .tuple(valid, changes, fc.nat(), fc.uint8Array({ maxLength: 9 }))
    .map(([bytes, changes, cut, tail]) => {
      const kept = bytes.slice(0, cut % 2 === 0 ? bytes.length : cut % (bytes.length + 1));
      for (const [position, value] of changes) if (kept.length > 0) kept[position % kept.length] = value;
      return new Uint8Array([...kept, ...tail]);
    });
  return fc.oneof({ arbitrary: mutated, weight: 9 }, { arbitrary: fc.uint8Array({ maxLength: 80 }), weight: 1 });
}

/** The value that `decode` gives, or the message of its DecodeError. Any other error is a failure. */
function outcome(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): unknown {
  try {
    return { value: decode(bytes) };
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
    return { error: error.message };
  }
}

/** Asserts that `decode` gives a value or a DecodeError, and the same whatever lies around the bytes. */
export function assertTotal(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
  const expected = outcome(decode, bytes);
  for (const around of [0, 1, 0xff]) {
    const memory = new Uint8Array(bytes.length + 128).fill(around);
    memory.set(bytes, 64);
    const view = memory.subarray(64, 64 + bytes.length);
    assert.deepEqual(outcome(decode, view), expected);
    assert.deepEqual(memory.subarray(0, 64), new Uint8Array(64).fill(around));
  }
}
