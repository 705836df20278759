/**
 * Views of the WASM heap. They die whenever the memory grows (any call that can allocate), so they are
 * fetched anew for each use: `heap.bytes` costs a comparison when nothing has happened.
 */

import { SQLITE_OK } from './constants.ts';
import type { Memory, Pointer } from './wasm.ts';

export class Heap {
  readonly #memory: Memory;
  #bytes: Uint8Array;
  #words: Int32Array;
  #view: DataView;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
  }

  get bytes(): Uint8Array {
    if (this.#bytes.length === 0) this.#renew();
    return this.#bytes;
  }

  get words(): Int32Array {
    if (this.#words.length === 0) this.#renew();
    return this.#words;
  }

  get view(): DataView {
    if (this.#bytes.length === 0) this.#renew();
    return this.#view;
  }

  /** Bytes that the heap has grown to; it never shrinks. */
  get size(): number {
    return this.bytes.length;
  }

  uint32(pointer: Pointer): number {
    return this.words[pointer >> 2]! >>> 0;
  }

  /** Stores a word at an aligned address. Gives SQLITE_OK, for callbacks that do nothing else. */
  setUint32(pointer: Pointer, value: number): number {
    this.words[pointer >> 2] = value;
    return SQLITE_OK;
  }

  /** Length of a NUL-terminated string. */
  stringLength(pointer: Pointer): number {
    return this.bytes.indexOf(0, pointer) - pointer;
  }

  /** A NUL-terminated string, or undefined for the null pointer. */
  string(pointer: Pointer): string | undefined {
    if (pointer === 0) return undefined;
    return decoder.decode(this.bytes.subarray(pointer, pointer + this.stringLength(pointer)));
  }

  #renew(): void {
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#words = new Int32Array(this.#memory.buffer);
    this.#view = new DataView(this.#memory.buffer);
  }
}

const decoder = new TextDecoder();
