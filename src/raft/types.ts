/**
 * The vocabulary of the consensus core: entries, what goes in (`Input`) and what comes out (`Output`).
 *
 * The core is a pure, synchronous state machine. The host calls `step(input, nowMs)` with a freshly read monotonic
 * clock and carries out the outputs in their order; whatever takes time (disk, network) comes back later as another
 * input. What the host owes the core:
 *
 * 1. Writes to the log (`append`, `truncate`, `installSnapshot`) are done and answered in the order of the outputs;
 *    `storeTerm`s among themselves too, but the two kinds need not wait for each other. Entries of several `append`s
 *    may be written together and answered by one `stored`. Nothing else waits for writes: the core itself holds back
 *    what may not leave before one is durable.
 * 2. `send` goes out at once, in order per peer. Messages may be lost, repeated and delayed, never altered.
 * 3. `tick` comes every heartbeat interval, sockets having been read first (design rule 20).
 * 4. A failed `storeTerm`, `truncate` or `installSnapshot` that left the disk in an unknown state is final: stop.
 * 5. The core is dropped when the node stops and made anew, from what the disk holds, when it starts again.
 */

import type { Configuration, Role } from './configuration.ts';
import type { InstallSnapshot, Message } from './messages.ts';

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

/** Another member as it can be reached: by the address that it gave itself, or that the configuration gives. */
export interface Peer {
  readonly id: ServerId;
  readonly address: string;
}

/** What a snapshot holds: everything up to `index`, and the configuration that was committed there. */
export interface SnapshotInfo {
  readonly index: Index;
  readonly term: Term;
  readonly configuration: Configuration;
  readonly configurationIndex: Index;
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
  | 'noConnection' // the server did not take over, or did not catch up, in time
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
  /** Every heartbeat interval: elections, heartbeats and all limits of time are looked at here only. */
  | { readonly kind: 'tick' }
  /** A message of a peer, who said in CONNECT who it is. For InstallSnapshot see `snapshotOffered`. */
  | { readonly kind: 'received'; readonly from: Peer; readonly message: Exclude<Message, InstallSnapshot> }
  /** The connection to a peer broke or cannot be made: what was sent may be lost. */
  | { readonly kind: 'unreachable'; readonly peer: ServerId }

  /** Leader only: append these. Refused by an empty list of outputs and an unchanged last index. */
  | { readonly kind: 'propose'; readonly entries: readonly ProposedEntry[] }
  | { readonly kind: 'change'; readonly request: RequestId; readonly change: Change }
  /** `target` 0: any voter that is up to date. The host has drained its own work (design rule 19). */
  | { readonly kind: 'transfer'; readonly request: RequestId; readonly target: ServerId }
  /** Confirm that this node still leads, for reads that were already executed. */
  | { readonly kind: 'read'; readonly request: RequestId }

  /** The oldest `storeTerm` that was not answered is durable. */
  | { readonly kind: 'termStored' }
  /** All entries up to this index are durable here. */
  | { readonly kind: 'stored'; readonly index: Index }
  /** Entries after the last `stored` could not be written and are not in the log. */
  | { readonly kind: 'storeFailed' }
  /** Writing works again after `storeFailed`. */
  | { readonly kind: 'storeRecovered' }
  /** The oldest `truncate` that was not answered is durable. */
  | { readonly kind: 'truncated' }

  /** The answer to `readEntries`. No entries: they could not be read, or are no longer there. */
  | {
      readonly kind: 'entriesRead';
      readonly peer: ServerId;
      readonly firstIndex: Index;
      readonly entries: readonly Entry[];
    }

  /** The entry at this index, applied just now, made a database smaller; not for own proposals. */
  | { readonly kind: 'shrunk'; readonly index: Index }
  /** This node has a new snapshot of its own; `firstIndex` is the oldest entry that is still on disk. */
  | { readonly kind: 'snapshotTaken'; readonly snapshot: SnapshotInfo; readonly firstIndex: Index }
  /** The answer to `sendSnapshot`: all of it was handed to the network, or it was given up. */
  | { readonly kind: 'snapshotSent'; readonly peer: ServerId }
  | { readonly kind: 'snapshotNotSent'; readonly peer: ServerId }
  /** The header of an InstallSnapshot has arrived; its data follows. The answer is `receiveSnapshot`, or none. */
  | { readonly kind: 'snapshotOffered'; readonly from: Peer; readonly message: InstallSnapshot }
  /** A further part of it has arrived: the leader is alive. As often as the host likes. */
  | { readonly kind: 'snapshotProgress'; readonly from: Peer }
  /** All of the data is in a file of this node. The answer is `installSnapshot`, now or later, or `discardSnapshot`. */
  | { readonly kind: 'snapshotReceived'; readonly from: Peer; readonly message: InstallSnapshot }
  /** The sender's connection ended, or the data is not a snapshot, or it could not be kept. */
  | { readonly kind: 'snapshotNotReceived'; readonly from: Peer; readonly message: InstallSnapshot }
  /** The answer to `installSnapshot`. Afterwards the log on disk is empty and continues after the snapshot. */
  | { readonly kind: 'snapshotInstalled' };

export interface ProposedEntry {
  readonly type: 'command' | 'barrier';
  readonly data: Uint8Array;
  /** It makes a database smaller. */
  readonly shrinks?: boolean;
}

export type Output =
  /** Make term and vote durable; answer `termStored`. */
  | { readonly kind: 'storeTerm'; readonly term: Term; readonly votedFor: ServerId | undefined }
  /** Write these to the log, the first at `firstIndex`; answer `stored` or `storeFailed`. */
  | { readonly kind: 'append'; readonly firstIndex: Index; readonly entries: readonly Entry[] }
  /**
   * Remove the entries from `firstIndex` on, also those that wait to be written; answer `truncated`. They were never
   * committed. The next `append` begins here.
   */
  | { readonly kind: 'truncate'; readonly firstIndex: Index }
  /**
   * All entries up to this index are committed: apply them. They are in `log.entryAt` or, if they were dropped from
   * memory, on disk.
   */
  | { readonly kind: 'commit'; readonly index: Index }
  | { readonly kind: 'send'; readonly to: Peer; readonly message: Exclude<Message, InstallSnapshot> }
  /** Read entries for a peer, at least one, then as many as fit in `maxBytes` of data; answer `entriesRead`. */
  | {
      readonly kind: 'readEntries';
      readonly peer: ServerId;
      readonly firstIndex: Index;
      readonly lastIndex: Index;
      readonly maxBytes: number;
    }
  /** A snapshot up to this entry or further is wanted as soon as it is applied; repeated until there is one. */
  | { readonly kind: 'takeSnapshot'; readonly index: Index }
  /** Send the snapshot with this index, which was the newest; answer `snapshotSent` or `snapshotNotSent`. */
  | { readonly kind: 'sendSnapshot'; readonly to: Peer; readonly message: InstallSnapshot }

  /** Keep the data of the snapshot that was offered; answer `snapshotReceived` or `snapshotNotReceived`. */
  | { readonly kind: 'receiveSnapshot'; readonly from: Peer; readonly message: InstallSnapshot }
  /** What was received is not wanted any more: remove it. */
  | { readonly kind: 'discardSnapshot'; readonly from: Peer; readonly message: InstallSnapshot }
  /**
   * Make the received snapshot the state of this node: durable, the log emptied to continue at `index` + 1, the
   * databases replaced; answer `snapshotInstalled`. Apply nothing meanwhile. If that fails: stop.
   */
  | { readonly kind: 'installSnapshot'; readonly snapshot: SnapshotInfo }

  /** On 'leader' the next `append` begins with the barrier of this leadership. */
  | { readonly kind: 'roleChanged'; readonly role: RaftRole; readonly term: Term }
  /** Whom this node follows, or itself; undefined: nobody that it knows of. */
  | { readonly kind: 'leaderChanged'; readonly leader: Peer | undefined }
  | { readonly kind: 'configurationChanged'; readonly configuration: Configuration }
  /** The answer to `change` or `transfer`. */
  | { readonly kind: 'finished'; readonly request: RequestId; readonly error: RaftErrorCode | undefined }
  /** The answer to `read`: this node led after the request was made, or not. */
  | { readonly kind: 'readFinished'; readonly request: RequestId; readonly confirmed: boolean }
  /** A peer did what the protocol does not allow. Its message was ignored; worth a warning. */
  | { readonly kind: 'violation'; readonly peer: ServerId; readonly reason: string };
