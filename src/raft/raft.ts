/**
 * The consensus core: a pure, synchronous state machine (`types.ts` says what goes in and comes out, and what the host
 * owes it). This file takes the inputs to the parts and changes roles; the parts are `Election`, `Follower` and, while
 * this node leads, `Leader`, over the state in `Core`.
 */

import { assert } from '../lib/assert.ts';
import type { Configuration } from './configuration.ts';
import { Core } from './core.ts';
import { Election } from './election.ts';
import { Follower } from './follower.ts';
import { Leader } from './leader.ts';
import type { InstallSnapshot, Message } from './messages.ts';
import type { LoadedState, RaftOptions } from './options.ts';
import type { RaftLog } from './raft-log.ts';
import type { Transitions } from './roles.ts';
import type { Entry, Index, Input, Output, Peer, RaftRole, ServerId, Term } from './types.ts';

/**
 * A message from so many terms ahead is no news of elections that were missed, which would have taken half a year: one
 * number near the end of what a term can be would leave no term for elections, in this cluster, for ever.
 */
const MAX_TERM_LEAP = 2 ** 24;
/** Whoever knows no term yet takes any that leaves enough. */
const MAX_FIRST_TERM = 2 ** 52;

export class Raft {
  readonly #core: Core;
  readonly #election: Election;
  readonly #follower: Follower;
  #leader: Leader | undefined = undefined;
  #lastTickMs = 0;
  readonly #transitions: Transitions = {
    becomeFollower: (term, leader) => this.#becomeFollower(term, leader),
    becomeLeader: () => this.#becomeLeader(),
  };

  constructor(options: RaftOptions, state: LoadedState) {
    this.#core = new Core(options, state);
    this.#election = new Election(this.#core, this.#transitions);
    this.#follower = new Follower(this.#core, this.#election, this.#transitions);
  }

  get id(): ServerId {
    return this.#core.settings.id;
  }

  get address(): string {
    return this.#core.settings.address;
  }

  get log(): RaftLog {
    return this.#core.log;
  }

  get role(): RaftRole {
    return this.#core.role;
  }

  get term(): Term {
    return this.#core.term;
  }

  get votedFor(): ServerId | undefined {
    return this.#core.votedFor;
  }

  /** All entries up to here are committed, as far as this node knows, and durable here. */
  get commitIndex(): Index {
    return this.#core.commitIndex;
  }

  get storedIndex(): Index {
    return this.#core.storedIndex;
  }

  /** The configuration in use: the newest in the log, committed or not (Raft dissertation, section 4.1). */
  get configuration(): Configuration {
    return this.#core.configurations.current;
  }

  get committedConfiguration(): Configuration {
    return this.#core.configurations.committed;
  }

  get committedConfigurationIndex(): Index {
    return this.#core.configurations.committedIndex;
  }

  /** The leader as far as this node knows it. */
  get leader(): Peer | undefined {
    return this.#core.leader;
  }

  /** Whether `propose` would append. */
  get canPropose(): boolean {
    return this.#leader?.canPropose === true;
  }

  /** Nobody else can be elected, so that leading needs no confirmation. */
  get isOnlyVoter(): boolean {
    return this.#core.configurations.isOnlyVoter;
  }

  /** The barrier of this leadership; undefined on others. */
  get barrierIndex(): Index | undefined {
    return this.#leader?.firstIndex;
  }

  /** Whether entries are sent to anybody, or may be: then the newest ones are kept for a while. */
  get hasPeers(): boolean {
    return this.#core.role !== 'leader' || this.#leader?.hasPeers === true;
  }

  /** Leader: whether some member that gets the log is of Debian's version, or may be (design rule 14). */
  get hasOldMembers(): boolean {
    return this.#leader?.hasOldMembers === true;
  }

  /** Leader: the oldest entry that must stay on disk for a member whose snapshot is under way. */
  get oldestNeeded(): Index | undefined {
    return this.#leader?.oldestNeeded;
  }

  /** Leader: whether a read that was executed before `nowMs` was read needs no confirmation. */
  hasLease(nowMs: number): boolean {
    return this.#leader?.hasLease(nowMs) === true;
  }

  /** Leader: what it knows of the members that get the log. */
  get progress(): Leader['progress'] | undefined {
    return this.#leader?.progress;
  }

  /**
   * Lets go of the oldest entry's data if it is applied, durable and not worth keeping for others. To be called after
   * applying, until it gives undefined.
   */
  releaseData(appliedIndex: Index): Entry | undefined {
    const { log, storedIndex, settings } = this.#core;
    const index = log.dataIndex;
    if (index > appliedIndex || index > storedIndex) return undefined;
    if (this.hasPeers && log.dataBytes <= settings.maxCacheBytes) return undefined;
    return log.forgetOldestData();
  }

  /** `nowMs`: the monotonic clock, read for this call. */
  step(input: Input, nowMs: number): Output[] {
    const core = this.#core;
    core.begin(nowMs);
    switch (input.kind) {
      case 'start':
        this.#lastTickMs = nowMs;
        this.#election.start();
        break;
      case 'tick':
        this.#tick(nowMs);
        break;
      case 'received':
        if (this.#isPlausible(input.from, input.message.term)) this.#received(input.from, input.message);
        break;
      case 'unreachable':
        this.#leader?.unreachable(input.peer);
        break;
      case 'propose':
        this.#leader?.propose(input.entries);
        break;
      case 'change':
        if (this.#leader === undefined) core.finish(input.request, 'notLeader');
        else this.#leader.change(input.request, input.change);
        break;
      case 'transfer':
        if (this.#leader === undefined) core.finish(input.request, 'notLeader');
        else this.#leader.transfer(input.request, input.target);
        break;
      case 'read':
        if (this.#leader === undefined) {
          core.emit({ kind: 'readFinished', request: input.request, confirmed: false });
        } else {
          this.#leader.read(input.request);
        }
        break;
      case 'termStored':
        if (core.termStored()) this.#election.termStored();
        break;
      case 'stored':
        if (!core.stored(input.index)) break;
        if (this.#leader === undefined) {
          this.#follower.stored();
          this.#election.stored();
        } else {
          this.#leader.stored();
        }
        break;
      case 'storeFailed':
        this.#storeFailed();
        break;
      case 'storeRecovered':
        core.storeFailed = false;
        // The one that this leadership began with may be among what was lost.
        this.#leader?.appendBarrier();
        break;
      case 'truncated':
        core.truncated();
        this.#election.stored();
        break;
      case 'entriesRead':
        this.#leader?.entriesRead(input.peer, input.firstIndex, input.entries);
        break;
      case 'shrunk':
        core.shrunkIndex = Math.max(core.shrunkIndex, input.index);
        break;
      case 'snapshotTaken':
        core.snapshot = input.snapshot;
        core.log.compact(input.firstIndex);
        break;
      case 'snapshotSent':
        this.#leader?.snapshotSent(input.peer, true);
        break;
      case 'snapshotNotSent':
        this.#leader?.snapshotSent(input.peer, false);
        break;
      case 'snapshotOffered':
        if (this.#isPlausible(input.from, input.message.term)) {
          this.#follower.snapshotOffered(input.from, input.message);
        }
        break;
      case 'snapshotProgress':
        this.#follower.snapshotProgress(input.from);
        break;
      case 'snapshotReceived':
        this.#follower.snapshotReceived(input.from, input.message);
        break;
      case 'snapshotNotReceived':
        this.#follower.snapshotNotReceived(input.from, input.message);
        break;
      case 'snapshotInstalled':
        this.#follower.snapshotInstalled();
        break;
    }
    return core.end();
  }

  #tick(nowMs: number): void {
    const { heartbeatMs } = this.#core.settings;
    const lateMs = nowMs - this.#lastTickMs - heartbeatMs;
    this.#lastTickMs = nowMs;
    if (lateMs > heartbeatMs) {
      this.#election.shift(lateMs);
      this.#leader?.shift(lateMs);
    }
    if (this.#leader === undefined) this.#election.tick();
    else this.#leader.tick();
  }

  #isPlausible(from: Peer, term: Term): boolean {
    const core = this.#core;
    if (term <= (core.term === 0 ? MAX_FIRST_TERM : core.term + MAX_TERM_LEAP)) return true;
    core.emit({ kind: 'violation', peer: from.id, reason: `it speaks of term ${term} in term ${core.term}` });
    return false;
  }

  #received(from: Peer, message: Exclude<Message, InstallSnapshot>): void {
    const core = this.#core;
    switch (message.kind) {
      case 'requestVote':
        this.#election.requested(from, message);
        return;
      case 'requestVoteResult':
        this.#election.answered(from, message);
        return;
      case 'appendEntries':
        this.#follower.appendEntries(from, message);
        return;
      case 'readProbe':
        this.#follower.readProbe(from, message);
        return;
      case 'timeoutNow':
        this.#election.askedToLead(from, message);
        return;
      case 'appendEntriesResult':
      case 'readProbeResult':
        if (message.term > core.term) this.#becomeFollower(message.term, undefined);
        if (this.#leader === undefined || message.term !== core.term) return;
        if (message.kind === 'appendEntriesResult') this.#leader.result(from, message);
        else this.#leader.probeResult(from, message);
        return;
    }
  }

  #storeFailed(): void {
    const core = this.#core;
    // What it has sent may live on elsewhere: the same indexes must not be used again in this term.
    const mustEnd = core.role === 'candidate' || this.#leader?.hasSentUnstored === true;
    if (mustEnd) this.#becomeFollower(core.term, undefined);
    core.dropUnstored();
    if (this.#leader === undefined) this.#follower.storeFailed();
    else this.#leader.dropped();
    // The change that took the log from the others is undone.
    if (this.#leader?.hasPeers === true) this.#becomeFollower(core.term, undefined);
  }

  #becomeFollower(term: Term, leader: Peer | undefined): void {
    const core = this.#core;
    if (term > core.term) core.setTerm(term, undefined);
    const ended = this.#leader;
    this.#leader = undefined;
    this.#follower.reset();
    this.#election.resetTimer();
    core.setRole('follower');
    core.setLeader(leader);
    ended?.end();
  }

  #becomeLeader(): void {
    const core = this.#core;
    assert(this.#leader === undefined && !core.storeFailed, 'a leader is elected once, and can write');
    core.setRole('leader');
    core.setLeader(core.self);
    this.#leader = new Leader(core, this.#transitions);
    this.#leader.appendBarrier();
  }
}
