/**
 * Memory for log entries, used again and again: fresh memory of this size costs a page fault per 4 KiB, which made
 * inserts three times slower.
 */

/** Bytes kept for reuse. */
const MAX_SPARE_BYTES = 32 * 1024 * 1024;
const MIN_GRANULARITY = 4096;

export class EntryBuffers {
  readonly #spare: ArrayBuffer[] = [];
  /** Weak: an entry that other nodes may have to be sent is not given back, and goes when the log lets go of it. */
  readonly #lent = new WeakSet<ArrayBuffer>();
  #spareBytes = 0;

  /** `size` bytes with undefined content. */
  take(size: number): Uint8Array {
    let best = -1;
    for (let i = 0; i < this.#spare.length; i++) {
      const capacity = this.#spare[i]!.byteLength;
      if (capacity >= size && (best === -1 || capacity < this.#spare[best]!.byteLength)) best = i;
    }
    let buffer: ArrayBuffer;
    if (best === -1) {
      buffer = new ArrayBuffer(capacityFor(size));
    } else {
      buffer = this.#spare[best]!;
      this.#spare.splice(best, 1);
      this.#spareBytes -= buffer.byteLength;
    }
    this.#lent.add(buffer);
    return new Uint8Array(buffer, 0, size);
  }

  /** Takes memory back that nobody reads any more; what did not come from `take` is ignored. */
  give(bytes: Uint8Array): void {
    const { buffer } = bytes;
    if (!(buffer instanceof ArrayBuffer) || !this.#lent.delete(buffer)) return;
    if (this.#spareBytes + buffer.byteLength > MAX_SPARE_BYTES) return;
    this.#spare.push(buffer);
    this.#spareBytes += buffer.byteLength;
  }
}

/** A few sizes, so that buffers fit again; at most a quarter is left over, for the log counts what is used. */
function capacityFor(size: number): number {
  const granularity = Math.max(MIN_GRANULARITY, 2 ** Math.floor(Math.log2(size)) / 4);
  return Math.ceil(size / granularity) * granularity;
}
