/**
 * The loop between the consensus core, the other members, the log and the engine: feeds the core, carries out its
 * outputs, applies what it commits, takes and exchanges snapshots. `raft/types.ts` says what it owes the core.
 */

import type { Clock, Connection, Logger, Timer } from '../host/types.ts';
import { mayPass } from '../host/types.ts';
import { assert } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
import { SqliteError, type Command, type Engine, type Replicator } from '../engine/index.ts';
import type { Log, ReceivedSnapshot } from '../log/index.ts';
import type { PeerInbound, Peers, SnapshotReceiver } from '../net/index.ts';
import { findServer } from '../raft/index.ts';
import type {
  Change,
  Configuration,
  Entry,
  Index,
  Input,
  InstallSnapshot,
  Message,
  Output,
  Peer,
  Raft,
  RaftErrorCode,
  RaftRole,
  RequestId,
  ServerId,
  Term,
} from '../raft/index.ts';
import { Queue } from '../lib/queue.ts';
import { IncomingSnapshots } from './incoming-snapshots.ts';
import { LogWriter, type LogWriterEvents } from './log-writer.ts';

export interface ReplicaOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly heartbeatMs: number;
  readonly electionTimeoutMs: number;
  /** Take a snapshot after this many entries; 0: by the size of log and databases alone. */
  readonly snapshotThreshold: number;
  /** Entries that stay on disk before a snapshot. */
  readonly snapshotTrailing: number;
  /** The connections to the other members; what they send comes back by `received` and its neighbours. */
  readonly peers: (replica: Replica) => Peers;
  /** Nothing else runs on this thread. */
  readonly dedicatedThread: boolean;
  /** Hands over to the network what was sent: others wait for it. */
  readonly flush: () => void;
  readonly onEvent: (event: ReplicaEvent) => void;
  /** An error that this node cannot go on with. */
  readonly failed: (error: unknown) => void;
}

export type ReplicaEvent =
  | { readonly kind: 'role'; readonly role: RaftRole; readonly term: Term }
  | { readonly kind: 'leader'; readonly leader: Peer | undefined }
  | { readonly kind: 'configuration'; readonly configuration: Configuration };

/** The log may outweigh the databases by this much, within limits, before a snapshot (design rule 16). */
const SNAPSHOT_BYTES_MIN = 64 * 1024 * 1024;
const SNAPSHOT_BYTES_MAX = 4 * 1024 * 1024 * 1024;
/** Entry data read back from the disk at once while catching up. */
const READ_BYTES = 4 * 1024 * 1024;
/** Time between attempts to write again when the disk was full. */
const RETRY_MS = 1000;

const DISK_FULL = 13;
const DISK_ERROR = 10;
const CANNOT_OPEN = 14;

/** Transactions that are open when another node is to lead get this long to end. */
const HANDOVER_GRACE_MS = 500;
const LEADERSHIP_LOST = 10506;

function leadershipLost(): SqliteError {
  return new SqliteError(LEADERSHIP_LOST, 'leadership lost');
}

function diskFull(): SqliteError {
  return new SqliteError(DISK_FULL, 'database or disk is full');
}

function tooManyFiles(): SqliteError {
  return new SqliteError(CANNOT_OPEN, 'this node has too many files and connections open to write its log');
}

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
  readonly #peers: Peers;
  readonly #writer: LogWriter;
  readonly #incoming: IncomingSnapshots;
  /** What the core wants done; carried out in order, never one inside of another. */
  readonly #outputs = new Queue<Output>();
  /** Data of entries that the core has let go of. */
  readonly #released: Uint8Array[] = [];
  #carrying = false;
  /** Whether the core wants the snapshot that was offered just now. */
  #wanted = false;
  #applied: Index;
  #applying = false;
  /** A snapshot of another node is replacing the state. */
  #installing = false;
  /** Goes on with it once the entries that were being applied are. */
  #installNow: (() => void) | undefined = undefined;
  /** Whether this node was ready to serve as leader since it was started. */
  #hasLed = false;
  #requests = new Map<RequestId, Finished>();
  #lastRequest: RequestId = 0;
  #snapshotIndex: Index;
  /** A member needs a snapshot of at least this index. */
  #snapshotWanted: Index = 0;
  /** Bytes of entries since the last snapshot. */
  #bytesSinceSnapshot: number;
  #ticker: Timer | undefined = undefined;
  #retry: Timer | undefined = undefined;
  /** An attempt to go on after the disk was full. */
  #recovering: Promise<void> | undefined = undefined;
  #stopped = false;
  /** Settles when no term or vote is being written. */
  #termStored: Promise<void> = Promise.resolve();

  constructor(raft: Raft, log: Log, engine: Engine, options: ReplicaOptions) {
    this.#raft = raft;
    this.#log = log;
    this.#engine = engine;
    this.#options = options;
    this.#snapshotIndex = log.snapshot?.index ?? 0;
    this.#applied = this.#snapshotIndex;
    this.#bytesSinceSnapshot = log.bytesAfter(this.#snapshotIndex);
    this.#peers = options.peers(this);
    const events: LogWriterEvents = {
      stored: (entries, last) => this.#guard(() => this.#stored(entries, last)),
      truncated: () => this.#guard(() => this.#step({ kind: 'truncated' })),
      installed: received => this.#guard(() => this.#restore(received)),
      appendFailed: error => this.#guard(() => this.#appendFailed(error)),
      failed: error => this.#fail(error),
    };
    this.#writer = new LogWriter(log, events, () => this.#mayBlock());
    this.#incoming = new IncomingSnapshots(log, options.logger, {
      progress: from => this.#guard(() => this.#step({ kind: 'snapshotProgress', from })),
      received: (from, message) => this.#guard(() => this.#step({ kind: 'snapshotReceived', from, message })),
      notReceived: (from, message) => this.#guard(() => this.#step({ kind: 'snapshotNotReceived', from, message })),
    });
  }

  start(): void {
    this.#step({ kind: 'start' });
    // The only voter will lead, if only after a while: requests wait for that, and so does `ready`.
    if (this.#raft.isOnlyVoter && this.#raft.role === 'follower') this.#engine.electionWon();
    this.#tick();
  }

  // --- For the engine -------------------------------------------------------------------------------------------

  get canPropose(): boolean {
    return this.#raft.canPropose && !this.#stopped;
  }

  propose(commands: readonly Command[]): Index {
    const first = this.#raft.log.lastIndex + 1;
    this.#step({ kind: 'propose', entries: commands.map(command => ({ type: 'command', ...command })) });
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

  // --- For clients ----------------------------------------------------------------------------------------------

  change(change: Change, finished: Finished): void {
    const begin = (done: Finished): void => this.#step({ kind: 'change', request: this.#request(done), change });
    // What a new member must not get from the log is known when that is applied.
    if (change.kind === 'assign' && change.id !== this.#raft.id) return this.#engine.whenReady(() => begin(finished));
    const takesVote = change.kind === 'remove' || (change.kind === 'assign' && change.role !== 'voter');
    if (takesVote && change.id === this.#raft.id) this.#handOver(begin, finished);
    else begin(finished);
  }

  /** Makes another voter the leader, after what this one has begun is committed (design rule 19). */
  transfer(target: ServerId, finished: Finished): void {
    const begin = (done: Finished): void => this.#step({ kind: 'transfer', request: this.#request(done), target });
    this.#handOver(begin, finished);
  }

  /** Begins what makes this leader step down once nothing is under way that would be in doubt then. */
  #handOver(begin: (finished: Finished) => void, finished: Finished): void {
    if (this.#raft.role !== 'leader' || this.#raft.isOnlyVoter) return begin(finished);
    void this.#engine.drain(HANDOVER_GRACE_MS, this.#options.electionTimeoutMs).then(() =>
      this.#guard(() =>
        begin(error => {
          this.#engine.handoverEnded();
          finished(error);
        }),
      ),
    );
  }

  // --- From other members ---------------------------------------------------------------------------------------

  /** A connection whose first request was CONNECT. Gives who takes what follows. */
  accept(connection: Connection, from: Peer): PeerInbound {
    return this.#peers.accept(connection, from);
  }

  received(from: Peer, message: Exclude<Message, InstallSnapshot>): void {
    if (this.#isStranger(from)) return;
    this.#guard(() => this.#step({ kind: 'received', from, message }));
  }

  snapshotOffered(from: Peer, message: InstallSnapshot, size: number): SnapshotReceiver | undefined {
    if (this.#isStranger(from)) return undefined;
    this.#wanted = false;
    this.#guard(() => this.#step({ kind: 'snapshotOffered', from, message }));
    if (!this.#wanted) return undefined;
    const fields = { from: from.address, index: message.lastIndex, bytes: size };
    this.#options.logger.info(fields, 'a snapshot is being received');
    return this.#incoming.receive(from, message, size);
  }

  /** Nobody but members has anything to say to the only voter: anybody can send CONNECT, and would depose it. */
  #isStranger({ id }: Peer): boolean {
    return this.#raft.isOnlyVoter && !this.isMember(id);
  }

  isMember(id: ServerId): boolean {
    return findServer(this.#raft.configuration, id) !== undefined;
  }

  unreachable(peer: ServerId): void {
    this.#guard(() => this.#step({ kind: 'unreachable', peer }));
  }

  /** Whether nobody is kept waiting by a wait for the disk: no client, and no member for what is being sent. */
  #mayBlock(): boolean {
    if (!this.#options.dedicatedThread) return false;
    return (this.#raft.role !== 'leader' || this.#engine.allWait) && this.#peers.isIdle;
  }

  // --- Ending ---------------------------------------------------------------------------------------------------

  /** Stops proposing and resolves when what was proposed is written. */
  async stop(): Promise<void> {
    this.#ticker?.cancel();
    this.#retry?.cancel();
    this.#stopped = true;
    this.#peers.close();
    await this.#writer.idle();
    await this.#termStored;
    await this.#recovering;
    await this.#writer.snapshotTaken;
  }

  #fail(error: unknown): void {
    if (!this.#stopped) this.#options.failed(error);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
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

  // --- The core -------------------------------------------------------------------------------------------------

  #tick(): void {
    const { clock, heartbeatMs } = this.#options;
    const tick = (): void => {
      if (this.#stopped) return;
      this.#guard(() => this.#step({ kind: 'tick' }));
      this.#tick();
    };
    // Timers run before sockets: what has arrived meanwhile counts (design rule 20). Before it leads, the only voter of
    // a cluster does not listen: nothing else keeps its process.
    this.#ticker = clock.setTimer(heartbeatMs, () => clock.defer(() => clock.defer(tick)), true);
  }

  #step(input: Input): void {
    // What was proposed before the end is still answered.
    if (this.#stopped && input.kind !== 'stored') return;
    for (const output of this.#raft.step(input, this.#options.clock.monotonicMs())) this.#outputs.push(output);
    this.#engine.mayShrink = !this.#raft.hasOldMembers;
    if (this.#carrying) return;
    this.#carrying = true;
    try {
      for (let output = this.#outputs.shift(); output !== undefined; output = this.#outputs.shift()) {
        this.#carryOut(output);
      }
    } finally {
      this.#carrying = false;
    }
    this.#options.flush();
    this.#recycle();
  }

  /** Gives memory of entries back, which is in no message now: unless one has not been taken by the network yet. */
  #recycle(): void {
    if (this.#released.length === 0) return;
    if (this.#peers.isIdle) for (const data of this.#released) this.#engine.entryBuffers.give(data);
    this.#released.length = 0;
  }

  #carryOut(output: Output): void {
    const { logger, onEvent } = this.#options;
    switch (output.kind) {
      case 'storeTerm':
        // In their order: the last one is stored when all are.
        this.#termStored = this.#storeTerm(output.term, output.votedFor);
        return;
      case 'append':
        this.#writer.append(output.entries, output.firstIndex + output.entries.length - 1);
        return;
      case 'truncate':
        logger.info({ from: output.firstIndex }, 'entries that were never committed are taken back');
        this.#writer.truncate(output.firstIndex);
        return;
      case 'commit':
        this.#apply();
        return;
      case 'send':
        this.#peers.send(output.to, output.message);
        return;
      case 'readEntries':
        void this.#readEntries(output.peer, output.firstIndex, output.lastIndex, output.maxBytes);
        return;
      case 'takeSnapshot':
        this.#snapshotWanted = output.index;
        this.#considerSnapshot();
        return;
      case 'sendSnapshot':
        void this.#sendSnapshot(output.to, output.message);
        return;
      case 'receiveSnapshot':
        this.#wanted = true;
        return;
      case 'discardSnapshot':
        void this.#incoming.discard({ index: output.message.lastIndex, term: output.message.lastTerm });
        return;
      case 'installSnapshot': {
        const received = this.#incoming.take(output.snapshot);
        assert(received !== undefined, 'the snapshot has arrived');
        this.#installing = true;
        this.#writer.install(received);
        return;
      }
      case 'roleChanged':
        logger.info({ role: output.role, term: output.term }, 'role changed');
        // The only voter will win once its vote is durable: requests wait for that, and so does `ready`.
        if (output.role === 'leader' || (output.role === 'candidate' && this.#raft.isOnlyVoter)) {
          this.#engine.electionWon();
        } else {
          this.#stopLeading();
        }
        onEvent({ kind: 'role', role: output.role, term: output.term });
        return;
      case 'leaderChanged':
        if (output.leader !== undefined && output.leader.id !== this.#raft.id) this.#stopLeading();
        onEvent({ kind: 'leader', leader: output.leader });
        return;
      case 'configurationChanged': {
        const { servers } = output.configuration;
        const members = servers.map(({ id, address, role }) => `${id} ${address} ${role}`);
        logger.info({ servers: members }, 'configuration changed');
        this.#peers.keepOnly(new Set(servers.map(({ id }) => id)));
        onEvent({ kind: 'configuration', configuration: output.configuration });
        return;
      }
      case 'finished':
        this.#finish(output.request, output.error);
        return;
      case 'readFinished':
        this.#finish(output.request, output.confirmed ? undefined : 'notLeader');
        return;
      case 'violation':
        logger.warn({ peer: output.peer, reason: output.reason }, 'a peer broke the protocol');
    }
  }

  #stopLeading(): void {
    this.#engine.stopLeading(leadershipLost);
    this.#engine.handoverEnded();
  }

  async #storeTerm(term: Term, votedFor: ServerId | undefined): Promise<void> {
    try {
      await this.#log.storeTermAndVote(term, votedFor);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#guard(() => this.#step({ kind: 'termStored' }));
  }

  // --- Writing --------------------------------------------------------------------------------------------------

  #stored(entries: readonly Entry[], last: Index): void {
    for (const entry of entries) this.#bytesSinceSnapshot += entry.data.length;
    // Behind an entry that is not the engine's (a barrier) its batch may only now be on its way.
    if (!this.#stopped && !this.#writer.isBusy) this.#engine.slotFreed();
    this.#step({ kind: 'stored', index: last });
  }

  /** Nothing of the batch is in the log: whoever waits for it is told, and writing stops (design rule 28). */
  #appendFailed(error: unknown): void {
    const { logger } = this.#options;
    if (!this.#hasLed && this.#raft.isOnlyVoter) {
      // There will be no leader. Whoever starts this node is told, and may try again.
      this.#fail(error);
      return;
    }
    // Where others have seen the entries, or may have, the core steps down, which ends all that was executed.
    const isAlone = this.#raft.isOnlyVoter;
    if (mayPass(error)) {
      const isFull = error.code === 'ENOSPC';
      const message = isFull
        ? 'the disk is full: writes are refused until there is space'
        : 'too many files and connections are open: writes are refused until there are fewer';
      logger.error({ error: messageOf(error) }, message);
      const refusal = isFull ? diskFull : tooManyFiles;
      if (isAlone) this.#engine.writeFailed(this.#log.isRepaired ? refusal : doubtful);
      this.#step({ kind: 'storeFailed' });
      this.#retryLater();
      return;
    }
    // What a failed sync has left on the disk is unknown, and asking again proves nothing.
    logger.fatal({ error: messageOf(error) }, 'the log cannot be written: restart this node once the disk is well');
    if (isAlone) this.#engine.writeFailed(doubtful);
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
    this.#options.logger.info({}, 'the log can be written again');
    this.#engine.writeRecovered();
    this.#step({ kind: 'storeRecovered' });
  }

  // --- Applying -------------------------------------------------------------------------------------------------

  /** Applies what is committed, in order, as far as it is in memory; the rest is read back from the disk. */
  #apply(): void {
    if (this.#applying || this.#installing || this.#stopped) return;
    this.#applying = true;
    const { commitIndex, log } = this.#raft;
    while (this.#applied < commitIndex) {
      const index = this.#applied + 1;
      const entry = log.entryAt(index);
      if (entry === undefined) {
        this.#catchUp(commitIndex).then(
          () => {
            this.#applying = false;
            if (this.#stopped) return;
            this.#guard(() => (this.#installing ? this.#installNow?.() : this.#apply()));
          },
          (error: unknown) => this.#fail(error),
        );
        return;
      }
      this.#applyEntry(index, entry);
      const released = this.#raft.releaseData(index);
      if (released !== undefined) this.#released.push(released.data);
    }
    this.#applying = false;
    this.#considerSnapshot();
  }

  /** Applies entries that are on disk only, after a start. */
  async #catchUp(last: Index): Promise<void> {
    const end = Math.min(last, this.#raft.log.dataIndex - 1);
    while (this.#applied < end && !this.#stopped && !this.#installing) {
      const entries = await this.#log.readEntries(this.#applied + 1, end, READ_BYTES);
      for (const entry of entries) this.#applyEntry(this.#applied + 1, entry);
      await new Promise<void>(resolve => this.#options.clock.defer(resolve));
    }
  }

  #applyEntry(index: Index, entry: Entry): void {
    if (entry.type === 'command' && this.#engine.apply(index, entry.data)) this.#step({ kind: 'shrunk', index });
    this.#applied = index;
    const barrier = this.#raft.barrierIndex;
    if (barrier === undefined || index < barrier || this.#raft.role !== 'leader' || this.#engine.isLeading) return;
    this.#hasLed = true;
    this.#engine.startLeading();
  }

  // --- Snapshots ------------------------------------------------------------------------------------------------

  #considerSnapshot(): void {
    if (this.#writer.snapshotTaken !== undefined || !this.#writer.allowsSnapshot) return;
    if (this.#stopped || this.#applied === this.#snapshotIndex) return;
    const { snapshotThreshold } = this.#options;
    const bytes = Math.min(Math.max(this.#engine.databaseBytes, SNAPSHOT_BYTES_MIN), SNAPSHOT_BYTES_MAX);
    const byEntries = snapshotThreshold > 0 && this.#applied - this.#snapshotIndex >= snapshotThreshold;
    const isWanted = this.#snapshotIndex < this.#snapshotWanted && this.#applied >= this.#snapshotWanted;
    if (!byEntries && !isWanted && this.#bytesSinceSnapshot < bytes) return;
    // The newest configuration that is committed must be part of it.
    if (this.#raft.committedConfigurationIndex > this.#applied) return;
    this.#writer.snapshotTaken = this.#takeSnapshot();
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
        from: this.#raft.oldestNeeded,
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
      this.#writer.snapshotTaken = undefined;
    }
  }

  /** The log begins with a snapshot of another node now: the databases become what it holds. */
  #restore(received: ReceivedSnapshot): void {
    const { index } = received.snapshot;
    const restore = (): void => {
      this.#installNow = undefined;
      const restorer = this.#engine.installer();
      this.#log.readSnapshot(restorer).then(
        () =>
          this.#guard(() => {
            this.#engine.installed(restorer);
            this.#applied = index;
            this.#snapshotIndex = index;
            this.#bytesSinceSnapshot = 0;
            this.#installing = false;
            this.#options.logger.info({ index }, 'the snapshot of another node is installed');
            this.#step({ kind: 'snapshotInstalled' });
            this.#apply();
          }),
        (error: unknown) => this.#fail(error),
      );
    };
    // Entries that are just being applied come first.
    if (this.#applying) this.#installNow = restore;
    else restore();
  }

  async #sendSnapshot(to: Peer, message: InstallSnapshot): Promise<void> {
    const { logger } = this.#options;
    try {
      const { snapshot } = this.#log;
      if (snapshot?.index !== message.lastIndex) throw new Error('there is a newer snapshot');
      const stream = await this.#log.openSnapshot();
      try {
        logger.info({ to: to.address, index: message.lastIndex, bytes: stream.size }, 'a snapshot is being sent');
        await this.#peers.sendSnapshot(to, message, stream.size, stream.chunks());
      } finally {
        await stream.close();
      }
      this.#guard(() => this.#step({ kind: 'snapshotSent', peer: to.id }));
    } catch (error) {
      logger.warn({ to: to.address, error: messageOf(error) }, 'a snapshot could not be sent');
      this.#guard(() => this.#step({ kind: 'snapshotNotSent', peer: to.id }));
    }
  }

  async #readEntries(peer: ServerId, firstIndex: Index, lastIndex: Index, maxBytes: number): Promise<void> {
    let entries: readonly Entry[] = [];
    try {
      const { firstIndex: oldest, lastIndex: newest } = this.#log;
      if (firstIndex >= oldest && firstIndex <= newest) {
        entries = await this.#log.readEntries(firstIndex, Math.min(lastIndex, newest), maxBytes);
      }
    } catch (error) {
      this.#options.logger.warn({ firstIndex, error: messageOf(error) }, 'old entries could not be read');
    }
    this.#guard(() => this.#step({ kind: 'entriesRead', peer, firstIndex, entries }));
  }
}
