export { FrozenFiles } from './frozen-files.ts';
export { describe } from './load-segments.ts';
export { Log, type LogOptions, type Retention } from './log.ts';
export { isDirectoryFile } from './own-files.ts';
export { readExactly, readSmallFile, runScan } from './read.ts';
export { ReadOnlyLog, type LogContent } from './read-only-log.ts';
export { SegmentIndex } from './segment-index.ts';
export { SegmentReader } from './segment-reader.ts';
export {
  SnapshotStore,
  type ReceivedSnapshot,
  type Snapshot,
  type SnapshotContent,
  type SnapshotStream,
} from './snapshot-store.ts';
