/**
 * The CRC-32 of dqlite's files (raft and disk spec section 5.3): polynomial 0x04C11DB7, most
 * significant bit first, initial value 0, no final xor. Not the CRC of zlib and PNG.
 *
 * Every byte that reaches the log passes through here, on the leader and on each follower. What is long enough is
 * shortened by `crc32-fold.ts`; the rest is taken sixteen bytes at a time ("slicing by 16").
 */

import { Fold } from './crc32-fold.ts';

const POLYNOMIAL = 0x04c11db7;
const SLICES = 16;

/** `TABLE[256 * k + b]` is the CRC of byte `b` followed by `k` zero bytes. */
const TABLE = makeTable();

function makeTable(): Int32Array {
  const table = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? (crc << 1) ^ POLYNOMIAL : crc << 1;
    table[byte] = crc;
  }
  for (let i = 256; i < table.length; i++) {
    const crc = table[i - 256]!;
    table[i] = (crc << 8) ^ table[crc >>> 24]!;
  }
  return table;
}

/** Tried when it is first needed; 'unavailable' where WebAssembly or its SIMD is missing. */
let fold: Fold | 'unavailable' | undefined;

/** The CRC of `bytes` as an unsigned 32-bit number. `previous` is the CRC of what comes before them. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  let rest = bytes;
  let crc = previous;
  while (rest.length >= Fold.MIN_SIZE) {
    fold ??= Fold.create() ?? 'unavailable';
    if (fold === 'unavailable') break;
    const { size, folded } = fold.next(rest, crc);
    crc = crc32BySlices(folded, 0);
    rest = rest.subarray(size);
  }
  return crc32BySlices(rest, crc);
}

/** The same, by tables alone. */
export function crc32BySlices(bytes: Uint8Array, previous: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const slicedEnd = bytes.length - (bytes.length % SLICES);
  let crc = previous | 0;
  let offset = 0;
  for (; offset < slicedEnd; offset += SLICES) {
    const a = view.getInt32(offset) ^ crc;
    const b = view.getInt32(offset + 4);
    const c = view.getInt32(offset + 8);
    const d = view.getInt32(offset + 12);
    crc =
      TABLE[0xf00 + (a >>> 24)]! ^
      TABLE[0xe00 + ((a >>> 16) & 0xff)]! ^
      TABLE[0xd00 + ((a >>> 8) & 0xff)]! ^
      TABLE[0xc00 + (a & 0xff)]! ^
      TABLE[0xb00 + (b >>> 24)]! ^
      TABLE[0xa00 + ((b >>> 16) & 0xff)]! ^
      TABLE[0x900 + ((b >>> 8) & 0xff)]! ^
      TABLE[0x800 + (b & 0xff)]! ^
      TABLE[0x700 + (c >>> 24)]! ^
      TABLE[0x600 + ((c >>> 16) & 0xff)]! ^
      TABLE[0x500 + ((c >>> 8) & 0xff)]! ^
      TABLE[0x400 + (c & 0xff)]! ^
      TABLE[0x300 + (d >>> 24)]! ^
      TABLE[0x200 + ((d >>> 16) & 0xff)]! ^
      TABLE[0x100 + ((d >>> 8) & 0xff)]! ^
      TABLE[d & 0xff]!;
  }
  for (; offset < bytes.length; offset++) crc = (crc << 8) ^ TABLE[(crc >>> 24) ^ bytes[offset]!]!;
  return crc >>> 0;
}
