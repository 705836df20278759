/** Everything that a data directory holds, read and checked as a start does. Nothing is changed yet. */

import type { Clock, Files, Logger } from '../host/types.ts';
import { damaged } from './damage.ts';
import { SegmentLoader } from './load-segments.ts';
import { MetadataStore } from './metadata-store.ts';
import { SnapshotStore, type Latest, type Snapshot } from './snapshot-store.ts';

export interface LoadedDirectory extends Latest {
  /** What is in the directory. */
  readonly names: readonly string[];
  readonly metadata: MetadataStore;
  readonly snapshots: SnapshotStore;
  readonly segments: SegmentLoader;
}

export interface LoadOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly directory: string;
  readonly logger: Logger;
}

/** Rejects with DqliteError DAMAGED, or with `FileError`. */
export async function loadDirectory({ files, clock, directory, logger }: LoadOptions): Promise<LoadedDirectory> {
  const names = await files.list(directory);
  const metadata = await MetadataStore.load(files, directory);
  const snapshots = new SnapshotStore(files, directory, clock, logger);
  const latest = await snapshots.latest(names);
  const segments = new SegmentLoader(files, directory, logger);
  await segments.load(names, latest.snapshot?.index ?? 0, latest.unfinishedIndex);
  checkTerm(directory, metadata, latest.snapshot, segments);
  return { ...latest, names, metadata, snapshots, segments };
}

/** A term is stored before any entry of it: if the metadata is older, a file of it was lost. */
function checkTerm(
  directory: string,
  { term }: MetadataStore,
  snapshot: Snapshot | undefined,
  { segments }: SegmentLoader,
): void {
  const newest = segments.reduce((max, segment) => Math.max(max, segment.newestTerm), snapshot?.term ?? 0);
  if (newest <= term) return;
  throw damaged({
    directory,
    file: 'metadata1 and metadata2',
    what: `they tell of term ${term}, but the log has entries of term ${newest}`,
    lost: 'the current term and vote are in doubt, and voting again could make two leaders',
  });
}
