/**
 * One client's use of one database: its prepared statements, and its own SQLite connection, made when something
 * needs one: a write, a transaction, connection state (`last_insert_rowid()`, temporary tables, pragmas). Autocommit
 * reads run on shared connections (`readers.ts`).
 *
 * What is guaranteed about a response is the business of `execution.ts`; here are the state that outlives a request
 * and the rule that a transaction ended by the server stays ended until the client acknowledges it (design rule 8).
 */

import { assert } from '../lib/assert.ts';
import {
  FACT_SESSION,
  FACT_STICKY,
  LOCK_NONE,
  SQLITE_ABORT_ROLLBACK,
  SQLITE_ERROR,
  SqliteError,
  type ClientCounters,
  type Connection,
  type Statement,
} from '../sqlite/index.ts';
import type { Database } from './database.ts';
import type { Engine } from './engine.ts';
import { Execution } from './execution.ts';
import { noStatement } from './failure.ts';
import type { Answer, ExecutionRequest } from './request.ts';
import { StatementCache } from './statement-cache.ts';
import type { StatementKind } from './sql-text.ts';

/** Primary result code of all constraint violations. */
const SQLITE_CONSTRAINT = 19;

/** Texts compiled on the client's own connection and kept. */
const CACHED_STATEMENTS = 64;

/** A statement that the client has prepared. What SQLite holds for it is made where and when it runs. */
export interface Prepared {
  readonly sql: Uint8Array;
  readonly key: string;
}

/** A statement compiled on the client's own connection. */
export interface OwnStatement {
  readonly statement: Statement;
  readonly tail: number;
}

export class Session {
  readonly engine: Engine;
  readonly database: Database;
  /** By statement id; ids are the lowest free ones (wire spec section 5.1). */
  readonly #prepared: (Prepared | undefined)[] = [];
  #preparedCount = 0;
  #connection: Connection | undefined = undefined;
  #cache = ownCache();
  /** The open transaction has changed the schema. */
  #schemaChanged = false;
  /** The own connection holds state that a new one would not have. */
  #sticky = false;
  /** Why the server has ended the client's transaction, until the client sends ROLLBACK. */
  #aborted: string | undefined = undefined;
  /** What RESULT repeats until a statement changes it (wire spec section 5.10). */
  lastInsertId = 0n;
  changes = 0;
  /** Rows changed by all statements of the client. */
  totalChanges = 0;
  /** `PRAGMA delete_database` was run in the open transaction. */
  deleteOnCommit = false;
  /** Statements that wrote in the open transaction. */
  transactionWrites = 0;
  #transactionSinceMs: number | undefined = undefined;
  /** When the client was last answered, if it held the write lock then. */
  #idleSinceMs = 0;
  #execution: Execution | undefined = undefined;
  isLeaving = false;
  closed = false;

  constructor(engine: Engine, database: Database) {
    this.engine = engine;
    this.database = database;
    database.sessions.add(this);
  }

  get aborted(): string | undefined {
    return this.#aborted;
  }

  /** Whether statements must run on the client's own connection, also reads. */
  get needsOwnConnection(): boolean {
    return this.#sticky || this.inTransaction || this.#aborted !== undefined;
  }

  get inTransaction(): boolean {
    return this.#transactionSinceMs !== undefined;
  }

  /** Since when, on the monotonic clock, a transaction is open. */
  get transactionSinceMs(): number | undefined {
    return this.#transactionSinceMs;
  }

  get ownsWriteLock(): boolean {
    return this.database.lock.owner === this;
  }

  /** Nothing would be lost if the own connection were closed and made again. */
  get isDisposable(): boolean {
    return this.#connection !== undefined && !this.needsOwnConnection && this.#execution === undefined;
  }

  /** Since when the client, and nobody else, keeps its transaction waiting; undefined while something runs for it. */
  get idleSince(): number | undefined {
    if (this.#execution === undefined) return this.#idleSinceMs;
    return this.#execution.idleSince;
  }

  /** The client's own connection. Throws SqliteError. */
  connection(): Connection {
    if (this.#connection === undefined) {
      this.#connection = this.engine.openConnection(this);
    }
    return this.#connection;
  }

  get ownConnection(): Connection | undefined {
    return this.#connection;
  }

  /** Compiles a text on the client's own connection, or finds it there. Throws SqliteError. */
  compileOwn(sql: Uint8Array, key: string, offset: number): OwnStatement | undefined {
    const connection = this.connection();
    const cacheable = offset === 0 && this.#cache.accepts(key);
    const cached = cacheable ? this.#cache.get(key, connection.file.schemaCookie) : undefined;
    if (cached !== undefined) return cached;
    const { statement, tail } = connection.prepare(sql, offset, cacheable);
    if (statement === undefined) return undefined;
    if ((statement.facts & FACT_STICKY) !== 0) this.#sticky = true;
    const own = { statement, tail };
    // Statements with other facts act while they compile, or mean something else next time.
    if (cacheable && (statement.facts & ~FACT_SESSION) === 0) this.#cache.set(key, own);
    return own;
  }

  /** Ends an execution of a statement of `compileOwn`. */
  finishOwn(key: string, own: OwnStatement): void {
    const { statement } = own;
    if (this.#cache.holds(key, own)) {
      statement.reset();
      statement.clearBindings();
    } else {
      statement.finalize();
    }
  }

  /** Gives the id of a new prepared statement. */
  addPrepared(prepared: Prepared): number {
    let id = this.#prepared.indexOf(undefined);
    if (this.#preparedCount === this.#prepared.length) id = this.#prepared.length;
    assert(id >= 0, 'a free statement id');
    this.#prepared[id] = prepared;
    this.#preparedCount++;
    return id;
  }

  get preparedCount(): number {
    return this.#preparedCount;
  }

  prepared(id: number): Prepared | undefined {
    return this.#prepared[id];
  }

  /** Forgets a prepared statement. Throws SqliteError if there is none with that id. */
  finalize(id: number): void {
    if (this.#prepared[id] === undefined) throw noStatement();
    this.#prepared[id] = undefined;
    this.#preparedCount--;
    while (this.#prepared.length > 0 && this.#prepared[this.#prepared.length - 1] === undefined) this.#prepared.pop();
  }

  /** Takes the counters over that a connection has after a statement of the client. */
  counted({ lastInsertId, changes, totalChanges }: ClientCounters): void {
    this.lastInsertId = lastInsertId;
    this.changes = changes;
    this.totalChanges = totalChanges;
  }

  /** Runs a request. One at a time. */
  execute(request: ExecutionRequest, answer: Answer): void {
    assert(this.#execution === undefined, 'a client has one request at a time');
    this.#execution = new Execution(this, request, answer);
    this.#execution.start();
  }

  /** The present execution has handed over its answer. */
  executionEnded(): void {
    this.#execution = undefined;
    this.engine.answered();
    if (this.ownsWriteLock) this.#idleSinceMs = this.engine.clock.monotonicMs();
    const connection = this.#connection;
    if (connection === undefined) return;
    const { file } = connection;
    if (file.lock !== LOCK_NONE && !this.inTransaction) this.engine.guard(() => connection.letGo());
    if (file.unusable) {
      this.connectionLost(new SqliteError(SQLITE_ERROR, 'its connection became unusable'));
    } else if (!this.inTransaction && (file.lock !== LOCK_NONE || file.set !== undefined)) {
      this.engine.defect('a connection was left with a lock after its request', undefined);
      this.connectionLost(new SqliteError(SQLITE_ERROR, 'internal error'));
    }
  }

  /** INTERRUPT: stops what can be stopped. `stopped`: there will be no answer. */
  interrupt(): 'stopped' | 'executed' {
    return this.#execution?.interrupt() ?? 'executed';
  }

  /** The client sends no more, or has gone: nothing waits for the lock any more. */
  withdraw(): void {
    this.isLeaving = true;
    this.#execution?.withdraw();
  }

  /**
   * To be called after each statement on the own connection: what has become of transaction and lock? `changesSchema`:
   * the statement was one that does.
   */
  statementEnded(kind: StatementKind, error: SqliteError | undefined, changesSchema = false): void {
    const connection = this.#connection;
    assert(connection !== undefined, 'a statement ended without a connection');
    if (changesSchema) this.#schemaChanged = true;
    // Until it commits, the cookie in the page store does not tell.
    if (changesSchema || (this.#schemaChanged && (kind === 'rollbackTo' || connection.autocommit))) this.#cache.clear();
    if (connection.autocommit) this.#schemaChanged = false;
    if (!connection.autocommit) {
      this.#transactionSinceMs ??= this.engine.clock.monotonicMs();
    } else if (this.inTransaction) {
      // INSERT OR ROLLBACK and its like end a transaction because the client said so.
      const asked = error === undefined || kind === 'rollback' || (error.code & 0xff) === SQLITE_CONSTRAINT;
      this.#transactionEnded(asked ? undefined : error.message);
    }
    if (this.ownsWriteLock && !connection.isWriting) this.releaseLock();
  }

  /** `abortedBy`: why, if it was not the client who ended it. */
  #transactionEnded(abortedBy: string | undefined): void {
    this.#transactionSinceMs = undefined;
    this.#aborted = abortedBy;
    this.deleteOnCommit = false;
    this.transactionWrites = 0;
  }

  releaseLock(): void {
    if (this.#connection !== undefined) this.#connection.file.ticket = false;
    this.database.lock.release(this);
  }

  /** The client acknowledges that its transaction is gone. */
  acknowledgeAbort(): void {
    this.#aborted = undefined;
  }

  /** The server ends the client's transaction, between two requests or while the client reads rows. */
  abortTransaction(cause: string): void {
    if (!this.inTransaction) return;
    if (this.#sticky) this.#rollBack(cause);
    else this.#dropConnection(cause);
  }

  /** Ends a transaction on a connection that must live on: temporary tables and settings are the client's. */
  #rollBack(cause: string): void {
    const connection = this.#connection!;
    this.#execution?.endStream(new SqliteError(SQLITE_ABORT_ROLLBACK, cause));
    this.engine.guard(() => connection.rollBack());
    if (connection.closed || !connection.autocommit) {
      this.forget(new SqliteError(SQLITE_ERROR, cause));
      return;
    }
    this.#cache.clear();
    this.#schemaChanged = false;
    this.#transactionEnded(cause);
    this.releaseLock();
  }

  /** Closes the own connection; the next request that needs one makes a new one. */
  dispose(): void {
    assert(this.isDisposable, 'a connection that is needed was closed');
    this.#closeConnection();
  }

  /**
   * The own connection must go: after an undo, because its schema may be an undone one, or because its SQLite
   * instance is gone. A client whose state goes with it must open the database again.
   */
  connectionLost(cause: SqliteError): void {
    if (this.#sticky) this.forget(cause);
    else this.#dropConnection(cause.message);
  }

  /** Ends the session: rolls back, frees everything, passes the lock on. What runs is answered with `error`. */
  forget(error: SqliteError): void {
    if (this.closed) return;
    this.closed = true;
    this.#execution?.refuse(error);
    this.#execution = undefined;
    this.#dropConnection(error.message);
    this.database.sessions.delete(this);
    this.engine.sessionClosed(this);
  }

  #dropConnection(cause: string): void {
    if (this.inTransaction) this.#transactionEnded(cause);
    this.#closeConnection();
    this.database.lock.release(this);
  }

  #closeConnection(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#cache = ownCache();
    this.#schemaChanged = false;
    if (connection !== undefined) this.engine.closeConnection(connection);
  }
}

const ownCache = (): StatementCache<OwnStatement> =>
  new StatementCache(({ statement }) => statement.finalize(), CACHED_STATEMENTS);
