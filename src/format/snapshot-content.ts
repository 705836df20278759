/**
 * The content of a snapshot: all databases of the node, one after the other (raft and disk spec section
 * 5.9). It travels as it is in InstallSnapshot and inside an LZ4 frame on disk. Written is the form that
 * every C node reads: main files only. Read is also the form with a WAL, of C nodes before 1.17.
 */

import { DecodeError, pad8, textLength, WORD_SIZE, Writer } from '../lib/bytes.ts';
import { WAL_HEADER_SIZE, WalReader } from './wal.ts';

const FORMAT = 1n;
const HEADER_SIZE = 16;
/** The main size and the WAL size after a name. */
const SIZES_SIZE = 16;
const PAGE_SIZE = 4096;
/** SQLite's limit of a database file. */
const PAGES_MAX = 4_294_967_294;
/** dqlite refuses to open databases with longer names. */
const NAME_SIZE_MAX = 511;

export interface DatabaseExtent {
  readonly name: Uint8Array;
  readonly pageCount: number;
}

/** What a snapshot begins with. */
export function encodeSnapshotHeader(databaseCount: number): Uint8Array {
  const writer = new Writer(HEADER_SIZE);
  writer.uint64(FORMAT);
  writer.safeUint64(databaseCount);
  return writer.written();
}

/** What comes before the pages of a database, which follow in order, from page 1 on. */
export function encodeDatabaseHeader({ name, pageCount }: DatabaseExtent): Uint8Array {
  const writer = new Writer();
  writer.textBytes(name);
  writer.safeUint64(pageCount * PAGE_SIZE);
  writer.safeUint64(0);
  return writer.written();
}

/** Exact size of the snapshot of these databases. */
export function snapshotContentSize(databases: readonly DatabaseExtent[]): number {
  let size = HEADER_SIZE;
  for (const { name, pageCount } of databases) {
    size += pad8(name.length + 1) + SIZES_SIZE + pageCount * PAGE_SIZE;
  }
  return size;
}

/** Receives the databases of a snapshot. What it has received is worth nothing before `finish` returned. */
export interface SnapshotSink {
  /** `name` is a view, as are pages: valid during the call only. */
  beginDatabase(name: Uint8Array, mainPages: number): void;
  /** First pages 1 to `mainPages` in order, then those of the WAL, which replace earlier ones. */
  page(pageNumber: number, bytes: Uint8Array): void;
  /** Pages beyond `pageCount` are no longer part of the database. */
  endDatabase(pageCount: number): void;
}

/** Says how many bytes it needs next and is resumed with exactly these. */
type Parser = Generator<number, void, Uint8Array>;

/**
 * Reads a snapshot from chunks of any split. It holds no more than a page. Throws DecodeError, with the
 * offset in the content, and is of no use then.
 */
export class SnapshotContentReader {
  readonly #sink: SnapshotSink;
  readonly #parser: Parser;
  /** Size of the piece that the parser waits for; 0 when the snapshot is complete. */
  #wanted: number;
  /** The part of it that has arrived, unless it arrived as a whole. */
  readonly #buffer = new Uint8Array(PAGE_SIZE + 64);
  #gathered = 0;
  /** Offset in the content of that piece. */
  #offset = 0;

  constructor(sink: SnapshotSink) {
    this.#sink = sink;
    this.#parser = this.#content();
    this.#wanted = this.#parser.next().value ?? 0;
  }

  push(chunk: Uint8Array): void {
    let position = 0;
    while (position < chunk.length) {
      if (this.#wanted === 0) throw new DecodeError('bytes after the snapshot', this.#offset);
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
      this.#wanted = this.#parser.next(piece).value ?? 0;
    }
  }

  /** To be called after the last chunk: the snapshot must be complete. */
  finish(): void {
    if (this.#wanted !== 0) throw new DecodeError('snapshot ends too early', this.#offset + this.#gathered);
  }

  *#content(): Parser {
    const header = viewOf(yield HEADER_SIZE);
    if (header.getBigUint64(0, true) !== FORMAT) throw new DecodeError('unknown snapshot format', 0);
    const databaseCount = header.getBigUint64(8, true);
    this.#offset += HEADER_SIZE;
    for (let i = 0n; i < databaseCount; i++) yield* this.#database();
  }

  *#database(): Parser {
    const name = yield* this.#name();
    const sizes = viewOf(yield SIZES_SIZE);
    const mainSize = sizes.getBigUint64(0, true);
    const walSize = sizes.getBigUint64(8, true);
    if (mainSize === 0n || mainSize % BigInt(PAGE_SIZE) !== 0n || mainSize > PAGES_MAX * PAGE_SIZE) {
      throw new DecodeError(`database of ${mainSize} bytes`, this.#offset);
    }
    if (walSize > Number.MAX_SAFE_INTEGER) throw new DecodeError(`WAL of ${walSize} bytes`, this.#offset + 8);
    this.#offset += SIZES_SIZE;

    const mainPages = Number(mainSize) / PAGE_SIZE;
    this.#sink.beginDatabase(name, mainPages);
    for (let pageNumber = 1; pageNumber <= mainPages; pageNumber++) {
      this.#sink.page(pageNumber, yield PAGE_SIZE);
      this.#offset += PAGE_SIZE;
    }
    this.#sink.endDatabase(walSize === 0n ? mainPages : yield* this.#wal(Number(walSize), mainPages));
  }
}
