/**
 * Reads a file in large pieces for somebody who reads it in small ones, one behind the other: each read of a file is a
 * way to another thread and back, which takes longer than the reading itself. Lives for one run of reads: what is
 * written meanwhile is not seen.
 */

import type { Readable } from './read.ts';

const WINDOW_SIZE = 512 * 1024;

export class ReadAhead implements Readable {
  readonly path: string;
  readonly #file: Readable;
  #window: Uint8Array = new Uint8Array(0);
  #windowOffset = 0;
  #size: number | undefined = undefined;

  constructor(file: Readable) {
    this.path = file.path;
    this.#file = file;
  }

  async size(): Promise<number> {
    this.#size ??= await this.#file.size();
    return this.#size;
  }

  /** As `File.read`. */
  async read(target: Uint8Array, offset: number): Promise<number> {
    if (target.length >= WINDOW_SIZE) return this.#file.read(target, offset);
    const isInside = offset >= this.#windowOffset && offset + target.length <= this.#windowOffset + this.#window.length;
    if (!isInside) {
      const window = new Uint8Array(WINDOW_SIZE);
      this.#window = window.subarray(0, await this.#file.read(window, offset));
      this.#windowOffset = offset;
    }
    const start = offset - this.#windowOffset;
    const found = this.#window.subarray(start, start + target.length);
    target.set(found);
    return found.length;
  }
}
