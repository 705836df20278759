import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../lib/assert.ts';
import { crc32 } from '../lib/crc32.ts';
import { readFixture, scanFile, segmentOf } from './format.test.helpers.ts';
import {
  BATCH_ENTRIES_MAX,
  batchHeaderSize,
  decodeDescriptors,
  encodeBatchHeader,
  isBatchHeaderIntact,
  type SegmentEntry,
} from './segment.ts';

const bootstrap = readFixture('three-node-clean/node1/0000000000000001-0000000000000001');

test('the segment of raft and disk spec section 8.11 is written byte for byte', () => {
  const golden =
    '01000000000000002d99f986f10c38ec0100000000000000010000000000000003000000280000000101000000000000' +
    '00be55318c8571c12d3132372e302e302e313a32393030310001310000000000';
  assert.equal(bootstrap.toString('hex'), golden);
  const entry: SegmentEntry = { term: 1, type: 'change', data: bootstrap.subarray(40) };
  assert.deepEqual(segmentOf([[entry]]), bootstrap);
});

test('the segment of raft and disk spec section 8.12: two batches, garbage after the entry types', () => {
  const file = readFixture('three-node-clean/node2/0000000000000066-0000000000000068');
  const { batches, verdict } = scanFile(file);
  assert.deepEqual(verdict, { kind: 'complete', end: 24_832 });
  const entry = { term: 3, type: 'command', dataSize: 8248 };
  assert.deepEqual(batches, [
    {
      kind: 'batch',
      offset: 8,
      end: 0x40a8,
      entries: [
        { ...entry, dataOffset: 0x38 },
        { ...entry, dataOffset: 0x2070 },
      ],
    },
    { kind: 'batch', offset: 0x40a8, end: 0x6100, entries: [{ ...entry, dataOffset: 0x40c8 }] },
  ]);

  const entries = batches.map(batch =>
    batch.entries.map(({ term, type, dataOffset, dataSize }): SegmentEntry => {
      return { term, type, data: file.subarray(dataOffset, dataOffset + dataSize) };
    }),
  );
  const written = segmentOf(entries);
  assert.equal(written.length, file.length);
  assert.deepEqual(written.subarray(0x38, 0x40a8), file.subarray(0x38, 0x40a8));
  assert.equal(written.readUInt32LE(12), 0x9a951cfb);
});

test('the header has the CRC of itself and that of all data', () => {
  const entries: SegmentEntry[] = [
    { term: Number.MAX_SAFE_INTEGER, type: 'command', data: new Uint8Array(16).fill(1) },
    { term: 1, type: 'barrier', data: new Uint8Array(8) },
  ];
  const header = Buffer.from(encodeBatchHeader(entries));
  assert.equal(header.length, batchHeaderSize(2));
  assert.equal(header.readUInt32LE(0), crc32(header.subarray(8)));
  assert.equal(header.readUInt32LE(4), crc32(Buffer.concat(entries.map(entry => entry.data))));
  assert.deepEqual(Buffer.from(encodeBatchHeader(entries, header.readUInt32LE(4))), header);
  assert.equal(isBatchHeaderIntact(header), true);
  assert.deepEqual(decodeDescriptors(header, 100), [
    { term: Number.MAX_SAFE_INTEGER, type: 'command', dataOffset: 100, dataSize: 16 },
    { term: 1, type: 'barrier', dataOffset: 116, dataSize: 8 },
  ]);
  header[20]! ^= 1;
  assert.equal(isBatchHeaderIntact(header), false);
});

test('refuses descriptors of impossible entries', () => {
  const header = encodeBatchHeader([{ term: 1, type: 'command', data: new Uint8Array(8) }]);
  const patched = (offset: number, byte: number): Uint8Array => {
    const copy = header.slice();
    copy[offset] = byte;
    return copy;
  };
  assert.throws(() => decodeDescriptors(patched(24, 4), 0), /entry type 4 at offset 24/);
  assert.throws(() => decodeDescriptors(patched(24, 0), 0), /entry type 0 at offset 24/);
  assert.throws(() => decodeDescriptors(patched(28, 9), 0), /entry of 9 bytes at offset 28/);
  assert.throws(() => decodeDescriptors(patched(23, 1), 0), /term \d+ at offset 16/);
  assert.equal(decodeDescriptors(patched(25, 0xff), 0).length, 1, 'garbage after the type');
});

test('batches that C would refuse are programmer errors', () => {
  const entry: SegmentEntry = { term: 1, type: 'command', data: new Uint8Array(0) };
  assert.throws(() => encodeBatchHeader([]), AssertionError);
  assert.throws(() => encodeBatchHeader([{ ...entry, data: new Uint8Array(7) }]), AssertionError);
  const most = Array.from({ length: BATCH_ENTRIES_MAX }, () => entry);
  assert.equal(encodeBatchHeader(most).length, batchHeaderSize(BATCH_ENTRIES_MAX));
  assert.throws(() => encodeBatchHeader([...most, entry]), AssertionError);
});
