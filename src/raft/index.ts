export * from './configuration.ts';
export type * from './messages.ts';
export { RaftLog } from './raft-log.ts';
export { Raft, type LoadedState, type RaftOptions } from './raft.ts';
export type * from './types.ts';
