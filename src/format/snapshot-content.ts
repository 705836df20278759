/**
 * The content of a snapshot: all databases of the node, one after the other (raft and disk spec section
 * 5.9). It travels as it is in InstallSnapshot and inside an LZ4 frame on disk. Written is the form that
 * every C node reads: main files only. Read is also the form with a WAL, of C nodes before 1.17.
 */

import { DecodeError, pad8, Reader, textLength, WORD_SIZE, Writer } from '../lib/bytes.ts';
import { WAL_FRAME_HEADER_SIZE, WAL_HEADER_SIZE, WalReader } from './wal.ts';

const FORMAT = 1n;
const HEADER_SIZE = 16;
/** The main size and the WAL size after a name. */
const SIZES_SIZE = 16;
const PAGE_SIZE = 4096;
const WAL_FRAME_SIZE = WAL_FRAME_HEADER_SIZE + PAGE_SIZE;
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

/** Says how many bytes it needs next and is resumed with exactly these. Never asks for 0. */
type Parser<Result> = Generator<number, Result, Uint8Array>;

/**
 * Reads a snapshot from chunks of any split. It holds no more than a page. Throws DecodeError, with the
 * offset in the content, and is of no use then.
 */
export class SnapshotContentReader {
  readonly #sink: SnapshotSink;
  readonly #parser: Parser<void>;
  /** Size of the piece that the parser waits for, 0 when the snapshot is complete. */
  #wanted: number;
  /** The start of that piece, if it did not arrive as a whole. */
  readonly #buffer = new Uint8Array(WAL_FRAME_SIZE);
  #gathered = 0;
  /** Offset in the content of the piece that the parser waits for or looks at. */
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
      this.#offset += piece.length;
    }
  }

  /** To be called after the last chunk: the snapshot must be complete. */
  finish(): void {
    if (this.#wanted !== 0) throw new DecodeError('snapshot ends too early', this.#offset + this.#gathered);
  }

  *#content(): Parser<void> {
    const header = new Reader(yield HEADER_SIZE);
    const format = header.uint64('format');
    if (format !== FORMAT) throw new DecodeError(`snapshot format ${format}`, 0);
    const databaseCount = header.uint64('database count');
    for (let i = 0n; i < databaseCount; i++) yield* this.#database();
  }

  *#database(): Parser<void> {
    const name = yield* this.#name();
    const sizes = new Reader(yield SIZES_SIZE);
    const mainSize = sizes.uint64('main size');
    const walSize = sizes.uint64('WAL size');
    if (mainSize === 0n || mainSize % BigInt(PAGE_SIZE) !== 0n || mainSize > PAGES_MAX * PAGE_SIZE) {
      throw new DecodeError(`database of ${mainSize} bytes`, this.#offset);
    }
    const framesSize = walSize - BigInt(WAL_HEADER_SIZE);
    if (walSize !== 0n && (framesSize < 0n || framesSize % BigInt(WAL_FRAME_SIZE) !== 0n)) {
      throw new DecodeError(`WAL of ${walSize} bytes`, this.#offset + 8);
    }

    const mainPages = Number(mainSize) / PAGE_SIZE;
    this.#sink.beginDatabase(name, mainPages);
    for (let pageNumber = 1; pageNumber <= mainPages; pageNumber++) this.#sink.page(pageNumber, yield PAGE_SIZE);
    this.#sink.endDatabase(
      walSize === 0n ? mainPages : yield* this.#wal(Number(framesSize) / WAL_FRAME_SIZE, mainPages),
    );
  }

  *#name(): Parser<Uint8Array> {
    const text = new Uint8Array(NAME_SIZE_MAX + 1);
    for (let size = 0; size < text.length; size += WORD_SIZE) {
      text.set(yield WORD_SIZE, size);
      const length = textLength(text, size, size + WORD_SIZE);
      if (length >= 0) return text.subarray(0, size + length);
    }
    throw new DecodeError(`database name of more than ${NAME_SIZE_MAX} bytes`, this.#offset);
  }

  /** Gives the pages of the WAL to the sink. The result is the size of the database in pages. */
  *#wal(frameCount: number, mainPages: number): Parser<number> {
    const wal = new WalReader(yield WAL_HEADER_SIZE, PAGE_SIZE, this.#offset);
    let pageCount = mainPages;
    let isInTransaction = false;
    for (let i = 0; i < frameCount; i++) {
      const { pageNumber, commitPages, page } = wal.frame(yield WAL_FRAME_SIZE, this.#offset);
      this.#sink.page(pageNumber, page);
      isInTransaction = commitPages === 0;
      if (!isInTransaction) pageCount = commitPages;
    }
    // SQLite would ignore such frames, but C puts only whole transactions here: something is missing.
    if (isInTransaction) throw new DecodeError('WAL ends inside a transaction', this.#offset);
    return pageCount;
  }
}
