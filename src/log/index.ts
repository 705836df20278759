export { Log, type LogOptions, type Retention } from './log.ts';
export type { Snapshot, SnapshotContent } from './snapshot-store.ts';
