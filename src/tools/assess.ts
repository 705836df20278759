/** Whether a node would start from a data directory, and if not, what of it can be had. Changes nothing. */

import { parseFileName } from '../format/index.ts';
import { silentLogger, type Host } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import { ReadOnlyLog } from '../log/index.ts';
import { isBadEnd, SalvagedLog } from './salvage.ts';
import type { Survey } from './survey.ts';

export type State =
  /** There is nothing of a log: a node that may found a cluster would do so. */
  | { readonly kind: 'empty' }
  | {
      readonly kind: 'opens';
      readonly term: number;
      /** Entries on disk; the last is one less than the first if there are none. */
      readonly firstIndex: number;
      readonly lastIndex: number;
      /** 0 without a snapshot. */
      readonly snapshotIndex: number;
    }
  | {
      readonly kind: 'damaged';
      /** What is wrong, and where. */
      readonly message: string;
      readonly hint: string;
      /** The newest snapshot that can be read; 0 if none. */
      readonly snapshotIndex: number;
      /** The last entry that can be reached from there; 0 if nothing can be read. */
      readonly salvageableIndex: number;
      /** The last entry that any file tells of. */
      readonly highestIndex: number;
      /** There are more behind the damage; how many is not known. */
      readonly mayHaveMore: boolean;
      /** The newest snapshot: nothing would be lost without it. */
      readonly uselessSnapshot?: string;
    };

/** Rejects with `FileError`. */
export async function assess(host: Host, report: Survey): Promise<State> {
  const options = { ...host, directory: report.directory, logger: silentLogger };
  if (report.metadata.length + report.segments.length + report.snapshots.length === 0) return { kind: 'empty' };
  try {
    const log = await ReadOnlyLog.open(options);
    try {
      const { snapshot, firstIndex, lastIndex, term } = log;
      // A start reads all of the snapshot too, but later.
      if (snapshot !== undefined) await log.readSnapshot({ beginDatabase() {}, page() {}, endDatabase() {} });
      return { kind: 'opens', term, firstIndex, lastIndex, snapshotIndex: snapshot?.index ?? 0 };
    } finally {
      await log.close();
    }
  } catch (error) {
    if (!(error instanceof DqliteError)) throw error;
    const salvaged = await SalvagedLog.open(options, report);
    try {
      const { snapshot, lastIndex } = salvaged;
      const { message, hint = '' } = error;
      const highestIndex = Math.max(lastIndex, ...report.segments.map(highestOf), ...report.snapshots.map(highestOf));
      const snapshotIndex = snapshot?.index ?? 0;
      const mayHaveMore = report.segments.some(segment => segment.kind === 'open' && isBadEnd(segment.end));
      const newest = report.snapshots.at(-1);
      const isUseless = newest?.damage !== undefined && message.includes(newest.file) && lastIndex >= highestIndex;
      return {
        kind: 'damaged',
        message,
        hint,
        snapshotIndex,
        salvageableIndex: lastIndex,
        highestIndex,
        mayHaveMore,
        ...(isUseless && !mayHaveMore ? { uselessSnapshot: newest.file } : {}),
      };
    } finally {
      await salvaged.close();
    }
  }
}

/** The last entry that a file holds or, by its name, should hold. */
function highestOf(file: { readonly file: string; readonly lastIndex?: number }): number {
  const name = parseFileName(file.file);
  if (name?.kind === 'closed') return Math.max(name.last, file.lastIndex ?? 0);
  return name?.kind === 'snapshot' ? name.index : (file.lastIndex ?? 0);
}
