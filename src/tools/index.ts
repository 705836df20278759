/** What the command line does besides serving: the exit of this folder. */

export { assess, type State } from './assess.ts';
export { dumpDatabase, type Dumped, type DumpOptions } from './dump.ts';
export { exportDatabase, type ExportOptions } from './export-database.ts';
export { importDatabase, ONE_TRANSACTION_BYTES, type Imported, type ImportOptions } from './import-database.ts';
export { inspectRecoverable, recover, type Recoverable } from './recover.ts';
export { replay } from './replay.ts';
export { connectServer, type Server } from './server.ts';
export { SourceDatabase } from './source-database.ts';
export {
  survey,
  type DatabaseReport,
  type EntryReport,
  type MetadataReport,
  type SegmentReport,
  type SnapshotReport,
  type Survey,
} from './survey.ts';
export type { SyncFile } from './wal-overlay.ts';
