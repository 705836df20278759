/**
 * The same statements on plain SQLite connections, one for each client, one after the other: in the order of arrival,
 * but for those who wait for the write lock. Every transaction is a version that can be looked at later.
 */

import {
  FACT_MAY_WRITE,
  FACT_STICKY,
  LOCK_SHARED,
  SqliteError,
  type Connection,
  type Statement,
} from '../../src/sqlite/index.ts';
import { run, stepAll, World } from '../../src/sqlite/sqlite.test.helpers.ts';
import { compile, countersOf, isFree, takeBack, toPlain, type Client, type Operation } from './interleaving-client.ts';

const BUSY_SNAPSHOT = { code: 517, message: 'database is locked' } as const;

/** The engine's write lock. */
interface Lock {
  readonly owner: object | undefined;
  readonly waiting: number;
}

export class Reference {
  readonly #world: World;
  readonly #lock: () => Lock;
  readonly #note: (line: string) => void;
  /** Who holds the write lock, and who waits for it. */
  #owner: Client | undefined = undefined;
  readonly #queue: Client[] = [];
  #granting = false;
  /** Its versions: some numbers are never used. */
  readonly #written = new Set<number>();
  /** The version that statements look at, if not the newest. */
  looksAt: number | undefined = undefined;
  failures = 0;
  queued = 0;

  private constructor(world: World, lock: () => Lock, note: (line: string) => void) {
    this.#world = world;
    this.#lock = lock;
    this.#note = note;
  }

  static async create(lock: () => Lock, note: (line: string) => void): Promise<Reference> {
    return new Reference(await World.create(), lock, note);
  }

  get store(): World['store'] {
    return this.#world.store;
  }

  /** Whether a version can be looked at. */
  has(version: number): boolean {
    return this.#written.has(version) && version >= this.store.committed;
  }

  /** Makes what is there before the clients come. */
  setUp(sql: string): void {
    const connection = this.#world.connect();
    run(connection, sql);
    this.#published();
    connection.close();
  }

  /** A client has gone: its connection is closed. */
  left(client: Client): void {
    const position = this.#queue.indexOf(client);
    if (position !== -1) this.#queue.splice(position, 1);
    if (this.#owner === client) this.#passOn();
  }

  /** Goes back to a version. No connection is open. */
  undo(version: number): void {
    this.#queue.length = 0;
    this.#owner = undefined;
    while (this.store.committed < version) this.store.commit();
    this.store.undo();
  }

  /** A connection for a client. */
  connect(): Connection {
    const connection = this.#world.connect({ ticket: false });
    const { file } = connection;
    // Statements look at the newest version, or at one that the test chooses.
    Object.defineProperty(file, 'version', { get: () => file.pin?.version ?? this.looksAt ?? this.store.newest });
    return connection;
  }

  /** Runs the statements of a client's operation until one has to wait. */
  advance(client: Client): void {
    const operation = client.operation!;
    const { statements } = operation;
    try {
      while (operation.position < statements.length) {
        if (!this.#runOne(client, operation)) return;
        operation.position++;
      }
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      operation.outcome = { kind: 'failure', code: error.code, message: error.message };
      this.failures++;
      return;
    }
    if (operation.outcome === undefined && !operation.isFree) {
      const { lastInsertId, changes } = client.counters;
      operation.outcome = { kind: 'result', lastInsertId, changes };
    }
  }

  /** Runs the statement at the operation's position; false if it waits for the lock. */
  #runOne(client: Client, operation: Operation): boolean {
    const { plain } = client;
    const sql = operation.statements[operation.position]!;
    if (client.aborted) {
      if (sql !== 'ROLLBACK') throw new SqliteError(516, 'aborted');
      client.aborted = false;
      if (operation.isQuery) operation.outcome = { kind: 'rows', columns: [], rows: [] };
      return true;
    }
    operation.isUnknown = true;
    const statement = operation.waiting ?? compile(plain, sql);
    operation.isUnknown = false;
    operation.waiting = undefined;
    if ((statement.facts & FACT_STICKY) !== 0) client.sticky = true;
    try {
      const writes = !statement.isReadOnly || (statement.facts & FACT_MAY_WRITE) !== 0;
      if (writes) {
        const { file } = plain;
        const isOld = file.lock === LOCK_SHARED && file.version !== this.store.newest && this.#owner !== client;
        const mustWait = this.#owner !== client && (this.#owner !== undefined || this.#queue.length > 0);
        if (isOld || this.#isOldThere(client, sql, mustWait) || this.#isOldDefinition(client, sql)) {
          throw new SqliteError(BUSY_SNAPSHOT.code, BUSY_SNAPSHOT.message);
        }
        if (mustWait) {
          this.#queue.push(client);
          operation.waiting = statement;
          this.queued++;
          this.#note(`   ${client.number} waits`);
          return false;
        }
      } else if (plain.autocommit && operation.isQuery && isFree(sql)) {
        operation.isFree = true;
        operation.to = this.store.newest;
        return true;
      }
      this.#execute(client, operation, statement, writes);
      return true;
    } finally {
      if (operation.waiting === undefined) statement.finalize();
    }
  }

  /**
   * Whether the engine says that the transaction's snapshot is old where the reference would not: there a statement that
   * was taken back may have made a version. Then it neither waits nor has the lock, and its transaction is open.
   * Clients that could have written to a temporary table are not asked: they begin with the lock. Nor are definitions,
   * which may find that there is nothing to do: see below.
   */
  #isOldThere({ plain, session }: Client, sql: string, mustWait: boolean): boolean {
    if (plain.file.lock !== LOCK_SHARED || plain.isWriting || !/^(?:INSERT|REPLACE|UPDATE|DELETE|WITH)/.test(sql))
      return false;
    const lock = this.#lock();
    if (mustWait) return lock.waiting === this.#queue.length;
    return session.inTransaction && lock.owner !== session;
  }

  /** The same for definitions, before the engine has got to anything else. */
  #isOldDefinition({ plain, session }: Client, sql: string): boolean {
    if (plain.file.lock !== LOCK_SHARED || plain.isWriting || !/^(?:CREATE|DROP|ALTER)/.test(sql)) return false;
    const { database } = session;
    if (!session.inTransaction || database.lock.owner === session) return false;
    const { file } = session.connection();
    return file.lock === LOCK_SHARED && file.version !== database.store.newest;
  }

  #execute(client: Client, operation: Operation, statement: Statement, hasLock: boolean): void {
    const { plain } = client;
    const { newest } = this.store;
    // What compiling does on the side does not count.
    plain.continueCounting(client.counters);
    plain.file.ticket = true;
    try {
      const rows = toPlain(stepAll(statement));
      if (operation.isQuery) operation.outcome = { kind: 'rows', columns: [], rows };
    } catch (error) {
      if (error instanceof SqliteError && error.code === BUSY_SNAPSHOT.code) takeBack(client, operation);
      throw error;
    } finally {
      // What alone changes nothing may have looked at what is committed.
      const isRead = !hasLock && plain.autocommit && operation.statements.length === 1;
      if (!isRead) operation.mark = Math.max(operation.mark, newest);
      if (this.store.newest !== newest) {
        this.#published();
        operation.mark = this.store.newest;
        if (operation.own === 0) operation.own = operation.mark;
      }
      client.counters = countersOf(plain);
      statement.reset();
      plain.letGo();
      if (plain.isWriting) {
        this.#owner = client;
      } else {
        plain.file.ticket = false;
        if (this.#owner === client || hasLock) this.#passOn();
      }
    }
  }

  /** A transaction is a version, and a batch of its own. */
  #published(): void {
    this.store.seal();
    this.#written.add(this.store.newest);
  }

  /** The lock is free: those who wait get it one after the other. */
  #passOn(): void {
    this.#owner = undefined;
    if (this.#granting) return;
    this.#granting = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        this.#note(`   ${next.number} gets the lock`);
        this.#resume(next);
        // What it does may set it.
        if ((this.#owner as Client | undefined) !== undefined) break;
      }
    } finally {
      this.#granting = false;
    }
  }

  #resume(client: Client): void {
    const operation = client.operation!;
    const statement = operation.waiting!;
    operation.waiting = undefined;
    try {
      if (this.#isOldThere(client, operation.statements[operation.position]!, false)) {
        takeBack(client, operation);
        client.counters = countersOf(client.plain);
        throw new SqliteError(BUSY_SNAPSHOT.code, BUSY_SNAPSHOT.message);
      }
      this.#execute(client, operation, statement, true);
      operation.position++;
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      operation.outcome = { kind: 'failure', code: error.code, message: error.message };
      this.failures++;
      return;
    } finally {
      statement.finalize();
    }
    this.advance(client);
  }
}
