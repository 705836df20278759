import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32 } from '../lib/crc32.ts';
import type { FileScan } from './file-window.ts';
import { runScan, scanFile, segmentOf } from './format.test.helpers.ts';
import { findLaterBatch, scanSegment, type SegmentVerdict } from './segment-scan.ts';
import { batchHeaderSize, encodeBatchHeader, OPEN_SEGMENT_SIZE, type SegmentEntry } from './segment.ts';

function command(size: number, byte = 0xab): SegmentEntry {
  return { term: 1, type: 'command', data: new Uint8Array(size).fill(byte) };
}

/** Batches of one entry of 24 bytes: at 8, 64, 120, the end at 176. */
const three = segmentOf([[command(24)], [command(24)], [command(24)]]);

function patched(file: Uint8Array, offset: number, ...bytes: number[]): Buffer {
  const copy = Buffer.from(file);
  copy.set(bytes, offset);
  return copy;
}

function laterBatch(file: Uint8Array, start: number): number | undefined {
  return runScan(findLaterBatch(file.length, start), file);
}

const entries: fc.Arbitrary<SegmentEntry[]> = fc.array(
  fc.record(
    {
      term: fc.maxSafeNat(),
      type: fc.constantFrom('command', 'barrier', 'change'),
      data: fc.tuple(fc.nat(5), fc.nat(255)).map(([words, byte]) => Buffer.alloc(8 * words, byte)),
    },
    { noNullPrototype: true },
  ),
  { minLength: 1, maxLength: 4 },
);

test('batches are read back as they were written', () => {
  fc.assert(
    fc.property(fc.array(entries, { maxLength: 4 }), fc.nat(5), (batches, zeroWords) => {
      const file = segmentOf(batches, zeroWords * 8);
      const scan = scanFile(file);
      const end = file.length - zeroWords * 8;
      assert.deepEqual(scan.verdict, { kind: zeroWords === 0 ? 'complete' : 'zeroTail', end });
      const read = scan.batches.map(batch =>
        batch.entries.map(({ term, type, dataOffset, dataSize }) => {
          return { term, type, data: file.subarray(dataOffset, dataOffset + dataSize) };
        }),
      );
      assert.deepEqual(read, batches);
    }),
  );
});

test('a segment cut anywhere ends at a batch, or is truncated there', () => {
  for (let size = 0; size < three.length; size++) {
    const { batches, verdict } = scanFile(three.subarray(0, size));
    const end = size < 8 ? 0 : 8 + 56 * batches.length;
    if (size === 0) assert.deepEqual(verdict, { kind: 'unused' });
    else if (size === end) assert.deepEqual(verdict, { kind: 'complete', end });
    else assert.ok(verdict.kind === 'truncated' && verdict.end === end, `cut at ${size}`);
  }
});

test('one verdict for each way to end', () => {
  const data = new Uint8Array(24);
  const badType = encodeBatchHeader([{ term: 1, type: 'command', data }]);
  badType[24] = 7;
  new DataView(badType.buffer).setUint32(0, crc32(badType.subarray(8)), true);
  const cases: [string, Uint8Array, SegmentVerdict][] = [
    ['empty file', new Uint8Array(0), { kind: 'unused' }],
    ['zeros', new Uint8Array(4096), { kind: 'unused' }],
    ['a few zeros', new Uint8Array(3), { kind: 'unused' }],
    ['only a format', three.subarray(0, 8), { kind: 'complete', end: 8 }],
    ['another format', patched(three, 0, 2), { kind: 'wrongFormat', format: 2n }],
    ['zero format, then data', patched(three, 0, 0), { kind: 'wrongFormat', format: 0n }],
    ['a few zeros after the last batch', Buffer.concat([three, Buffer.alloc(7)]), { kind: 'zeroTail', end: 176 }],
    [
      'a few bytes after the last batch',
      Buffer.concat([three, Buffer.of(0, 0, 1)]),
      { kind: 'truncated', end: 176, resumeOffset: 179 },
    ],
    ['count 0, then data', patched(three, 72, 0), { kind: 'invalid', end: 64, check: 'entry count', resumeOffset: 72 }],
    [
      'count too large',
      patched(three, 72, 1, 0, 4),
      { kind: 'invalid', end: 64, check: 'entry count', resumeOffset: 72 },
    ],
    ['count beyond the file', patched(three, 72, 8), { kind: 'truncated', end: 64, resumeOffset: 72 }],
    [
      'header CRC',
      patched(three, 64, 1, 2, 3, 4),
      { kind: 'invalid', end: 64, check: 'header checksum', resumeOffset: 72 },
    ],
    ['data CRC', patched(three, 100, 0), { kind: 'invalid', end: 64, check: 'data checksum', resumeOffset: 120 }],
    ['data beyond the file', three.subarray(0, 168), { kind: 'truncated', end: 120, resumeOffset: 168 }],
    [
      'entry type',
      Buffer.concat([three, badType, data]),
      { kind: 'malformed', end: 176, reason: 'entry type 7 at offset 24' },
    ],
  ];
  for (const [name, file, verdict] of cases) assert.deepEqual(scanFile(file).verdict, verdict, name);
});

test('a batch larger than what is read at once', () => {
  const size = 3 * 1024 * 1024;
  const file = segmentOf([[command(8)], [command(size), command(8)], [command(8)]], 4096);
  const { batches, verdict } = scanFile(file);
  assert.deepEqual(
    batches.map(batch => batch.entries.length),
    [1, 2, 1],
  );
  assert.equal(verdict.kind, 'zeroTail');
  const damaged = patched(file, size, 0);
  assert.deepEqual(scanFile(damaged).verdict, {
    kind: 'invalid',
    end: 48,
    check: 'data checksum',
    resumeOffset: batches[2]?.offset,
  });
  assert.equal(laterBatch(damaged, 56), batches[2]?.offset);
});

test('a file is read in few pieces, hardly any byte twice', () => {
  const batches = Array.from({ length: 1000 }, () => [command(4096), command(8)]);
  const file = segmentOf(batches, 3 * 1024 * 1024);
  let readSize = 0;
  let requestCount = 0;
  const counted = function* (scan: FileScan<unknown>): FileScan<void> {
    for (let step = scan.next(); !step.done;) {
      requestCount += 1;
      readSize += step.value.size;
      step = scan.next(yield step.value);
    }
  };
  runScan(counted(scanSegment(file.length, () => {})), file);
  runScan(counted(findLaterBatch(file.length, 4_100_000)), file);
  assert.ok(requestCount <= 12 && readSize < 1.5 * file.length, `${requestCount} requests, ${readSize} bytes`);
});

test('the search finds a batch after a damaged one, and nothing after a torn one', () => {
  const file = segmentOf([[command(24)], [command(4096), command(64)], [command(24)], [command(8)]], 65_536);
  const { batches } = scanFile(file);
  const [, second, third, fourth] = batches.map(batch => batch.offset);
  assert.ok(second !== undefined && third !== undefined && fourth !== undefined);

  for (const offset of [second, second + 8, second + 16, second + 100]) {
    const damaged = patched(file, offset, 0xff, 0xff, 0xff);
    const { verdict } = scanFile(damaged);
    assert.ok(verdict.kind === 'invalid' && verdict.end === second, `damage at ${offset}`);
    assert.equal(laterBatch(damaged, verdict.resumeOffset), third);
    assert.equal(laterBatch(patched(damaged, third + 40, 0), verdict.resumeOffset), fourth, 'the next is bad too');
  }

  // Torn writes of the last batch: some of its sectors are still zero.
  const torn = Buffer.from(file);
  torn.fill(0, 512, third).fill(0, third);
  const { verdict } = scanFile(torn);
  assert.ok(verdict.kind === 'invalid' && verdict.check === 'data checksum');
  assert.equal(laterBatch(torn, verdict.resumeOffset), undefined);
  assert.equal(laterBatch(torn, 8), 8, 'from the start on, it finds the first batch');
});

test('a copy of a batch inside the data of an intact header is not taken for a later batch', () => {
  const inner = segmentOf([[command(24)]]).subarray(8);
  const file = segmentOf([[{ term: 1, type: 'command', data: Buffer.concat([Buffer.alloc(64), inner]) }]], 4096);
  const torn = patched(file, 48, 1);
  const { verdict } = scanFile(torn);
  assert.ok(verdict.kind === 'invalid');
  assert.equal(laterBatch(torn, verdict.resumeOffset), undefined);
});

test('a batch at the edge between two readings is found', () => {
  const window = 1024 * 1024;
  const batch = segmentOf([[command(0)]]).subarray(8);
  for (let offset = window - 48; offset <= window + 8; offset += 8) {
    const file = Buffer.alloc(window + 4096);
    file.set(batch, offset);
    assert.equal(laterBatch(file, 0), offset);
  }
  const last = Buffer.alloc(OPEN_SEGMENT_SIZE);
  last.set(batch, last.length - batch.length);
  assert.equal(laterBatch(last, 8), last.length - batch.length);
  assert.equal(laterBatch(last, last.length - batch.length), last.length - batch.length);
  assert.equal(laterBatch(last, last.length - batch.length + 8), undefined);
});

test('a later batch can begin with an entry of any type', () => {
  for (const type of ['command', 'barrier', 'change'] as const) {
    const file = Buffer.concat([Buffer.alloc(64, 0xff), encodeBatchHeader([{ ...command(0), type }])]);
    assert.equal(laterBatch(file, 8), 64);
  }
});

test('a later batch is one that the scanner would accept, and any bytes give an answer', () => {
  const damage = fc.array(fc.tuple(fc.nat(three.length - 1), fc.nat(255)), { maxLength: 3 });
  fc.assert(
    fc.property(damage, fc.nat(three.length), fc.nat(3), (changes, size, zeroWords) => {
      const file = Buffer.concat([three.subarray(0, size), Buffer.alloc(8 * zeroWords)]);
      for (const [offset, byte] of changes) if (offset < file.length) file[offset] = byte;
      const { batches, verdict } = scanFile(file);
      if (verdict.kind === 'invalid' || verdict.kind === 'truncated') {
        assert.equal(verdict.end, verdict.end === 0 ? 0 : 8 + 56 * batches.length);
        assert.ok(verdict.resumeOffset > verdict.end);
        const later = laterBatch(file, verdict.resumeOffset);
        const expected = [64, 120].filter(
          offset =>
            offset > verdict.end && three.subarray(offset, offset + 56).equals(file.subarray(offset, offset + 56)),
        );
        assert.equal(later, expected[0]);
      }
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), file => void [scanFile(file), laterBatch(file, 8)]));
});

test('the largest batch is read, in pieces no larger than its header', () => {
  const most = Array.from({ length: 262_144 }, () => command(8));
  const file = segmentOf([most]);
  const { batches, verdict } = scanFile(file);
  assert.equal(batches[0]?.entries.length, most.length);
  assert.equal(batches[0].entries[0]?.dataOffset, 8 + batchHeaderSize(most.length));
  assert.equal(verdict.kind, 'complete');
});
