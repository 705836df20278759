/**
 * Reading the segments of a data directory at start (raft and disk spec sections 5.6 and 5.7), stricter than C
 * dqlite where it loses data (design rules 22 and 27): since a batch is written only after the one before it
 * was synced, an invalid batch is a torn write only if nothing valid comes after it. Torn bytes are cut and
 * kept beside; everything else that does not check refuses to start.
 */

import { findLaterBatch, formatFileName, parseFileName, scanSegment, type SegmentVerdict } from '../format/index.ts';
import type { File, Files, Logger } from '../host/types.ts';
import type { Index } from '../raft/index.ts';
import { damaged } from './damage.ts';
import { readExactly, runScan } from './read.ts';
import { SegmentIndex } from './segment-index.ts';

const TORN_PREFIX = 'torn-';
const COPY_SIZE = 1024 * 1024;

interface ClosedName {
  readonly name: string;
  readonly first: Index;
  readonly last: Index;
}

export class SegmentLoader {
  readonly #files: Files;
  readonly #directory: string;
  readonly #logger: Logger;

  constructor(files: Files, directory: string, logger: Logger) {
    this.#files = files;
    this.#directory = directory;
    this.#logger = logger;
  }

  /**
   * All segments from the first that matters on, closed, in order. `snapshotIndex` is 0 without a snapshot; then
   * the log begins at 1. Also gives where the log begins.
   */
  async load(names: readonly string[], snapshotIndex: Index): Promise<{ segments: SegmentIndex[]; firstIndex: Index }> {
    const closed: ClosedName[] = [];
    const open: { name: string; counter: number }[] = [];
    for (const name of names) {
      const parsed = parseFileName(name);
      if (parsed?.kind === 'closed') closed.push({ name, first: parsed.first, last: parsed.last });
      else if (parsed?.kind === 'open') open.push({ name, counter: parsed.counter });
    }
    closed.sort((a, b) => a.first - b.first || a.last - b.last);
    open.sort((a, b) => a.counter - b.counter);

    const kept = this.#relevant(closed, open.length > 0, snapshotIndex);
    const firstIndex = kept[0]?.first ?? snapshotIndex + 1;
    const segments: SegmentIndex[] = [];
    let next = firstIndex;
    for (const segment of kept) {
      if (segment.first !== next) {
        throw this.#damage(segment.name, undefined, `the log has a gap: entry ${next} is in no file`, next);
      }
      segments.push(await this.#loadClosed(segment));
      next = segment.last + 1;
    }
    const torn: string[] = [];
    for (const [position, { name }] of open.entries()) {
      const segment = await this.#loadOpen(
        name,
        next,
        open.slice(position + 1).map(later => later.name),
        torn,
      );
      if (segment === undefined) continue;
      segments.push(segment);
      next = segment.lastIndex + 1;
    }
    if (next - 1 < snapshotIndex) {
      throw this.#damage('the log', undefined, `it ends at entry ${next - 1}, before the snapshot`, next);
    }
    // Torn bytes of an earlier start are kept until a start finds nothing torn.
    if (torn.length === 0) {
      for (const name of names) if (name.startsWith(TORN_PREFIX)) await this.#files.remove(this.#path(name));
    }
    return { segments, firstIndex };
  }

  /** The closed segments that continue each other up to the newest (raft and disk spec section 5.6, step 5). */
  #relevant(closed: readonly ClosedName[], hasOpen: boolean, snapshotIndex: Index): readonly ClosedName[] {
    if (snapshotIndex === 0) {
      if (closed[0] !== undefined && closed[0].first !== 1) {
        throw this.#damage(closed[0].name, undefined, 'the log does not begin at entry 1 and there is no snapshot', 1);
      }
      return closed;
    }
    const newest = closed[closed.length - 1];
    if (newest === undefined || (newest.last < snapshotIndex && !hasOpen)) return [];
    let start = closed.length - 1;
    while (start > 0 && closed[start - 1]!.last + 1 === closed[start]!.first) start--;
    const first = closed[start]!;
    if (first.first > snapshotIndex + 1) {
      throw this.#damage(
        first.name,
        undefined,
        `entries ${snapshotIndex + 1} to ${first.first - 1} are missing`,
        first.first,
      );
    }
    return closed.slice(start);
  }

  async #loadClosed({ name, first, last }: ClosedName): Promise<SegmentIndex> {
    const segment = new SegmentIndex(name, first, 0);
    const verdict = await this.#scan(name, segment);
    if (verdict.kind !== 'complete') {
      const offset = 'end' in verdict ? verdict.end : 0;
      throw this.#damage(name, offset, describe(verdict), segment.lastIndex + 1, last);
    }
    if (segment.lastIndex !== last) {
      throw this.#damage(
        name,
        verdict.end,
        `it holds entries up to ${segment.lastIndex}, not ${last}`,
        segment.lastIndex + 1,
        last,
      );
    }
    segment.end = verdict.end;
    return segment;
  }

  /** Closes an open segment under its final name; undefined if it holds nothing. */
  async #loadOpen(
    name: string,
    first: Index,
    later: readonly string[],
    torn: string[],
  ): Promise<SegmentIndex | undefined> {
    const segment = new SegmentIndex(name, first, 0);
    const verdict = await this.#scan(name, segment);
    switch (verdict.kind) {
      case 'unused':
        await this.#files.remove(this.#path(name));
        await this.#files.syncDirectory(this.#directory);
        return undefined;
      case 'wrongFormat':
      case 'malformed':
        throw this.#damage(name, 'end' in verdict ? verdict.end : 0, describe(verdict), segment.lastIndex + 1);
      case 'complete':
      case 'zeroTail':
        break;
      case 'truncated':
      case 'invalid':
        await this.#checkTorn(name, verdict.end, verdict.resumeOffset, later, segment);
        await this.#keepTorn(name, verdict.end);
        torn.push(name);
        this.#logger.warn(
          { file: name, offset: verdict.end, after: segment.lastIndex },
          'a torn write at the end of the log was cut; it was never acknowledged',
        );
        break;
    }
    return this.#close(segment, verdict.end);
  }

  /** Refuses unless nothing valid follows the invalid batch, in this segment or in a later one. */
  async #checkTorn(
    name: string,
    end: number,
    resumeOffset: number,
    later: readonly string[],
    segment: SegmentIndex,
  ): Promise<void> {
    const found = await this.#withFile(name, async file =>
      runScan(file, findLaterBatch(await file.size(), resumeOffset)),
    );
    if (found !== undefined) {
      const what = `the batch there is damaged, but a valid one follows at offset ${found}`;
      throw this.#damage(name, end, what, segment.lastIndex + 1);
    }
    for (const laterName of later) {
      const probe = new SegmentIndex(laterName, 1, 0);
      await this.#scan(laterName, probe);
      if (probe.isEmpty) continue;
      throw this.#damage(
        name,
        end,
        `the batch there is damaged, but ${laterName} holds later ones`,
        segment.lastIndex + 1,
      );
    }
  }

  async #keepTorn(name: string, end: number): Promise<void> {
    const path = this.#path(TORN_PREFIX + name);
    if ((await this.#files.list(this.#directory)).includes(TORN_PREFIX + name)) await this.#files.remove(path);
    const copy = await this.#files.open(path, { mode: 'create' });
    try {
      await this.#withFile(name, async file => {
        const size = await file.size();
        for (let offset = end; offset < size; offset += COPY_SIZE) {
          const piece = await readExactly(file, offset, Math.min(COPY_SIZE, size - offset));
          await copy.write([piece], offset - end);
        }
      });
      await copy.sync();
    } finally {
      await copy.close();
    }
    await this.#files.syncDirectory(this.#directory);
  }

  async #close(segment: SegmentIndex, end: number): Promise<SegmentIndex | undefined> {
    const path = this.#path(segment.name);
    if (segment.isEmpty) {
      await this.#files.remove(path);
      await this.#files.syncDirectory(this.#directory);
      return undefined;
    }
    const file = await this.#files.open(path, { mode: 'write' });
    try {
      await file.truncate(end);
      await file.sync();
    } finally {
      await file.close();
    }
    const closedName = formatFileName({ kind: 'closed', first: segment.firstIndex, last: segment.lastIndex });
    await this.#files.rename(path, this.#path(closedName));
    await this.#files.syncDirectory(this.#directory);
    segment.name = closedName;
    segment.end = end;
    return segment;
  }

  #scan(name: string, segment: SegmentIndex): Promise<SegmentVerdict> {
    return this.#withFile(name, async file =>
      runScan(
        file,
        scanSegment(await file.size(), batch => {
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

function describe(verdict: SegmentVerdict): string {
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
