/**
 * The state that every role shares, and the order of its effects.
 *
 * Invariants
 * 1. Nothing that belongs to a term leaves (messages, entries to the disk) before term and vote are durable: outputs
 *    wait in `#held` while a `storeTerm` is not answered (Raft paper, figure 2: "updated on stable storage before
 *    responding").
 * 2. commitIndex <= storedIndex <= log.lastIndex: what this node calls committed is on its own disk too.
 * 3. storedIndex counts only entries that are in the log now: an answer to a write that a later truncation
 *    overtook is cut at the truncation.
 */

import { assert } from '../lib/assert.ts';
import { Queue } from '../lib/queue.ts';
import type { Configuration } from './configuration.ts';
import { encodeFeatures } from './features.ts';
import { Configurations } from './membership.ts';
import type { InstallSnapshot, Message } from './messages.ts';
import { settingsOf, type LoadedState, type RaftOptions, type Settings } from './options.ts';
import type { RaftLog } from './raft-log.ts';
import type {
  Entry,
  Index,
  Output,
  Peer,
  RaftErrorCode,
  RaftRole,
  RequestId,
  ServerId,
  SnapshotInfo,
  Term,
} from './types.ts';

/** Outputs that wait for a term to be durable; beyond, messages are dropped, as a network may. */
const MAX_HELD = 10_000;

export class Core {
  readonly settings: Settings;
  readonly log: RaftLog;
  readonly configurations: Configurations;
  /** What this node says of itself in results. */
  readonly features: bigint;
  nowMs = 0;
  role: RaftRole = 'follower';
  leader: Peer | undefined = undefined;
  commitIndex: Index;
  storedIndex: Index;
  snapshot: SnapshotInfo | undefined;
  /**
   * The last entry that made a database smaller. Members of Debian's version are ruined by it (design rule 14), so what
   * they lack up to here they get in a snapshot. Before the snapshot that a process starts with there may be some.
   */
  shrunkIndex: Index;
  /** The disk refused a write: nothing is appended until it works again. */
  storeFailed = false;
  #term: Term;
  #votedFor: ServerId | undefined;
  #isTermDirty = false;
  #termWrites = 0;
  readonly #truncations = new Queue<Index>();
  #outputs: Output[] = [];
  readonly #held = new Queue<Output>();

  constructor(options: RaftOptions, state: LoadedState) {
    this.settings = settingsOf(options);
    this.features = encodeFeatures(this.settings.electionTimeoutMs);
    this.log = state.log;
    this.#term = state.term;
    this.#votedFor = state.votedFor;
    this.commitIndex = state.snapshotIndex;
    this.shrunkIndex = state.snapshotIndex;
    this.storedIndex = state.log.lastIndex;
    const { id } = this.settings;
    this.configurations = new Configurations(id, state.committedConfiguration, state.committedConfigurationIndex);
    if (state.uncommittedConfiguration !== undefined) {
      this.configurations.append(state.uncommittedConfigurationIndex, state.uncommittedConfiguration);
    }
    this.snapshot =
      state.snapshotConfiguration === undefined
        ? undefined
        : {
            index: state.snapshotIndex,
            term: state.snapshotTerm,
            configuration: state.snapshotConfiguration,
            configurationIndex: state.snapshotConfigurationIndex ?? 0,
          };
  }

  get id(): ServerId {
    return this.settings.id;
  }

  get self(): Peer {
    return { id: this.settings.id, address: this.settings.address };
  }

  get term(): Term {
    return this.#term;
  }

  get votedFor(): ServerId | undefined {
    return this.#votedFor;
  }

  /** The log is durable as it is: nothing is being written or removed. */
  get isSettled(): boolean {
    return this.storedIndex === this.log.lastIndex && this.#truncations.length === 0 && !this.storeFailed;
  }

  begin(nowMs: number): void {
    this.nowMs = nowMs;
    this.#outputs = [];
  }

  /** The outputs of this step. */
  end(): Output[] {
    if (this.#isTermDirty) {
      this.#isTermDirty = false;
      this.#termWrites++;
      this.#outputs.push({ kind: 'storeTerm', term: this.#term, votedFor: this.#votedFor });
    }
    return this.#outputs;
  }

  emit(output: Output): void {
    this.#outputs.push(output);
  }

  /** For what may leave only when the term is durable. */
  #emitInTerm(output: Output): void {
    if (!this.#isTermDirty && this.#termWrites === 0) {
      this.#outputs.push(output);
    } else if (output.kind !== 'send' || this.#held.length < MAX_HELD) {
      this.#held.push(output);
    }
  }

  send(to: Peer, message: Exclude<Message, InstallSnapshot>): void {
    this.#emitInTerm({ kind: 'send', to, message });
  }

  finish(request: RequestId, error: RaftErrorCode | undefined): void {
    this.emit({ kind: 'finished', request, error });
  }

  /** Terms only grow; one vote per term, no exception (design rule 18). */
  setTerm(term: Term, votedFor: ServerId | undefined): void {
    assert(
      term > this.#term || (term === this.#term && this.#votedFor === undefined),
      'a vote or term is not taken back',
    );
    this.#term = term;
    this.#votedFor = votedFor;
    this.#isTermDirty = true;
  }

  /** Says whether term and vote are durable now. */
  termStored(): boolean {
    assert(this.#termWrites > 0, 'no term was to be stored');
    this.#termWrites--;
    if (this.#termWrites > 0 || this.#isTermDirty) return false;
    for (const output of this.#held.drain()) this.#outputs.push(output);
    return true;
  }

  setRole(role: RaftRole): void {
    if (role === this.role) return;
    this.role = role;
    this.emit({ kind: 'roleChanged', role, term: this.#term });
  }

  setLeader(leader: Peer | undefined): void {
    if (leader?.id === this.leader?.id && leader?.address === this.leader?.address) return;
    this.leader = leader;
    this.emit({ kind: 'leaderChanged', leader });
  }

  append(entries: readonly Entry[]): void {
    const firstIndex = this.log.lastIndex + 1;
    for (const entry of entries) this.log.append(entry);
    this.#emitInTerm({ kind: 'append', firstIndex, entries });
  }

  truncate(firstIndex: Index): void {
    assert(firstIndex > this.commitIndex, 'committed entries are never removed');
    this.#dropFrom(firstIndex);
    this.#truncations.push(firstIndex);
    this.#emitInTerm({ kind: 'truncate', firstIndex });
  }

  truncated(): void {
    assert(this.#truncations.shift() !== undefined, 'no truncation was asked for');
  }

  /** Notes what is durable. Says whether that is more than before. */
  stored(index: Index): boolean {
    let valid = index;
    // Answers come in order: this write came before the truncations that are still unanswered.
    for (const truncation of this.#truncations) valid = Math.min(valid, truncation - 1);
    assert(valid <= this.log.lastIndex, `entry ${index} was stored but not appended`);
    if (valid <= this.storedIndex) return false;
    this.storedIndex = valid;
    return true;
  }

  /** The disk refused: what it does not hold never happened. */
  dropUnstored(): void {
    this.storeFailed = true;
    // Those that were not even handed over are lost as well; what is to be removed still is.
    for (const output of this.#held.drain()) if (output.kind !== 'append') this.#held.push(output);
    const firstLost = this.storedIndex + 1;
    if (this.log.lastIndex >= firstLost) this.#dropFrom(firstLost);
  }

  #dropFrom(firstIndex: Index): void {
    this.log.truncate(firstIndex);
    this.shrunkIndex = Math.min(this.shrunkIndex, firstIndex - 1);
    this.storedIndex = Math.min(this.storedIndex, firstIndex - 1);
    if (this.configurations.truncate(firstIndex)) this.#configurationChanged();
  }

  useConfiguration(index: Index, configuration: Configuration): void {
    this.configurations.append(index, configuration);
    this.#configurationChanged();
  }

  #configurationChanged(): void {
    this.emit({ kind: 'configurationChanged', configuration: this.configurations.current });
  }

  /** Says whether a configuration was committed by it. */
  commit(index: Index): boolean {
    assert(index > this.commitIndex && index <= this.storedIndex, `entry ${index} cannot be committed`);
    this.commitIndex = index;
    this.emit({ kind: 'commit', index });
    return this.configurations.commit(index);
  }

  installSnapshot(snapshot: SnapshotInfo): void {
    this.#emitInTerm({ kind: 'installSnapshot', snapshot });
  }

  snapshotInstalled(snapshot: SnapshotInfo): void {
    assert(this.#truncations.length === 0, 'answers come in order');
    this.log.reset(snapshot.index, snapshot.term);
    this.storedIndex = snapshot.index;
    this.commitIndex = snapshot.index;
    this.snapshot = snapshot;
    this.storeFailed = false;
    this.configurations.reset(snapshot.configuration, snapshot.configurationIndex);
    this.#configurationChanged();
  }
}
