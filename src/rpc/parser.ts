/**
 * Cuts the stream of a peer into messages, however its bytes were split on the way (raft and disk spec section 1.4).
 *
 * A C leader puts everything that a follower lacks into one AppendEntries, hundreds of megabytes perhaps. What is read
 * here comes out as several shorter ones, each complete in itself, so that no more than a batch or one entry is held;
 * snapshot data comes out as it arrives.
 */

import { ByteQueue } from '../lib/byte-queue.ts';
import { DecodeError, Reader } from '../lib/bytes.ts';
import type { AppendEntries, Entry, InstallSnapshot, Message } from '../raft/index.ts';
import { HEADER_SIZE_MAX, PREAMBLE_SIZE } from './codes.ts';
import { decodeHeader, type AppendEntriesHeader } from './decode.ts';

export type PeerEvent =
  | { readonly kind: 'message'; readonly message: Exclude<Message, InstallSnapshot> }
  /** `size` bytes of data follow as `snapshotData`, then `snapshotEnd`. */
  | { readonly kind: 'snapshot'; readonly message: InstallSnapshot; readonly size: number }
  /** A view of what was pushed. */
  | { readonly kind: 'snapshotData'; readonly bytes: Uint8Array }
  | { readonly kind: 'snapshotEnd' };

export interface PeerParserOptions {
  /** Entry data that comes out in one message, unless a single entry has more. */
  readonly maxBatchBytes?: number;
  /** Gives memory for the data of a large entry. */
  readonly allocate?: (size: number) => Uint8Array;
}

const DEFAULT_MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** Larger entries are put together as they arrive, so that their bytes are not held twice. */
const LARGE_ENTRY_SIZE = 64 * 1024;
/** Bits of the type that mean something; the others are reserved. */
const TYPE_MASK = 0xffff;

/** An entry of which a part has arrived. */
interface Partial {
  readonly data: Uint8Array;
  filled: number;
}

export class PeerParser {
  readonly #maxBatchBytes: number;
  readonly #allocate: (size: number) => Uint8Array;
  readonly #bytes = new ByteQueue();
  #append: AppendEntriesHeader | undefined = undefined;
  /** Entries of `append` that came out in earlier messages, and those of the next. */
  #emitted = 0;
  #entries: Entry[] = [];
  #entriesBytes = 0;
  #partial: Partial | undefined = undefined;
  /** Snapshot bytes still to come; undefined outside a snapshot. */
  #snapshotLeft: number | undefined = undefined;

  constructor(options: PeerParserOptions = {}) {
    this.#maxBatchBytes = options.maxBatchBytes ?? DEFAULT_MAX_BATCH_BYTES;
    this.#allocate = options.allocate ?? (size => new Uint8Array(size));
  }

  /** Bytes that arrived and have not come out. */
  get bufferedBytes(): number {
    return this.#bytes.size + this.#entriesBytes + (this.#partial?.filled ?? 0);
  }

  /** The chunk must not change afterwards: messages are views of it. */
  push(chunk: Uint8Array): void {
    this.#bytes.push(chunk);
  }

  /** What has arrived next, or undefined. Throws DecodeError: then the stream cannot be read any further. */
  next(): PeerEvent | undefined {
    if (this.#snapshotLeft !== undefined) return this.#nextSnapshotData(this.#snapshotLeft);
    if (this.#append === undefined) {
      const event = this.#nextHeader();
      if (event !== undefined) return event;
    }
    return this.#append === undefined ? undefined : this.#nextEntries(this.#append);
  }

  #nextHeader(): PeerEvent | undefined {
    if (this.#bytes.size < PREAMBLE_SIZE) return undefined;
    const preamble = new Reader(this.#bytes.peek(PREAMBLE_SIZE));
    const type = preamble.uint32('message type') & TYPE_MASK;
    preamble.skip(4, 'message type');
    const size = preamble.safeUint64('header size');
    if (size === 0) throw new DecodeError('empty header', 8);
    if (size > HEADER_SIZE_MAX) throw new DecodeError(`header of ${size} bytes, the limit is ${HEADER_SIZE_MAX}`, 8);
    if (this.#bytes.size < PREAMBLE_SIZE + size) return undefined;
    this.#bytes.skip(PREAMBLE_SIZE);
    const header = decodeHeader(type, this.#bytes.take(size));
    switch (header.kind) {
      case 'appendEntriesHeader':
        this.#append = header;
        this.#emitted = 0;
        return undefined;
      case 'installSnapshotHeader':
        this.#snapshotLeft = header.size;
        return { kind: 'snapshot', message: header.message, size: header.size };
      default:
        return { kind: 'message', message: header };
    }
  }

  #nextSnapshotData(left: number): PeerEvent | undefined {
    if (left === 0) {
      this.#snapshotLeft = undefined;
      return { kind: 'snapshotEnd' };
    }
    const bytes = this.#bytes.takeSome(left);
    if (bytes === undefined) return undefined;
    this.#snapshotLeft = left - bytes.length;
    return { kind: 'snapshotData', bytes };
  }

  #nextEntries(append: AppendEntriesHeader): PeerEvent | undefined {
    for (;;) {
      const header = append.entries[this.#emitted + this.#entries.length];
      if (header === undefined) break;
      const isFull = this.#entries.length > 0 && this.#entriesBytes + header.size > this.#maxBatchBytes;
      if (isFull) break;
      const data = this.#takeData(header.size);
      if (data === undefined) return undefined;
      this.#entries.push({ term: header.term, type: header.type, data });
      this.#entriesBytes += data.length;
    }
    return { kind: 'message', message: this.#cut(append) };
  }

  /** The entries that are complete, as a message of their own. */
  #cut(append: AppendEntriesHeader): AppendEntries {
    const first = this.#emitted;
    const entries = this.#entries;
    this.#emitted += entries.length;
    this.#entries = [];
    this.#entriesBytes = 0;
    if (this.#emitted === append.entries.length) this.#append = undefined;
    return {
      kind: 'appendEntries',
      term: append.term,
      previousIndex: append.previousIndex + first,
      previousTerm: first === 0 ? append.previousTerm : append.entries[first - 1]!.term,
      commitIndex: append.commitIndex,
      entries,
    };
  }

  #takeData(size: number): Uint8Array | undefined {
    if (this.#partial === undefined) {
      if (this.#bytes.size >= size) return this.#bytes.take(size);
      if (size <= LARGE_ENTRY_SIZE) return undefined;
      this.#partial = { data: this.#allocate(size), filled: 0 };
    }
    const partial = this.#partial;
    while (partial.filled < size) {
      const bytes = this.#bytes.takeSome(size - partial.filled);
      if (bytes === undefined) return undefined;
      partial.data.set(bytes, partial.filled);
      partial.filled += bytes.length;
    }
    this.#partial = undefined;
    return partial.data;
  }
}
