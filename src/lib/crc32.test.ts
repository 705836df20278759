import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeUtf8 } from './bytes.ts';
import { Fold } from './crc32-fold.ts';
import { crc32, crc32BySlices } from './crc32.ts';

/** The definition, bit by bit. */
function slowCrc32(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  }
  return crc >>> 0;
}

test('check values of raft and disk spec section 5.3', () => {
  const cases: [Uint8Array, number][] = [
    [new Uint8Array(0), 0],
    [new Uint8Array(1), 0],
    [new Uint8Array(1000), 0],
    [encodeUtf8('a'), 0xa864db20],
    [encodeUtf8('abc'), 0x2c17398c],
    [encodeUtf8('123456789'), 0x89a1897f],
    [encodeUtf8('The quick brown fox jumps over the lazy dog'), 0xc9487f7e],
    [Uint8Array.from({ length: 256 }, (_, i) => i), 0xac148725],
  ];
  for (const [bytes, expected] of cases) assert.equal(crc32(bytes), expected);
});

test('equals the bit-by-bit definition at every length and alignment', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(7), (bytes, start) => {
      const unaligned = bytes.subarray(Math.min(start, bytes.length));
      assert.equal(crc32(unaligned), slowCrc32(unaligned));
    }),
  );
});

test('pieces chained give the CRC of the whole', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), pieces => {
      const chained = pieces.reduce((crc, piece) => crc32(piece, crc), 0);
      assert.equal(chained, crc32(Buffer.concat(pieces)));
    }),
  );
});

test('long data: the fold gives what the tables give, around each size where it goes another way', () => {
  assert.ok(Fold.create() !== undefined, 'this Node has WebAssembly with SIMD');
  const step = 128;
  const piece = 120 * 1024 + Fold.MIN_SIZE / 2;
  const around = [Fold.MIN_SIZE, Fold.MIN_SIZE + step, piece, piece + step, piece + Fold.MIN_SIZE, 3 * piece];
  const data = new Uint8Array(4 * piece);
  for (let i = 0; i < data.length; i++) data[i] = Math.imul(i + 1, 0x9e3779b1) >>> 24;
  for (const size of around.flatMap(size => [size - 17, size - 1, size, size + 1, size + 15])) {
    for (const start of [0, 3]) {
      const bytes = data.subarray(start, start + size);
      assert.equal(crc32(bytes, 0xdeadbeef), crc32BySlices(bytes, 0xdeadbeef), `${size} bytes from ${start} on`);
    }
  }
});

test('long data: every bit counts', () => {
  const bytes = new Uint8Array(Fold.MIN_SIZE + 300);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = 0x80 >> (i % 8);
    assert.equal(crc32(bytes), crc32BySlices(bytes, 0), `byte ${i}`);
    bytes[i] = 0;
  }
});
