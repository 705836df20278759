/**
 * The bytes of a stream that arrived and were not consumed yet. They stay in the chunks they came in: taking what
 * lies in one chunk is a view, taking what is spread over several is one copy. Memory is proportional to the bytes that
 * are waiting, also when they arrive one at a time: small chunks that have to wait are gathered in blocks.
 *
 * Chunks given to `push` belong to the queue and to the views taken from it: the caller must not write to them again.
 */

import { assert } from './assert.ts';
import { uint32At } from './bytes.ts';
import { Queue } from './queue.ts';

/** Chunks from this size on are kept as they are. Also the size of the blocks that gather smaller ones. */
const BLOCK_SIZE_BYTES = 1024;

interface Block {
  readonly bytes: Uint8Array;
  /** How many of the bytes arrived; behind them is room for more, which no view covers. */
  end: number;
}

export class ByteQueue {
  readonly #blocks = new Queue<Block>();
  /** What is consumed of the first block. Always less than its `end`. */
  #consumed = 0;
  #size = 0;

  /** How many bytes are waiting. */
  get size(): number {
    return this.#size;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.#size === 0 || chunk.length >= BLOCK_SIZE_BYTES) {
      this.#blocks.push({ bytes: chunk, end: chunk.length });
    } else {
      this.#gather(chunk);
    }
    this.#size += chunk.length;
  }

  #gather(chunk: Uint8Array): void {
    let block = this.#blocks.peekLast();
    if (block === undefined || block.bytes.length - block.end < chunk.length) {
      block = { bytes: new Uint8Array(BLOCK_SIZE_BYTES), end: 0 };
      this.#blocks.push(block);
    }
    block.bytes.set(chunk, block.end);
    block.end += chunk.length;
  }

  /** The number in the four bytes at `offset` from here, which must have arrived. */
  uint32(offset: number): number {
    const first = this.#blocks.peek();
    const start = this.#consumed + offset;
    if (first !== undefined && first.end - start >= 4) return uint32At(first.bytes, start);
    return uint32At(this.peek(offset + 4), offset);
  }

  /** The next `size` bytes, which must have arrived. A view where possible. */
  peek(size: number): Uint8Array {
    assert(size <= this.#size, 'only bytes that arrived can be read');
    const first = this.#blocks.peek();
    if (first === undefined) return new Uint8Array(0);
    if (first.end - this.#consumed >= size) return first.bytes.subarray(this.#consumed, this.#consumed + size);
    const joined = new Uint8Array(size);
    let filled = 0;
    let start = this.#consumed;
    for (const block of this.#blocks) {
      const piece = block.bytes.subarray(start, Math.min(block.end, start + size - filled));
      joined.set(piece, filled);
      filled += piece.length;
      start = 0;
      if (filled === size) break;
    }
    return joined;
  }

  /** Consumes the next `size` bytes, which must have arrived. */
  skip(size: number): void {
    assert(size <= this.#size, 'only bytes that arrived can be consumed');
    this.#size -= size;
    this.#consumed += size;
    for (
      let first = this.#blocks.peek();
      first !== undefined && first.end <= this.#consumed;
      first = this.#blocks.peek()
    ) {
      this.#consumed -= first.end;
      this.#blocks.shift();
    }
  }

  take(size: number): Uint8Array {
    const bytes = this.peek(size);
    this.skip(size);
    return bytes;
  }

  /** Takes a part of the next `size` bytes without copying: what the first chunk holds. Undefined: nothing waits. */
  takeSome(size: number): Uint8Array | undefined {
    const first = this.#blocks.peek();
    if (first === undefined || this.#size === 0) return undefined;
    return this.take(Math.min(size, first.end - this.#consumed));
  }
}
