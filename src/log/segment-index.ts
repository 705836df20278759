/**
 * Where the entries of one segment lie in its file, so that old entries can be read back without keeping
 * them in memory: about 24 bytes per entry.
 */

import { assert } from '../lib/assert.ts';
import type { EntryType, Index, Term } from '../raft/index.ts';

export interface EntryPlace {
  readonly term: Term;
  readonly type: EntryType;
  readonly offset: number;
  readonly size: number;
}

/** Where a batch lies, which has the checksums. */
export interface BatchPlace {
  readonly offset: number;
  readonly end: number;
}

export class SegmentIndex {
  /** The file's present name; changes when the segment is closed. */
  name: string;
  /** Resolves when a rename that is under way has ended. */
  renamed: Promise<void> = Promise.resolve();
  readonly firstIndex: Index;
  readonly #offsets: number[] = [];
  readonly #sizes: number[] = [];
  readonly #terms: Term[] = [];
  readonly #types: EntryType[] = [];
  /** Per batch: its offset and the position of its first entry. */
  readonly #batchOffsets: number[] = [];
  readonly #batchPositions: number[] = [];
  /** Bytes of the file that hold batches. */
  end = 0;

  constructor(name: string, firstIndex: Index) {
    this.name = name;
    this.firstIndex = firstIndex;
  }

  get lastIndex(): Index {
    return this.firstIndex + this.#offsets.length - 1;
  }

  /** The highest term of an entry, 0 if there is none. */
  get newestTerm(): Term {
    return this.#terms.reduce((max, term) => Math.max(max, term), 0);
  }

  get isEmpty(): boolean {
    return this.#offsets.length === 0;
  }

  /** A batch begins; its entries follow, by `add`. */
  beginBatch(offset: number): void {
    this.#batchOffsets.push(offset);
    this.#batchPositions.push(this.#offsets.length);
  }

  add(term: Term, type: EntryType, offset: number, size: number): void {
    this.#terms.push(term);
    this.#types.push(type);
    this.#offsets.push(offset);
    this.#sizes.push(size);
  }

  locate(index: Index): EntryPlace {
    const position = this.#positionOf(index);
    return {
      term: this.#terms[position]!,
      type: this.#types[position]!,
      offset: this.#offsets[position]!,
      size: this.#sizes[position]!,
    };
  }

  /** The batch that holds an entry. */
  batchOf(index: Index): BatchPlace {
    const position = this.#positionOf(index);
    let low = 0;
    let high = this.#batchPositions.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#batchPositions[middle]! <= position) low = middle;
      else high = middle - 1;
    }
    return { offset: this.#batchOffsets[low]!, end: this.#batchOffsets[low + 1] ?? this.end };
  }

  /** Bytes of entry data from an index on to the end of the segment. */
  bytesFrom(index: Index): number {
    let bytes = 0;
    for (let position = Math.max(0, index - this.firstIndex); position < this.#sizes.length; position++) {
      bytes += this.#sizes[position]!;
    }
    return bytes;
  }

  #positionOf(index: Index): number {
    const position = index - this.firstIndex;
    assert(position >= 0 && position < this.#offsets.length, `entry ${index} is not in ${this.name}`);
    return position;
  }
}
