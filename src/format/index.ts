/** Codecs of the files in a data directory: the exit of this folder. */

export { formatFileName, parseFileName, type FileName, type SnapshotName } from './file-name.ts';
export type { FileScan, ReadRequest } from './file-window.ts';
export {
  chooseMetadata,
  decodeMetadata,
  encodeMetadata,
  metadataFile,
  type Metadata,
  type MetadataChoice,
  type MetadataFile,
} from './metadata.ts';
export {
  batchHeaderSize,
  encodeBatchHeader,
  encodeSegmentHeader,
  OPEN_SEGMENT_SIZE,
  SEGMENT_HEADER_SIZE,
  type EntryType,
  type SegmentEntry,
  type StoredEntry,
} from './segment.ts';
export { findLaterBatch, scanSegment, type Batch, type SegmentVerdict } from './segment-scan.ts';
export {
  encodeDatabaseHeader,
  encodeSnapshotHeader,
  snapshotContentSize,
  SnapshotContentReader,
  type DatabaseExtent,
  type SnapshotSink,
} from './snapshot-content.ts';
export { decodeSnapshotMeta, encodeSnapshotMeta, type SnapshotMeta } from './snapshot-meta.ts';
export { WAL_FRAME_HEADER_SIZE, WAL_HEADER_SIZE, WalReader, type WalFrame } from './wal.ts';
