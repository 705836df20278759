import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeUtf8 } from '../lib/bytes.ts';
import { assertTotal, readSnapshotContent } from './format.test.helpers.ts';
import {
  type DatabaseExtent,
  encodeDatabaseHeader,
  encodeSnapshotHeader,
  snapshotContentSize,
} from './snapshot-content.ts';

interface Frame {
  readonly pageNumber: number;
  readonly commitPages: number;
  readonly fill: number;
}

/** A WAL as SQLite writes it: checksums over words of either byte order. */
function walOf(frames: readonly Frame[], magic = 0x377f0682): Buffer {
  const littleEndian = magic === 0x377f0682;
  let sum1 = 0;
  let sum2 = 0;
  const sum = (bytes: Buffer): void => {
    for (let i = 0; i < bytes.length; i += 8) {
      sum1 = (sum1 + (littleEndian ? bytes.readUInt32LE(i) : bytes.readUInt32BE(i)) + sum2) >>> 0;
      sum2 = (sum2 + (littleEndian ? bytes.readUInt32LE(i + 4) : bytes.readUInt32BE(i + 4)) + sum1) >>> 0;
    }
  };
  const words = (...values: number[]): Buffer => {
    const bytes = Buffer.alloc(4 * values.length);
    values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
    return bytes;
  };
  const salts = words(0x01020304, 0xf5060708);
  const header = Buffer.concat([words(magic, 3_007_000, 4096, 0), salts]);
  sum(header);
  const pieces = [header, words(sum1, sum2)];
  for (const { pageNumber, commitPages, fill } of frames) {
    const numbers = words(pageNumber, commitPages);
    const page = Buffer.alloc(4096, fill);
    sum(numbers);
    sum(page);
    pieces.push(numbers, salts, words(sum1, sum2), page);
  }
  return Buffer.concat(pieces);
}

function databaseOf(name: string, fills: readonly number[], wal: Uint8Array = new Uint8Array(0)): Buffer {
  const header = Buffer.from(encodeDatabaseHeader({ name: encodeUtf8(name), pageCount: fills.length }));
  header.writeUInt32LE(wal.length, header.length - 8);
  return Buffer.concat([header, ...fills.map(fill => Buffer.alloc(4096, fill)), wal]);
}

function snapshotOf(...databases: readonly Uint8Array[]): Buffer {
  return Buffer.concat([encodeSnapshotHeader(databases.length), ...databases]);
}

const twoDatabases = snapshotOf(
  databaseOf('demo', [1, 2, 3]),
  databaseOf(
    'a name of 8n',
    [4],
    walOf([
      { pageNumber: 1, commitPages: 0, fill: 5 },
      { pageNumber: 2, commitPages: 2, fill: 6 },
      { pageNumber: 2, commitPages: 0, fill: 7 },
      { pageNumber: 3, commitPages: 3, fill: 8 },
    ]),
  ),
);

test('headers as C writes them (raft and disk spec sections 5.9 and 8.9)', () => {
  assert.equal(Buffer.from(encodeSnapshotHeader(1)).toString('hex'), '01000000000000000100000000000000');
  const header = encodeDatabaseHeader({ name: encodeUtf8('test.db'), pageCount: 1 });
  assert.equal(Buffer.from(header).toString('hex'), '746573742e64620000100000000000000000000000000000');
});

test('the announced size is the size', () => {
  const extents = fc.array(fc.tuple(fc.nat(20), fc.nat(3)), { maxLength: 4 });
  fc.assert(
    fc.property(extents, pairs => {
      const databases = pairs.map(([nameSize, pageCount]): DatabaseExtent => {
        return { name: new Uint8Array(nameSize).fill(0x61), pageCount };
      });
      const written = databases.map(({ name, pageCount }) =>
        databaseOf(Buffer.from(name).toString(), Array<number>(pageCount).fill(0)),
      );
      assert.equal(snapshotContentSize(databases), snapshotOf(...written).length);
    }),
  );
});

test('databases come with their main pages, then the frames of the WAL; the last commit gives the size', () => {
  const [first, second, ...others] = readSnapshotContent(twoDatabases);
  assert.deepEqual(others, []);
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual([first.name, first.mainPages, first.pageCount, first.pageWrites], ['demo', 3, 3, 3]);
  assert.deepEqual([second.name, second.mainPages, second.pageCount, second.pageWrites], ['a name of 8n', 1, 3, 5]);
  const fills = [first, second].map(({ pages }) => pages.slice(1).map(page => page[0]));
  assert.deepEqual(fills, [
    [1, 2, 3],
    [5, 7, 8],
  ]);
});

test('a snapshot without databases, and a WAL without frames', () => {
  assert.deepEqual(readSnapshotContent(snapshotOf()), []);
  const [database] = readSnapshotContent(snapshotOf(databaseOf('a', [1, 2], walOf([]))));
  assert.equal(database?.pageCount, 2);
});

test('a WAL of a big-endian machine', () => {
  const wal = walOf([{ pageNumber: 2, commitPages: 2, fill: 9 }], 0x377f0683);
  const [database] = readSnapshotContent(snapshotOf(databaseOf('a', [1], wal)));
  assert.equal(database?.pageCount, 2);
});

test('any split gives the same databases', () => {
  const whole = readSnapshotContent(twoDatabases);
  for (const chunkSize of [1, 7, 1000, 4096, 4097, 10_000]) {
    assert.deepEqual(readSnapshotContent(twoDatabases, chunkSize), whole);
  }
});

test('every shorter snapshot ends too early, every longer one too late', () => {
  for (let size = 0; size < twoDatabases.length; size += 37) {
    assert.throws(() => readSnapshotContent(twoDatabases.subarray(0, size), 1000), {
      name: 'DecodeError',
      message: `snapshot ends too early at offset ${size}`,
    });
  }
  assert.throws(() => readSnapshotContent(Buffer.concat([twoDatabases, Buffer.of(0)])), /bytes after the snapshot/);
});

test('refuses what cannot be a snapshot', () => {
  const valid = snapshotOf(databaseOf('demo', [1], walOf([{ pageNumber: 1, commitPages: 1, fill: 2 }])));
  const nameOffset = 16;
  const mainSize = 24;
  const walSize = 32;
  const wal = 40 + 4096;
  const frame = wal + 32;
  const patched = (offset: number, ...bytes: number[]): Buffer => {
    const copy = Buffer.from(valid);
    copy.set(bytes, offset);
    return copy;
  };
  const unfinished = walOf([
    { pageNumber: 1, commitPages: 1, fill: 2 },
    { pageNumber: 1, commitPages: 0, fill: 3 },
  ]);
  const pageZero = walOf([{ pageNumber: 0, commitPages: 1, fill: 2 }]);
  readSnapshotContent(valid);
  const cases: [string, Buffer, RegExp][] = [
    ['format', patched(0, 2), /snapshot format 2 at offset 0/],
    ['name without end', Buffer.concat([valid.subarray(0, 16), Buffer.alloc(600, 97)]), /name of more .* offset 520/],
    ['name too long', snapshotOf(databaseOf('n'.repeat(512), [1])), /name of more than 511 bytes/],
    ['main size 0', patched(mainSize, 0, 0), /database of 0 bytes at offset 24/],
    ['main size not of whole pages', patched(mainSize, 8), /database of 4104 bytes at offset 24/],
    ['main size too large', patched(mainSize + 7, 1), /database of \d+ bytes at offset 24/],
    ['WAL size', patched(walSize, 0x40), /WAL of 4160 bytes at offset 32/],
    ['WAL smaller than its header', patched(walSize, 8, 0), /WAL of 8 bytes at offset 32/],
    ['WAL magic', patched(wal + 3, 0x84), /WAL magic at offset 4136/],
    ['WAL version', patched(wal + 7, 0), /WAL version \d+ at offset 4140/],
    ['WAL page size', patched(wal + 10, 0x20), /WAL page size 8192 at offset 4144/],
    ['WAL header checksum', patched(wal + 15, 1), /WAL header checksum at offset 4160/],
    ['page 0', snapshotOf(databaseOf('demo', [1], pageZero)), /WAL frame of page 0 at offset 4168/],
    ['salts', patched(frame + 8, 9), /WAL frame with other salts at offset 4176/],
    ['page number', patched(frame + 3, 2), /WAL frame checksum at offset 4184/],
    ['page of the WAL', patched(frame + 24 + 4095, 3), /WAL frame checksum at offset 4184/],
    ['no commit', snapshotOf(databaseOf('demo', [1], unfinished)), /WAL ends inside a transaction at offset 8288/],
    ['more databases than there are', patched(8, 2), /ends too early/],
  ];
  assert.equal(valid.toString('latin1', nameOffset, nameOffset + 5), 'demo\0');
  for (const [name, content, message] of cases) {
    assert.throws(() => readSnapshotContent(content), { name: 'DecodeError', message }, name);
  }
});

test('names from none to the 511 bytes that dqlite opens at most', () => {
  for (const size of [0, 1, 7, 8, 504, 511]) {
    const name = 'n'.repeat(size);
    assert.equal(readSnapshotContent(snapshotOf(databaseOf(name, [1])))[0]?.name, name);
  }
});

test('any bytes give databases or a DecodeError', () => {
  assertTotal(content => readSnapshotContent(content, 1000), twoDatabases);
});
