/**
 * One leadership: replication, commitment, membership changes, handing over. It exists while this node leads a term.
 *
 * Invariants
 * 1. An entry is committed by counting only if its term is the current one (Raft paper, section 5.4.2), and only up to
 *    what is durable here.
 * 2. At most one membership change is uncommitted, and none begins before an entry of this term is committed.
 * 3. A leader that is not a voter of its configuration does not count itself (dissertation, section 4.2.2).
 * 4. From the request for a transfer until it has failed, nothing is appended.
 */

import { encodeConfiguration, findServer, type Server } from './configuration.ts';
import type { Core } from './core.ts';
import { changedConfiguration, changeError } from './membership.ts';
import type { AppendEntriesResult, ReadProbeResult } from './messages.ts';
import { Progress } from './progress.ts';
import { Promotion } from './promotion.ts';
import { majorityOf, reachedByMajority } from './quorum.ts';
import { Reads } from './reads.ts';
import { Replicator } from './replicator.ts';
import type { Transitions } from './roles.ts';
import type { Change, Entry, Index, Peer, ProposedEntry, RaftErrorCode, RequestId, ServerId } from './types.ts';

interface Requested {
  readonly request: RequestId;
  readonly change: Change;
}

interface Transfer {
  readonly request: RequestId;
  readonly target: ServerId;
  readonly startMs: number;
  isSent: boolean;
}

const BARRIER_DATA = new Uint8Array(8);

export class Leader {
  readonly #core: Core;
  readonly #transitions: Transitions;
  readonly #replicator: Replicator;
  /** The barrier, which is the first entry of this leadership. */
  readonly firstIndex: Index;
  readonly reads: Reads;
  readonly #progress = new Map<ServerId, Progress>();
  #quorumCheckMs: number;
  /** The request whose change is the last configuration in the log. */
  #changing: RequestId | undefined = undefined;
  /** A change that waits for the barrier. */
  #deferred: Requested | undefined = undefined;
  #promotion: Promotion | undefined = undefined;
  #transfer: Transfer | undefined = undefined;

  constructor(core: Core, transitions: Transitions) {
    this.#core = core;
    this.#transitions = transitions;
    this.firstIndex = core.log.lastIndex + 1;
    this.#replicator = new Replicator(core, this.firstIndex);
    this.reads = new Reads(core.term, core.settings.leases);
    this.#quorumCheckMs = core.nowMs;
    this.#syncProgress();
  }

  /** Commits the entries of earlier terms, and tells the host when everything before it was applied. */
  appendBarrier(): void {
    this.#append([{ type: 'barrier', data: BARRIER_DATA }]);
  }

  /** Whether anybody gets the log. */
  get hasPeers(): boolean {
    return this.#progress.size > 0;
  }

  /** Whether entries that are not durable here may be elsewhere: then their indexes must not be used again. */
  get hasSentUnstored(): boolean {
    return this.hasPeers || this.#replicator.sentIndex > this.#core.storedIndex;
  }

  get canPropose(): boolean {
    return !this.#core.storeFailed && this.#transfer === undefined;
  }

  /** Whether everybody who gets the log is known to give the longer results (design rule 14). */
  get hasOldMembers(): boolean {
    for (const progress of this.#progress.values()) if (progress.isOld !== false) return true;
    return false;
  }

  get progress(): ReadonlyMap<ServerId, Progress> {
    return this.#progress;
  }

  /** The oldest entry that a member with a snapshot under way will need. */
  get oldestNeeded(): Index | undefined {
    let oldest: Index | undefined;
    for (const { state, snapshotIndex } of this.#progress.values()) {
      if (state === 'snapshot') oldest = Math.min(oldest ?? Infinity, snapshotIndex + 1);
    }
    return oldest;
  }

  propose(entries: readonly ProposedEntry[]): void {
    if (!this.canPropose || entries.length === 0) return;
    const last = entries.findLastIndex(({ shrinks }) => shrinks === true);
    if (last !== -1) this.#core.shrunkIndex = this.#core.log.lastIndex + 1 + last;
    this.#append(entries);
  }

  tick(): void {
    const core = this.#core;
    const { heartbeatMs, electionTimeoutMs } = core.settings;
    if (!this.#checkQuorum()) return;
    for (const progress of this.#progress.values()) this.#replicator.heartbeat(progress);
    const number = this.reads.repeat(core.nowMs, heartbeatMs, electionTimeoutMs);
    if (number !== undefined) this.#probe(number);
    if (this.#promotion?.hasFailed(core.nowMs) === true) this.#endPromotion('noConnection');
    const transfer = this.#transfer;
    if (transfer !== undefined && core.nowMs - transfer.startMs >= electionTimeoutMs) {
      this.#transfer = undefined;
      core.finish(transfer.request, 'noConnection');
      // Who has caught up meanwhile says nothing new any more.
      if (this.#promotion !== undefined) this.#considerPromotion(this.#progress.get(this.#promotion.server));
    }
  }

  /** This node slept: that is not the others' silence (design rule 20). */
  shift(ms: number): void {
    this.#quorumCheckMs += ms;
  }

  /** The leader's own disk has more. */
  stored(): void {
    this.#commit();
    this.#considerTransfer();
  }

  result(from: Peer, message: AppendEntriesResult): void {
    const progress = this.#heardOf(from, message.features);
    if (progress === undefined) return;
    if (message.rejected > 0) {
      const isLost = this.#replicator.rejected(progress, message.rejected, message.lastIndex);
      if (isLost) {
        const reason = `it lacks entry ${message.rejected}, which it acknowledged: its disk has lost data`;
        this.#core.emit({ kind: 'violation', peer: from.id, reason });
      }
      return;
    }
    const isMore = this.#replicator.accepted(progress, message.lastIndex);
    if (!isMore) return;
    this.#commit();
    this.#considerPromotion(progress);
    this.#considerTransfer();
  }

  probeResult(from: Peer, message: ReadProbeResult): void {
    const core = this.#core;
    const progress = this.#heardOf(from, message.features);
    if (progress !== undefined && message.number === 0) this.#replicator.greeted(progress);
    const sentMs = this.reads.sentAt(message.number);
    if (progress === undefined || sentMs === undefined) return;
    progress.answeredProbe = Math.max(progress.answeredProbe, message.number);
    // Who has another patience, or votes as C does, gives no lease.
    if (progress.electionTimeoutMs === Math.round(core.settings.electionTimeoutMs)) {
      progress.leaseFromMs = Math.max(progress.leaseFromMs, sentMs);
    }
    this.#completeReads();
  }

  unreachable(peer: ServerId): void {
    const progress = this.#progress.get(peer);
    if (progress !== undefined) this.#replicator.unreachable(progress);
  }

  entriesRead(peer: ServerId, firstIndex: Index, entries: readonly Entry[]): void {
    const progress = this.#progress.get(peer);
    if (progress !== undefined) this.#replicator.entriesRead(progress, firstIndex, entries);
  }

  snapshotSent(peer: ServerId, isSent: boolean): void {
    const progress = this.#progress.get(peer);
    if (progress !== undefined) this.#replicator.snapshotSent(progress, isSent);
  }

  read(request: RequestId): void {
    const core = this.#core;
    if (this.hasLease(core.nowMs)) {
      core.emit({ kind: 'readFinished', request, confirmed: true });
      this.reads.touch(core.nowMs);
      return;
    }
    this.reads.add(request, core.nowMs);
    this.#startRounds();
  }

  /** Whether nobody else can have been elected up to now. */
  hasLease(nowMs: number): boolean {
    const core = this.#core;
    if (core.commitIndex < this.firstIndex) return false;
    const { isOnlyVoter, isVoter } = core.configurations;
    // The only voter cannot have been deposed.
    if (isOnlyVoter) return true;
    if (!this.#areVotersOurs) return false;
    return this.reads.hasLease(this.#otherVoters(), isVoter, nowMs, core.settings.electionTimeoutMs);
  }

  /**
   * C's candidates keep a former leader's leave to disrupt from term to term, so that promises to a later one do not
   * count for them: a lease wants that nobody who may be elected is one. A removal counts when it is committed.
   */
  get #areVotersOurs(): boolean {
    const { current, committed, isChanging } = this.#core.configurations;
    const isOurs = ({ id, role }: Server): boolean =>
      role !== 'voter' || id === this.#core.id || this.#progress.get(id)?.electionTimeoutMs !== undefined;
    return current.servers.every(isOurs) && (!isChanging || committed.servers.every(isOurs));
  }

  change(request: RequestId, change: Change): void {
    const core = this.#core;
    const error = this.#refusal(change);
    if (error !== undefined) {
      core.finish(request, error);
    } else if (core.commitIndex < this.firstIndex) {
      // A change before the first commit of a term can undo another leader's (raft-dev, 2015, "bug in single-server
      // membership changes").
      this.#deferred = { request, change };
    } else if (change.kind === 'assign' && change.role === 'voter' && !this.#isUpToDate(change.id)) {
      const { nowMs, log, settings } = core;
      this.#promotion = new Promotion(change.id, request, log.lastIndex, nowMs, settings.electionTimeoutMs);
      this.#syncProgress();
    } else {
      this.#appendChange(request, change);
    }
  }

  transfer(request: RequestId, target: ServerId): void {
    const core = this.#core;
    if (this.#transfer !== undefined) {
      core.finish(request, 'cannotChange');
      return;
    }
    const chosen = target === 0n ? this.#successor() : this.#progress.get(target);
    const isVoter = chosen !== undefined && core.configurations.voters.some(({ id }) => id === chosen.peer.id);
    if (!isVoter) {
      core.finish(request, target === 0n ? 'notFound' : 'badId');
      return;
    }
    this.#transfer = { request, target: chosen.peer.id, startMs: core.nowMs, isSent: false };
    this.#considerTransfer();
  }

  /** Entries that were not stored are gone, and with them perhaps a change. Only without peers. */
  dropped(): void {
    // Whom the change took the log from gets it again.
    this.#syncProgress();
    if (this.#changing === undefined || this.#core.configurations.isChanging) return;
    this.#core.finish(this.#changing, 'leadershipLost');
    this.#changing = undefined;
  }

  /** Leadership is over: everything that waits for it is told. */
  end(): void {
    const core = this.#core;
    for (const request of this.reads.drain()) core.emit({ kind: 'readFinished', request, confirmed: false });
    if (this.#deferred !== undefined) core.finish(this.#deferred.request, 'notLeader');
    this.#endPromotion('notLeader');
    // The entry may still be committed by the next leader.
    if (this.#changing !== undefined) core.finish(this.#changing, 'leadershipLost');
    if (this.#transfer !== undefined) {
      core.finish(this.#transfer.request, this.#transfer.isSent ? undefined : 'leadershipLost');
    }
  }

  #append(proposed: readonly ProposedEntry[]): void {
    const core = this.#core;
    core.append(proposed.map(({ type, data }) => ({ term: core.term, type, data })));
    // The others write at the same time as this node (dissertation, section 10.2.1).
    for (const progress of this.#progress.values()) this.#replicator.replicate(progress);
  }

  #appendChange(request: RequestId, change: Change): void {
    const core = this.#core;
    const next = changedConfiguration(core.configurations.current, change);
    core.append([{ term: core.term, type: 'change', data: encodeConfiguration(next) }]);
    this.#changing = request;
    core.useConfiguration(core.log.lastIndex, next);
    this.#syncProgress();
    for (const progress of this.#progress.values()) this.#replicator.replicate(progress);
  }

  /** Members that get the log: all but spares, and a spare that is being promoted. */
  #syncProgress(): void {
    const core = this.#core;
    const { servers } = core.configurations.current;
    for (const id of this.#progress.keys()) {
      const server = findServer(core.configurations.current, id);
      const isWanted = server !== undefined && (server.role !== 'spare' || this.#promotion?.server === id);
      if (!isWanted) this.#progress.delete(id);
    }
    for (const { id, address, role } of servers) {
      if (id === core.id || this.#progress.has(id)) continue;
      if (role === 'spare' && this.#promotion?.server !== id) continue;
      const progress = new Progress({ id, address }, core.log.lastIndex + 1);
      // Who proposed what is not committed yet may not have known this member. A voter has caught up before it was one.
      const known = findServer(core.configurations.committed, id)?.role ?? 'spare';
      if (role !== 'voter' && known === 'spare') progress.unknownIndex = this.firstIndex - 1;
      // Whether it is there will be seen; until then it is not held against it.
      this.#progress.set(id, progress);
      if (core.log.lastIndex >= this.firstIndex) this.#replicator.replicate(progress);
    }
  }

  #heardOf(from: Peer, features: bigint | undefined): Progress | undefined {
    const progress = this.#progress.get(from.id);
    if (progress === undefined) return undefined;
    progress.isActive = true;
    progress.noteFeatures(features);
    return progress;
  }

  /** Says whether this node still leads. */
  #checkQuorum(): boolean {
    const core = this.#core;
    const { electionTimeoutMs } = core.settings;
    if (core.nowMs - this.#quorumCheckMs < electionTimeoutMs) return true;
    this.#quorumCheckMs = core.nowMs;
    const { voters } = core.configurations;
    const active = voters.filter(({ id }) => id === core.id || this.#progress.get(id)?.isActive === true).length;
    for (const progress of this.#progress.values()) progress.isActive = false;
    if (active >= majorityOf(voters.length)) return true;
    this.#transitions.becomeFollower(core.term, undefined);
    return false;
  }

  #commit(): void {
    const core = this.#core;
    const index = Math.min(this.#quorumIndex(), core.storedIndex);
    if (index <= core.commitIndex || core.log.termAt(index) !== core.term) return;
    const isChanged = core.commit(index);
    if (isChanged) this.#changeCommitted();
    if (core.role !== 'leader') return;
    this.#completeReads();
    const deferred = this.#deferred;
    if (deferred === undefined) return;
    this.#deferred = undefined;
    this.change(deferred.request, deferred.change);
  }

  /** The highest index that a majority of the voters has. */
  #quorumIndex(): Index {
    const core = this.#core;
    if (core.configurations.isOnlyVoter) return core.storedIndex;
    return reachedByMajority(
      core.configurations.voters.map(({ id }) =>
        id === core.id ? core.storedIndex : (this.#progress.get(id)?.match ?? 0),
      ),
    );
  }

  #changeCommitted(): void {
    const core = this.#core;
    const request = this.#changing;
    this.#changing = undefined;
    if (request !== undefined) core.finish(request, undefined);
    if (core.configurations.isVoter || core.configurations.isChanging) return;
    // Removed or demoted: the others learn that it is committed, and the best of them need not wait for silence.
    const successor = this.#successor();
    for (const progress of this.#progress.values()) this.#replicator.heartbeat(progress);
    if (successor !== undefined && successor.match === core.log.lastIndex) this.#askToLead(successor);
    this.#transitions.becomeFollower(core.term, undefined);
  }

  #refusal(change: Change): RaftErrorCode | undefined {
    if (!this.canPropose) return 'notLeader';
    const { configurations } = this.#core;
    const isBusy = this.#promotion !== undefined || this.#deferred !== undefined;
    if (configurations.isChanging || isBusy) return 'cannotChange';
    return changeError(configurations.current, change);
  }

  #isUpToDate(id: ServerId): boolean {
    const core = this.#core;
    return id === core.id || this.#progress.get(id)?.match === core.log.lastIndex;
  }

  #considerPromotion(progress: Progress | undefined): void {
    const core = this.#core;
    const promotion = this.#promotion;
    if (progress === undefined || promotion?.server !== progress.peer.id || !this.canPropose) return;
    if (!promotion.progress(progress.match, core.log.lastIndex, core.nowMs)) return;
    this.#promotion = undefined;
    this.#appendChange(promotion.request, { kind: 'assign', id: promotion.server, role: 'voter' });
  }

  #endPromotion(error: RaftErrorCode): void {
    const promotion = this.#promotion;
    if (promotion === undefined) return;
    this.#promotion = undefined;
    this.#syncProgress();
    this.#core.finish(promotion.request, error);
  }

  /** The voter that is nearest to the end of the log, of those that were heard of if there are any. */
  #successor(): Progress | undefined {
    const core = this.#core;
    const candidates = core.configurations.voters.flatMap(({ id }) => this.#progress.get(id) ?? []);
    const active = candidates.filter(({ isActive }) => isActive);
    let best: Progress | undefined;
    for (const progress of active.length > 0 ? active : candidates) {
      if (best === undefined || progress.match >= best.match) best = progress;
    }
    return best;
  }

  #considerTransfer(): void {
    const core = this.#core;
    const transfer = this.#transfer;
    if (transfer === undefined || transfer.isSent || core.role !== 'leader') return;
    const progress = this.#progress.get(transfer.target);
    const { lastIndex } = core.log;
    if (progress?.match !== lastIndex || core.commitIndex !== lastIndex) return;
    transfer.isSent = true;
    this.#askToLead(progress);
  }

  #askToLead(progress: Progress): void {
    const core = this.#core;
    this.reads.endLeases();
    const { lastIndex, lastTerm } = core.log;
    core.send(progress.peer, { kind: 'timeoutNow', term: core.term, lastIndex, lastTerm });
  }

  #otherVoters(): Progress[] {
    const core = this.#core;
    const others: Progress[] = [];
    for (const { id, address } of core.configurations.voters) {
      if (id !== core.id) others.push(this.#progress.get(id) ?? new Progress({ id, address }, 1));
    }
    return others;
  }

  #startRounds(): void {
    const number = this.reads.nextRound(this.#core.nowMs);
    if (number !== undefined) this.#probe(number);
  }

  #probe(number: number): void {
    const core = this.#core;
    for (const { peer } of this.#otherVoters()) core.send(peer, { kind: 'readProbe', term: core.term, number });
    this.#completeReads();
  }

  #completeReads(): void {
    const core = this.#core;
    // What earlier leaders committed is known only with the barrier.
    if (core.commitIndex < this.firstIndex) return;
    const confirmed = this.reads.complete(this.#otherVoters(), core.configurations.isVoter);
    for (const request of confirmed) core.emit({ kind: 'readFinished', request, confirmed: true });
    if (confirmed.length > 0) this.#startRounds();
  }
}
