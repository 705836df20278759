export * from './configuration.ts';
export type * from './messages.ts';
export { RaftLog } from './raft-log.ts';
export type { LoadedState, RaftOptions } from './options.ts';
export { Raft } from './raft.ts';
export type * from './types.ts';
