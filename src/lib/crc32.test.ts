import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeUtf8 } from './bytes.ts';
import { crc32 } from './crc32.ts';

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
