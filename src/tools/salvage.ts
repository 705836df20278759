/**
 * What can still be had from a directory that no node starts from: the newest snapshot that can be read, and the
 * entries that follow it without a gap, up to the first that is damaged or missing.
 */

import type { SnapshotSink } from '../format/index.ts';
import type { Clock, Files, Logger } from '../host/types.ts';
import { FrozenFiles, isDirectoryFile, SegmentReader, SnapshotStore } from '../log/index.ts';
import type { LogContent, SegmentIndex, Snapshot } from '../log/index.ts';
import type { Entry, Index } from '../raft/index.ts';
import { surveySegments, type SegmentReport, type Survey } from './survey.ts';
import { parseFileName } from '../format/index.ts';

export class SalvagedLog implements LogContent {
  readonly snapshot: Snapshot | undefined;
  readonly lastIndex: Index;
  readonly #frozen: FrozenFiles;
  readonly #snapshots: SnapshotStore;
  readonly #reader: SegmentReader;
  readonly #segments: readonly SegmentIndex[];

  private constructor(
    frozen: FrozenFiles,
    directory: string,
    snapshots: SnapshotStore,
    snapshot: Snapshot | undefined,
    segments: readonly SegmentIndex[],
  ) {
    this.#frozen = frozen;
    this.#snapshots = snapshots;
    this.#reader = new SegmentReader(frozen, directory);
    this.#segments = segments;
    this.snapshot = snapshot;
    this.lastIndex = Math.max(snapshot?.index ?? 0, segments.at(-1)?.lastIndex ?? 0);
  }

  /** `survey` is of the same directory, which nobody may be using. */
  static async open(
    { files, clock, logger }: { files: Files; clock: Clock; logger: Logger },
    survey: Survey,
  ): Promise<SalvagedLog> {
    const { directory } = survey;
    const frozen = await FrozenFiles.of(files, directory, isDirectoryFile);
    const names = (await frozen.list(directory)).sort();
    const snapshot = newestSnapshot(survey);
    const segments: SegmentIndex[] = [];
    let next = (snapshot?.index ?? 0) + 1;
    for (const { report, index } of await surveySegments(frozen, directory, names, () => {})) {
      if (index.isEmpty && report.damage === undefined) continue;
      if (report.firstIndex > next) break;
      if (index.lastIndex >= next) {
        segments.push(index);
        next = index.lastIndex + 1;
      }
      // What comes after damage may be numbered wrongly; a closed segment that the snapshot covers does not matter.
      const coversDamage = index.lastIndex < (snapshot?.index ?? 0);
      if ((report.damage !== undefined || isBadEnd(report.end)) && !coversDamage) break;
    }
    return new SalvagedLog(frozen, directory, new SnapshotStore(frozen, directory, clock, logger), snapshot, segments);
  }

  readSnapshot(sink: SnapshotSink): Promise<void> {
    return this.#snapshots.read(this.snapshot!, sink);
  }

  readEntries(first: Index, last: Index, maxBytes: number): Promise<Entry[]> {
    const segment = this.#segments.find(({ lastIndex }) => lastIndex >= first)!;
    const wanted: { segment: SegmentIndex; index: Index }[] = [];
    let bytes = 0;
    for (let index = first; index <= Math.min(last, segment.lastIndex); index++) {
      bytes += segment.locate(index).size;
      if (wanted.length > 0 && bytes > maxBytes) break;
      wanted.push({ segment, index });
    }
    return this.#reader.read(wanted);
  }

  bytesAfter(index: Index): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytesFrom(index + 1), 0);
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#frozen.release();
  }
}

/** The segment ends in something that is no batch. */
export function isBadEnd(end: SegmentReport['end']): boolean {
  return end === 'truncated' || end === 'invalid' || end === 'malformed' || end === 'wrongFormat';
}

function newestSnapshot({ snapshots }: Survey): Snapshot | undefined {
  const report = snapshots.filter(({ damage }) => damage === undefined).at(-1);
  if (report?.configuration === undefined || report.configurationIndex === undefined) return undefined;
  const name = parseFileName(report.file);
  if (name?.kind !== 'snapshot') return undefined;
  const { term, index, timestampMs } = name;
  return {
    term,
    index,
    timestampMs,
    configuration: report.configuration,
    configurationIndex: report.configurationIndex,
  };
}
