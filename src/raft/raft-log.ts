/**
 * What the core keeps of the log in memory: the term of every entry on disk, and the newest entries with their
 * data, for replication and applying. How much data is kept is bounded in bytes by the owner (`forgetData`);
 * older entries are read back from the disk.
 *
 * 1. Entries firstIndex .. lastIndex are in the log; the terms are not always monotonic (raft and disk spec
 *    section 4.1: recovery appends term 1).
 * 2. Data is kept for a suffix of them: dataIndex .. lastIndex.
 */

import { assert } from '../lib/assert.ts';
import { Queue } from '../lib/queue.ts';
import type { Entry, Index, Term } from './types.ts';

/** Neighbouring entries of one term. */
interface TermRun {
  readonly firstIndex: Index;
  readonly term: Term;
}

export class RaftLog {
  #firstIndex: Index;
  #lastIndex: Index;
  /** Term of the entry before the first one: that of a snapshot, or 0. */
  #previousTerm: Term;
  readonly #runs: TermRun[] = [];
  readonly #entries = new Queue<Entry>();
  #dataBytes = 0;

  /** An empty log that continues after `previousIndex`. */
  constructor(previousIndex: Index, previousTerm: Term) {
    this.#firstIndex = previousIndex + 1;
    this.#lastIndex = previousIndex;
    this.#previousTerm = previousTerm;
  }

  get firstIndex(): Index {
    return this.#firstIndex;
  }

  get lastIndex(): Index {
    return this.#lastIndex;
  }

  get lastTerm(): Term {
    return this.#runs[this.#runs.length - 1]?.term ?? this.#previousTerm;
  }

  /** Bytes of entry data held. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** The oldest entry whose data is here; lastIndex + 1 if none is. */
  get dataIndex(): Index {
    return this.#lastIndex + 1 - this.#entries.length;
  }

  /** Term of an entry, or of the one before the first; undefined outside. */
  termAt(index: Index): Term | undefined {
    // After a start it is known only if a snapshot ends there.
    if (index === this.#firstIndex - 1) return index > 0 && this.#previousTerm === 0 ? undefined : this.#previousTerm;
    if (index < this.#firstIndex || index > this.#lastIndex) return undefined;
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#runs[middle]!.firstIndex <= index) low = middle;
      else high = middle - 1;
    }
    return this.#runs[low]!.term;
  }

  append(entry: Entry): void {
    this.#extend(entry.term);
    this.#entries.push(entry);
    this.#dataBytes += entry.data.length;
  }

  /** Notes an entry that is on disk, without its data. Only before the first `append`. */
  appendStored(term: Term): void {
    assert(this.#entries.length === 0, 'stored entries come before new ones');
    this.#extend(term);
  }

  /** An entry with its data, if that is still here. */
  entryAt(index: Index): Entry | undefined {
    const position = index - this.dataIndex;
    return position < 0 ? undefined : this.#entries.at(position);
  }

  /** Drops the entries from `index` on. */
  truncate(index: Index): void {
    assert(index >= this.#firstIndex, 'cannot truncate into a snapshot');
    while (this.#lastIndex >= index) {
      const entry = this.#entries.pop();
      if (entry !== undefined) this.#dataBytes -= entry.data.length;
      this.#lastIndex--;
      if (this.#runs[this.#runs.length - 1]!.firstIndex > this.#lastIndex) this.#runs.pop();
    }
  }

  /** Lets go of the data of the oldest entry that has any, and gives it. */
  forgetOldestData(): Entry | undefined {
    const entry = this.#entries.shift();
    if (entry !== undefined) this.#dataBytes -= entry.data.length;
    return entry;
  }

  /** Entries from `first` on whose data is here: at least one, then as many as fit in `maxBytes`. */
  slice(first: Index, maxBytes: number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = first; index <= this.#lastIndex; index++) {
      const entry = this.entryAt(index);
      assert(entry !== undefined, `the data of entry ${index} is not in memory`);
      bytes += entry.data.length;
      if (entries.length > 0 && bytes > maxBytes) break;
      entries.push(entry);
    }
    return entries;
  }

  /** The last entry up to `index` whose term is at most `term`: above it the log cannot be that of who asks. */
  lastIndexOfTerm(index: Index, term: Term): Index {
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      const run = this.#runs[i]!;
      const last = (this.#runs[i + 1]?.firstIndex ?? this.#lastIndex + 1) - 1;
      if (run.firstIndex <= index && run.term <= term) return Math.min(last, index);
    }
    return Math.min(this.#firstIndex - 1, index);
  }

  /** Forgets the entries before `firstIndex`, which are in a snapshot and no longer on disk. */
  compact(firstIndex: Index): void {
    if (firstIndex <= this.#firstIndex) return;
    assert(firstIndex <= this.#lastIndex + 1, 'only entries of the log can be dropped');
    const previousTerm = this.termAt(firstIndex - 1)!;
    while (this.dataIndex < firstIndex && this.forgetOldestData() !== undefined);
    let kept = 0;
    while (kept + 1 < this.#runs.length && this.#runs[kept + 1]!.firstIndex <= firstIndex) kept++;
    this.#runs.splice(0, kept);
    if (firstIndex > this.#lastIndex) this.#runs.length = 0;
    this.#firstIndex = firstIndex;
    this.#previousTerm = previousTerm;
  }

  /** Forgets everything: the log continues after a snapshot that ends at `previousIndex`. */
  reset(previousIndex: Index, previousTerm: Term): void {
    this.#firstIndex = previousIndex + 1;
    this.#lastIndex = previousIndex;
    this.#previousTerm = previousTerm;
    this.#runs.length = 0;
    this.#entries.drain();
    this.#dataBytes = 0;
  }

  #extend(term: Term): void {
    this.#lastIndex++;
    if (this.#runs[this.#runs.length - 1]?.term !== term) this.#runs.push({ firstIndex: this.#lastIndex, term });
  }
}
