import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../lib/bytes.ts';
import type { Entry, InstallSnapshot, Message } from '../raft/index.ts';
import {
  ENTRY_SIZE_MAX,
  encodeInstallSnapshot,
  encodeMessage,
  HEADER_SIZE_MAX,
  PeerParser,
  type PeerEvent,
} from './index.ts';

type Plain = Exclude<Message, InstallSnapshot>;

const position = fc.nat({ max: 2 ** 40 });
const entry: fc.Arbitrary<Entry> = fc.record(
  {
    term: position,
    type: fc.constantFrom('command', 'barrier', 'change'),
    data: fc.nat({ max: 12 }).map(words => new Uint8Array(words * 8).fill(words)),
  },
  { noNullPrototype: true },
);
const features = fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined });
const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const shapes: fc.Arbitrary<Plain>[] = [
  fc.record({
    kind: fc.constant('requestVote'),
    term: position,
    candidate: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
    lastIndex: position,
    lastTerm: position,
    disruptLeader: fc.boolean(),
    preVote: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('requestVoteResult'),
    term: position,
    granted: fc.boolean(),
    preVote: fc.option(fc.boolean(), { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant('appendEntries'),
    term: position,
    previousIndex: position,
    previousTerm: position,
    commitIndex: position,
    entries: fc.array(entry, { maxLength: 8 }),
  }),
  fc.record({
    kind: fc.constant('appendEntriesResult'),
    term: position,
    rejected: position,
    lastIndex: position,
    features,
  }),
  fc.record({ kind: fc.constant('readProbe'), term: position, number }),
  fc.record({ kind: fc.constant('readProbeResult'), term: position, number, lastIndex: position, features }),
  fc.record({ kind: fc.constant('timeoutNow'), term: position, lastIndex: position, lastTerm: position }),
];
const messages = fc.oneof(...shapes).map(message => ({ ...message }));

function parse(chunks: readonly Uint8Array[], maxBatchBytes?: number): PeerEvent[] {
  const parser = new PeerParser(maxBatchBytes === undefined ? {} : { maxBatchBytes });
  const events: PeerEvent[] = [];
  for (const chunk of chunks) {
    parser.push(Uint8Array.from(chunk));
    for (let event = parser.next(); event !== undefined; event = parser.next()) events.push(event);
  }
  return events;
}

function plain(events: readonly PeerEvent[]): Plain[] {
  return events.map(event => {
    assert.ok(event.kind === 'message');
    return event.message;
  });
}

function bytesOf(message: Plain): Buffer {
  return Buffer.concat(encodeMessage(message));
}

/** A preamble and a header of 64-bit numbers. */
function raw(type: bigint, ...words: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(16 + words.length * 8);
  bytes.writeBigUInt64LE(type, 0);
  bytes.writeBigUInt64LE(BigInt(words.length * 8), 8);
  words.forEach((word, i) => bytes.writeBigUInt64LE(word, 16 + i * 8));
  return bytes;
}

test('what is encoded decodes to itself, in chunks of any size', () => {
  fc.assert(
    fc.property(fc.array(messages, { maxLength: 6 }), fc.integer({ min: 1, max: 300 }), (sent, chunkSize) => {
      const stream = Buffer.concat(sent.map(bytesOf));
      const chunks: Buffer[] = [];
      for (let start = 0; start < stream.length; start += chunkSize) {
        chunks.push(stream.subarray(start, start + chunkSize));
      }
      assert.deepEqual(plain(parse(chunks)), sent);
    }),
  );
});

test('a read probe is an AppendEntries with previous index 2^62 + number', () => {
  const probe = bytesOf({ kind: 'readProbe', term: 7, number: 5 });
  assert.equal(probe.toString('hex'), raw(1n, 7n, 2n ** 62n + 5n, 7n, 0n, 0n).toString('hex'));
  const answer = raw(2n, 7n, 2n ** 62n + 5n, 42n);
  assert.deepEqual(plain(parse([answer])), [
    { kind: 'readProbeResult', term: 7, number: 5, lastIndex: 42, features: undefined },
  ]);
});

test('an AppendEntries above the batch size comes out as several that say the same', () => {
  const entries: Entry[] = [8, 16, 200_000, 8, 8].map((size, i) => ({
    term: i + 1,
    type: 'command',
    data: new Uint8Array(size).fill(i + 1),
  }));
  const whole: Plain = {
    kind: 'appendEntries',
    term: 9,
    previousIndex: 10,
    previousTerm: 1,
    commitIndex: 12,
    entries,
  };
  const stream = bytesOf(whole);
  for (const chunkSize of [stream.length, 1000, 7]) {
    const chunks: Buffer[] = [];
    for (let start = 0; start < stream.length; start += chunkSize) {
      chunks.push(stream.subarray(start, start + chunkSize));
    }
    const parts = plain(parse(chunks, 24));
    assert.deepEqual(
      parts.map(part => part.kind === 'appendEntries' && [part.previousIndex, part.previousTerm, part.entries.length]),
      [
        [10, 1, 2],
        [12, 2, 1],
        [13, 3, 2],
      ],
    );
    assert.deepEqual(
      parts.flatMap(part => (part.kind === 'appendEntries' ? part.entries : [])),
      entries,
    );
  }
});

test('older and longer forms of headers', () => {
  const cases: [string, Buffer, Plain][] = [
    [
      'RequestVote without flags',
      raw(3n, 2n, 1n, 3n, 1n),
      { kind: 'requestVote', term: 2, candidate: 1n, lastIndex: 3, lastTerm: 1, disruptLeader: false, preVote: false },
    ],
    [
      'RequestVoteResult without flags',
      raw(4n, 2n, 1n),
      { kind: 'requestVoteResult', term: 2, granted: true, preVote: undefined },
    ],
    [
      'AppendEntriesResult with features',
      raw(2n, 2n, 0n, 5n, 9n),
      { kind: 'appendEntriesResult', term: 2, rejected: 0, lastIndex: 5, features: 9n },
    ],
    ['more than its fields', raw(6n, 2n, 3n, 1n, 77n, 78n), { kind: 'timeoutNow', term: 2, lastIndex: 3, lastTerm: 1 }],
    [
      'reserved bits of the type',
      raw(0xabcd00000006n & ~0xffff0000n, 2n, 3n, 1n),
      { kind: 'timeoutNow', term: 2, lastIndex: 3, lastTerm: 1 },
    ],
  ];
  for (const [name, bytes, message] of cases) assert.deepEqual(plain(parse([bytes])), [message], name);
});

test('what cannot be a message is refused', () => {
  const tooLong = Buffer.from(raw(1n, 1n));
  tooLong.writeBigUInt64LE(BigInt(HEADER_SIZE_MAX + 1), 8);
  const absurd = Buffer.from(raw(1n, 1n));
  absurd.writeBigUInt64LE(2n ** 63n, 8);
  const descriptor = (type: number, size: number): bigint => BigInt(type) | (BigInt(size) << 32n);
  const cases: [string, Buffer, RegExp][] = [
    ['type', raw(7n, 1n), /message type 7/],
    ['type 0', raw(0n, 1n), /message type 0/],
    ['no header', raw(6n), /empty header/],
    ['a header too long', tooLong, /header of 4194305 bytes, the limit is 4194304/],
    ['an absurd header', absurd, /header size: number too large/],
    ['an incomplete header', raw(6n, 1n, 2n), /last term: 8 bytes wanted, 0 left at offset 16/],
    ['an absurd term', raw(6n, 2n ** 63n, 1n, 1n), /term: number too large/],
    ['an absurd index', raw(1n, 1n, 2n ** 63n, 1n, 0n, 0n), /previous index: number too large/],
    ['more entries than there is room', raw(1n, 1n, 0n, 0n, 0n, 3n, 1n, 1n), /3 entries in 16 bytes/],
    ['an entry type', raw(1n, 1n, 0n, 0n, 0n, 1n, 1n, descriptor(4, 8)), /entry type 4/],
    ['an entry that is not aligned', raw(1n, 1n, 0n, 0n, 0n, 1n, 1n, descriptor(1, 12)), /entry of 12 bytes/],
    ['an entry too large', raw(1n, 1n, 0n, 0n, 0n, 1n, 1n, descriptor(1, ENTRY_SIZE_MAX + 8)), /the limit is/],
    ['a probe with entries', raw(1n, 1n, 2n ** 62n, 0n, 0n, 1n, 1n, descriptor(1, 8)), /1 entries in a read probe/],
    ['candidate 0', raw(3n, 1n, 0n, 1n, 1n, 0n), /candidate 0/],
    ['a snapshot of nothing', raw(5n, 1n, 0n, 0n, 0n, 0n, 0n), /snapshot of nothing/],
    ['a configuration that is none', raw(5n, 1n, 9n, 1n, 1n, 8n, 0n, 0n), /configuration format 0/],
    ['a configuration that is too long', raw(5n, 1n, 9n, 1n, 1n, 99n, 0n, 0n), /configuration: 99 bytes wanted/],
  ];
  for (const [name, bytes, message] of cases) {
    assert.throws(() => parse([bytes]), { name: 'DecodeError', message }, name);
  }
});

test('any bytes give messages or a DecodeError', () => {
  const feed = (bytes: Uint8Array): void => {
    try {
      parse([bytes]);
    } catch (error) {
      assert.ok(error instanceof DecodeError);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), feed));
  const snapshot = encodeInstallSnapshot(
    {
      kind: 'installSnapshot',
      term: 1,
      lastIndex: 5,
      lastTerm: 1,
      configurationIndex: 1,
      configuration: { servers: [{ id: 1n, address: 'a', role: 'voter' }] },
    },
    16,
  );
  fc.assert(
    fc.property(fc.oneof(messages.map(bytesOf), fc.constant(snapshot)), fc.nat(), fc.nat(255), (bytes, at, byte) => {
      const copy = Uint8Array.from(bytes);
      copy[at % copy.length] = byte;
      feed(copy);
    }),
  );
});

test('memory follows what arrived, not what was announced', () => {
  const parser = new PeerParser();
  const header = raw(1n, 1n, 0n, 0n, 0n, 1n, 1n, 1n | (8_000_000n << 32n));
  parser.push(Uint8Array.from(header));
  assert.equal(parser.next(), undefined);
  assert.equal(parser.bufferedBytes, 0);
  parser.push(new Uint8Array(1000));
  assert.equal(parser.next(), undefined);
  assert.equal(parser.bufferedBytes, 1000);
});
