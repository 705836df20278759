import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../lib/assert.ts';
import { DecodeError, Writer } from '../lib/bytes.ts';
import { assertTotal, damaged, response, text } from './arbitraries.test.helpers.ts';
import { responseType } from './codes.ts';
import { decodeFailure } from './failure.ts';
import { FrameParser } from './framing.ts';
import {
  type Response,
  type ResponseVariant,
  decodeResponse,
  encodeResponse,
  writeEmpty,
  writeFailure,
  writeResult,
} from './responses.ts';

function written(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer();
  write(writer);
  return writer.copy();
}

function encoded(response: Response): Uint8Array {
  return written(writer => encodeResponse(writer, response));
}

function variantOf({ kind }: Response): ResponseVariant | undefined {
  return kind === 'legacyServer' || kind === 'serversV0' ? kind : undefined;
}

test('every response decodes to what was encoded', () => {
  fc.assert(
    fc.property(response, response => {
      const parser = new FrameParser(Infinity);
      parser.push(encoded(response));
      const frame = parser.next();
      assert.ok(frame !== undefined);
      assert.equal(parser.bufferedBytes, 0);
      assert.deepEqual(decodeResponse(frame.type, frame.schema, frame.body, variantOf(response)), response);
    }),
    { numRuns: 500 },
  );
});

test('damaged responses give a value or a DecodeError', () => {
  const input = response.chain(response =>
    fc.tuple(
      fc.oneof(
        { arbitrary: fc.constant(responseType[response.kind]), weight: 9 },
        { arbitrary: fc.nat(255), weight: 1 },
      ),
      fc.constantFrom(0, 0, 1, 2),
      damaged(fc.constant(encoded(response).slice(8))),
      fc.constant(variantOf(response)),
    ),
  );
  fc.assert(
    fc.property(input, ([type, schema, body, variant]) => {
      assertTotal(bytes => decodeResponse(type, schema, bytes, variant), body);
    }),
    { numRuns: 1000 },
  );
});

test('only STMT has a schema 1', () => {
  const body = new Uint8Array(24);
  assert.deepEqual(decodeResponse(responseType.stmt, 1, body), {
    kind: 'stmt',
    database: 0,
    statement: 0,
    parameterCount: 0,
    tailOffset: 0,
  });
  assert.throws(() => decodeResponse(responseType.stmt, 2, body), DecodeError);
  assert.throws(() => decodeResponse(responseType.result, 1, body), DecodeError);
  assert.throws(() => decodeResponse(11, 0, body), DecodeError);
});

test('a variant does not stand in the way of a failure', () => {
  const failure: Response = { kind: 'failure', code: 1, message: '' };
  assert.deepEqual(decodeResponse(responseType.failure, 0, encoded(failure).subarray(8), 'legacyServer'), failure);
});

test('a file that does not consist of whole words would displace what follows it and is not sent', () => {
  const files = [12, 4].map(size => ({ name: new Uint8Array(0), content: new Uint8Array(size) }));
  assert.throws(() => encoded({ kind: 'files', files }), AssertionError);
});

test('a list is not believed to be as long as it claims', () => {
  const body = new Uint8Array(8).fill(255);
  assert.throws(() => decodeResponse(responseType.servers, 0, body), DecodeError);
  assert.throws(() => decodeResponse(responseType.files, 0, body), DecodeError);
});

test('the direct writers give the bytes of the general encoder', () => {
  const failure: Response = { kind: 'failure', code: 10250, message: 'not leader' };
  const result: Response = { kind: 'result', lastInsertId: -(2n ** 63n), rowsAffected: 2 ** 31 };
  assert.deepEqual(
    written(writer => writeFailure(writer, failure.code, failure.message)),
    encoded(failure),
  );
  assert.deepEqual(
    written(writer => writeResult(writer, result.lastInsertId, result.rowsAffected)),
    encoded(result),
  );
  assert.deepEqual(written(writeEmpty), encoded({ kind: 'empty' }));
});

test('a failure message is cut at its first NUL', () => {
  const message = written(writer => writeFailure(writer, 1, 'near "\0": syntax error'));
  assert.deepEqual(decodeFailure(message.subarray(8)), { code: 1, message: 'near "' });
});

test('code and message of a failure are found behind any whole words', () => {
  const prefix = fc.uint8Array({ maxLength: 64 }).map(bytes => bytes.subarray(0, bytes.length - (bytes.length % 8)));
  fc.assert(
    fc.property(prefix, fc.maxSafeNat(), text, (prefix, code, message) => {
      const clean = encoded({ kind: 'failure', code, message }).subarray(8);
      assert.deepEqual(decodeFailure(new Uint8Array([...prefix, ...clean])), { code, message });
    }),
  );
});

test('a failure body without code or without end of text is a DecodeError', () => {
  for (const body of [new Uint8Array(0), new Uint8Array(8), new Uint8Array(16).fill(65)]) {
    assert.throws(() => decodeFailure(body), DecodeError);
  }
});
