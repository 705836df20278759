export { Log, type LogOptions, type Retention } from './log.ts';
export type { ReceivedSnapshot, Snapshot, SnapshotContent, SnapshotStream } from './snapshot-store.ts';
