/**
 * Commands: the data of raft log entries of type COMMAND (raft and disk spec sections 4.2, 4.3). FRAMES, the only
 * one that changes data, is a transaction as page images. It can be hundreds of megabytes: it is decoded as a view
 * and encoded into memory that the caller provides, each page copied once. Unused fields hold garbage when C nodes
 * wrote them; they are not read here, and written as zeros.
 */

import { assert } from '../lib/assert.ts';
import { DecodeError, Reader, WORD_SIZE, Writer, pad8 } from '../lib/bytes.ts';

const FORMAT = 1;

const commandType = { open: 1, frames: 2, undo: 3, checkpoint: 4 } as const;

const PAGE_SIZE = 4096;

/** SQLite's own limit (SQLITE_MAX_PAGE_COUNT). */
const MAX_PAGE_NUMBER = 2 ** 32 - 2;

/** A FRAMES command without its name and pages: command header, transaction id, truncate, flags, count, page size. */
const FRAMES_FIXED_SIZE = 32;

const PAGE_NUMBER_SIZE = WORD_SIZE;

/** The pages of one transaction in the order they were written. If a number comes twice the later image counts. */
export interface PageImages {
  readonly count: number;
  /** From 1. */
  pageNumber(index: number): number;
  /** 4096 bytes. */
  pageData(index: number): Uint8Array;
}

/** A transaction that leaders before 1.0 split over several commands. This project does not put them together. */
export class PartialFramesError extends DecodeError {}

/** A decoded FRAMES command: views of the entry's data. */
export class FramesCommand implements PageImages {
  readonly kind = 'frames';
  /** The database, as the client named it. */
  readonly name: Uint8Array;
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #numbersOffset: number;
  readonly #pagesOffset: number;

  /** `reader` stands behind the command header. */
  constructor(reader: Reader) {
    this.name = reader.textBytes('database name');
    reader.skip(8 + 4, 'transaction id and truncate');
    const isCommitOffset = reader.offset;
    if (reader.uint8('is_commit') === 0) throw new PartialFramesError('part of a transaction', isCommitOffset);
    reader.skip(3, 'unused');
    this.count = reader.uint32('page count');
    const pageSize = reader.uint16('page size');
    if (pageSize !== PAGE_SIZE) throw new DecodeError(`page size ${pageSize}`, reader.offset - 2);
    reader.skip(2, 'unused');
    this.#bytes = reader.bytes;
    this.#view = new DataView(reader.bytes.buffer, reader.bytes.byteOffset, reader.bytes.byteLength);
    this.#numbersOffset = reader.skip(this.count * PAGE_NUMBER_SIZE, 'page numbers');
    this.#pagesOffset = reader.skip(this.count * PAGE_SIZE, 'pages');
    this.#checkPageNumbers();
  }

  #checkPageNumbers(): void {
    for (let index = 0; index < this.count; index++) {
      const offset = this.#numbersOffset + index * PAGE_NUMBER_SIZE;
      const number = this.pageNumber(index);
      const isNumber = number > 0 && number <= MAX_PAGE_NUMBER && this.#view.getUint32(offset + 4, true) === 0;
      if (!isNumber) throw new DecodeError('page number out of range', offset);
    }
  }

  pageNumber(index: number): number {
    assert(index < this.count, 'page index out of range');
    return this.#view.getUint32(this.#numbersOffset + index * PAGE_NUMBER_SIZE, true);
  }

  pageData(index: number): Uint8Array {
    assert(index < this.count, 'page index out of range');
    const offset = this.#pagesOffset + index * PAGE_SIZE;
    return this.#bytes.subarray(offset, offset + PAGE_SIZE);
  }
}

export type Command =
  | FramesCommand
  /** OPEN, UNDO and CHECKPOINT have no effect here; logs of C nodes hold them. */
  | { readonly kind: 'open'; readonly name: Uint8Array }
  | { readonly kind: 'undo'; readonly transactionId: bigint }
  | { readonly kind: 'checkpoint'; readonly name: Uint8Array };

/** Views in the result are views of `bytes`. Throws `PartialFramesError` or another `DecodeError`. */
export function decodeCommand(bytes: Uint8Array): Command {
  const reader = new Reader(bytes);
  const format = reader.uint8('command format');
  if (format !== FORMAT) throw new DecodeError(`unknown command format ${format}`, 0);
  const type = reader.uint8('command type');
  reader.skip(6, 'unused');
  switch (type) {
    case commandType.open:
      return { kind: 'open', name: reader.textBytes('database name') };
    case commandType.frames:
      return new FramesCommand(reader);
    case commandType.undo:
      return { kind: 'undo', transactionId: reader.uint64('transaction id') };
    case commandType.checkpoint:
      return { kind: 'checkpoint', name: reader.textBytes('database name') };
    default:
      throw new DecodeError(`unknown command type ${type}`, 1);
  }
}

/** Size in bytes of a FRAMES command; a multiple of 8. */
export function framesSize(name: Uint8Array, pageCount: number): number {
  return FRAMES_FIXED_SIZE + pad8(name.length + 1) + pageCount * (PAGE_NUMBER_SIZE + PAGE_SIZE);
}

/** Writes a FRAMES command of `framesSize` bytes into `target` at `offset`, over whatever is there. */
export function writeFrames(target: Uint8Array, offset: number, name: Uint8Array, pages: PageImages): void {
  const size = framesSize(name, pages.count);
  assert(pages.count > 0, 'a FRAMES command has at least one page');
  assert(size <= target.length - offset, 'the FRAMES command fits the target');
  assert(!name.includes(0), 'a database name has no NUL');
  const nameSize = pad8(name.length + 1);
  const numbersOffset = offset + FRAMES_FIXED_SIZE + nameSize;
  const pagesOffset = numbersOffset + pages.count * PAGE_NUMBER_SIZE;
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);

  target.fill(0, offset, numbersOffset);
  view.setUint8(offset, FORMAT);
  view.setUint8(offset + 1, commandType.frames);
  target.set(name, offset + 8);
  view.setUint8(offset + nameSize + 20, 1); // is_commit
  view.setUint32(offset + nameSize + 24, pages.count, true);
  view.setUint16(offset + nameSize + 28, PAGE_SIZE, true);

  for (let index = 0; index < pages.count; index++) {
    const number = pages.pageNumber(index);
    const data = pages.pageData(index);
    assert(number > 0 && number <= MAX_PAGE_NUMBER, 'page number out of range');
    assert(data.length === PAGE_SIZE, 'a page image has 4096 bytes');
    view.setUint32(numbersOffset + index * PAGE_NUMBER_SIZE, number, true);
    view.setUint32(numbersOffset + index * PAGE_NUMBER_SIZE + 4, 0, true);
    target.set(data, pagesOffset + index * PAGE_SIZE);
  }
}

export function encodeCheckpoint(name: Uint8Array): Uint8Array {
  const writer = new Writer(WORD_SIZE + pad8(name.length + 1));
  writer.uint8(FORMAT);
  writer.uint8(commandType.checkpoint);
  writer.zeros(6);
  writer.textBytes(name);
  return writer.written();
}
