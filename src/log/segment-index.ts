/**
 * Where the entries of one segment lie in its file, so that old entries can be read back without keeping
 * them in memory: about 24 bytes per entry.
 */

import { assert } from '../lib/assert.ts';
import type { EntryType, Index, Term } from '../raft/index.ts';

export class SegmentIndex {
  /** The file's present name; changes when the segment is closed. */
  name: string;
  readonly firstIndex: Index;
  readonly #offsets: number[] = [];
  readonly #sizes: number[] = [];
  readonly #terms: Term[] = [];
  readonly #types: EntryType[] = [];
  /** Bytes of the file that hold batches. */
  end: number;

  constructor(name: string, firstIndex: Index, end: number) {
    this.name = name;
    this.firstIndex = firstIndex;
    this.end = end;
  }

  get lastIndex(): Index {
    return this.firstIndex + this.#offsets.length - 1;
  }

  get isEmpty(): boolean {
    return this.#offsets.length === 0;
  }

  add(term: Term, type: EntryType, offset: number, size: number): void {
    this.#terms.push(term);
    this.#types.push(type);
    this.#offsets.push(offset);
    this.#sizes.push(size);
  }

  locate(index: Index): { term: Term; type: EntryType; offset: number; size: number } {
    const position = index - this.firstIndex;
    assert(position >= 0 && position < this.#offsets.length, `entry ${index} is not in ${this.name}`);
    return {
      term: this.#terms[position]!,
      type: this.#types[position]!,
      offset: this.#offsets[position]!,
      size: this.#sizes[position]!,
    };
  }

  /** Bytes of entry data from an index on to the end of the segment. */
  bytesFrom(index: Index): number {
    let bytes = 0;
    for (let position = Math.max(0, index - this.firstIndex); position < this.#sizes.length; position++) {
      bytes += this.#sizes[position]!;
    }
    return bytes;
  }
}
