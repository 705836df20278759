/**
 * LZ4 frames (the LZ4 project's "Frame Format" and "Block Format"), as far as dqlite's snapshot files
 * need them (raft and disk spec section 5.8): a streaming decoder for what C dqlite writes, and a writer that does
 * not compress: a frame of stored blocks is valid for every reader and costs one checksum pass.
 *
 * The content size must be present, as C dqlite's own readers demand. Both directions hold at most one
 * block plus 64 KiB, whatever the size of the content.
 */

import { assert } from './assert.ts';
import { DecodeError, Reader, Writer } from './bytes.ts';
import { XxHash32, xxhash32 } from './xxhash32.ts';

const MAGIC = 0x184d2204;
/** Magic, flags, block descriptor, content size, header checksum. */
const HEADER_SIZE = 15;
const WORD_SIZE = 4;

/** The version and the reserved bit. */
const VERSION_MASK = 0xc2;
const VERSION = 0x40;
const FLAG_INDEPENDENT_BLOCKS = 0x20;
const FLAG_BLOCK_CHECKSUM = 0x10;
const FLAG_CONTENT_SIZE = 0x08;
const FLAG_CONTENT_CHECKSUM = 0x04;
const FLAG_DICTIONARY_ID = 0x01;

/** In a block's size word: the block is not compressed. */
const STORED = 0x80000000;
/** The largest size of a block is 4 ** (code + 4): 64 KiB to 4 MiB. The code is in the high half of its byte. */
const BLOCK_CODES: readonly number[] = [4, 5, 6, 7];
/** How far back a match can reach. */
const HISTORY_SIZE = 65536;
const MIN_MATCH_SIZE = 4;
/** Below this size a loop over the bytes is faster than the call of a native copy. */
const NATIVE_COPY_MIN_SIZE = 32;

/** What is written here: 64 KiB. */
const STORED_BLOCK_CODE = 4;
const STORED_BLOCK_SIZE = 65536;

const CUT_LENGTH = 'ends inside a length';
const TOO_MUCH = 'more content than allowed';

/** Whether a file that begins with these bytes is an LZ4 frame. */
export function isLz4Frame(bytes: Uint8Array): boolean {
  return bytes.length >= WORD_SIZE && new Reader(bytes).uint32('magic') === MAGIC;
}

/** Bytes of content that a frame announces; it begins with these bytes. Throws DecodeError. */
export function lz4ContentSize(bytes: Uint8Array): number {
  const decoder = new Lz4FrameDecoder(() => {});
  decoder.push(bytes.subarray(0, HEADER_SIZE));
  return decoder.contentSize;
}

/**
 * Decodes one frame from chunks of any split and gives its content to `output`, block by block. A block
 * is valid only during the call. Throws DecodeError, with the offset in the frame, and is of no use then.
 * What was given out is known to be right only after `finish`.
 */
export class Lz4FrameDecoder {
  readonly #output: (content: Uint8Array) => void;
  readonly #checksum = new XxHash32();
  #state: 'header' | 'blockSize' | 'block' | 'contentChecksum' | 'end' = 'header';
  /** Size of the piece that the state waits for. */
  #wanted = HEADER_SIZE;
  /** The start of that piece, if it did not arrive as a whole. */
  #buffer = new Uint8Array(HEADER_SIZE);
  #gathered = 0;
  /** Offset in the frame of the piece that the state waits for or looks at. */
  #offset = 0;
  #flags = 0;
  #blockSizeMax = 0;
  #isBlockStored = false;
  #contentSize = 0;
  #produced = 0;
  /** The last 64 KiB of content, if blocks are linked, and after them the room for one block. */
  #window = new Uint8Array(0);

  constructor(output: (content: Uint8Array) => void) {
    this.#output = output;
  }

  /** What the header announced, once it has arrived. */
  get contentSize(): number {
    return this.#contentSize;
  }

  push(chunk: Uint8Array): void {
    let position = 0;
    while (position < chunk.length) {
      if (this.#state === 'end') this.#fail('bytes after the end');
      const part = chunk.subarray(position, position + this.#wanted - this.#gathered);
      position += part.length;
      let piece = part;
      if (part.length < this.#wanted) {
        this.#buffer.set(part, this.#gathered);
        this.#gathered += part.length;
        if (this.#gathered < this.#wanted) return;
        piece = this.#buffer.subarray(0, this.#wanted);
        this.#gathered = 0;
      }
      this.#consume(piece);
      this.#offset += piece.length;
    }
  }

  /** To be called after the last chunk: the frame must be complete. */
  finish(): void {
    if (this.#state !== 'end') this.#fail('ends too early', this.#gathered);
  }

  #consume(piece: Uint8Array): void {
    if (this.#state === 'header') {
      this.#readHeader(piece);
    } else if (this.#state === 'blockSize') {
      this.#readBlockSize(new Reader(piece).uint32('block size'));
    } else if (this.#state === 'block') {
      this.#readBlock(piece);
      this.#expect('blockSize', WORD_SIZE);
    } else {
      this.#check(this.#checksum.digest(), piece, 0, 'content');
      this.#expect('end', 0);
    }
  }

  #expect(state: 'blockSize' | 'block' | 'contentChecksum' | 'end', size: number): void {
    this.#state = state;
    this.#wanted = size;
  }

  #has(flag: number): boolean {
    return (this.#flags & flag) !== 0;
  }

  #readHeader(header: Uint8Array): void {
    const reader = new Reader(header);
    if (reader.uint32('magic') !== MAGIC) this.#fail('wrong magic');
    this.#flags = reader.uint8('flags');
    if ((this.#flags & VERSION_MASK) !== VERSION) this.#fail('unknown version', 4);
    if (this.#has(FLAG_DICTIONARY_ID)) this.#fail('needs a dictionary', 4);
    if (!this.#has(FLAG_CONTENT_SIZE)) this.#fail('no content size', 4);
    const blockCode = reader.uint8('block descriptor') / 16;
    if (!BLOCK_CODES.includes(blockCode)) this.#fail('unknown block size', 5);
    this.#contentSize = reader.safeUint64('LZ4 frame: content size');
    if (reader.uint8('checksum') !== headerChecksum(header)) this.#fail('wrong header checksum', HEADER_SIZE - 1);
    this.#blockSizeMax = 4 ** (blockCode + 4);
    this.#buffer = new Uint8Array(this.#blockSizeMax + WORD_SIZE);
    this.#window = new Uint8Array(HISTORY_SIZE + this.#blockSizeMax);
    this.#expect('blockSize', WORD_SIZE);
  }

  #readBlockSize(word: number): void {
    if (word === 0) {
      const missing = this.#contentSize - this.#produced;
      if (missing > 0) this.#fail(`ends ${missing} bytes before the content does`);
      if (this.#has(FLAG_CONTENT_CHECKSUM)) this.#expect('contentChecksum', WORD_SIZE);
      else this.#expect('end', 0);
      return;
    }
    this.#isBlockStored = word >= STORED;
    const size = word % STORED;
    if (size > this.#blockSizeMax) this.#fail(`block of ${size} bytes`);
    this.#expect('block', size + (this.#has(FLAG_BLOCK_CHECKSUM) ? WORD_SIZE : 0));
  }

  #readBlock(piece: Uint8Array): void {
    let block = piece;
    if (this.#has(FLAG_BLOCK_CHECKSUM)) {
      block = piece.subarray(0, piece.length - WORD_SIZE);
      this.#check(xxhash32(block), piece, block.length, 'block');
    }
    const isLinked = !this.#has(FLAG_INDEPENDENT_BLOCKS);
    const sizeMax = Math.min(this.#blockSizeMax, this.#contentSize - this.#produced);
    let content = block;
    if (!this.#isBlockStored) {
      const oldest = HISTORY_SIZE - (isLinked ? Math.min(HISTORY_SIZE, this.#produced) : 0);
      const end = decompress(block, this.#window, oldest, HISTORY_SIZE + sizeMax, this.#offset);
      content = this.#window.subarray(HISTORY_SIZE, end);
    } else {
      if (block.length > sizeMax) this.#fail('more content than announced');
      if (isLinked) this.#window.set(block, HISTORY_SIZE);
    }
    this.#produced += content.length;
    this.#checksum.update(content);
    this.#output(content);
    if (isLinked) this.#window.copyWithin(0, content.length, content.length + HISTORY_SIZE);
  }

  /** Compares with the checksum that is stored at `position` of the current piece. */
  #check(checksum: number, piece: Uint8Array, position: number, what: string): void {
    if (new Reader(piece, position).uint32(what) !== checksum) this.#fail(`wrong ${what} checksum`, position);
  }

  /** `position` is in the current piece. */
  #fail(what: string, position = 0): never {
    throw new DecodeError(`LZ4 frame: ${what}`, this.#offset + position);
  }
}

/**
 * Decompresses one block into `window` from HISTORY_SIZE up to at most `limit`, and returns where it
 * ended. Matches may reach back to `oldest`. `blockOffset` is for errors.
 */
function decompress(block: Uint8Array, window: Uint8Array, oldest: number, limit: number, blockOffset: number): number {
  let from = 0;
  let to = HISTORY_SIZE;
  for (;;) {
    const token = block[from++] ?? failAt(blockOffset + from, 'ends without literals');
    let size = token >>> 4;
    if (size === 15) {
      for (let more = 255; more === 255; size += more) more = block[from++] ?? failAt(blockOffset + from, CUT_LENGTH);
    }
    if (size > block.length - from) failAt(blockOffset + from, 'ends inside literals');
    if (size > limit - to) failAt(blockOffset + from, TOO_MUCH);
    if (size < NATIVE_COPY_MIN_SIZE) {
      for (let i = 0; i < size; i++) window[to + i] = block[from + i]!;
    } else {
      window.set(block.subarray(from, from + size), to);
    }
    from += size;
    to += size;
    if (from === block.length) return to;

    if (block.length - from < 2) failAt(blockOffset + from, 'ends inside a distance');
    const distance = block[from]! | (block[from + 1]! << 8);
    if (distance === 0 || distance > to - oldest) failAt(blockOffset + from, `match at distance ${distance}`);
    from += 2;
    size = token & 15;
    if (size === 15) {
      for (let more = 255; more === 255; size += more) more = block[from++] ?? failAt(blockOffset + from, CUT_LENGTH);
    }
    size += MIN_MATCH_SIZE;
    if (size > limit - to) failAt(blockOffset + from, TOO_MUCH);
    copyMatch(window, to, distance, size);
    to += size;
  }
}

function failAt(offset: number, what: string): never {
  throw new DecodeError(`LZ4 block: ${what}`, offset);
}

/** Copies `size` bytes from `distance` before `to`. Where the ranges overlap, the start repeats itself. */
function copyMatch(window: Uint8Array, to: number, distance: number, size: number): void {
  if (size < NATIVE_COPY_MIN_SIZE) {
    for (let i = to; i < to + size; i++) window[i] = window[i - distance]!;
    return;
  }
  const from = to - distance;
  const end = to + size;
  // What can be copied at once doubles with every copy.
  for (let position = to; position < end;) {
    const part = Math.min(position - from, end - position);
    window.copyWithin(position, from, from + part);
    position += part;
  }
}

/** Exact size of the frame that `StoredFrameWriter` makes of a content. */
export function storedFrameSize(contentSize: number): number {
  const blockCount = Math.ceil(contentSize / STORED_BLOCK_SIZE);
  return HEADER_SIZE + contentSize + WORD_SIZE * (blockCount + 2);
}

/**
 * Writes a frame of stored blocks: `header`, any number of `push`, `finish`. The results, one after the
 * other, are the frame.
 */
export class StoredFrameWriter {
  readonly #contentSize: number;
  readonly #checksum = new XxHash32();
  #contentLeft: number;
  #blockLeft = 0;

  constructor(contentSize: number) {
    this.#contentSize = contentSize;
    this.#contentLeft = contentSize;
  }

  header(): Uint8Array {
    const writer = new Writer(HEADER_SIZE);
    writer.uint32(MAGIC);
    writer.uint8(VERSION | FLAG_INDEPENDENT_BLOCKS | FLAG_CONTENT_SIZE | FLAG_CONTENT_CHECKSUM);
    writer.uint8(STORED_BLOCK_CODE * 16);
    writer.safeUint64(this.#contentSize);
    writer.uint8(headerChecksum(writer.bytes));
    return writer.written();
  }

  /** Gives the pieces of the frame that a chunk of content makes to `emit`: size words, and views of the chunk. */
  push(chunk: Uint8Array, emit: (piece: Uint8Array) => void): void {
    assert(chunk.length <= this.#contentLeft, 'more content than the LZ4 header announces');
    this.#checksum.update(chunk);
    for (let position = 0; position < chunk.length;) {
      if (this.#blockLeft === 0) {
        this.#blockLeft = Math.min(STORED_BLOCK_SIZE, this.#contentLeft);
        emit(word(STORED + this.#blockLeft));
      }
      const whole = position === 0 && chunk.length <= this.#blockLeft;
      const piece = whole ? chunk : chunk.subarray(position, position + this.#blockLeft);
      emit(piece);
      position += piece.length;
      this.#blockLeft -= piece.length;
      this.#contentLeft -= piece.length;
    }
  }

  /** The end mark and the content checksum. */
  finish(): Uint8Array {
    assert(this.#contentLeft === 0, 'less content than the LZ4 header announces');
    const writer = new Writer(2 * WORD_SIZE);
    writer.uint32(0);
    writer.uint32(this.#checksum.digest());
    return writer.written();
  }
}

/** The second byte of the hash over what lies between the magic and the checksum itself. */
function headerChecksum(header: Uint8Array): number {
  return (xxhash32(header.subarray(4, HEADER_SIZE - 1)) >>> 8) & 0xff;
}

function word(value: number): Uint8Array {
  const writer = new Writer(WORD_SIZE);
  writer.uint32(value);
  return writer.written();
}
