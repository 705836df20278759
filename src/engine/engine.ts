/**
 * The replicated databases of one node: executes SQL at once on the newest version, gathers what was executed into
 * batches, hands them to raft one slot at a time, and applies what raft has committed (docs/ARCHITECTURE.md).
 *
 * Relies on the owner (`Replicator`): entries are proposed in order, committed in order, and each commit is told
 * exactly once. Guarantees: nothing is answered before it is committed, and what is undone was never answered.
 */

import type { Clock, Logger } from '../host/types.ts';
import { assert } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
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
import { Maintenance } from './maintenance.ts';
import type { EngineOptions } from './options.ts';
import { Proposer } from './proposer.ts';
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

/** What a leader proposes. */
export interface Command {
  readonly data: Uint8Array;
  /** It makes a database smaller. */
  readonly shrinks: boolean;
}

/** Own connections kept open although nothing would be lost by closing them. */
const MAX_IDLE_CONNECTIONS = 256;
const DRAIN_POLL_MS = 2;

export class Engine implements DatabaseOwner {
  readonly clock: Clock;
  readonly options: EngineOptions;
  readonly slabs: PageSlabs = new PageSlabs();
  /** Memory of log entries. To be given back when nobody reads it any more: not the log, not the network. */
  readonly entryBuffers: EntryBuffers = new EntryBuffers();
  readonly #environment: Environment;
  readonly #logger: Logger;
  #sqlite: Sqlite;
  #replicator: Replicator | undefined = undefined;
  readonly #databases = new Map<string, Database>();
  readonly #proposer: Proposer;
  #state: 'following' | 'starting' | 'leading' = 'following';
  #restarting = false;
  #handingOver = false;
  /** Requests that wait until the node leads or stops trying, or until SQLite is there again. */
  #waiting: (() => void)[] = [];
  /** Why nothing can be written although this node leads: the disk. */
  #diskRefusal: (() => SqliteError) | undefined = undefined;
  readonly #streams = new Set<RowStream>();
  readonly #openConnections = new Set<Session>();
  readonly #maintenance: Maintenance;
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
    this.#proposer = new Proposer(this);
    this.#maintenance = new Maintenance(this, logger);
  }

  start(replicator: Replicator): void {
    this.#replicator = replicator;
    this.#proposer.replicator = replicator;
    this.#maintenance.start();
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
    this.#proposer.resume();
  }

  /** The log could not be written: what is not committed is undone. Clients keep what they can. */
  writeFailed(refusal: () => SqliteError): void {
    this.#diskRefusal = refusal;
    this.#undo(refusal, refusal);
  }

  /** The log can be written again. */
  writeRecovered(): void {
    this.#diskRefusal = undefined;
    // Of databases that had nothing on its way when the disk failed.
    this.#proposer.resume();
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

  /** Whether everybody who was served lately waits for what was proposed last, and for nothing else. */
  get allWait(): boolean {
    return this.#proposer.allWait;
  }

  /** A request of a client has its answer. */
  answered(): void {
    this.#proposer.answered();
  }

  released(): void {
    this.#proposer.released();
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
    this.#proposer.remove(database);
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

  /** Results that are being sent, and sessions with connections of their own. */
  get streams(): ReadonlySet<RowStream> {
    return this.#streams;
  }

  get openConnections(): ReadonlySet<Session> {
    return this.#openConnections;
  }

  streamContinues(stream: RowStream): void {
    this.#streams.add(stream);
  }

  streamEnded(stream: RowStream): void {
    this.#streams.delete(stream);
  }

  // --- Replication ----------------------------------------------------------------------------------------------

  /** A database has something to propose. */
  dirty(database: Database): void {
    this.#proposer.add(database);
  }

  /** The log has room for the next append. */
  slotFreed(): void {
    this.#proposer.slotFreed();
  }

  /**
   * Applies a committed command. Own proposals of this leadership are executed already and need no data. Says whether
   * one from elsewhere made a database smaller. Throws DecodeError for a command that this program does not know.
   */
  apply(index: number, data: Uint8Array | undefined): boolean {
    const own = this.#proposer.committed(index);
    if (own !== undefined) {
      own.committed();
      this.#maintenance.recycle(own);
      this.left(own);
      return false;
    }
    assert(data !== undefined, `entry ${index} has no data`);
    const command = decodeCommand(data);
    if (command.kind !== 'frames') return false;
    const database = this.#database(bytesKey(command.name));
    const shrank = database.apply(command);
    this.left(database);
    return shrank;
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
    this.#proposer.clear();
    for (const database of this.#databases.values()) {
      if (!database.hasUncommitted) continue;
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

  /** All of it was received: databases that are not in it have been deleted. */
  installed({ keys }: SnapshotRestorer): void {
    for (const database of this.#databases.values()) {
      if (!keys.has(database.key)) database.empty();
      this.left(database);
    }
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

  /** Ends all sessions and timers. */
  close(): void {
    this.#maintenance.stop();
    for (const database of this.#databases.values()) {
      for (const session of database.sessions) session.forget(notLeader());
      database.close();
    }
  }
}
