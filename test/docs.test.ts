/** The examples in docs/protocol.md and docs/files.md are read and written by the codecs, byte for byte. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import {
  batchHeaderSize,
  decodeMetadata,
  decodeSnapshotMeta,
  encodeBatchHeader,
  encodeMetadata,
  encodeSegmentHeader,
  encodeSnapshotMeta,
} from '../src/format/index.ts';
import { decodeConfiguration, encodeConfiguration } from '../src/raft/configuration.ts';
import { Reader, Writer, encodeUtf8 } from '../src/lib/bytes.ts';
import {
  FrameParser,
  ParameterCursor,
  ParameterTuple,
  RowsReader,
  beginMessage,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  endMessage,
  protocolVersion,
  responseType,
  writeColumns,
  writeRow,
  writeRowsEnd,
  type Frame,
  type ParameterValue,
} from '../src/wire/index.ts';
import { ROOT } from './support/paths.ts';

interface Example {
  /** File and line. */
  readonly where: string;
  readonly kind: string;
  readonly lines: readonly string[];
}

function examples(document: string): Example[] {
  const found: Example[] = [];
  let open: { where: string; kind: string; lines: string[] } | undefined;
  for (const [position, line] of readFileSync(path.join(ROOT, 'docs', document), 'utf8')
    .split('\n')
    .entries()) {
    if (open !== undefined && line === '```') {
      found.push(open);
      open = undefined;
    } else if (open !== undefined) {
      open.lines.push(line);
    } else if (line.startsWith('```hex ')) {
      open = { where: `docs/${document}:${position + 1}`, kind: line.slice('```hex '.length), lines: [] };
    }
  }
  return found;
}

/** The bytes of lines with an offset and up to 16 bytes; what stands behind those is for people. */
function bytesOf(lines: readonly string[], where: string): Buffer {
  const bytes: number[] = [];
  for (const line of lines) {
    const [, offset, hex] = /^([0-9a-f]{4}) ((?: {1,2}[0-9a-f]{2}\b){1,16})/.exec(line) ?? [];
    assert.ok(offset !== undefined && hex !== undefined, `${where}: ${line}`);
    assert.equal(parseInt(offset, 16), bytes.length, `${where}: ${line}`);
    bytes.push(...Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  }
  return Buffer.from(bytes);
}

interface Streams {
  readonly client: Buffer;
  readonly server: Buffer;
}

function streamsOf({ lines, where }: Example): Streams {
  const streams = { client: Buffer.alloc(0), server: Buffer.alloc(0) };
  for (let position = 0; position < lines.length;) {
    const [, from, size] = /^(C->S|S->C) (\d+) bytes/.exec(lines[position]!) ?? [];
    assert.ok(from !== undefined, `${where}: ${lines[position]}`);
    let end = position + 1;
    while (end < lines.length && /^[0-9a-f]{4} /.test(lines[end]!)) end++;
    const bytes = bytesOf(lines.slice(position + 1, end), where);
    assert.equal(bytes.length, Number(size), `${where}: ${lines[position]}`);
    const name = from === 'C->S' ? 'client' : 'server';
    streams[name] = Buffer.concat([streams[name], bytes]);
    position = end;
  }
  return streams;
}

function framesOf(stream: Uint8Array, where: string): Frame[] {
  const parser = new FrameParser(Infinity);
  parser.push(stream);
  const frames: Frame[] = [];
  for (let frame = parser.next(); frame !== undefined; frame = parser.next()) frames.push(frame);
  assert.equal(parser.bufferedBytes, 0, where);
  return frames;
}

function encodeRows(writer: Writer, body: Uint8Array): void {
  const reader = new RowsReader(body);
  const start = beginMessage(writer, responseType.rows);
  writeColumns(writer, reader.columnNames().map(encodeUtf8));
  for (let row = reader.row(); row !== undefined; row = reader.row()) writeRow(writer, row);
  writeRowsEnd(writer, reader.done);
  endMessage(writer, start);
}

/** In the one of its forms that gives the same bytes: which it is, only the request tells. */
function encodedAgain({ type, schema, body }: Frame): string[] {
  return ([undefined, 'legacyServer', 'serversV0'] as const).map(variant => {
    const writer = new Writer();
    try {
      const response = decodeResponse(type, schema, body, variant);
      if (response.kind === 'rows') encodeRows(writer, response.body);
      else encodeResponse(writer, response);
    } catch {
      return '';
    }
    return Buffer.from(writer.written()).toString('hex');
  });
}

function messageOf({ type, schema, body }: Frame): string {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(body.length / 8);
  header[4] = type;
  header[5] = schema;
  return Buffer.concat([header, body]).toString('hex');
}

/** A tuple made of the values that are in it. */
function again(tuple: ParameterTuple): ParameterTuple {
  const cursor = new ParameterCursor(tuple);
  const values: ParameterValue[] = [];
  while (cursor.next()) values.push(cursor.value() as ParameterValue);
  return ParameterTuple.of(values, tuple.schema);
}

function checkRequests(stream: Uint8Array, where: string): void {
  for (const frame of framesOf(stream, where)) {
    const writer = new Writer();
    const request = decodeRequest(frame.type, frame.schema, frame.body);
    encodeRequest(writer, 'parameters' in request ? { ...request, parameters: again(request.parameters) } : request);
    assert.equal(Buffer.from(writer.written()).toString('hex'), messageOf(frame), where);
  }
}

test('the messages in docs/protocol.md', () => {
  const all = examples('protocol.md');
  assert.ok(all.length >= 25, `${all.length} examples`);
  for (const example of all) {
    const { where, kind } = example;
    const { client, server } = streamsOf(example);
    if (kind === 'handshake') {
      assert.equal(client.readBigUInt64LE(), protocolVersion.current);
      checkRequests(client.subarray(8), where);
      continue;
    }
    checkRequests(client, where);
    for (const frame of framesOf(server, where)) {
      // What is only ever read: a failure behind the rows that C servers had begun to write.
      if (kind === 'read') {
        const failure = decodeResponse(frame.type, frame.schema, frame.body);
        assert.deepEqual(failure, { kind: 'failure', code: 1, message: 'malformed JSON' }, where);
      } else {
        assert.equal(kind, 'wire', where);
        assert.ok(encodedAgain(frame).includes(messageOf(frame)), `${where}: ${messageOf(frame)}`);
      }
    }
  }
});

/** Padding of a configuration is whatever lay in C's memory. */
function withoutPadding(bytes: Uint8Array, size: number): string {
  return Buffer.from(bytes).fill(0, size).toString('hex');
}

test('the files in docs/files.md', () => {
  const all = examples('files.md');
  assert.deepEqual(
    all.map(({ kind }) => kind),
    ['metadata', 'metadata', 'segment', 'snapshot-meta'],
  );
  for (const { kind, lines, where } of all) {
    const bytes = bytesOf(lines, where);
    if (kind === 'metadata') {
      assert.deepEqual(Buffer.from(encodeMetadata(decodeMetadata(bytes))), bytes, where);
    } else if (kind === 'segment') {
      const dataOffset = 8 + batchHeaderSize(1);
      const header = new Reader(bytes, 24);
      const term = header.safeUint64('term');
      const data = bytes.subarray(dataOffset);
      const again = Buffer.concat([encodeSegmentHeader(), encodeBatchHeader([{ term, type: 'change', data }]), data]);
      assert.deepEqual(again, bytes, where);
      const configuration = encodeConfiguration(decodeConfiguration(data));
      assert.equal(withoutPadding(data, 34), withoutPadding(configuration, 34), where);
    } else {
      const meta = decodeSnapshotMeta(bytes);
      const configuration = encodeConfiguration(decodeConfiguration(bytes.subarray(32)));
      assert.equal(withoutPadding(bytes.subarray(32), 34), withoutPadding(configuration, 34), where);
      assert.deepEqual(decodeSnapshotMeta(encodeSnapshotMeta(meta)), meta, where);
    }
  }
});
