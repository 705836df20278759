/**
 * Memory for log entries, used again and again: fresh memory of this size costs a page fault per 4 KiB, which made
 * inserts three times slower.
 */

/** Bytes kept for reuse. */
const MAX_SPARE_BYTES = 32 * 1024 * 1024;
const MIN_GRANULARITY = 4096;

export class EntryBuffers {
  /** By size. */
  readonly #spare = new Map<number, ArrayBuffer[]>();
  /** Weak: an entry that is not given back goes when the log lets go of it. */
  readonly #lent = new WeakSet<ArrayBuffer>();
  #spareBytes = 0;

  /** `size` bytes with undefined content. */
  take(size: number): Uint8Array {
    const capacity = capacityFor(size);
    let buffer = this.#spare.get(capacity)?.pop();
    if (buffer === undefined) buffer = new ArrayBuffer(capacity);
    else this.#spareBytes -= capacity;
    this.#lent.add(buffer);
    return new Uint8Array(buffer, 0, size);
  }

  /** Takes memory back that nobody reads any more; what did not come from `take` is ignored. */
  give(bytes: Uint8Array): void {
    const { buffer } = bytes;
    if (!(buffer instanceof ArrayBuffer) || !this.#lent.delete(buffer)) return;
    const capacity = buffer.byteLength;
    if (capacity > MAX_SPARE_BYTES) return;
    if (this.#spareBytes + capacity > MAX_SPARE_BYTES) {
      // Sizes that nobody asks for any more would stay for good.
      this.#spare.clear();
      this.#spareBytes = 0;
    }
    const same = this.#spare.get(capacity);
    if (same === undefined) this.#spare.set(capacity, [buffer]);
    else same.push(buffer);
    this.#spareBytes += capacity;
  }
}

/** A few sizes, so that buffers fit again; at most a quarter is left over, for the log counts what is used. */
function capacityFor(size: number): number {
  const granularity = Math.max(MIN_GRANULARITY, 2 ** Math.floor(Math.log2(size)) / 4);
  return Math.ceil(size / granularity) * granularity;
}
