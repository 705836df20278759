import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError, Writer, encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { assertTotal, damaged, request, withValues } from './arbitraries.test.helpers.ts';
import { requestType } from './codes.ts';
import { FrameParser } from './framing.ts';
import { ParameterHeaderError, ParameterTuple } from './parameters.ts';
import { type Request, UnsupportedRequestError, decodeRequest, encodeRequest } from './requests.ts';

function encoded(request: Request): Uint8Array {
  const writer = new Writer();
  encodeRequest(writer, request);
  return writer.copy();
}

function decoded(message: Uint8Array): Request {
  const parser = new FrameParser(Infinity);
  parser.push(message);
  const frame = parser.next();
  assert.ok(frame !== undefined && parser.bufferedBytes === 0);
  return decodeRequest(frame.type, frame.schema, frame.body);
}

test('every request decodes to what was encoded, and encodes to the same bytes again', () => {
  fc.assert(
    fc.property(request, request => {
      const message = encoded(request);
      const again = decoded(message);
      assert.deepEqual(withValues(again), withValues(request));
      assert.deepEqual(encoded(again), message);
    }),
    { numRuns: 500 },
  );
});

test('damaged requests give a value or a DecodeError', () => {
  const body = request.map(request => [requestType[request.kind], encoded(request).slice(8)] as const);
  const input = body.chain(([type, bytes]) =>
    fc.tuple(
      fc.oneof({ arbitrary: fc.constant(type), weight: 9 }, { arbitrary: fc.nat(255), weight: 1 }),
      fc.constantFrom(0, 0, 1, 1, 2, 255),
      damaged(fc.constant(bytes)),
    ),
  );
  fc.assert(
    fc.property(input, ([type, schema, body]) => {
      assertTotal(bytes => withValues(decodeRequest(type, schema, bytes)), body);
    }),
    { numRuns: 1000 },
  );
});

test('bytes behind the known fields are ignored, an absent role included', () => {
  const body = new Uint8Array(24).fill(7);
  assert.deepEqual(decodeRequest(requestType.leader, 0, body), { kind: 'leader' });
  assert.deepEqual(decodeRequest(requestType.remove, 0, body), { kind: 'remove', id: 0x0707070707070707n });
  const id = new Uint8Array([77, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(decodeRequest(requestType.assign, 0, id), { kind: 'assign', id: 77n, role: undefined });
});

function failureOf(type: number, schema: number): unknown {
  try {
    decodeRequest(type, schema, new Uint8Array(32));
  } catch (error) {
    return error instanceof UnsupportedRequestError ? error.failure : error;
  }
  return undefined;
}

test('unknown types and schemas carry the failure to answer', () => {
  const unknownType = { code: 1005, message: 'unrecognized request type' };
  for (const type of [requestType.heartbeat, 20, 255]) assert.deepEqual(failureOf(type, 0), unknownType);

  const bothSchemas: number[] = [4, 5, 6, 8, 9];
  for (const type of Object.values(requestType).filter(type => type !== requestType.heartbeat)) {
    const hasBoth = bothSchemas.includes(type);
    assert.equal(failureOf(type, 0), undefined);
    const refused = { code: hasBoth ? 1 : 1005, message: 'unrecognized schema version' };
    assert.deepEqual(failureOf(type, 1), hasBoth ? undefined : refused);
    assert.deepEqual(failureOf(type, 2), refused);
  }
});

test('undecodable fixed fields are neither an unsupported request nor a bad parameter header', () => {
  const isPlain = (error: unknown): boolean =>
    error instanceof DecodeError &&
    !(error instanceof UnsupportedRequestError) &&
    !(error instanceof ParameterHeaderError);
  for (const type of Object.values(requestType).filter(type => type !== requestType.heartbeat)) {
    assert.throws(() => decodeRequest(type, 0, new Uint8Array(0)), isPlain);
  }
  const sqlWithoutEnd = new Uint8Array(16).fill(65);
  assert.throws(() => decodeRequest(requestType.execSql, 0, sqlWithoutEnd), isPlain);
});

test('a parameter header that does not fit has an error of its own', () => {
  const body = new Uint8Array(16);
  body[8] = 8;
  assert.throws(() => decodeRequest(requestType.exec, 0, body), ParameterHeaderError);
  body[8] = 7;
  assert.doesNotThrow(() => decodeRequest(requestType.exec, 0, body));
});

test('a database id above 2^53 is still not 0', () => {
  const body = new Uint8Array(16).fill(255);
  body[15] = 0;
  const request = decodeRequest(requestType.querySql, 0, body.fill(0, 8));
  assert.ok(request.kind === 'querySql' && request.database > Number.MAX_SAFE_INTEGER);
});

test('text with a NUL inside is refused before it can displace what follows', () => {
  const sql = encodeUtf8('SELECT 1\0');
  const parameters = ParameterTuple.of([]);
  assert.throws(
    () => encoded({ kind: 'querySql', database: 0, sql, parameters }),
    (error: unknown) => error instanceof DqliteError && error.code === 'USAGE',
  );
});
