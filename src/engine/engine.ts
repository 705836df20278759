/**
 * The replicated databases of one node: executes SQL at once on the newest version, gathers what was executed into
 * batches, hands them to raft one slot at a time, and applies what raft has committed (design section 4).
 *
 * Relies on the owner (`Replicator`): entries are proposed in order, committed in order, and each commit is told
 * exactly once. Guarantees: nothing is answered before it is committed, and what is undone was never answered.
 *
 * "Already executed" is a property of the current leadership: the queue of own proposals, emptied by an undo. The
 * entry at its head needs no work when it is committed; every other entry is applied as pages (design rule 2).
 */

import type { Clock, Logger, Timer } from '../host/types.ts';
import { assert } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
import { Queue } from '../lib/queue.ts';
import { PAGE_SIZE, PageSlabs } from '../pages/index.ts';
import {
  InstanceBroken,
  Sqlite,
  SqliteError,
  SQLITE_ERROR,
  type Connection,
  type Environment,
} from '../sqlite/index.ts';
import { decodeCommand } from '../wire/index.ts';
import { Database, type DatabaseOwner } from './database.ts';
import { EntryBuffers } from './entry-buffers.ts';
import { notLeader } from './failure.ts';
import { OLD_READ_MS, SLOT_BYTES, SMALL_BATCH_BYTES, type EngineOptions } from './options.ts';
import type { RowStream } from './row-stream.ts';
import { Session } from './session.ts';
import { bytesKey } from './sql-text.ts';
import { DatabaseImage, EngineSnapshot, SnapshotRestorer } from './snapshot.ts';

/** The replica that this engine belongs to. */
export interface Replicator {
  /** Whether `propose` may be called. */
  readonly canPropose: boolean;
  /** Appends commands to the log of the leader. Gives the index of the first. */
  propose(commands: readonly Command[]): number;
  /** Whether this node is known to lead at this moment. */
  hasLease(): boolean;
  /** Calls back, perhaps at once, with whether this node led at some time after the call. */
  confirmLeadership(confirmed: (leads: boolean) => void): void;
}

export interface Command {
  readonly data: Uint8Array;
  /** It makes a database smaller. */
  readonly shrinks: boolean;
}

interface Executed {
  readonly index: number;
  readonly database: Database;
  readonly data: Uint8Array;
}

/** Own connections kept open although nothing would be lost by closing them. */
const MAX_IDLE_CONNECTIONS = 256;
const MAINTENANCE_INTERVAL_MS = 1000;
const DRAIN_POLL_MS = 2;
/** Page images examined in one go when their last reader has gone. */
const RECYCLE_SLICE = 10_000;

export class Engine implements DatabaseOwner {
  readonly clock: Clock;
  readonly options: EngineOptions;
  readonly slabs: PageSlabs = new PageSlabs();
  readonly #environment: Environment;
  readonly #logger: Logger;
  #sqlite: Sqlite;
  #replicator: Replicator | undefined = undefined;
  readonly #databases = new Map<string, Database>();
  readonly #buffers = new EntryBuffers();
  /** Databases with something to propose, the longest waiting first. */
  readonly #dirty = new Set<Database>();
  readonly #executed = new Queue<Executed>();
  #slotTaken = false;
  #lastBatchBytes = 0;
  #sealing = false;
  #state: 'following' | 'starting' | 'leading' = 'following';
  #restarting = false;
  #handingOver = false;
  /** Requests that wait until the node leads or stops trying, or until SQLite is there again. */
  #waiting: (() => void)[] = [];
  /** Why nothing can be written although this node leads: the disk. */
  #diskRefusal: (() => SqliteError) | undefined = undefined;
  readonly #streams = new Set<RowStream>();
  readonly #openConnections = new Set<Session>();
  #timer: Timer | undefined = undefined;
  #recycling = false;
  #closed = false;
  #mayShrink = true;

  static async create(options: EngineOptions, clock: Clock, environment: Environment, logger: Logger): Promise<Engine> {
    return new Engine(options, clock, environment, logger, await Sqlite.create(environment, options.sqlite));
  }

  private constructor(options: EngineOptions, clock: Clock, environment: Environment, logger: Logger, sqlite: Sqlite) {
    this.options = options;
    this.clock = clock;
    this.#environment = environment;
    this.#logger = logger;
    this.#sqlite = sqlite;
  }

  start(replicator: Replicator): void {
    this.#replicator = replicator;
    this.#scheduleMaintenance();
  }

  get sqlite(): Sqlite {
    return this.#sqlite;
  }

  get isLeading(): boolean {
    return this.#state === 'leading';
  }

  get databases(): ReadonlyMap<string, Database> {
    return this.#databases;
  }

  /** Bytes of the databases as they are committed. */
  get databaseBytes(): number {
    let pages = 0;
    for (const { store } of this.#databases.values()) pages += store.size;
    return pages * PAGE_SIZE;
  }

  // --- Leadership -----------------------------------------------------------------------------------------------

  /** This node was elected, or is about to be without fail; requests wait until what earlier leaders left is applied. */
  electionWon(): void {
    this.#state = 'starting';
  }

  /** Everything before this leadership is applied: requests may run. */
  startLeading(): void {
    this.#state = 'leading';
    this.#wake();
  }

  /** This node does not lead any more: what is not committed is undone, clients must open their databases again. */
  stopLeading(proposed: () => SqliteError): void {
    this.#state = 'following';
    this.#undo(proposed, notLeader);
    for (const database of this.#databases.values()) {
      // Before the sessions go: the lock of one must not pass to another that would still execute.
      for (const waiter of database.lock.reset()) waiter.expired();
      for (const session of database.sessions) session.forget(notLeader());
    }
    this.#wake();
  }

  /**
   * Before another node takes over (design rule 19): nobody begins to write any more, transactions that are open get
   * `graceMs` and are then ended. Resolves when everything that was executed is committed; false if it was not in time.
   * Writes that wait go on with `handoverEnded`, or are refused when this node stops leading.
   */
  async drain(graceMs: number, limitMs: number): Promise<boolean> {
    this.#handingOver = true;
    for (const { lock } of this.#databases.values()) lock.pause('handover');
    const startMs = this.clock.monotonicMs();
    for (;;) {
      const elapsedMs = this.clock.monotonicMs() - startMs;
      const all = [...this.#databases.values()];
      if (this.#state !== 'leading') return false;
      if (all.every(({ lock, hasUncommitted }) => lock.owner === undefined && !hasUncommitted)) return true;
      if (elapsedMs > limitMs) return false;
      if (elapsedMs > graceMs) {
        for (const { lock } of all) {
          if (lock.owner instanceof Session) lock.owner.abortTransaction('another node takes over as leader');
        }
      }
      await new Promise<void>(resolve => this.clock.setTimer(DRAIN_POLL_MS, resolve, true));
    }
  }

  /** Whether transactions may make databases smaller: all members can follow (design rule 14). */
  set mayShrink(mayShrink: boolean) {
    if (mayShrink === this.#mayShrink) return;
    this.#mayShrink = mayShrink;
    for (const { store } of this.#databases.values()) store.mayShrink = mayShrink;
  }

  handoverEnded(): void {
    this.#handingOver = false;
    for (const { lock } of this.#databases.values()) lock.resume('handover');
  }

  /** The log could not be written: what is not committed is undone. Clients keep what they can. */
  writeFailed(refusal: () => SqliteError): void {
    this.#diskRefusal = refusal;
    this.#undo(refusal, refusal);
  }

  /** The log can be written again. */
  writeRecovered(): void {
    this.#diskRefusal = undefined;
  }

  /** Requests can run now. */
  get isReady(): boolean {
    return this.#state === 'leading' && !this.#restarting;
  }

  /** Calls back when requests can be judged: at once, or when an election or a restart of SQLite has ended. */
  whenReady(ready: () => void): void {
    if (this.#state === 'starting' || this.#restarting) this.#waiting.push(ready);
    else ready();
  }

  /** Why requests that need the leader are refused now. */
  refusal(): SqliteError | undefined {
    return this.#state === 'leading' ? undefined : notLeader();
  }

  /** Why a write is refused now. */
  writeRefusal(): SqliteError | undefined {
    return this.refusal() ?? this.#diskRefusal?.();
  }

  confirmLeadership(confirmed: (error: SqliteError | undefined) => void): void {
    if (this.#state !== 'leading') confirmed(notLeader());
    else if (this.#replicator!.hasLease()) confirmed(undefined);
    else this.#replicator!.confirmLeadership(leads => confirmed(leads ? undefined : notLeader()));
  }

  // --- Clients --------------------------------------------------------------------------------------------------

  /** Opens a database for a client, creating it. `key` is its name as a byte string. */
  open(key: string): Session {
    return new Session(this, this.#database(key));
  }

  /** The committed content of a database, pinned; undefined if there is none with that name. */
  image(key: string): DatabaseImage | undefined {
    const database = this.#databases.get(key);
    return database === undefined ? undefined : new DatabaseImage(database);
  }

  /** A new own connection for a session. Throws SqliteError. */
  openConnection(session: Session): Connection {
    if (this.#openConnections.size >= MAX_IDLE_CONNECTIONS) this.#disposeOldest();
    const connection = this.#sqlite.open(session.database.store, 'session');
    this.#openConnections.add(session);
    return connection;
  }

  closeConnection(connection: Connection): void {
    if (connection.sqlite.broken === undefined) this.guard(() => connection.close());
  }

  sessionClosed(session: Session): void {
    this.#openConnections.delete(session);
    this.left(session.database);
  }

  /** A deleted database goes with its last user (wire spec section 5.12). */
  left(database: Database): void {
    if (database.isUnused && this.#databases.get(database.key) === database) this.#drop(database);
  }

  #drop(database: Database): void {
    database.close();
    this.#dirty.delete(database);
    this.#databases.delete(database.key);
    database.store.destroy();
  }

  #disposeOldest(): void {
    for (const session of this.#openConnections) {
      if (session.closed || session.ownConnection === undefined) {
        this.#openConnections.delete(session);
      } else if (session.isDisposable) {
        this.#openConnections.delete(session);
        session.dispose();
        return;
      }
    }
  }

  streamContinues(stream: RowStream): void {
    this.#streams.add(stream);
  }

  streamEnded(stream: RowStream): void {
    this.#streams.delete(stream);
  }

  // --- Replication ----------------------------------------------------------------------------------------------

  /** A database has something to propose. With a free slot it is proposed once the requests of this turn have run. */
  dirty(database: Database): void {
    this.#dirty.add(database);
    if (!this.#slotTaken) this.#sealAfter(1);
  }

  /**
   * The log has room for the next append: one disk write at a time. The clients who are being answered now send
   * their next requests at once. While batches are small, one that waits for these is cheaper than two; with large
   * ones it is better to keep the disk busy.
   */
  slotFreed(): void {
    this.#slotTaken = false;
    if (this.#dirty.size === 0) return;
    if (this.#lastBatchBytes < SMALL_BATCH_BYTES) this.#sealAfter(2);
    else this.#propose();
  }

  /** Seals and proposes once the requests that are ready now, and in the next turns of the loop, have run. */
  #sealAfter(turns: number): void {
    if (this.#sealing) return;
    this.#sealing = true;
    const turn = (left: number): void => {
      if (left > 0) {
        this.clock.defer(() => turn(left - 1));
        return;
      }
      this.#sealing = false;
      this.#propose();
    };
    turn(turns);
  }

  /** Seals what is open and hands it to raft: one FRAMES command per database, up to a slot's worth. */
  #propose(): void {
    const replicator = this.#replicator!;
    if (this.#slotTaken || this.#state !== 'leading' || !replicator.canPropose || this.#dirty.size === 0) return;
    this.#sealing = true;
    this.guard(() => {
      for (const database of [...this.#dirty]) database.closeGroup();
    });
    this.#sealing = false;
    const commands: Command[] = [];
    const proposed: Database[] = [];
    const later: Database[] = [];
    let bytes = 0;
    for (const database of this.#dirty) {
      if (bytes >= SLOT_BYTES) break;
      this.#dirty.delete(database);
      if (!database.hasBatch) {
        if (database.hasGroup) later.push(database);
        continue;
      }
      const { batch, size } = database.sealNext();
      const data = this.#buffers.take(size);
      database.encode(batch, data);
      commands.push({ data, shrinks: batch.shrinks });
      proposed.push(database);
      bytes += size;
      if (database.hasBatch || database.hasGroup) later.push(database);
    }
    // One batch per database and slot: what is left waits behind the others. So does a group that clients have begun
    // who were answered while theirs was closed.
    for (const database of later) this.#dirty.add(database);
    if (commands.length === 0) {
      if (this.#dirty.size > 0) this.#sealAfter(1);
      return;
    }
    this.#slotTaken = true;
    this.#lastBatchBytes = bytes;
    const first = replicator.propose(commands);
    for (const [position, database] of proposed.entries()) {
      this.#executed.push({ index: first + position, database, data: commands[position]!.data });
    }
  }

  /**
   * Applies a committed command. Own proposals of this leadership are executed already and need no data. Says whether
   * one from elsewhere made a database smaller. Throws DecodeError for a command that this program does not know.
   */
  apply(index: number, data: Uint8Array | undefined): boolean {
    const own = this.#executed.peek();
    if (own?.index === index) {
      this.#executed.shift();
      own.database.committed();
      this.#scheduleRecycling(own.database);
      this.left(own.database);
      return false;
    }
    assert(own === undefined, `entry ${index} is committed before own entry ${own?.index}`);
    assert(data !== undefined, `entry ${index} has no data`);
    const command = decodeCommand(data);
    return command.kind === 'frames' && this.#database(bytesKey(command.name)).apply(command);
  }

  /** Takes the memory of an entry back that the log does not need any more. */
  recycleEntry(data: Uint8Array): void {
    this.#buffers.give(data);
  }

  #database(key: string): Database {
    let database = this.#databases.get(key);
    if (database === undefined) {
      database = new Database(key, this);
      database.store.mayShrink = this.#mayShrink;
      if (this.#handingOver) database.lock.pause('handover');
      this.#databases.set(key, database);
    }
    return database;
  }

  #undo(proposed: () => SqliteError, executed: () => SqliteError): void {
    this.#slotTaken = false;
    this.#dirty.clear();
    this.#executed.drain();
    for (const database of this.#databases.values()) {
      if (!database.hasUncommitted) continue;
      for (const session of database.sessions) session.connectionLost(proposed());
      database.undo(proposed, executed);
    }
  }

  // --- Snapshots ------------------------------------------------------------------------------------------------

  /** Pins the committed state of all databases. */
  snapshot(): EngineSnapshot {
    return new EngineSnapshot([...this.#databases.values()].filter(({ store }) => store.committed > 1));
  }

  /** Receives the content of another node's snapshot, which replaces what this node has. It does not lead. */
  installer(): SnapshotRestorer {
    assert(this.#state === 'following', 'a leader installs no snapshot');
    return new SnapshotRestorer(key => this.#database(key));
  }

  /** Receives the content of a snapshot; for an engine without databases. */
  restorer(): SnapshotRestorer {
    return new SnapshotRestorer(key => {
      assert(!this.#databases.has(key), 'a database is twice in a snapshot');
      return this.#database(key);
    });
  }

  // --- Failures of SQLite ---------------------------------------------------------------------------------------

  /** The WASM instance failed: its connections are gone, the pages are not. A new instance takes its place. */
  instanceBroken(error: InstanceBroken): void {
    if (this.#restarting || this.#sqlite.broken === undefined) return;
    this.#restarting = true;
    this.defect('the SQL engine failed and is being restarted', error.cause);
    const broken = this.#sqlite;
    broken.abandon();
    this.#openConnections.clear();
    for (const database of this.#databases.values()) {
      const cause = new SqliteError(SQLITE_ERROR, error.message);
      for (const session of database.sessions) session.connectionLost(cause);
      database.instanceLost(cause);
    }
    Sqlite.create(this.#environment, this.options.sqlite).then(
      sqlite => {
        this.#sqlite = sqlite;
        this.#restarting = false;
        this.#wake();
      },
      (failure: unknown) => this.#logger.fatal({ error: messageOf(failure) }, 'the SQL engine could not be restarted'),
    );
  }

  /** Runs what calls into SQLite and belongs to no request. */
  guard(work: () => void): void {
    try {
      this.#sqlite.run(work);
    } catch (error) {
      if (!(error instanceof InstanceBroken)) throw error;
      this.instanceBroken(error);
    }
  }

  /** Something that must not happen did, and was dealt with. */
  defect(what: string, error: unknown): void {
    this.#logger.error({ error: error === undefined ? undefined : messageOf(error) }, what);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const ready of waiting) this.whenReady(ready);
  }

  // --- Maintenance ----------------------------------------------------------------------------------------------

  #scheduleMaintenance(): void {
    if (this.#closed) return;
    this.#timer = this.clock.setTimer(MAINTENANCE_INTERVAL_MS, () => {
      this.#endIdleTransactions();
      this.#endOldReads();
      for (const database of this.#databases.values()) this.#scheduleRecycling(database);
      this.#scheduleMaintenance();
    });
  }

  #endIdleTransactions(): void {
    const limitMs = this.options.transactionIdleTimeoutMs;
    if (limitMs === 0) return;
    const nowMs = this.clock.monotonicMs();
    for (const database of this.#databases.values()) {
      const owner = database.lock.owner;
      if (!(owner instanceof Session)) continue;
      const since = owner.idleSince;
      if (since !== undefined && nowMs - since > limitMs) {
        owner.abortTransaction(`the client was idle for more than ${limitMs} ms inside a write transaction`);
      }
    }
  }

  /** Old versions take memory as long as somebody reads them: above a limit the oldest reads are ended (design rule 12). */
  #endOldReads(): void {
    let retained = 0;
    for (const { store } of this.#databases.values()) retained += store.retainedImages;
    if (retained * PAGE_SIZE <= this.options.maxOldVersionBytes) return;
    const nowMs = this.clock.monotonicMs();
    const cause = `a read older than ${OLD_READ_MS / 1000} s was ended: old versions held more than ${this.options.maxOldVersionBytes} bytes`;
    const oldest = this.#oldestReader(nowMs - OLD_READ_MS);
    if (oldest === undefined) return;
    this.#logger.warn({ retainedBytes: retained * PAGE_SIZE }, cause);
    if (oldest instanceof Session) oldest.abortTransaction(cause);
    else oldest.terminate(new SqliteError(SQLITE_ERROR, cause));
  }

  /** The stream or transaction that has looked at one version for longest, if since before `beforeMs`. */
  #oldestReader(beforeMs: number): RowStream | Session | undefined {
    let oldest: RowStream | Session | undefined;
    let oldestMs = beforeMs;
    for (const stream of this.#streams) {
      if (stream.startedMs >= oldestMs) continue;
      oldest = stream;
      oldestMs = stream.startedMs;
    }
    for (const session of this.#openConnections) {
      const sinceMs = session.transactionSinceMs;
      if (sinceMs === undefined || sinceMs >= oldestMs || session.idleSince === undefined) continue;
      oldest = session;
      oldestMs = sinceMs;
    }
    return oldest;
  }

  #scheduleRecycling(database: Database): void {
    if (!database.store.hasPending || this.#recycling) return;
    this.#recycling = true;
    this.clock.defer(() => {
      this.#recycling = false;
      database.store.recycle(RECYCLE_SLICE);
      this.#scheduleRecycling(database);
    });
  }

  /** Ends all sessions and timers. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const database of this.#databases.values()) {
      for (const session of database.sessions) session.forget(notLeader());
      database.close();
    }
  }
}
