/** The worked examples of the wire spec (sections 1.3 and 8), captured from C servers, in both directions. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writer, encodeUtf8 } from '../lib/bytes.ts';
import { type Dump, dumpNames, readDumps } from './dumps.test.helpers.ts';
import { type RowsPart, decodeRows, encodeRows, withValues } from './arbitraries.test.helpers.ts';
import { valueType } from './codes.ts';
import { type Frame, FrameParser } from './framing.ts';
import { ParameterTuple, type ParameterValue } from './parameters.ts';
import { type Request, decodeRequest, encodeRequest } from './requests.ts';
import { type Response, type ResponseVariant, decodeResponse, encodeResponse } from './responses.ts';
import { type WireValue } from './values.ts';

function bytesOf({ size, pieces }: Dump): Uint8Array {
  const bytes = new Uint8Array(size);
  let end = 0;
  for (const piece of pieces) {
    assert.equal(piece.offset, end, 'the dump shows every byte');
    bytes.set(piece.bytes, piece.offset);
    end += piece.bytes.length;
  }
  assert.equal(end, size);
  return bytes;
}

/** The messages of one direction; the dumps are the segments in which they arrived. */
function framesOf(dumps: readonly Dump[], fromClient: boolean): { frame: Frame; message: Uint8Array }[] {
  const parser = new FrameParser(Infinity);
  const stream: number[] = [];
  for (const dump of dumps.filter(dump => dump.fromClient === fromClient)) {
    parser.push(bytesOf(dump));
    stream.push(...bytesOf(dump));
  }
  const frames: { frame: Frame; message: Uint8Array }[] = [];
  let offset = 0;
  for (let frame = parser.next(); frame !== undefined; frame = parser.next()) {
    const size = 8 + frame.body.length;
    frames.push({ frame, message: Uint8Array.from(stream.slice(offset, offset + size)) });
    offset += size;
  }
  assert.equal(parser.bufferedBytes, 0);
  return frames;
}

function written(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer();
  write(writer);
  return writer.copy();
}

/** What a response is: a message, the rows of a ROWS message, or a failure in a form that is only read. */
type Expected = Response | RowsPart | { readonly garbledFailure: Response };

interface Example {
  readonly requests?: readonly Request[];
  readonly responses?: readonly Expected[];
}

function checkRequest({ frame, message }: { frame: Frame; message: Uint8Array }, expected: Request): void {
  const decoded = decodeRequest(frame.type, frame.schema, frame.body);
  assert.deepEqual(withValues(decoded), withValues(expected));
  assert.deepEqual(
    written(writer => encodeRequest(writer, expected)),
    message,
  );
}

function checkResponse({ frame, message }: { frame: Frame; message: Uint8Array }, expected: Expected): void {
  if ('columns' in expected) {
    assert.deepEqual(decodeRows(frame.body), expected);
    checkResponse({ frame, message }, { kind: 'rows', body: encodeRows(expected) });
  } else if ('garbledFailure' in expected) {
    assert.deepEqual(decodeResponse(frame.type, frame.schema, frame.body), expected.garbledFailure);
  } else {
    const isVariant = expected.kind === 'legacyServer' || expected.kind === 'serversV0';
    const variant: ResponseVariant | undefined = isVariant ? expected.kind : undefined;
    assert.deepEqual(decodeResponse(frame.type, frame.schema, frame.body, variant), expected);
    assert.deepEqual(
      written(writer => encodeResponse(writer, expected)),
      message,
    );
  }
}

const integer = (value: bigint) => ({ type: valueType.integer, value }) as const;
const textValue = (value: string) => ({ type: valueType.text, value }) as const;
const boolean = (value: boolean) => ({ type: valueType.boolean, value }) as const;
const iso8601 = (value: string | null) => ({ type: valueType.iso8601, value }) as const;
const nothing = { type: valueType.null, value: null } as const;
const float = { type: valueType.float, value: 3.5 } as const;
const blob = { type: valueType.blob, value: new Uint8Array([0xde, 0xad, 0xbe, 0xef]) } as const;

const prepare = (sql: string, schema = 0): Request => ({ kind: 'prepare', schema, database: 0, sql: encodeUtf8(sql) });

function sqlRequest(kind: 'execSql' | 'querySql', sql: string, values: ParameterValue[] = [], schema = 0): Request {
  return { kind, database: 0, sql: encodeUtf8(sql), parameters: ParameterTuple.of(values, schema) };
}

function statementRequest(kind: 'exec' | 'query', statement: number, values: ParameterValue[] = []): Request {
  return { kind, database: 0, statement, parameters: ParameterTuple.of(values) };
}

const lastPart = (columns: readonly string[], ...rows: WireValue[][]): RowsPart => ({ columns, rows, done: true });
const failure = (code: number, message: string): Response => ({ kind: 'failure', code, message });
const result = (lastInsertId: bigint, rowsAffected: number): Response => ({
  kind: 'result',
  lastInsertId,
  rowsAffected,
});
const empty: Response = { kind: 'empty' };

const ids = [0x2dc171858c3155ben, 0x6b6b3487d5088a44n, 0x2d251f949cc6988en];
const address = (port: number): string => `127.0.0.1:${port}`;
const node = { id: 0x2dc171858c3155ben, address: address(19001) };

const examples: Readonly<Record<string, Example>> = {
  leader: {
    requests: [{ kind: 'leader' }],
    responses: [
      { kind: 'server', ...node },
      { kind: 'server', id: 0n, address: '' },
      { kind: 'legacyServer', address: node.address },
    ],
  },
  client: { requests: [{ kind: 'client', id: 0n }], responses: [{ kind: 'welcome', heartbeatTimeoutMs: 15000 }] },
  open: {
    requests: [{ kind: 'open', name: encodeUtf8('test.db'), flags: 0n, vfs: encodeUtf8('volatile') }],
    responses: [{ kind: 'db', database: 0 }],
  },
  prepare: {
    requests: [prepare('INSERT INTO ty VALUES(?,?,?,?,?,?,?,?,?,?)')],
    responses: [{ kind: 'stmt', database: 0, statement: 0, parameterCount: 10, tailOffset: undefined }],
  },
  exec: {
    requests: [
      statementRequest('exec', 0, [
        integer(-1n),
        float,
        textValue('abcdefgh'),
        blob,
        nothing,
        integer(1700000000n),
        iso8601('2024-02-29 12:34:56.5+02:00'),
        nothing,
        boolean(true),
        nothing,
      ]),
    ],
    responses: [result(1n, 1)],
  },
  'query-sql': {
    requests: [sqlRequest('querySql', 'SELECT * FROM ty')],
    responses: [
      lastPart(
        ['i', 'f', 's', 'b', 'n', 'u', 'd', 'z', 'bo', 'bn'],
        [
          integer(-1n),
          float,
          textValue('abcdefgh'),
          blob,
          nothing,
          { type: valueType.unixtime, value: 1700000000n },
          iso8601('2024-02-29 12:34:56.5+02:00'),
          iso8601(null),
          boolean(true),
          boolean(false),
        ],
      ),
    ],
  },
  query: {
    requests: [statementRequest('query', 1, [integer(0n)])],
    responses: [lastPart(['i', 's'], [integer(-1n), textValue('abcdefgh')])],
  },
  finalize: { requests: [{ kind: 'finalize', database: 0, statement: 1 }], responses: [empty] },
  'exec-sql': {
    requests: [
      sqlRequest('execSql', 'INSERT INTO ty(i) VALUES(2);INSERT INTO ty(i) VALUES(3)'),
      sqlRequest('execSql', 'DELETE FROM ty WHERE i = ?', [integer(3n)]),
    ],
    responses: [result(3n, 1), result(3n, 1)],
  },
  'failure-constraint': {
    requests: [sqlRequest('execSql', 'INSERT INTO k VALUES(1)')],
    responses: [failure(2067, 'UNIQUE constraint failed: k.a')],
  },
  'failure-statement': {
    requests: [statementRequest('exec', 9), prepare('')],
    responses: [failure(12, 'no statement with the given id'), failure(0, 'empty statement')],
  },
  'failure-busy-and-not-leader': { responses: [failure(5, 'database is locked'), failure(10250, 'not leader')] },
  'failure-behind-rows': {
    requests: [sqlRequest('querySql', "SELECT json('{') AS j")],
    responses: [{ garbledFailure: failure(1, 'malformed JSON') }, { garbledFailure: failure(1, 'malformed JSON') }],
  },
  'rows-empty': { requests: [sqlRequest('querySql', 'SELECT a FROM k WHERE 0')], responses: [lastPart(['a'])] },
  interrupt: { requests: [{ kind: 'interrupt', database: 0 }], responses: [empty] },
  'row-of-17-columns': {
    requests: [sqlRequest('querySql', 'SELECT 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,NULL')],
    responses: [
      lastPart(
        [...Array.from({ length: 16 }, (_, i) => String(i + 1)), 'NULL'],
        [...Array.from({ length: 16 }, (_, i) => integer(BigInt(i + 1))), nothing],
      ),
    ],
  },
  'eight-parameters': {
    requests: [sqlRequest('querySql', 'SELECT ?+?+?+?+?+?+?+?', [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n].map(integer))],
    responses: [lastPart(['?+?+?+?+?+?+?+?'], [integer(28n)])],
  },
  cluster: {
    requests: [
      { kind: 'cluster', format: 0 },
      { kind: 'cluster', format: 1 },
    ],
    responses: [
      { kind: 'serversV0', servers: [node] },
      { kind: 'servers', servers: ids.map((id, i) => ({ id, address: address(19001 + i), role: 0 })) },
    ],
  },
  'add-and-assign': {
    requests: [
      { kind: 'add', id: 77n, address: address(19103) },
      { kind: 'assign', id: 77n, role: 1 },
    ],
    responses: [empty, empty],
  },
  describe: {
    requests: [{ kind: 'describe', format: 0 }],
    responses: [{ kind: 'metadata', failureDomain: 0n, weight: 0n }],
  },
  'schema-1': {
    requests: [
      prepare('SELECT 1; SELECT 2', 1),
      sqlRequest('execSql', 'INSERT INTO t(a) VALUES(?)', [integer(5n)], 1),
      sqlRequest('querySql', 'SELECT ?,?,?,?,?', [0n, 1n, 2n, 3n, 4n].map(integer), 1),
    ],
    responses: [
      { kind: 'stmt', database: 0, statement: 0, parameterCount: 0, tailOffset: 9 },
      result(3n, 1),
      lastPart([]),
    ],
  },
  'go-session': {
    requests: [sqlRequest('querySql', "SELECT 1, 'x'")],
    responses: [lastPart(['1', "'x'"], [integer(1n), textValue('x')])],
  },
};

for (const [name, { requests = [], responses = [] }] of Object.entries(examples)) {
  test(name, () => {
    const dumps = readDumps(name);
    for (const fromClient of [true, false]) {
      const frames = framesOf(dumps, fromClient);
      const expected = fromClient ? requests : responses;
      assert.equal(frames.length, expected.length);
      for (const [index, frame] of frames.entries()) {
        if (fromClient) checkRequest(frame, requests[index] ?? assert.fail());
        else checkResponse(frame, responses[index] ?? assert.fail());
      }
    }
  });
}

test('connect: handshake and CONNECT on one stream', () => {
  const [dump] = readDumps('connect');
  const bytes = bytesOf(dump ?? assert.fail());
  const parser = new FrameParser(Infinity);
  parser.push(bytes);
  assert.equal(parser.handshake(), 1n);
  const frame = parser.next() ?? assert.fail();
  checkRequest({ frame, message: bytes.subarray(8) }, { kind: 'connect', ...node });
});

/** Asserts that a message is as a dump shows it, where the dump leaves out a part. */
function checkPieces(message: Uint8Array, { size, pieces }: Dump): void {
  assert.equal(message.length, size);
  for (const { offset, bytes } of pieces) assert.deepEqual(message.slice(offset, offset + bytes.length), bytes);
}

test('rows-in-parts: 170 rows and PART, 130 rows and DONE', () => {
  const [request, first, second] = readDumps('rows-in-parts');
  const frame = framesOf([request ?? assert.fail()], true)[0] ?? assert.fail();
  checkRequest(frame, sqlRequest('querySql', 'SELECT id, s FROM big ORDER BY id'));
  const rows = Array.from({ length: 300 }, (_, i) => [integer(BigInt(i + 1)), textValue(`row ${i + 1}`)]);
  const parts = [
    { dump: first ?? assert.fail(), part: { columns: ['id', 's'], rows: rows.slice(0, 170), done: false } },
    { dump: second ?? assert.fail(), part: { columns: ['id', 's'], rows: rows.slice(170), done: true } },
  ];
  for (const { dump, part } of parts) {
    const message = written(writer => encodeResponse(writer, { kind: 'rows', body: encodeRows(part) }));
    checkPieces(message, dump);
    assert.deepEqual(decodeRows(message.subarray(8)), part);
  }
});

test('dump: two files in one message', () => {
  const [request, response] = readDumps('dump');
  const frame = framesOf([request ?? assert.fail()], true)[0] ?? assert.fail();
  checkRequest(frame, { kind: 'dump', name: encodeUtf8('test.db') });
  const { pieces, size } = response ?? assert.fail();
  const bytesAt = (offset: number): Uint8Array[] =>
    pieces.filter(piece => piece.offset === offset).map(piece => piece.bytes);
  const database = new Uint8Array(4096);
  database.set([...bytesAt(0x20), ...bytesAt(0x30)].flatMap(bytes => [...bytes]));
  const wal = new Uint8Array(12392);
  wal.set(bytesAt(0x1038)[0] ?? assert.fail());
  const files: Response = {
    kind: 'files',
    files: [
      { name: encodeUtf8('test.db'), content: database },
      { name: encodeUtf8('test.db-wal'), content: wal },
    ],
  };
  const message = written(writer => encodeResponse(writer, files));
  checkPieces(message, { fromClient: false, size, pieces });
  assert.deepEqual(decodeResponse(9, 0, message.subarray(8)), files);
});

test('every fixture has an example', () => {
  assert.deepEqual(dumpNames(), [...Object.keys(examples), 'connect', 'dump', 'rows-in-parts'].sort());
});
