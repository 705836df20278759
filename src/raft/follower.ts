/**
 * What a node does with a leader's messages (Raft paper, figure 2; raft and disk spec sections 6.6 and 6.10).
 *
 * Entries are acknowledged when they are durable, and never more than was compared with the leader's log: what lies
 * behind that may be another leader's.
 */

import { DecodeError } from '../lib/bytes.ts';
import { decodeConfiguration, type Configuration } from './configuration.ts';
import type { Core } from './core.ts';
import type { Election } from './election.ts';
import type { AppendEntries, InstallSnapshot, ReadProbe } from './messages.ts';
import type { Transitions } from './roles.ts';
import type { Entry, Index, Peer, SnapshotInfo, Term } from './types.ts';

interface Receiving {
  readonly from: Peer;
  readonly index: Index;
  progressMs: number;
}

export class Follower {
  readonly #core: Core;
  readonly #election: Election;
  readonly #transitions: Transitions;
  /** Entries up to here are the same as the leader's. */
  #matched: Index = 0;
  #leaderCommit: Index = 0;
  /** Where messages end that are to be acknowledged once they are durable. */
  #owed: Index[] = [];
  #receiving: Receiving | undefined = undefined;
  #installing: SnapshotInfo | undefined = undefined;

  constructor(core: Core, election: Election, transitions: Transitions) {
    this.#core = core;
    this.#election = election;
    this.#transitions = transitions;
  }

  /** Another term or role: what the last leader said does not count. */
  reset(): void {
    this.#matched = 0;
    this.#leaderCommit = 0;
    this.#owed = [];
  }

  appendEntries(from: Peer, message: AppendEntries): void {
    const core = this.#core;
    if (message.term < core.term) {
      this.#answer(from, message.previousIndex, core.log.lastIndex);
      return;
    }
    if (!this.#follow(from, message.term)) return;
    if (this.#installing !== undefined && message.entries.length > 0) return;
    const { previousIndex, entries } = message;
    if (!this.#matches(previousIndex, message.previousTerm)) {
      if (previousIndex <= core.commitIndex) {
        this.#violation(
          from,
          `its entry ${previousIndex} has term ${message.previousTerm}, not that of the committed one`,
        );
      } else {
        const known = core.log.lastIndexOfTerm(Math.min(previousIndex - 1, core.log.lastIndex), message.previousTerm);
        this.#answer(from, previousIndex, Math.max(known, core.commitIndex));
      }
      return;
    }
    const isNew = this.#take(from, message);
    if (isNew === undefined) return;
    this.#matched = Math.max(this.#matched, previousIndex + entries.length);
    this.#leaderCommit = Math.max(this.#leaderCommit, message.commitIndex);
    this.#commit();
    if (isNew) this.#owed.push(this.#matched);
    else this.#answer(from, 0, Math.min(core.storedIndex, this.#matched));
  }

  readProbe(from: Peer, { term, number }: ReadProbe): void {
    const core = this.#core;
    if (term >= core.term && !this.#follow(from, term)) return;
    const { features, storedIndex } = core;
    core.send(from, { kind: 'readProbeResult', term: core.term, number, lastIndex: storedIndex, features });
  }

  /** More is durable: the leader wants to know. */
  stored(): void {
    const core = this.#core;
    this.#commit();
    const isOwed = this.#owed.some(index => index <= core.storedIndex);
    if (!isOwed || core.leader === undefined) return;
    // One answer for all that are complete: never more answers than messages.
    this.#owed = this.#owed.filter(index => index > core.storedIndex);
    this.#answer(core.leader, 0, Math.min(core.storedIndex, this.#matched));
  }

  storeFailed(): void {
    this.#matched = Math.min(this.#matched, this.#core.storedIndex);
    this.#owed = [];
  }

  snapshotOffered(from: Peer, message: InstallSnapshot): void {
    const core = this.#core;
    if (message.term < core.term) {
      this.#answer(from, message.lastIndex, core.log.lastIndex);
      return;
    }
    if (!this.#follow(from, message.term) || this.#installing !== undefined) return;
    if (this.#acknowledgeIfKnown(from, message)) return;
    if (core.storeFailed) {
      this.#answer(from, message.lastIndex, core.log.lastIndex);
      return;
    }
    const { electionTimeoutMs } = core.settings;
    if (this.#receiving !== undefined && core.nowMs - this.#receiving.progressMs < electionTimeoutMs) return;
    this.#receiving = { from, index: message.lastIndex, progressMs: core.nowMs };
    core.emit({ kind: 'receiveSnapshot', from, message });
  }

  snapshotProgress(from: Peer): void {
    const core = this.#core;
    if (this.#receiving?.from.id !== from.id) return;
    this.#receiving.progressMs = core.nowMs;
    // A C leader's heartbeats queue behind its snapshot.
    if (core.leader?.id === from.id) this.#election.restartTimer();
  }

  snapshotNotReceived(from: Peer, message: InstallSnapshot): void {
    this.#receiving = undefined;
    const core = this.#core;
    if (core.leader?.id === from.id && core.term === message.term) {
      this.#answer(from, message.lastIndex, core.log.lastIndex);
    }
  }

  snapshotReceived(from: Peer, message: InstallSnapshot): void {
    const core = this.#core;
    this.#receiving = undefined;
    const isWanted = core.role === 'follower' && this.#installing === undefined && !this.#isKnown(message);
    // It would replace a log that cannot be written now.
    if (!isWanted || core.storeFailed) {
      core.emit({ kind: 'discardSnapshot', from, message });
      if (isWanted) this.snapshotNotReceived(from, message);
      else if (core.leader?.id === from.id) this.#acknowledgeIfKnown(from, message);
      return;
    }
    this.#installing = {
      index: message.lastIndex,
      term: message.lastTerm,
      configuration: message.configuration,
      configurationIndex: message.configurationIndex,
    };
    this.#election.isInstalling = true;
    core.installSnapshot(this.#installing);
  }

  snapshotInstalled(): void {
    const core = this.#core;
    const snapshot = this.#installing;
    if (snapshot === undefined) return;
    this.#installing = undefined;
    this.#election.isInstalling = false;
    this.#election.restartTimer();
    core.snapshotInstalled(snapshot);
    // What is committed is the same everywhere.
    this.#matched = Math.max(this.#matched, snapshot.index);
    this.#owed = [];
    if (core.leader !== undefined) this.#answer(core.leader, 0, snapshot.index);
  }

  /** Says whether the sender leads as far as this node is concerned. */
  #follow(from: Peer, term: Term): boolean {
    const core = this.#core;
    if (term === core.term && core.role === 'leader') {
      this.#violation(from, `it leads term ${term}, which this node leads`);
      return false;
    }
    if (term === core.term && core.leader !== undefined && core.leader.id !== from.id) {
      this.#violation(from, `it leads term ${term}, which ${core.leader.id} leads`);
      return false;
    }
    if (term > core.term || core.role !== 'follower') this.#transitions.becomeFollower(term, from);
    core.setLeader(from);
    this.#election.heardOf(from.id);
    return true;
  }

  #matches(index: Index, term: Term): boolean {
    const { log, commitIndex } = this.#core;
    if (index > log.lastIndex) return false;
    // What is no longer in the log was committed.
    if (index < log.firstIndex && index <= commitIndex) return true;
    return log.termAt(index) === term;
  }

  /** Appends what is new. Says whether anything was; undefined if the message was refused. */
  #take(from: Peer, { previousIndex, entries }: AppendEntries): boolean | undefined {
    const core = this.#core;
    const { log } = core;
    let index = previousIndex + 1;
    let position = 0;
    // Those that are no longer in the log were committed.
    while (position < entries.length && index <= log.lastIndex) {
      if (index >= log.firstIndex && log.termAt(index) !== entries[position]!.term) break;
      position++;
      index++;
    }
    if (position === entries.length) return false;
    if (index <= core.commitIndex) {
      this.#violation(from, `its entry ${index} differs from the committed one`);
      return undefined;
    }
    const fresh = position === 0 ? entries : entries.slice(position);
    const configurations = this.#configurationsIn(from, index, fresh);
    if (configurations === undefined || core.storeFailed) return undefined;
    if (index <= log.lastIndex) core.truncate(index);
    core.append(fresh);
    for (const { at, configuration } of configurations) core.useConfiguration(at, configuration);
    return true;
  }

  #configurationsIn(
    from: Peer,
    firstIndex: Index,
    entries: readonly Entry[],
  ): { readonly at: Index; readonly configuration: Configuration }[] | undefined {
    const found: { at: Index; configuration: Configuration }[] = [];
    for (const [position, { type, data }] of entries.entries()) {
      if (type !== 'change') continue;
      try {
        found.push({ at: firstIndex + position, configuration: decodeConfiguration(data) });
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        this.#violation(from, `its entry ${firstIndex + position} is not a configuration: ${error.message}`);
        return undefined;
      }
    }
    return found;
  }

  #commit(): void {
    const core = this.#core;
    if (this.#installing !== undefined) return;
    const index = Math.min(this.#leaderCommit, this.#matched, core.storedIndex);
    if (index > core.commitIndex) core.commit(index);
  }

  #isKnown({ lastIndex, lastTerm }: InstallSnapshot): boolean {
    const { commitIndex, log } = this.#core;
    return lastIndex <= commitIndex || log.termAt(lastIndex) === lastTerm;
  }

  #acknowledgeIfKnown(from: Peer, message: InstallSnapshot): boolean {
    const core = this.#core;
    if (!this.#isKnown(message)) return false;
    this.#matched = Math.max(this.#matched, message.lastIndex);
    if (core.storedIndex >= message.lastIndex) this.#answer(from, 0, message.lastIndex);
    else this.#owed.push(message.lastIndex);
    return true;
  }

  #answer(to: Peer, rejected: Index, lastIndex: Index): void {
    const { term, features } = this.#core;
    this.#core.send(to, { kind: 'appendEntriesResult', term, rejected, lastIndex, features });
  }

  #violation(from: Peer, reason: string): void {
    this.#core.emit({ kind: 'violation', peer: from.id, reason });
  }
}
