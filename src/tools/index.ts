/** What the command line does besides serving: the exit of this folder. */

export { assess, type State } from './assess.ts';
export { dumpDatabase, type Dumped, type DumpOptions } from './dump.ts';
export { replay } from './replay.ts';
export {
  survey,
  type DatabaseReport,
  type EntryReport,
  type MetadataReport,
  type SegmentReport,
  type SnapshotReport,
  type Survey,
} from './survey.ts';
