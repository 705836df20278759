/**
 * The vocabulary of the consensus core: entries, what goes in (`Input`) and what comes out (`Output`).
 *
 * The core is a pure, synchronous state machine. The host calls `step(input)` and carries out the outputs in
 * their order; whatever takes time (disk, network) comes back later as another input.
 */

import type { Configuration, Role } from './configuration.ts';

/** Starts at 1; 0 means "before the first entry". */
export type Index = number;
export type Term = number;
/** Never 0. */
export type ServerId = bigint;

export type EntryType = 'command' | 'barrier' | 'change';

export interface Entry {
  readonly term: Term;
  readonly type: EntryType;
  /** A multiple of 8 bytes. An FSM command, 8 zero bytes, or an encoded configuration. */
  readonly data: Uint8Array;
}

export type RaftRole = 'follower' | 'candidate' | 'leader';

/** Why the core refused or gave up on a request, in raft's terms (raft and disk spec section 7). */
export type RaftErrorCode =
  | 'notLeader'
  | 'leadershipLost'
  | 'cannotChange' // another membership change is under way
  | 'duplicateId'
  | 'duplicateAddress'
  | 'badId'
  | 'badRole'
  | 'notFound'
  | 'noConnection'
  | 'lastVoter'; // it would leave the cluster without a voter

/** A membership change, one server at a time (Raft dissertation, section 4.1). */
export type Change =
  | { readonly kind: 'add'; readonly id: ServerId; readonly address: string }
  | { readonly kind: 'assign'; readonly id: ServerId; readonly role: Role }
  | { readonly kind: 'remove'; readonly id: ServerId };

/** A number that the host chose to recognise its request in the answer. */
export type RequestId = number;

export type Input =
  /** Once, before anything else: what was loaded counts from now on. */
  | { readonly kind: 'start' }
  /** Time has passed; the core reads no clock. */
  | { readonly kind: 'tick'; readonly nowMs: number }
  /** Leader only: append these. Refused by an empty list of outputs and an unchanged last index. */
  | { readonly kind: 'propose'; readonly entries: readonly ProposedEntry[] }
  | { readonly kind: 'change'; readonly request: RequestId; readonly change: Change }
  /** `target` 0: any voter that is up to date. */
  | { readonly kind: 'transfer'; readonly request: RequestId; readonly target: ServerId }
  /** Confirm that this node still leads, for reads that were already executed. */
  | { readonly kind: 'read'; readonly request: RequestId }
  /** All entries up to this index are durable here. */
  | { readonly kind: 'stored'; readonly index: Index }
  /** Entries after the last `stored` could not be written and are not in the log. */
  | { readonly kind: 'storeFailed' }
  /** Writing works again after `storeFailed`. */
  | { readonly kind: 'storeRecovered' };

export interface ProposedEntry {
  readonly type: 'command' | 'barrier';
  readonly data: Uint8Array;
}

export type Output =
  /** Write these to the log, the first at `firstIndex`; answer `stored` or `storeFailed`. */
  | { readonly kind: 'append'; readonly firstIndex: Index; readonly entries: readonly Entry[] }
  /** All entries up to this index are committed: apply them. */
  | { readonly kind: 'commit'; readonly index: Index }
  | { readonly kind: 'roleChanged'; readonly role: RaftRole; readonly term: Term }
  | { readonly kind: 'configurationChanged'; readonly configuration: Configuration }
  /** The answer to `change` or `transfer`. */
  | { readonly kind: 'finished'; readonly request: RequestId; readonly error: RaftErrorCode | undefined }
  /** The answer to `read`: this node led after the request was made, or not. */
  | { readonly kind: 'readFinished'; readonly request: RequestId; readonly confirmed: boolean };
