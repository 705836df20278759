/**
 * Reading and writing the little-endian, word-aligned encodings of dqlite (wire spec section 2,
 * disk spec section 0). `Reader` is total: whatever the bytes are, each method gives a value or throws
 * one `DecodeError` that carries the offset. `Writer` grows as needed and always writes zero padding.
 *
 * "word" is 8 bytes, as everywhere in dqlite.
 */

export const WORD_SIZE = 8;

/** `size` rounded up to a multiple of 8. */
export function pad8(size: number): number {
  return Math.ceil(size / 8) * 8;
}

/** The bytes cannot be what they claim to be. `offset` counts from the start of the decoded piece. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(`${message} at offset ${offset}`);
    this.offset = offset;
  }
}

// A leading byte order mark is a character like any other here.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const utf8Encoder = new TextEncoder();

export function encodeUtf8(text: string): Uint8Array {
  return utf8Encoder.encode(text);
}

export function decodeUtf8(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

/** The little-endian number in the four bytes at `offset`, which must exist. */
export function uint32At(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
}

/** Length of the text that starts at `offset`: the bytes before the first NUL, or -1 if there is none before `end`. */
export function textLength(bytes: Uint8Array, offset: number, end: number): number {
  const position = bytes.indexOf(0, offset);
  return position === -1 || position >= end ? -1 : position - offset;
}

export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  offset: number;
  /** Made when it is needed: most messages are read without it, and it costs more than reading them. */
  #view: DataView | undefined = undefined;

  constructor(bytes: Uint8Array, offset = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  /** Moves over `size` bytes and returns the offset where they start. */
  skip(size: number, what: string): number {
    const start = this.offset;
    if (size > this.end - start) {
      throw new DecodeError(`${what}: ${size} bytes wanted, ${this.end - start} left`, start);
    }
    this.offset = start + size;
    return start;
  }

  uint8(what: string): number {
    return this.bytes[this.skip(1, what)]!;
  }

  uint16(what: string): number {
    const start = this.skip(2, what);
    return this.bytes[start]! | (this.bytes[start + 1]! << 8);
  }

  uint32(what: string): number {
    return uint32At(this.bytes, this.skip(4, what));
  }

  uint64(what: string): bigint {
    return this.#dataView().getBigUint64(this.skip(8, what), true);
  }

  int64(what: string): bigint {
    return this.#dataView().getBigInt64(this.skip(8, what), true);
  }

  double(what: string): number {
    return this.#dataView().getFloat64(this.skip(8, what), true);
  }

  /** A 64-bit count, index or size that must be a safe integer to be believed. */
  safeUint64(what: string): number {
    const start = this.skip(8, what);
    const value = uint32At(this.bytes, start) + uint32At(this.bytes, start + 4) * 4294967296;
    if (value > Number.MAX_SAFE_INTEGER) throw new DecodeError(`${what}: number too large`, start);
    return value;
  }

  /** `size` bytes as a view, not a copy. */
  slice(size: number, what: string): Uint8Array {
    const start = this.skip(size, what);
    return this.bytes.subarray(start, start + size);
  }

  /** A text: bytes, a NUL, zero padding to the next word. The bytes as a view, without the NUL. */
  textBytes(what: string): Uint8Array {
    const start = this.offset;
    const length = textLength(this.bytes, start, this.end);
    if (length < 0) throw new DecodeError(`${what}: text without end`, start);
    this.skip(pad8(length + 1), what);
    return this.bytes.subarray(start, start + length);
  }

  text(what: string): string {
    return decodeUtf8(this.textBytes(what));
  }

  #dataView(): DataView {
    this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    return this.#view;
  }
}

export class Writer {
  bytes: Uint8Array;
  offset = 0;
  view: DataView;

  constructor(initialSize = 256) {
    this.bytes = new Uint8Array(initialSize);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `size` more bytes. Their content is undefined until written. */
  reserve(size: number): void {
    const needed = this.offset + size;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.offset));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  uint8(value: number): void {
    this.reserve(1);
    this.view.setUint8(this.offset, value);
    this.offset += 1;
  }

  uint16(value: number): void {
    this.reserve(2);
    this.view.setUint16(this.offset, value, true);
    this.offset += 2;
  }

  uint32(value: number): void {
    this.reserve(4);
    this.view.setUint32(this.offset, value, true);
    this.offset += 4;
  }

  uint64(value: bigint): void {
    this.reserve(8);
    this.view.setBigUint64(this.offset, value, true);
    this.offset += 8;
  }

  int64(value: bigint): void {
    this.reserve(8);
    this.view.setBigInt64(this.offset, value, true);
    this.offset += 8;
  }

  /** 64 bits, given as two halves. */
  words(low: number, high: number): void {
    this.reserve(8);
    this.view.setInt32(this.offset, low, true);
    this.view.setInt32(this.offset + 4, high, true);
    this.offset += 8;
  }

  /** A non-negative safe integer as 64 bits. */
  safeUint64(value: number): void {
    this.words(value >>> 0, Math.floor(value / 4294967296));
  }

  double(value: number): void {
    this.reserve(8);
    this.view.setFloat64(this.offset, value, true);
    this.offset += 8;
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.offset);
    this.offset += bytes.length;
  }

  zeros(count: number): void {
    this.reserve(count);
    if (count === 8) {
      // A word, the most frequent case, costs less without a native call.
      this.view.setFloat64(this.offset, 0);
    } else {
      this.bytes.fill(0, this.offset, this.offset + count);
    }
    this.offset += count;
  }

  /** Zero bytes up to the next word boundary, counted from `start`. */
  padFrom(start: number): void {
    this.zeros(pad8(this.offset - start) - (this.offset - start));
  }

  /** Text without NUL bytes inside, given as bytes: a NUL and padding are added. */
  textBytes(bytes: Uint8Array): void {
    const padded = pad8(bytes.length + 1);
    this.reserve(padded);
    this.bytes.set(bytes, this.offset);
    this.bytes.fill(0, this.offset + bytes.length, this.offset + padded);
    this.offset += padded;
  }

  text(text: string): void {
    this.textBytes(encodeUtf8(text));
  }

  /** What was written, as a view that is valid until the next write or `clear`. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.offset);
  }

  /** A copy of what was written. */
  copy(): Uint8Array {
    return this.bytes.slice(0, this.offset);
  }

  clear(): void {
    this.offset = 0;
  }

  /** Leaves the memory to whoever holds a view of it and goes on with new memory, empty. */
  renew(size: number = 64 * 1024): void {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.offset = 0;
  }
}
