/** Messages captured from C nodes, in both directions. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { C_DIRECTORIES } from '../../test/support/paths.ts';
import { decodeConfiguration, type Message } from '../raft/index.ts';
import { encodeInstallSnapshot, encodeMessage, PeerParser, type PeerEvent } from './index.ts';

interface Captured {
  readonly name: string;
  readonly type: string;
  readonly bytes: string;
  readonly payloadBytes: number;
  readonly payloadOmitted: boolean;
  readonly headerBytes: number;
}

const { messages } = JSON.parse(readFileSync(path.join(C_DIRECTORIES, 'wire-messages.json'), 'utf8')) as {
  messages: Captured[];
};
const captured = messages.filter(message => message.type !== 'HANDSHAKE');

function bytesOf(name: string): Buffer {
  const message = captured.find(one => one.name === name);
  assert.ok(message !== undefined, name);
  return Buffer.from(message.bytes, 'hex');
}

function parse(bytes: Uint8Array, chunkSize = bytes.length): PeerEvent[] {
  const parser = new PeerParser();
  const events: PeerEvent[] = [];
  for (let start = 0; start < bytes.length; start += chunkSize) {
    parser.push(Uint8Array.from(bytes.subarray(start, start + chunkSize)));
    for (let event = parser.next(); event !== undefined; event = parser.next()) events.push(event);
  }
  assert.equal(parser.bufferedBytes, 0);
  return events;
}

function messageOf(name: string): Message {
  const [event, ...others] = parse(bytesOf(name));
  assert.deepEqual(others, []);
  assert.equal(event?.kind, 'message');
  return event.message;
}

/** C's message without what it leaves uninitialised: the last 8 bytes of the header, 3 bytes of each entry. */
function withoutGarbage(name: string): Buffer {
  const bytes = bytesOf(name);
  const headerSize = Number(bytes.readBigUInt64LE(8));
  if (bytes[0] !== 1 && bytes[0] !== 5) return bytes;
  bytes.writeBigUInt64LE(BigInt(headerSize - 8), 8);
  if (bytes[0] === 1) {
    for (let offset = 16 + 40; offset < 16 + headerSize - 8; offset += 16) bytes.fill(0, offset + 9, offset + 12);
  }
  return Buffer.concat([bytes.subarray(0, 16 + headerSize - 8), bytes.subarray(16 + headerSize)]);
}

test('every captured message is encoded as C encoded it, but for what C leaves uninitialised', () => {
  let count = 0;
  for (const { name, payloadOmitted } of captured) {
    if (payloadOmitted) continue;
    const message = messageOf(name);
    assert.ok(message.kind !== 'installSnapshot');
    assert.equal(Buffer.concat(encodeMessage(message)).toString('hex'), withoutGarbage(name).toString('hex'), name);
    count++;
  }
  assert.equal(count, 16);
});

test('what the captured messages say', () => {
  assert.deepEqual(messageOf('heartbeat'), {
    kind: 'appendEntries',
    term: 1,
    previousIndex: 4,
    previousTerm: 1,
    commitIndex: 4,
    entries: [],
  });
  assert.deepEqual(messageOf('AppendEntriesResult rejected'), {
    kind: 'appendEntriesResult',
    term: 1,
    rejected: 4,
    lastIndex: 0,
    features: undefined,
  });
  assert.deepEqual(messageOf('TimeoutNow'), { kind: 'timeoutNow', term: 1, lastIndex: 58, lastTerm: 1 });
  assert.deepEqual(messageOf('RequestVote flags=1'), {
    kind: 'requestVote',
    term: 2,
    candidate: 3287592638544079449n,
    lastIndex: 58,
    lastTerm: 1,
    disruptLeader: true,
    preVote: false,
  });
  assert.deepEqual(messageOf('RequestVoteResult granted=0 flags=1'), {
    kind: 'requestVoteResult',
    term: 3,
    granted: false,
    preVote: true,
  });
  const batch = messageOf('AppendEntries batch of 4');
  assert.equal(batch.kind, 'appendEntries');
  assert.deepEqual(
    batch.entries.map(({ term, type, data }) => [term, type, data.length]),
    [
      [1, 'change', 40],
      [1, 'command', 12352],
      [1, 'change', 64],
      [1, 'change', 88],
    ],
  );
  assert.deepEqual(
    decodeConfiguration(batch.entries[3]!.data).servers.map(({ role }) => role),
    ['voter', 'spare', 'spare'],
  );
});

test('the header of a snapshot, then its data as it comes', () => {
  const bytes = bytesOf('InstallSnapshot');
  const size = 399_688;
  const events = parse(Buffer.concat([bytes, new Uint8Array(size)]), 64 * 1024);
  const [first] = events;
  assert.equal(first?.kind, 'snapshot');
  assert.equal(first.size, size);
  const { configuration, ...rest } = first.message;
  assert.deepEqual(rest, { kind: 'installSnapshot', term: 1, lastIndex: 96, lastTerm: 1, configurationIndex: 1 });
  assert.deepEqual(configuration.servers, [{ id: 1n, address: '127.0.0.1:29004', role: 'voter' }]);
  const data = events.flatMap(event => (event.kind === 'snapshotData' ? [event.bytes.length] : []));
  assert.equal(
    data.reduce((sum, length) => sum + length, 0),
    size,
  );
  assert.ok(data.length > 1);
  assert.equal(events.at(-1)?.kind, 'snapshotEnd');
  // C's padding of the configuration is heap garbage.
  const expected = withoutGarbage('InstallSnapshot');
  const actual = Buffer.from(encodeInstallSnapshot(first.message, size));
  const padding = 16 + 40 + 34;
  expected.fill(0, padding, padding + 6);
  assert.equal(actual.toString('hex'), expected.toString('hex'));
});

test('one byte at a time gives the same', () => {
  const stream = Buffer.concat(captured.filter(one => !one.payloadOmitted).map(one => Buffer.from(one.bytes, 'hex')));
  assert.deepEqual(parse(stream, 1), parse(stream));
});
