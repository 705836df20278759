/** Content on its way into a file, as an LZ4 frame, by way of a buffer: many small pieces, few writes. */

import type { File } from '../host/types.ts';
import { StoredFrameWriter } from '../lib/lz4.ts';

/** Bytes written at once, each write synced, so that a snapshot does not flood the disk's queue. */
const WRITE_SIZE = 256 * 1024;
/** Content taken at once; the buffer has room for it, and for what the frame adds, above a full write. */
const PIECE_SIZE = 16 * 1024;
const BUFFER_SIZE = WRITE_SIZE + 2 * PIECE_SIZE;

export class SnapshotFile {
  readonly #file: File;
  readonly #frame: StoredFrameWriter;
  readonly #buffer = new Uint8Array(BUFFER_SIZE);
  #filled = 0;
  #offset = 0;
  #closed = false;
  readonly #emit = (piece: Uint8Array): void => {
    this.#buffer.set(piece, this.#filled);
    this.#filled += piece.length;
  };

  private constructor(file: File, size: number) {
    this.#file = file;
    this.#frame = new StoredFrameWriter(size);
  }

  /** For an empty file that was opened as durable; `size`: bytes of the content. */
  static create(file: File, size: number): SnapshotFile {
    const snapshot = new SnapshotFile(file, size);
    snapshot.#emit(snapshot.#frame.header());
    return snapshot;
  }

  /** The next part of the content, free again when it resolves. */
  async push(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; start += PIECE_SIZE) {
      this.#frame.push(bytes.subarray(start, start + PIECE_SIZE), this.#emit);
      if (this.#filled >= WRITE_SIZE) await this.#flush();
    }
  }

  /** Durable, and closed, when it resolves. */
  async finish(): Promise<void> {
    this.#emit(this.#frame.finish());
    await this.#flush();
    await this.#file.sync();
    await this.abandon();
  }

  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }

  async #flush(): Promise<void> {
    await this.#file.write([this.#buffer.subarray(0, this.#filled)], this.#offset);
    this.#offset += this.#filled;
    this.#filled = 0;
  }
}
