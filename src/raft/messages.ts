/**
 * What the members of a cluster say to each other, as plain values; `rpc` gives them bytes (raft and disk spec
 * section 2). None names its sender: that is known from the connection.
 */

import type { Configuration } from './configuration.ts';
import type { Entry, Index, ServerId, Term } from './types.ts';

/** Sent to every other voter by a candidate (Raft paper, figure 2). */
export interface RequestVote {
  readonly kind: 'requestVote';
  /** The candidate's term; before an election (`preVote`) the one it would have. */
  readonly term: Term;
  readonly candidate: ServerId;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** The leader itself asked for this election: having a leader is no reason to refuse. */
  readonly disruptLeader: boolean;
  /** Asks whether a vote would be granted; changes nothing (Raft dissertation, section 9.6). */
  readonly preVote: boolean;
}

export interface RequestVoteResult {
  readonly kind: 'requestVoteResult';
  /** In an answer to a pre-vote the term that was asked for, otherwise the voter's own. */
  readonly term: Term;
  readonly granted: boolean;
  /** Which of the two was answered; undefined in the form of old members, which does not say. */
  readonly preVote: boolean | undefined;
}

/** Without entries it is a heartbeat. */
export interface AppendEntries {
  readonly kind: 'appendEntries';
  readonly term: Term;
  /** The entry before the first one; 0 if there is none. */
  readonly previousIndex: Index;
  readonly previousTerm: Term;
  /** May exceed what the receiver has. */
  readonly commitIndex: Index;
  readonly entries: readonly Entry[];
}

export interface AppendEntriesResult {
  readonly kind: 'appendEntriesResult';
  readonly term: Term;
  /** 0: accepted. Otherwise the previous index, which did not match; with a snapshot, its index. */
  readonly rejected: Index;
  /**
   * Accepted: what is durable; members that are not ours do not limit it to what the message was about (section 6.6).
   * Rejected: a hint where the logs may match.
   */
  readonly lastIndex: Index;
  /** Undefined: the form of 24 bytes, by which Debian's version is recognised. */
  readonly features: bigint | undefined;
}

/**
 * Asks whether the receiver still follows the sender. An AppendEntries whose previous index, 2^62 + `number`, no log
 * can have, so that the answer, a rejection of that index, tells which question it belongs to (design rule 3).
 */
export interface ReadProbe {
  readonly kind: 'readProbe';
  readonly term: Term;
  readonly number: number;
}

export interface ReadProbeResult {
  readonly kind: 'readProbeResult';
  readonly term: Term;
  readonly number: number;
  readonly lastIndex: Index;
  readonly features: bigint | undefined;
}

/** The data, which follows this on the wire, is the host's business. */
export interface InstallSnapshot {
  readonly kind: 'installSnapshot';
  readonly term: Term;
  /** The last entry that the snapshot holds. */
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** The configuration at that entry, and where it was committed. */
  readonly configurationIndex: Index;
  readonly configuration: Configuration;
}

/** The leader asks a voter to take over (Raft dissertation, section 3.10). There is no answer. */
export interface TimeoutNow {
  readonly kind: 'timeoutNow';
  readonly term: Term;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
}

export type Message =
  | RequestVote
  | RequestVoteResult
  | AppendEntries
  | AppendEntriesResult
  | ReadProbe
  | ReadProbeResult
  | InstallSnapshot
  | TimeoutNow;
