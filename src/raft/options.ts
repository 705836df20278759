/** Settings of the consensus core. */

import type { Configuration } from './configuration.ts';
import type { RaftLog } from './raft-log.ts';
import type { Index, ServerId, Term } from './types.ts';

/** What the disk holds when the core is made. */
export interface LoadedState {
  readonly term: Term;
  readonly votedFor: ServerId | undefined;
  /** Index and term of the last snapshot; 0 and 0 without one. */
  readonly snapshotIndex: Index;
  readonly snapshotTerm: Term;
  /** The configuration in that snapshot and where it was committed; undefined and 0 without one. */
  readonly snapshotConfiguration?: Configuration | undefined;
  readonly snapshotConfigurationIndex?: Index;
  /** The entries on disk, from any index up to snapshotIndex + 1 on. */
  readonly log: RaftLog;
  /** The configuration that is known to be committed, and where; undefined in a new directory. */
  readonly committedConfiguration: Configuration | undefined;
  readonly committedConfigurationIndex: Index;
  /** A later one in the log that may not be committed. */
  readonly uncommittedConfiguration: Configuration | undefined;
  readonly uncommittedConfigurationIndex: Index;
}

export interface RaftOptions {
  readonly id: ServerId;
  readonly address: string;
  /** Seeds the choice of election timeouts: another one on every start. */
  readonly seed?: number;
  /** How often the host ticks. */
  readonly heartbeatMs?: number;
  /** A follower that hears nothing for this long, or up to twice, becomes a candidate. */
  readonly electionTimeoutMs?: number;
  /** A snapshot that was sent and is not answered for this long is given up. */
  readonly installSnapshotTimeoutMs?: number;
  /** Entry data in one AppendEntries, unless one entry has more. */
  readonly maxBatchBytes?: number;
  /** Entry data, and messages, sent to a peer and not acknowledged. */
  readonly maxInflightBytes?: number;
  readonly maxInflightMessages?: number;
  /** Entry data kept in memory for other members; what is not yet durable and applied comes on top. */
  readonly maxCacheBytes?: number;
  /**
   * Whether reads may rely on a lease (design rule 4). Wants clocks that run alike on all voters, within a fifth, and
   * that a machine is not stopped and goes on as if no time had passed.
   */
  readonly leases?: boolean;
}

export type Settings = Required<RaftOptions>;

const MIB = 1024 * 1024;
/** dqlite's own timing (raft and disk spec section 6.1). */
const DEFAULTS = {
  seed: 1,
  heartbeatMs: 500,
  electionTimeoutMs: 3000,
  installSnapshotTimeoutMs: 30_000,
  maxBatchBytes: 4 * MIB,
  maxInflightBytes: 16 * MIB,
  maxInflightMessages: 256,
  maxCacheBytes: 32 * MIB,
  leases: true,
} as const;

export function settingsOf(options: RaftOptions): Settings {
  return { ...DEFAULTS, ...options };
}
