/**
 * The segment that is being written. A batch is one vectored write of a durable file: header, data, and zeros up
 * to the next preallocation step if the batch reaches beyond what is allocated. A segment that follows a busy one is
 * filled with zeros before it is needed. So most writes change no file size, which makes their sync cheaper, none
 * writes zeros twice, and the bytes after the last batch are always zeros (C dqlite refuses a segment that ends
 * inside a batch).
 */

import { encodeSegmentHeader, OPEN_SEGMENT_SIZE, SEGMENT_HEADER_SIZE } from '../format/index.ts';
import type { File } from '../host/types.ts';

/** Zeros that a batch brings along when it outgrows the allocated part. */
const PREALLOCATION_STEP = 256 * 1024;
/** Zeros that are written at a time ahead of the batches. */
const FILL_STEP = 1024 * 1024;
/** C dqlite reads 16 bytes after the last batch to see that there is none. */
const SPARE_SIZE = 16;

const zeros = new Uint8Array(FILL_STEP + SPARE_SIZE);

export class SegmentWriter {
  readonly name: string;
  readonly #file: File;
  /** What a segment is filled up to. */
  readonly #segmentSize: number;
  readonly #step: number;
  #allocated = 0;
  #filling: Promise<void> = Promise.resolve();
  #fillWanted = false;
  #finished = false;
  #closed = false;
  /** Bytes that hold batches. */
  used = 0;
  /** Whether a sync has failed: what is on the disk is unknown then, and asking again proves nothing. */
  syncFailed = false;

  private constructor(name: string, file: File, segmentSize: number) {
    this.name = name;
    this.#file = file;
    this.#segmentSize = segmentSize;
    this.#step = Math.min(PREALLOCATION_STEP, segmentSize);
  }

  /** For a file that was just created: allocates the first step, so that the first batch finds space. */
  static async create(name: string, file: File, segmentSize: number = OPEN_SEGMENT_SIZE): Promise<SegmentWriter> {
    const writer = new SegmentWriter(name, file, segmentSize);
    await file.write([zeros.subarray(0, writer.#step)], 0);
    writer.#allocated = writer.#step;
    return writer;
  }

  /** Allocates the rest in the background, until `begin` is called. */
  fill(): void {
    this.#fillWanted = true;
    this.#filling = this.#fill();
  }

  async #fill(): Promise<void> {
    while (this.#fillWanted && this.#allocated < this.#segmentSize) {
      const next = Math.min(this.#allocated + FILL_STEP, this.#segmentSize + SPARE_SIZE);
      try {
        await this.#file.write([zeros.subarray(0, next - this.#allocated)], this.#allocated);
      } catch {
        // Zeros in part are zeros. The batch that needs the space meets the error, if it lasts.
        return;
      }
      this.#allocated = next;
    }
  }

  /** To be called before the first batch. */
  async begin(): Promise<void> {
    this.#fillWanted = false;
    await this.#filling;
  }

  /** Whether a batch should go into the next segment; one that is too large for any gets one of its own. */
  isFullFor(size: number): boolean {
    return this.used > 0 && this.used + size > this.#segmentSize;
  }

  /** Where the next batch will begin. */
  get batchOffset(): number {
    return Math.max(this.used, SEGMENT_HEADER_SIZE);
  }

  /** Writes a batch; durable when it resolves. After a rejection call `repair` or nothing. `blocking`: see `File`. */
  async write(header: Uint8Array, data: readonly Uint8Array[], blocking = false): Promise<void> {
    const pieces: Uint8Array[] = this.used === 0 ? [encodeSegmentHeader(), header, ...data] : [header, ...data];
    let end = this.used;
    for (const piece of pieces) end += piece.length;
    let allocated = this.#allocated;
    if (end + SPARE_SIZE > allocated) {
      allocated = Math.ceil((end + SPARE_SIZE) / this.#step) * this.#step;
      pieces.push(zeros.subarray(0, allocated - end));
    }
    await this.#file.write(pieces, this.used, blocking);
    this.used = end;
    this.#allocated = allocated;
  }

  /** Removes whatever a failed write left after the last good batch. */
  async repair(): Promise<void> {
    await this.#file.truncate(this.used);
    await this.#file.sync();
    this.#allocated = this.used;
  }

  /** Cuts the file at the end of the last batch, where a closed segment ends, and closes it. Can be tried again. */
  async finish(): Promise<void> {
    if (!this.#finished) {
      await this.#file.truncate(this.used);
      try {
        await this.#file.sync();
      } catch (error) {
        this.syncFailed = true;
        throw error;
      }
      this.#finished = true;
    }
    await this.abandon();
  }

  /** Closes without a write, after a failure. */
  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }
}
