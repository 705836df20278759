/**
 * The loop between the consensus core, the log and the engine: feeds the core, carries out its outputs, applies what
 * it commits, takes snapshots. At most one write to the log is outstanding (design rule 22); what is proposed
 * meanwhile is gathered and written together.
 */

import type { Clock, Logger, Timer } from '../host/types.ts';
import { FileError } from '../host/types.ts';
import { assert } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
import { SqliteError, type Engine, type Replicator } from '../engine/index.ts';
import type { Log } from '../log/index.ts';
import type { Change, Entry, Index, Input, Output, Raft, RaftErrorCode, RequestId, ServerId } from '../raft/index.ts';

export interface ReplicaOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly heartbeatMs: number;
  /** Take a snapshot after this many entries; 0: by the size of log and databases alone. */
  readonly snapshotThreshold: number;
  /** Entries that stay on disk before a snapshot. */
  readonly snapshotTrailing: number;
  /** An error that this node cannot go on with. */
  readonly failed: (error: unknown) => void;
}

/** The log may outweigh the databases by this much, within limits, before a snapshot (design rule 16). */
const SNAPSHOT_BYTES_MIN = 64 * 1024 * 1024;
const SNAPSHOT_BYTES_MAX = 4 * 1024 * 1024 * 1024;
/** Entry data read back from the disk at once while catching up. */
const READ_BYTES = 4 * 1024 * 1024;
/** Time between attempts to write again when the disk was full. */
const RETRY_MS = 1000;

const DISK_FULL = 13;
const DISK_ERROR = 10;

function doubtful(): SqliteError {
  return new SqliteError(
    DISK_ERROR,
    'disk I/O error: this node cannot write its log; the write may or may not survive',
  );
}

type Finished = (error: RaftErrorCode | undefined) => void;

export class Replica implements Replicator {
  readonly #raft: Raft;
  readonly #log: Log;
  readonly #engine: Engine;
  readonly #options: ReplicaOptions;
  /** Entries to be written next. */
  #gathered: Entry[] = [];
  #gatheredLast: Index = 0;
  #writing = false;
  #applied: Index;
  #applying = false;
  /** Whether this node was ready to serve as leader since it was started. */
  #hasLed = false;
  /** The barrier that this leadership began with. */
  #barrier: Index = 0;
  #requests = new Map<RequestId, Finished>();
  #lastRequest: RequestId = 0;
  #snapshotIndex: Index;
  /** Bytes of entries since the last snapshot. */
  #bytesSinceSnapshot: number;
  #snapshotting: Promise<void> | undefined = undefined;
  #ticker: Timer | undefined = undefined;
  #retry: Timer | undefined = undefined;
  /** An attempt to go on after the disk was full. */
  #recovering: Promise<void> | undefined = undefined;
  #drained: (() => void) | undefined = undefined;
  #stopped = false;

  constructor(raft: Raft, log: Log, engine: Engine, options: ReplicaOptions) {
    this.#raft = raft;
    this.#log = log;
    this.#engine = engine;
    this.#options = options;
    this.#snapshotIndex = log.snapshot?.index ?? 0;
    this.#applied = this.#snapshotIndex;
    this.#bytesSinceSnapshot = log.bytesAfter(this.#snapshotIndex);
  }

  start(): void {
    this.#step({ kind: 'start' });
    this.#tick();
  }

  get canPropose(): boolean {
    return this.#raft.canPropose && !this.#stopped;
  }

  propose(commands: readonly Uint8Array[]): Index {
    const first = this.#raft.log.lastIndex + 1;
    this.#step({ kind: 'propose', entries: commands.map(data => ({ type: 'command', data })) });
    assert(this.#raft.log.lastIndex === first + commands.length - 1, 'a proposal was refused');
    return first;
  }

  hasLease(): boolean {
    return this.#raft.hasLease(this.#options.clock.monotonicMs());
  }

  confirmLeadership(confirmed: (leads: boolean) => void): void {
    const request = this.#request(error => confirmed(error === undefined));
    this.#step({ kind: 'read', request });
  }

  change(change: Change, finished: Finished): void {
    this.#step({ kind: 'change', request: this.#request(finished), change });
  }

  transfer(target: ServerId, finished: Finished): void {
    this.#step({ kind: 'transfer', request: this.#request(finished), target });
  }

  /** Stops proposing and resolves when what was proposed is written. */
  async stop(): Promise<void> {
    this.#ticker?.cancel();
    this.#retry?.cancel();
    this.#stopped = true;
    if (this.#writing) await new Promise<void>(resolve => (this.#drained = resolve));
    await this.#recovering;
    await this.#snapshotting;
  }

  #request(finished: Finished): RequestId {
    const request = ++this.#lastRequest;
    this.#requests.set(request, finished);
    return request;
  }

  #finish(request: RequestId, error: RaftErrorCode | undefined): void {
    const finished = this.#requests.get(request);
    this.#requests.delete(request);
    finished?.(error);
  }

  #tick(): void {
    this.#ticker = this.#options.clock.setTimer(this.#options.heartbeatMs, () => {
      this.#step({ kind: 'tick' });
      this.#tick();
    });
  }

  #step(input: Input): void {
    for (const output of this.#raft.step(input, this.#options.clock.monotonicMs())) this.#carryOut(output);
  }

  #carryOut(output: Output): void {
    switch (output.kind) {
      case 'storeTerm':
        this.#log.storeTermAndVote(output.term, output.votedFor).then(
          () => this.#guard(() => this.#step({ kind: 'termStored' })),
          (error: unknown) => this.#options.failed(error),
        );
        return;
      case 'append':
        for (const entry of output.entries) this.#gathered.push(entry);
        this.#gatheredLast = output.firstIndex + output.entries.length - 1;
        this.#write();
        return;
      case 'commit':
        this.#apply();
        return;
      case 'roleChanged':
        this.#options.logger.info({ role: output.role, term: output.term }, 'role changed');
        // The only voter will win once its vote is durable: requests wait for that, and so does `ready`.
        if (output.role === 'candidate' && this.#raft.isOnlyVoter) this.#engine.electionWon();
        if (output.role !== 'leader') return;
        this.#engine.electionWon();
        // The core has appended the barrier already; it comes as the next output.
        this.#barrier = this.#raft.log.lastIndex;
        return;
      case 'configurationChanged': {
        const servers = output.configuration.servers.map(({ id, address, role }) => `${id} ${address} ${role}`);
        this.#options.logger.info({ servers }, 'configuration changed');
        return;
      }
      case 'finished':
        this.#finish(output.request, output.error);
        return;
      case 'readFinished':
        this.#finish(output.request, output.confirmed ? undefined : 'notLeader');
        return;
      default:
        // What concerns other members.
        return;
    }
  }

  #write(): void {
    if (this.#writing || this.#gathered.length === 0) return;
    this.#writing = true;
    const entries = this.#gathered;
    const last = this.#gatheredLast;
    this.#gathered = [];
    this.#log.append(entries).then(
      () => this.#guard(() => this.#written(entries, last)),
      (error: unknown) => this.#guard(() => this.#writeFailed(error)),
    );
  }

  #written(entries: readonly Entry[], last: Index): void {
    for (const entry of entries) this.#bytesSinceSnapshot += entry.data.length;
    this.#writing = false;
    // The disk works on the next batch while the responses of this one are sent.
    this.#write();
    // Behind an entry that is not the engine's (a barrier) its batch may only now be on its way.
    if (!this.#stopped && !this.#writing) this.#engine.slotFreed();
    this.#step({ kind: 'stored', index: last });
    if (!this.#writing) this.#drained?.();
  }

  /** Nothing of the batch is in the log: whoever waits for it is told, and writing stops (design rule 28). */
  #writeFailed(error: unknown): void {
    const { logger } = this.#options;
    this.#writing = false;
    this.#gathered = [];
    this.#drained?.();
    if (!this.#hasLed && this.#raft.isOnlyVoter) {
      // There will be no leader. Whoever starts this node is told, and may try again.
      this.#options.failed(error);
      return;
    }
    const full = error instanceof FileError && error.code === 'ENOSPC';
    if (full) {
      logger.error({ error: messageOf(error) }, 'the disk is full: writes are refused until there is space');
      const refusal = (): SqliteError => new SqliteError(DISK_FULL, 'database or disk is full');
      this.#engine.writeFailed(this.#log.isRepaired ? refusal : doubtful);
      this.#step({ kind: 'storeFailed' });
      this.#retryLater();
      return;
    }
    // What a failed sync has left on the disk is unknown, and asking again proves nothing.
    logger.fatal({ error: messageOf(error) }, 'the log cannot be written: restart this node once the disk is well');
    this.#engine.writeFailed(doubtful);
    this.#step({ kind: 'storeFailed' });
  }

  #retryLater(): void {
    this.#retry = this.#options.clock.setTimer(RETRY_MS, () => {
      this.#recovering = this.#log.recover().then(
        () => this.#guard(() => this.#recovered()),
        () => {
          if (!this.#stopped) this.#retryLater();
        },
      );
    });
  }

  #recovered(): void {
    if (this.#stopped) return;
    this.#options.logger.info({}, 'there is space on the disk again');
    this.#engine.writeRecovered();
    this.#step({ kind: 'storeRecovered' });
  }

  /** Applies what is committed, in order, as far as it is in memory; the rest is read back from the disk. */
  #apply(): void {
    if (this.#applying) return;
    this.#applying = true;
    const { commitIndex, log } = this.#raft;
    while (this.#applied < commitIndex) {
      const index = this.#applied + 1;
      const entry = log.entryAt(index);
      if (entry === undefined) {
        this.#catchUp(commitIndex).then(
          () => {
            this.#applying = false;
            this.#guard(() => this.#apply());
          },
          (error: unknown) => this.#options.failed(error),
        );
        return;
      }
      this.#applyEntry(index, entry);
      const released = this.#raft.releaseData(index);
      // Without followers nobody else has seen the data.
      if (released !== undefined && !this.#raft.hasPeers) this.#engine.recycleEntry(released.data);
    }
    this.#applying = false;
    this.#considerSnapshot();
  }

  /** Applies entries that are on disk only, after a start. */
  async #catchUp(last: Index): Promise<void> {
    const end = Math.min(last, this.#raft.log.dataIndex - 1);
    while (this.#applied < end) {
      const entries = await this.#log.readEntries(this.#applied + 1, end, READ_BYTES);
      for (const entry of entries) this.#applyEntry(this.#applied + 1, entry);
      await new Promise<void>(resolve => this.#options.clock.defer(resolve));
    }
  }

  #applyEntry(index: Index, entry: Entry): void {
    if (entry.type === 'command') this.#engine.apply(index, entry.data);
    this.#applied = index;
    if (index < this.#barrier || this.#raft.role !== 'leader' || this.#engine.isLeading) return;
    this.#hasLed = true;
    this.#engine.startLeading();
  }

  #considerSnapshot(): void {
    if (this.#snapshotting !== undefined || this.#stopped || this.#applied === this.#snapshotIndex) return;
    const { snapshotThreshold } = this.#options;
    const bytes = Math.min(Math.max(this.#engine.databaseBytes, SNAPSHOT_BYTES_MIN), SNAPSHOT_BYTES_MAX);
    const byEntries = snapshotThreshold > 0 && this.#applied - this.#snapshotIndex >= snapshotThreshold;
    if (!byEntries && this.#bytesSinceSnapshot < bytes) return;
    this.#snapshotting = this.#takeSnapshot();
  }

  /** The state of all databases at the applied index; writing goes on meanwhile. */
  async #takeSnapshot(): Promise<void> {
    const { clock, logger, snapshotTrailing } = this.#options;
    const index = this.#applied;
    const term = this.#raft.log.termAt(index);
    assert(term !== undefined, 'the applied entry is in the log');
    const snapshot = this.#engine.snapshot();
    const configuration = this.#raft.committedConfiguration;
    const configurationIndex = this.#raft.committedConfigurationIndex;
    const startMs = clock.monotonicMs();
    const bytesBefore = this.#bytesSinceSnapshot;
    try {
      await this.#log.writeSnapshot({ term, index, configuration, configurationIndex }, snapshot, {
        entries: snapshotTrailing,
        bytes: Math.max(SNAPSHOT_BYTES_MIN, this.#engine.databaseBytes),
      });
      this.#snapshotIndex = index;
      this.#step({
        kind: 'snapshotTaken',
        snapshot: { index, term, configuration, configurationIndex },
        firstIndex: this.#log.firstIndex,
      });
      this.#bytesSinceSnapshot -= bytesBefore;
      logger.info({ index, bytes: snapshot.size, ms: Math.round(clock.monotonicMs() - startMs) }, 'snapshot taken');
    } catch (error) {
      // The log is whole: the next attempt comes when it has grown as much again.
      this.#bytesSinceSnapshot = 0;
      logger.error({ index, error: messageOf(error) }, 'a snapshot could not be written');
    } finally {
      snapshot.release();
      this.#snapshotting = undefined;
    }
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.failed(error);
    }
  }
}
