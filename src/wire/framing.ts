/**
 * Messages on a byte stream (wire spec sections 1.2, 1.4): an 8-byte header with body length, type and schema,
 * then the body. `FrameParser` cuts a stream into messages however its bytes were split on the way; `beginMessage`
 * and `endMessage` frame a message that is being written. Bodies are not looked into here.
 */

import { assert } from '../lib/assert.ts';
import { Reader, WORD_SIZE, type Writer } from '../lib/bytes.ts';
import { ByteQueue } from '../lib/byte-queue.ts';

const HEADER_SIZE = WORD_SIZE;

/** The header counts words in 32 bits. */
const MAX_BODY_WORDS = 0xffffffff;

export interface FrameHeader {
  readonly type: number;
  readonly schema: number;
  /** In bytes, a multiple of 8; 0 only from a sender that breaks the protocol. */
  readonly bodySize: number;
}

export interface Frame {
  readonly type: number;
  readonly schema: number;
  readonly body: Uint8Array;
}

/** A header announces a body above the limit. The stream cannot be read any further. */
export class MessageTooLargeError extends Error {
  override readonly name = 'MessageTooLargeError';
  /** Size of the announced body in bytes. */
  readonly size: number;

  constructor(size: number, limit: number) {
    super(`message body of ${size} bytes, the limit is ${limit}`);
    this.size = size;
  }
}

function wordsOf(bodySize: number): number {
  const words = bodySize / WORD_SIZE;
  assert(Number.isInteger(words), 'a message body consists of whole words');
  assert(words <= MAX_BODY_WORDS, 'a message body has less than 2^32 words');
  return words;
}

/** Writes the header of a message whose size is known before its body is written. */
export function writeHeader(writer: Writer, { type, schema, bodySize }: FrameHeader): void {
  writer.uint32(wordsOf(bodySize));
  writer.uint8(type);
  writer.uint8(schema);
  writer.uint16(0);
}

/** Starts a message whose body the caller writes next. Returns what `endMessage` needs. */
export function beginMessage(writer: Writer, type: number, schema = 0): number {
  const start = writer.offset;
  writeHeader(writer, { type, schema, bodySize: 0 });
  return start;
}

/** Ends the message that began at `start`: now its size is known. */
export function endMessage(writer: Writer, start: number): void {
  const words = wordsOf(writer.offset - start - HEADER_SIZE);
  assert(words > 0, 'a message body is not empty');
  writer.view.setUint32(start, words, true);
}

export class FrameParser {
  readonly #bytes = new ByteQueue();
  readonly #maxBodySize: number;

  /** `maxBodySize` is in bytes. */
  constructor(maxBodySize: number) {
    this.#maxBodySize = maxBodySize;
  }

  /** Bytes that arrived and were not taken. */
  get bufferedBytes(): number {
    return this.#bytes.size;
  }

  /** Adds what the stream delivered. The chunk must not change afterwards: bodies are views of it. */
  push(chunk: Uint8Array): void {
    this.#bytes.push(chunk);
  }

  /** Takes the protocol version, which a server reads once, before all messages. Undefined until it has arrived. */
  handshake(): bigint | undefined {
    if (this.#bytes.size < WORD_SIZE) return undefined;
    return new Reader(this.#bytes.take(WORD_SIZE)).uint64('protocol version');
  }

  /** Takes the next message. Undefined until it has arrived. Throws `MessageTooLargeError` once its header is there. */
  next(): Frame | undefined {
    const header = this.#header();
    if (header === undefined) return undefined;
    const { type, schema, bodySize } = header;
    if (bodySize > this.#maxBodySize) throw new MessageTooLargeError(bodySize, this.#maxBodySize);
    if (!this.#hasArrived(header)) return undefined;
    this.#bytes.skip(HEADER_SIZE);
    return { type, schema, body: this.#bytes.take(bodySize) };
  }

  /** The header of the next message once all of it has arrived. Takes nothing; the limit is left to `next`. */
  peek(): FrameHeader | undefined {
    const header = this.#header();
    return header !== undefined && this.#hasArrived(header) ? header : undefined;
  }

  /** Takes everything, for a stream that goes on in another protocol: raft, after CONNECT. */
  rest(): Uint8Array {
    return this.#bytes.take(this.#bytes.size);
  }

  #header(): FrameHeader | undefined {
    if (this.#bytes.size < HEADER_SIZE) return undefined;
    const bodySize = this.#bytes.uint32(0) * WORD_SIZE;
    const kind = this.#bytes.uint32(4);
    return { type: kind & 0xff, schema: (kind >>> 8) & 0xff, bodySize };
  }

  #hasArrived({ bodySize }: FrameHeader): boolean {
    return this.#bytes.size >= HEADER_SIZE + bodySize;
  }
}
