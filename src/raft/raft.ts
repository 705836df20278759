/**
 * The consensus core: a pure, synchronous state machine (`types.ts` says what goes in and comes out).
 *
 * State of the work: a cluster of one voter. It leads as soon as it is started, without an election and in the
 * term that it has (as C dqlite does, raft and disk spec section 6.2), appends a BARRIER to commit what earlier
 * terms left behind, and commits an entry once its own disk has it. Members that are not voters may be added and
 * removed; they receive nothing. A node that is not the only voter of its configuration stays a follower.
 *
 * Invariants
 * 1. commitIndex <= storedIndex <= lastIndex on a leader: nothing is committed that is not durable here.
 * 2. An entry is committed by counting only if its term is the current one (Raft paper, section 5.4.2).
 * 3. At most one membership change is uncommitted.
 */

import { assert } from '../lib/assert.ts';
import {
  encodeConfiguration,
  findServer,
  voters,
  withoutServer,
  withRole,
  withServer,
  type Configuration,
} from './configuration.ts';
import type { RaftLog } from './raft-log.ts';
import type {
  Change,
  Entry,
  EntryType,
  Index,
  Input,
  Output,
  RaftErrorCode,
  RaftRole,
  RequestId,
  ServerId,
  Term,
} from './types.ts';

/** What the disk holds when the core is made. */
export interface LoadedState {
  readonly term: Term;
  readonly votedFor: ServerId | undefined;
  /** Index and term of the last snapshot; 0 and 0 without one. */
  readonly snapshotIndex: Index;
  readonly snapshotTerm: Term;
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
}

interface PendingChange {
  readonly index: Index;
  readonly request: RequestId;
}

const NO_SERVERS: Configuration = { servers: [] };
const BARRIER_DATA = new Uint8Array(8);

export class Raft {
  readonly id: ServerId;
  readonly address: string;
  readonly log: RaftLog;
  #role: RaftRole = 'follower';
  #term: Term;
  #commitIndex: Index;
  #storedIndex: Index;
  #configuration: Configuration;
  #isOnlyVoter: boolean;
  #committedConfiguration: Configuration;
  #committedConfigurationIndex: Index;
  /** Where the configuration in use stands in the log, 0 if it is the committed one. */
  #uncommittedConfigurationIndex: Index;
  #pendingChange: PendingChange | undefined = undefined;
  /** The disk refused a write: nothing is appended until it works again. */
  #storeFailed = false;
  #outputs: Output[] = [];

  constructor(options: RaftOptions, state: LoadedState) {
    this.id = options.id;
    this.address = options.address;
    this.log = state.log;
    this.#term = state.term;
    this.#commitIndex = state.snapshotIndex;
    this.#storedIndex = state.log.lastIndex;
    this.#committedConfiguration = state.committedConfiguration ?? NO_SERVERS;
    this.#committedConfigurationIndex = state.committedConfigurationIndex;
    this.#configuration = state.uncommittedConfiguration ?? this.#committedConfiguration;
    this.#isOnlyVoter = this.#computeIsOnlyVoter();
    this.#uncommittedConfigurationIndex = state.uncommittedConfigurationIndex;
  }

  get role(): RaftRole {
    return this.#role;
  }

  get term(): Term {
    return this.#term;
  }

  /** All entries up to here are committed, as far as this node knows. */
  get commitIndex(): Index {
    return this.#commitIndex;
  }

  /** The configuration in use: the newest in the log, committed or not (Raft dissertation, section 4.1). */
  get configuration(): Configuration {
    return this.#configuration;
  }

  get committedConfiguration(): Configuration {
    return this.#committedConfiguration;
  }

  get committedConfigurationIndex(): Index {
    return this.#committedConfigurationIndex;
  }

  /** The leader as far as this node knows it. */
  get leader(): { readonly id: ServerId; readonly address: string } | undefined {
    return this.#role === 'leader' ? { id: this.id, address: this.address } : undefined;
  }

  /** Whether `propose` would append. */
  get canPropose(): boolean {
    return this.#role === 'leader' && !this.#storeFailed;
  }

  /** Nobody else can be elected, so that leading needs no confirmation. */
  get isOnlyVoter(): boolean {
    return this.#isOnlyVoter;
  }

  step(input: Input): Output[] {
    this.#outputs = [];
    switch (input.kind) {
      case 'start':
        if (this.#isOnlyVoter) this.#lead();
        break;
      case 'tick':
        break;
      case 'propose':
        if (this.canPropose) this.#append(input.entries);
        break;
      case 'change':
        this.#change(input.request, input.change);
        break;
      case 'transfer':
        this.#finish(input.request, this.#transferError(input.target));
        break;
      case 'read':
        // The only voter cannot have been deposed.
        this.#emit({ kind: 'readFinished', request: input.request, confirmed: this.#role === 'leader' });
        break;
      case 'stored':
        this.#stored(input.index);
        break;
      case 'storeFailed':
        this.#dropUnstored();
        break;
      case 'storeRecovered':
        this.#storeFailed = false;
        // The one that this leadership began with may be among what was lost.
        if (this.#role === 'leader') this.#append([{ type: 'barrier', data: BARRIER_DATA }]);
        break;
    }
    return this.#outputs;
  }

  #emit(output: Output): void {
    this.#outputs.push(output);
  }

  #finish(request: RequestId, error: RaftErrorCode | undefined): void {
    this.#emit({ kind: 'finished', request, error });
  }

  #computeIsOnlyVoter(): boolean {
    const members = voters(this.#configuration);
    return members.length === 1 && members[0]!.id === this.id;
  }

  #use(configuration: Configuration): void {
    this.#configuration = configuration;
    this.#isOnlyVoter = this.#computeIsOnlyVoter();
    this.#emit({ kind: 'configurationChanged', configuration });
  }

  #lead(): void {
    this.#role = 'leader';
    this.#emit({ kind: 'roleChanged', role: 'leader', term: this.#term });
    // Commits the entries of earlier terms, and tells the host when everything before it was applied.
    this.#append([{ type: 'barrier', data: BARRIER_DATA }]);
  }

  #append(proposed: readonly { readonly type: EntryType; readonly data: Uint8Array }[]): void {
    const firstIndex = this.log.lastIndex + 1;
    const entries: Entry[] = proposed.map(({ type, data }) => ({ term: this.#term, type, data }));
    for (const entry of entries) this.log.append(entry);
    this.#emit({ kind: 'append', firstIndex, entries });
  }

  #stored(index: Index): void {
    assert(index <= this.log.lastIndex, `entry ${index} was stored but not appended`);
    this.#storedIndex = Math.max(this.#storedIndex, index);
    if (this.#role !== 'leader') return;
    const quorum = this.#quorumIndex();
    if (quorum > this.#commitIndex && this.log.termAt(quorum) === this.#term) this.#commit(quorum);
  }

  /** The highest index that more than half of the voters have stored. */
  #quorumIndex(): Index {
    const matches = voters(this.#configuration).map(server => (server.id === this.id ? this.#storedIndex : 0));
    matches.sort((a, b) => b - a);
    return matches[Math.floor(matches.length / 2)] ?? 0;
  }

  #commit(index: Index): void {
    this.#commitIndex = index;
    this.#emit({ kind: 'commit', index });
    if (this.#uncommittedConfigurationIndex === 0 || this.#uncommittedConfigurationIndex > index) return;
    this.#committedConfiguration = this.#configuration;
    this.#committedConfigurationIndex = this.#uncommittedConfigurationIndex;
    this.#uncommittedConfigurationIndex = 0;
    if (this.#pendingChange !== undefined) {
      this.#finish(this.#pendingChange.request, undefined);
      this.#pendingChange = undefined;
    }
  }

  #change(request: RequestId, change: Change): void {
    const error = this.#changeError(change);
    if (error !== undefined) {
      this.#finish(request, error);
      return;
    }
    const next = this.#changed(change);
    this.#append([{ type: 'change', data: encodeConfiguration(next) }]);
    this.#uncommittedConfigurationIndex = this.log.lastIndex;
    this.#pendingChange = { index: this.log.lastIndex, request };
    this.#use(next);
  }

  #changed(change: Change): Configuration {
    switch (change.kind) {
      case 'add':
        return withServer(this.#configuration, { id: change.id, address: change.address, role: 'spare' });
      case 'assign':
        return withRole(this.#configuration, change.id, change.role);
      case 'remove':
        return withoutServer(this.#configuration, change.id);
    }
  }

  #changeError(change: Change): RaftErrorCode | undefined {
    if (!this.canPropose) return 'notLeader';
    if (this.#uncommittedConfigurationIndex !== 0) return 'cannotChange';
    const { servers } = this.#configuration;
    if (change.kind === 'add') {
      if (change.id === 0n) return 'badId';
      // Which of the two clashes is reported depends on the existing member that is met first, as in C.
      for (const server of servers) {
        if (server.id === change.id) return 'duplicateId';
        if (server.address === change.address) return 'duplicateAddress';
      }
      return undefined;
    }
    const server = findServer(this.#configuration, change.id);
    if (server === undefined) return change.kind === 'assign' ? 'notFound' : 'badId';
    if (change.kind === 'assign') {
      if (change.role === server.role) return 'badRole';
      // Members with a log of their own need replication, which this core does not have yet.
      if (change.role !== 'spare' && change.id !== this.id) return 'noConnection';
    }
    return server.role === 'voter' && voters(this.#configuration).length === 1 ? 'lastVoter' : undefined;
  }

  /** Leadership can only go to another voter, of which there is none. */
  #transferError(target: ServerId): RaftErrorCode {
    if (this.#role !== 'leader') return 'notLeader';
    return target === 0n ? 'notFound' : 'badId';
  }

  /** The disk refused: what it does not hold never happened, and this node appends nothing for now. */
  #dropUnstored(): void {
    this.#storeFailed = true;
    const firstLost = this.#storedIndex + 1;
    if (this.log.lastIndex >= firstLost) this.log.truncate(firstLost);
    if (this.#uncommittedConfigurationIndex >= firstLost) {
      this.#uncommittedConfigurationIndex = 0;
      this.#use(this.#committedConfiguration);
    }
    if (this.#pendingChange !== undefined && this.#pendingChange.index >= firstLost) {
      this.#finish(this.#pendingChange.request, 'leadershipLost');
      this.#pendingChange = undefined;
    }
  }
}
