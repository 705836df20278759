import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from './assert.ts';
import { DecodeError } from './bytes.ts';
import { isLz4Frame, Lz4FrameDecoder, storedFrameSize, StoredFrameWriter } from './lz4.ts';
import { SeededRandom } from './random.ts';
import { xxhash32 } from './xxhash32.ts';

const fixtures = new URL('../../../test/fixtures/c-dqlite-1.11.1/', import.meta.url);
const snapshotOfC = readFileSync(new URL('installed-snapshot-node/snapshot-1-96-1052647', fixtures));

function decode(frame: Uint8Array, chunkSize: number = frame.length): Buffer {
  const content: Uint8Array[] = [];
  const decoder = new Lz4FrameDecoder(block => content.push(block.slice()));
  for (let i = 0; i < frame.length; i += chunkSize) decoder.push(frame.subarray(i, i + chunkSize));
  decoder.finish();
  return Buffer.concat(content);
}

function store(content: Uint8Array, chunkSize: number = content.length): Buffer {
  const writer = new StoredFrameWriter(content.length);
  const frame = [writer.header()];
  const emit = (piece: Uint8Array): number => frame.push(piece);
  for (let i = 0; i < content.length; i += chunkSize) writer.push(content.subarray(i, i + chunkSize), emit);
  frame.push(writer.finish());
  return Buffer.concat(frame);
}

/** One frame of the given flags and blocks, with all the checksums that the flags ask for. */
function frameOf(flags: number, content: Uint8Array, blocks: readonly Uint8Array[]): Buffer {
  const word = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const descriptor = Buffer.from([flags, 0x40, content.length, 0, 0, 0, 0, 0, 0, 0]);
  const pieces: Uint8Array[] = [Buffer.from('04224d18', 'hex'), descriptor];
  pieces.push(Buffer.of((xxhash32(descriptor) >>> 8) & 0xff));
  for (const block of blocks) {
    pieces.push(word(block.length), block);
    if ((flags & 0x10) !== 0) pieces.push(word(xxhash32(block)));
  }
  pieces.push(word(0));
  if ((flags & 0x04) !== 0) pieces.push(word(xxhash32(content)));
  return Buffer.concat(pieces);
}

test('the snapshot of raft and disk spec section 8.14', () => {
  for (const [bytes, expected] of [
    [snapshotOfC, true],
    [snapshotOfC.subarray(0, 4), true],
    [snapshotOfC.subarray(0, 3), false],
    [snapshotOfC.subarray(1), false],
  ] as const) {
    assert.equal(isLz4Frame(bytes), expected);
  }
  assert.equal(snapshotOfC.subarray(0, 15).toString('hex'), '04224d184c404819060000000000a7');
  const content = decode(snapshotOfC);
  assert.equal(content.length, 399_688);
  assert.equal(xxhash32(content), 0xe8957841);
});

test('stored frames: header, blocks of 64 KiB, end mark, checksum', () => {
  const content = new Uint8Array(70_000).fill(7);
  const frame = store(content);
  assert.equal(frame.subarray(0, 14).toString('hex'), '04224d186c407011010000000000');
  assert.equal(frame.readUInt32LE(15), 0x80000000 + 65_536);
  assert.equal(frame.readUInt32LE(15 + 4 + 65_536), 0x80000000 + 4464);
  assert.equal(frame.readUInt32LE(frame.length - 8), 0);
  assert.equal(frame.readUInt32LE(frame.length - 4), xxhash32(content));
  assert.equal(isLz4Frame(frame), true);
});

test('stored frames have the announced size and decode to their content, however both are split', () => {
  for (const size of [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000]) {
    const content = Uint8Array.from({ length: size }, (_, i) => i ^ (i >>> 8));
    const frame = store(content);
    assert.equal(frame.length, storedFrameSize(size));
    for (const chunkSize of [1000, 65_536, 65_540]) {
      assert.deepEqual(store(content, chunkSize), frame);
      assert.deepEqual(decode(frame, chunkSize), Buffer.from(content));
    }
  }
});

test('content is not copied into a stored frame', () => {
  const chunk = new Uint8Array(100_000);
  const pieces: Uint8Array[] = [];
  new StoredFrameWriter(chunk.length).push(chunk, piece => pieces.push(piece));
  const [, first, , second] = pieces;
  assert.deepEqual([first?.buffer, second?.buffer], [chunk.buffer, chunk.buffer]);
});

test('stored blocks of more content than announced are refused', () => {
  const frame = store(new Uint8Array(70_000));
  const header = store(new Uint8Array(69_999)).subarray(0, 15);
  assert.throws(
    () => decode(Buffer.concat([header, frame.subarray(15)])),
    /more content than announced at offset 65559/,
  );
});

test('writing another size than announced is a programmer error', () => {
  const writer = new StoredFrameWriter(10);
  assert.throws(() => writer.push(new Uint8Array(11), () => {}), AssertionError);
  writer.push(new Uint8Array(9), () => {});
  assert.throws(() => writer.finish(), AssertionError);
});

test('any split of the compressed bytes gives the same content', () => {
  const content = decode(snapshotOfC);
  for (const chunkSize of [1, 2, 3, 7, 100, 4096]) assert.deepEqual(decode(snapshotOfC, chunkSize), content);
});

test('every shorter frame ends too early, every longer one too late', () => {
  for (let size = 0; size < snapshotOfC.length; size += 13) {
    assert.throws(() => decode(snapshotOfC.subarray(0, size)), {
      name: 'DecodeError',
      message: `LZ4 frame: ends too early at offset ${size}`,
    });
  }
  assert.throws(() => decode(Buffer.concat([snapshotOfC, Buffer.of(0)])), /bytes after the end at offset 5539/);
});

test('blocks: literals, overlapping matches, history, checksums', () => {
  const content = Buffer.from('abababababcabababababc');
  // "ab", then 8 bytes from 2 back, then "c".
  const first = Buffer.from([0x24, 0x61, 0x62, 2, 0, 0x10, 0x63]);
  // No literals, 9 bytes from 11 back, then the rest as literals.
  const linked = Buffer.from([0x05, 11, 0, 0x20, 0x62, 0x63]);
  assert.deepEqual(decode(frameOf(0x4c, content, [first, linked])), content);
  assert.deepEqual(decode(frameOf(0x48, content, [first, linked])), content, 'without content checksum');
  assert.deepEqual(decode(frameOf(0x5c, content, [first, linked])), content, 'with block checksums');
  assert.deepEqual(decode(frameOf(0x7c, content, [first, first])), content, 'independent blocks');
  assert.throws(() => decode(frameOf(0x6c, content, [first, linked])), /match at distance 11 at offset 31/);
});

test('refuses what is not a frame that dqlite reads', () => {
  const content = Buffer.from('aaaaa');
  const valid = frameOf(0x4c, content, [Buffer.from('506161616161', 'hex')]);
  const patched = (offset: number, byte: number): Buffer => {
    const copy = Buffer.from(valid);
    copy[offset] = byte;
    return copy;
  };
  const blocks = (...hex: string[]): Buffer =>
    frameOf(
      0x4c,
      content,
      hex.map(text => Buffer.from(text, 'hex')),
    );
  const independent = frameOf(0x6c, content, [Buffer.from('1061020000', 'hex')]);
  const checked = frameOf(0x5c, content, [Buffer.from('506161616161', 'hex')]);
  checked[25]! ^= 0xff;
  assert.deepEqual(decode(valid), content);
  const cases: [string, Buffer, RegExp][] = [
    ['magic', patched(0, 5), /wrong magic at offset 0/],
    ['version', patched(4, 0x8c), /unknown version at offset 4/],
    ['reserved flag', patched(4, 0x4e), /unknown version at offset 4/],
    ['dictionary', patched(4, 0x4d), /needs a dictionary at offset 4/],
    ['content size missing', patched(4, 0x44), /no content size at offset 4/],
    ['block size code', patched(5, 0x30), /unknown block size at offset 5/],
    ['reserved bits', patched(5, 0x41), /unknown block size at offset 5/],
    ['content size too large', patched(13, 0xff), /content size: number too large at offset 6/],
    ['header checksum', patched(14, 0), /wrong header checksum at offset 14/],
    ['block size', patched(17, 2), /block of 131078 bytes at offset 15/],
    ['block checksum', checked, /wrong block checksum at offset 25/],
    ['content checksum', patched(valid.length - 1, 0), /wrong content checksum at offset 29/],
    ['too little content', blocks('4061616161'), /ends 1 bytes before the content does/],
    ['too many literals', blocks('60616161616161'), /more content than allowed at offset 20/],
    ['too long a match', blocks('1f6101000000'), /more content than allowed at offset 24/],
    ['too many blocks', blocks('506161616161', '1061'), /more content than allowed at offset 30/],
    ['no token', blocks('10610100'), /ends without literals/],
    ['cut literals', blocks('50616161'), /ends inside literals/],
    ['cut length', blocks('f0ffff'), /ends inside a length/],
    ['cut distance', blocks('106101'), /ends inside a distance/],
    ['distance 0', blocks('1061000000'), /match at distance 0/],
    ['distance before the start', blocks('1061020000'), /match at distance 2 at offset 21/],
    ['distance before an independent block', independent, /match at distance 2 at offset 21/],
  ];
  for (const [name, frame, message] of cases) {
    assert.throws(() => decode(frame), { name: 'DecodeError', message }, name);
  }
});

test('any bytes give content or a DecodeError', () => {
  const decodeOrRefuse = (bytes: Uint8Array): void => {
    try {
      decode(bytes, 1000);
    } catch (error) {
      assert.ok(error instanceof DecodeError, String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), decodeOrRefuse));
  // Damaged blocks whose checksum is not looked at before they are decompressed.
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), block => decodeOrRefuse(frameOf(0x48, block, [block]))));
  fc.assert(
    fc.property(fc.nat(snapshotOfC.length - 1), fc.nat(255), (offset, byte) => {
      const copy = Buffer.from(snapshotOfC);
      copy[offset] = byte;
      decodeOrRefuse(copy);
    }),
    { numRuns: 200 },
  );
});

test('agrees with the lz4 program', t => {
  if (spawnSync('lz4', ['--version']).error !== undefined) {
    t.skip('the lz4 program is not installed');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'dqlite-node-lz4-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const input = join(folder, 'input');
  const output = join(folder, 'output');

  // Repetitions near and far, runs, and parts that do not compress.
  const random = new SeededRandom(1);
  const content = new Uint8Array(700_000);
  random.fill(content.subarray(0, 20_000));
  for (let to = 20_000; to < 600_000;) {
    const size = random.below(random.chance(0.1) ? 5000 : 40);
    content.copyWithin(to, to - 1 - random.below(Math.min(to, 70_000) - 1), to);
    content.copyWithin(to + size, 0, 1);
    to += size;
  }
  writeFileSync(input, content);
  for (const options of [['-B4', '-BD'], ['-B4', '-BD', '-9'], ['-B4', '-BX'], ['-B7'], ['-B5', '--no-frame-crc']]) {
    execFileSync('lz4', ['-q', '-f', '--content-size', ...options, input, output]);
    const frame = readFileSync(output);
    assert.ok(frame.length < content.length - 50_000);
    assert.ok(decode(frame, 10_000).equals(content), options.join(' '));
  }

  writeFileSync(input, store(content));
  execFileSync('lz4', ['-q', '-f', '-d', input, output]);
  assert.ok(readFileSync(output).equals(content));
});
