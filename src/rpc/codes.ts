/** Numbers of the protocol between nodes (raft and disk spec sections 2 and 4.1), and limits of messages. */

import type { EntryType } from '../raft/index.ts';

export const messageType = {
  appendEntries: 1,
  appendEntriesResult: 2,
  requestVote: 3,
  requestVoteResult: 4,
  installSnapshot: 5,
  timeoutNow: 6,
} as const;

/** Type and size of the header. */
export const PREAMBLE_SIZE = 16;

export const ENTRY_TYPES: readonly (EntryType | undefined)[] = [undefined, 'command', 'barrier', 'change'];

export const FLAG_DISRUPT_LEADER = 1;
export const FLAG_PRE_VOTE = 2;
export const FLAG_RESULT_OF_PRE_VOTE = 1;

/** Sizes of headers. */
export const APPEND_ENTRIES_SIZE = 40;
export const ENTRY_HEADER_SIZE = 16;

/** The upper half of an index from 2^62 on, which no log reaches: a read probe. */
export const PROBE_HIGH = 0x40000000;

/** Larger headers are refused, as newer C nodes do: about 262,000 entries. */
export const HEADER_SIZE_MAX: number = 4 * 1024 * 1024;
/** The largest entry that is read: newer C nodes refuse to read larger ones. */
export const ENTRY_SIZE_MAX: number = 500 * 1024 * 1024;
