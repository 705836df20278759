/**
 * A temporary file of SQLite (sorter runs, materialised views, VACUUM's copy, statement journals that
 * outgrew memory): chunks outside the WASM heap, which is capped and never shrinks. What all files of a
 * connection may hold together is bounded, and what all of a node may.
 */

const CHUNK_SIZE = 64 * 1024;

/** Bytes that may be used and are used; a child counts into its parent too. */
export class Budget {
  readonly limit: number;
  readonly #parent: Budget | undefined;
  used = 0;

  constructor(limit: number, parent?: Budget) {
    this.limit = limit;
    this.#parent = parent;
  }

  /** Takes bytes, or gives false and takes nothing. */
  take(size: number): boolean {
    if (this.used + size > this.limit) return false;
    if (this.#parent !== undefined && !this.#parent.take(size)) return false;
    this.used += size;
    return true;
  }

  give(size: number): void {
    this.used -= size;
    this.#parent?.give(size);
  }
}

export class TempFile {
  readonly #budget: Budget;
  readonly #chunks: (Uint8Array | undefined)[] = [];
  size = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** Copies bytes into `target`, zeros beyond the end. Gives whether all of them were in the file. */
  read(target: Uint8Array, at: number, size: number, offset: number): boolean {
    const available = Math.max(0, Math.min(size, this.size - offset));
    for (let done = 0; done < available;) {
      const within = (offset + done) % CHUNK_SIZE;
      const piece = Math.min(available - done, CHUNK_SIZE - within);
      const chunk = this.#chunks[Math.floor((offset + done) / CHUNK_SIZE)];
      if (chunk === undefined) target.fill(0, at + done, at + done + piece);
      else target.set(chunk.subarray(within, within + piece), at + done);
      done += piece;
    }
    if (available < size) target.fill(0, at + available, at + size);
    return available === size;
  }

  /** Copies bytes from `source`. Gives false if the budget is used up. */
  write(source: Uint8Array, at: number, size: number, offset: number): boolean {
    for (let done = 0; done < size;) {
      const index = Math.floor((offset + done) / CHUNK_SIZE);
      const within = (offset + done) % CHUNK_SIZE;
      const piece = Math.min(size - done, CHUNK_SIZE - within);
      let chunk = this.#chunks[index];
      if (chunk === undefined) {
        if (!this.#budget.take(CHUNK_SIZE)) return false;
        chunk = new Uint8Array(CHUNK_SIZE);
        this.#chunks[index] = chunk;
      }
      chunk.set(source.subarray(at + done, at + done + piece), within);
      done += piece;
    }
    this.size = Math.max(this.size, offset + size);
    return true;
  }

  truncate(size: number): void {
    const chunks = Math.ceil(size / CHUNK_SIZE);
    for (let i = chunks; i < this.#chunks.length; i++) {
      if (this.#chunks[i] !== undefined) this.#budget.give(CHUNK_SIZE);
    }
    this.#chunks.length = Math.min(this.#chunks.length, chunks);
    if (size < this.size) this.#chunks[chunks - 1]?.fill(0, size - (chunks - 1) * CHUNK_SIZE);
    this.size = size;
  }
}
