/**
 * Reading the segments of a data directory at start (raft and disk spec sections 5.6 and 5.7), stricter than C
 * dqlite where it loses data (design rules 22 and 27): since a batch is written only after the one before it
 * was synced, an invalid batch is a torn write only if nothing valid comes after it. Torn bytes are cut and
 * kept beside; everything else that does not check refuses to start.
 *
 * First everything is looked at (`load`), then it is put in order (`settle`): a refusal changes nothing.
 */

import {
  findLaterBatch,
  formatFileName,
  parseFileName,
  scanSegment,
  SEGMENT_HEADER_SIZE,
  type SegmentVerdict,
} from '../format/index.ts';
import type { File, Files, Logger } from '../host/types.ts';
import type { Index } from '../raft/index.ts';
import { damaged } from './damage.ts';
import { readExactly, runScan } from './read.ts';
import { SegmentIndex } from './segment-index.ts';
import { removeFromEnd } from './truncation.ts';

const TORN_PREFIX = 'torn-';
const COPY_SIZE = 256 * 1024;

/** The name of a closed segment, and the range in it. */
export interface ClosedName {
  readonly name: string;
  readonly first: Index;
  readonly last: Index;
}

interface OpenSegment {
  readonly segment: SegmentIndex;
  /** Something that is no batch follows the last good one. */
  readonly torn: boolean;
}

export class SegmentLoader {
  readonly #files: Files;
  readonly #directory: string;
  readonly #logger: Logger;
  /** To be closed, in this order. */
  readonly #open: OpenSegment[] = [];
  /** All segments with entries, in order, from the first that matters on. */
  readonly segments: SegmentIndex[] = [];
  /** Closed segments that an unfinished truncation takes back, in order. */
  #takenBack: readonly ClosedName[] = [];
  /** Closed segments that do not matter, because the snapshot has all their entries. */
  readonly superseded: ClosedName[] = [];
  /** Where the log begins: 1 without a snapshot. */
  firstIndex: Index = 1;

  constructor(files: Files, directory: string, logger: Logger) {
    this.#files = files;
    this.#directory = directory;
    this.#logger = logger;
  }

  /**
   * Reads and checks all segments. `snapshotIndex` is 0 without a snapshot, `unfinishedIndex` that of a snapshot
   * which was being written.
   */
  async load(names: readonly string[], snapshotIndex: Index, unfinishedIndex: Index): Promise<void> {
    const found: ClosedName[] = [];
    const open: { name: string; counter: number }[] = [];
    for (const name of names) {
      const parsed = parseFileName(name);
      if (parsed?.kind === 'closed') found.push({ name, first: parsed.first, last: parsed.last });
      else if (parsed?.kind === 'open') open.push({ name, counter: parsed.counter });
    }
    found.sort((a, b) => a.first - b.first || a.last - b.last);
    open.sort((a, b) => a.counter - b.counter);
    const closed = await this.#withoutTakenBack(found);

    const kept = this.#relevant(closed, snapshotIndex);
    this.firstIndex = kept[0]?.first ?? snapshotIndex + 1;
    let next = this.firstIndex;
    for (const segment of kept) {
      if (segment.first !== next) {
        const what = segment.first < next ? 'it overlaps with another segment' : `entry ${next} is in no file`;
        throw this.#damage(segment.name, undefined, what, next);
      }
      this.segments.push(await this.#loadClosed(segment));
      next = segment.last + 1;
    }
    for (const { name } of open) {
      const segment = await this.#loadOpen(name, next);
      next = segment.lastIndex + 1;
      if (!segment.isEmpty) this.segments.push(segment);
    }
    const takenBack = this.#takenBack[0];
    if (takenBack !== undefined && this.#open.some(({ segment }) => !segment.isEmpty)) {
      // Nothing is appended before a truncation is finished.
      const what = 'it overlaps with another segment, and an open one follows';
      throw this.#damage(takenBack.name, undefined, what, takenBack.first);
    }
    this.#checkNumbers(closed[closed.length - 1]?.last ?? 0, snapshotIndex, unfinishedIndex);
  }

  /**
   * The closed segments that count. Two that begin at the same entry are a truncation that was not finished
   * (`truncation.ts`): the shorter one counts, and nothing after it.
   */
  async #withoutTakenBack(closed: readonly ClosedName[]): Promise<readonly ClosedName[]> {
    const at = closed.findIndex(({ first }, position) => first === closed[position + 1]?.first);
    if (at === -1) return closed;
    const [short, long] = [closed[at]!, closed[at + 1]!];
    const isLater = ({ first }: ClosedName): boolean => first === short.first || first > long.last;
    const later = closed.slice(at + 1);
    if (!later.every(isLater) || !(await this.#isPrefix(short, long))) {
      throw this.#damage(long.name, undefined, `it overlaps with ${short.name}`, short.first, long.last);
    }
    this.#takenBack = later;
    return closed.slice(0, at + 1);
  }

  /** Whether the entries of a closed segment are the first ones of another. */
  async #isPrefix(short: ClosedName, long: ClosedName): Promise<boolean> {
    const [a, b] = [await this.#loadClosed(short), await this.#loadClosed(long)];
    return this.#withFile(short.name, async shortFile =>
      this.#withFile(long.name, async longFile => {
        for (let index = short.first; index <= short.last; index++) {
          const [one, other] = [a.locate(index), b.locate(index)];
          if (one.term !== other.term || one.type !== other.type || one.size !== other.size) return false;
          const bytes = await readExactly(shortFile, one.offset, one.size);
          const others = await readExactly(longFile, other.offset, other.size);
          if (bytes.some((byte, position) => byte !== others[position])) return false;
        }
        return true;
      }),
    );
  }

  /** Closes the open segments, and keeps torn bytes beside until a start finds none. */
  async settle(names: readonly string[]): Promise<void> {
    if (this.#takenBack.length > 0) {
      const files = this.#takenBack.map(({ name }) => name);
      this.#logger.warn({ files }, 'entries that were never committed were being taken back: finished now');
      await removeFromEnd(this.#files, this.#directory, files);
    }
    for (const { segment, torn } of this.#open) {
      if (torn) await this.#keepTorn(segment);
      await this.#close(segment);
    }
    if (this.#open.some(({ torn }) => torn)) return;
    for (const name of names) if (name.startsWith(TORN_PREFIX)) await this.#files.remove(this.#path(name));
  }

  /** The closed segments that continue each other up to the newest (raft and disk spec section 5.6, step 5). */
  #relevant(closed: readonly ClosedName[], snapshotIndex: Index): readonly ClosedName[] {
    if (snapshotIndex === 0) {
      if (closed[0] !== undefined && closed[0].first !== 1) {
        throw this.#damage(closed[0].name, undefined, 'the log does not begin at entry 1 and there is no snapshot', 1);
      }
      return closed;
    }
    let start = closed.length;
    const newest = closed[closed.length - 1];
    if (newest !== undefined && newest.last >= snapshotIndex) {
      start = closed.length - 1;
      while (start > 0 && closed[start - 1]!.last + 1 === closed[start]!.first) start--;
      const first = closed[start]!;
      if (first.first > snapshotIndex + 1) {
        const what = `entries ${snapshotIndex + 1} to ${first.first - 1} are missing`;
        throw this.#damage(first.name, undefined, what, snapshotIndex + 1);
      }
    }
    this.superseded.push(...closed.slice(0, start).filter(({ last }) => last <= snapshotIndex));
    return closed.slice(start);
  }

  /**
   * Open segments do not say which entries they hold: refuses if that is in doubt. A segment is closed before a
   * snapshot of its entries is written; so an open one follows a closed one that reaches up to the snapshot, or it
   * follows the snapshot and nothing else is there.
   */
  #checkNumbers(lastClosed: Index, snapshotIndex: Index, unfinishedIndex: Index): void {
    const firstOpen = this.#open.find(({ segment }) => !segment.isEmpty)?.segment;
    if (firstOpen !== undefined) {
      const reaches = lastClosed === 0 ? snapshotIndex : lastClosed;
      const needed = Math.max(snapshotIndex, unfinishedIndex);
      if (reaches < needed) {
        const what = `a snapshot tells of entries up to ${needed}, but what is before this segment ends at ${reaches}`;
        throw this.#damage(firstOpen.name, undefined, what, reaches + 1);
      }
    }
    const first = this.segments[0];
    if (snapshotIndex === 0 && first !== undefined && first.locate(1).type !== 'change') {
      // Every log begins with the configuration of its cluster.
      const what = 'it begins the log, but not with a configuration: segments before it are missing';
      throw this.#damage(first.name, undefined, what, 1);
    }
  }

  async #loadClosed({ name, first, last }: ClosedName): Promise<SegmentIndex> {
    const segment = new SegmentIndex(name, first);
    const verdict = await this.#scan(segment);
    if (verdict.kind !== 'complete') {
      const offset = 'end' in verdict ? verdict.end : 0;
      throw this.#damage(name, offset, describe(verdict), segment.lastIndex + 1, last);
    }
    if (segment.lastIndex !== last) {
      const what = `it holds entries up to ${segment.lastIndex}, not ${last}`;
      const doubtful = Math.min(segment.lastIndex, last) + 1;
      throw this.#damage(name, verdict.end, what, doubtful, Math.max(segment.lastIndex, last));
    }
    segment.end = verdict.end;
    return segment;
  }

  async #loadOpen(name: string, first: Index): Promise<SegmentIndex> {
    const segment = new SegmentIndex(name, first);
    const verdict = await this.#scan(segment);
    const tornBefore = this.#open.find(({ torn }) => torn)?.segment;
    if (tornBefore !== undefined && !segment.isEmpty) {
      const what = `the batch there is damaged, but ${name} holds later ones`;
      throw this.#damage(tornBefore.name, tornBefore.end, what, first);
    }
    segment.end = 'end' in verdict ? verdict.end : 0;
    const resumeOffset = whereTornWritesEnd(verdict);
    const torn = resumeOffset !== undefined;
    if (torn) await this.#checkTorn(segment, resumeOffset);
    else if (verdict.kind === 'malformed' || verdict.kind === 'wrongFormat') {
      throw this.#damage(name, segment.end, describe(verdict), segment.lastIndex + 1);
    }
    this.#open.push({ segment, torn });
    return segment;
  }

  /** Refuses if a valid batch follows the invalid one. */
  async #checkTorn({ name, end, lastIndex }: SegmentIndex, resumeOffset: number): Promise<void> {
    const found = await this.#withFile(name, async file =>
      runScan(file, findLaterBatch(await file.size(), resumeOffset)),
    );
    if (found === undefined) return;
    const what = `the batch there is damaged, but a valid one follows at offset ${found}`;
    throw this.#damage(name, end, what, lastIndex + 1);
  }

  /** Copies what is going to be cut, except zeros at its end. */
  async #keepTorn({ name, end, lastIndex }: SegmentIndex): Promise<void> {
    const fields = { file: name, offset: end, after: lastIndex };
    this.#logger.warn(fields, 'a torn write at the end of the log is cut; it was never acknowledged');
    const path = this.#path(TORN_PREFIX + name);
    if ((await this.#files.list(this.#directory)).includes(TORN_PREFIX + name)) await this.#files.remove(path);
    const copy = await this.#files.open(path, { mode: 'create' });
    try {
      await this.#withFile(name, async file => {
        const size = await file.size();
        for (let offset = end; offset < size; offset += COPY_SIZE) {
          const piece = await readExactly(file, offset, Math.min(COPY_SIZE, size - offset));
          if (piece.some(byte => byte !== 0)) await copy.write([piece], offset - end);
        }
      });
      await copy.sync();
    } finally {
      await copy.close();
    }
    await this.#files.syncDirectory(this.#directory);
  }

  /** Closes an open segment under its final name; removes it if it holds nothing. */
  async #close(segment: SegmentIndex): Promise<void> {
    const path = this.#path(segment.name);
    if (segment.isEmpty) {
      await this.#files.remove(path);
    } else {
      const file = await this.#files.open(path, { mode: 'write' });
      try {
        // The last batch may be what a process wrote that ended before it was durable, or whose sync has failed.
        const { offset, end } = segment.batchOf(segment.lastIndex);
        for (let start = offset; start < end; start += COPY_SIZE) {
          await file.write([await readExactly(file, start, Math.min(COPY_SIZE, end - start))], start);
        }
        await file.truncate(segment.end);
        await file.sync();
      } finally {
        await file.close();
      }
      segment.name = formatFileName({ kind: 'closed', first: segment.firstIndex, last: segment.lastIndex });
      await this.#files.rename(path, this.#path(segment.name));
    }
    // Before the next one: a later segment must not get its name if this one does not.
    await this.#files.syncDirectory(this.#directory);
  }

  #scan(segment: SegmentIndex): Promise<SegmentVerdict> {
    return this.#withFile(segment.name, async file =>
      runScan(
        file,
        scanSegment(await file.size(), batch => {
          segment.beginBatch(batch.offset);
          for (const { term, type, dataOffset, dataSize } of batch.entries)
            segment.add(term, type, dataOffset, dataSize);
        }),
      ),
    );
  }

  async #withFile<Result>(name: string, work: (file: File) => Promise<Result>): Promise<Result> {
    const file = await this.#files.open(this.#path(name), { mode: 'read' });
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  }

  #path(name: string): string {
    return this.#files.join(this.#directory, name);
  }

  #damage(file: string, offset: number | undefined, what: string, first: Index, last?: Index): Error {
    const lost =
      last === undefined ? `entries from ${first} on are concerned` : `entries ${first} to ${last} are concerned`;
    return damaged({ directory: this.#directory, file, offset, what, lost });
  }
}

/** Where, at the earliest, a valid batch could follow if the end of an open segment may be a torn write. */
function whereTornWritesEnd(verdict: SegmentVerdict): number | undefined {
  switch (verdict.kind) {
    case 'truncated':
    case 'invalid':
      return verdict.resumeOffset;
    case 'wrongFormat':
      // The first write to a segment brings the format, in a sector of its own that may be missing.
      return verdict.format === 0n ? SEGMENT_HEADER_SIZE : undefined;
    case 'unused':
    case 'malformed':
    case 'complete':
    case 'zeroTail':
      return undefined;
  }
}

/** How a segment ends, in words. */
export function describe(verdict: SegmentVerdict): string {
  switch (verdict.kind) {
    case 'unused':
      return 'the segment is empty or all zero';
    case 'wrongFormat':
      return `segment format ${verdict.format} is not known`;
    case 'malformed':
      return verdict.reason;
    case 'invalid':
      return `wrong ${verdict.check}`;
    case 'truncated':
      return 'the file ends inside a batch';
    case 'zeroTail':
      return 'zeros follow the last batch of a closed segment';
    case 'complete':
      return 'the segment is complete';
  }
}
