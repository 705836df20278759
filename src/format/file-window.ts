/**
 * Reading a file of any size in bounded memory without knowing how files are read: a `FileScan` is a
 * generator that asks for ranges and is resumed with their bytes, by synchronous or asynchronous code.
 *
 *     let step = scan.next();
 *     while (!step.done) step = scan.next(await read(step.value.offset, step.value.size));
 */

import { assert } from '../lib/assert.ts';

/** A range inside the file. The answer is exactly its bytes, unchanged until the next request. */
export interface ReadRequest {
  readonly offset: number;
  readonly size: number;
}

export type FileScan<Result> = Generator<ReadRequest, Result, Uint8Array>;

/**
 * Bytes that are read and looked at in one go, unless more are needed in one piece: large enough that
 * requests are few, small enough that the time between two of them stays under a few milliseconds.
 */
const WINDOW_SIZE = 1024 * 1024;

/** The part of a file that is in memory. Views of it are valid until the next method that reads. */
export class FileWindow {
  readonly fileSize: number;
  #start = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(fileSize: number) {
    this.fileSize = fileSize;
  }

  /** The `size` bytes at `offset`, which must lie in the file. */
  *exactly(offset: number, size: number): FileScan<Uint8Array> {
    if (!this.#holds(offset, size)) yield* this.#load(offset, Math.max(size, WINDOW_SIZE));
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + size);
  }

  /** At least one byte and at most `sizeMax` from `offset` on: as much as needs no further reading. */
  *some(offset: number, sizeMax: number): FileScan<Uint8Array> {
    if (!this.#holds(offset, 1)) yield* this.#load(offset, WINDOW_SIZE);
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + sizeMax);
  }

  #holds(offset: number, size: number): boolean {
    return offset >= this.#start && offset + size <= this.#start + this.#bytes.length;
  }

  *#load(offset: number, sizeWanted: number): FileScan<void> {
    const size = Math.min(sizeWanted, this.fileSize - offset);
    this.#bytes = yield { offset, size };
    this.#start = offset;
    assert(this.#bytes.length === size, `asked for ${size} bytes, got ${this.#bytes.length}`);
  }
}
