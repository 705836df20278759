/**
 * One request that compiles or runs SQL: where it runs, when it may write, and when its answer may be sent.
 *
 * Rules that hold here (design rules 1, 2, 5 to 11):
 * 1. An autocommit read compiles and runs on the committed version, on a shared connection. Everything else runs on
 *    the client's own connection: writes on the newest version, under the write lock.
 * 2. An answer leaves only when the newest version that it could have seen, the one at the start of the request or
 *    the request's own, is committed and this node is known to have led after the execution. That holds for
 *    errors too: a UNIQUE violation can be caused by a row that is never committed.
 * 3. A write runs to its end in one piece, so that no client can hold the lock by reading slowly; rows of RETURNING
 *    are kept until the answer may leave.
 */

import { Writer } from '../lib/bytes.ts';
import { PAGE_SIZE } from '../pages/index.ts';
import {
  FACT_DELETE_DATABASE,
  FACT_JOURNAL_MODE,
  FACT_MAY_WRITE,
  InstanceBroken,
  LOCK_SHARED,
  SHRINKING_REFUSED,
  SQLITE_BUSY_SNAPSHOT,
  SQLITE_CONSTRAINT,
  SQLITE_DONE,
  SQLITE_ERROR,
  SQLITE_INTERRUPT,
  SQLITE_ROW,
  SQLITE_TOOBIG,
  SqliteError,
  type ClientCounters,
  type Connection,
  type Statement,
} from '../sqlite/index.ts';
import {
  beginMessage,
  endMessage,
  responseType,
  writeColumns,
  writeRowsEnd,
  ParameterCursor,
  type ParameterTuple,
} from '../wire/index.ts';
import { bindParameters, refuseLeftovers } from './bind.ts';
import { Cursor } from './cursor.ts';
import {
  databaseLocked,
  emptyStatement,
  leadershipLost,
  noDatabase,
  rowsFromExec,
  statementTail,
  transactionAborted,
} from './failure.ts';
import { SLICE_MS } from './options.ts';
import type { Compiled, ReadStatement } from './readers.ts';
import { RowEncoder } from './row-encoder.ts';
import { RowStream, type Opened, type RowSource, type StreamOwner } from './row-stream.ts';
import type { OwnStatement, Session } from './session.ts';
import { hasStatement, statementKind, type StatementKind } from './sql-text.ts';
import type { GroupedOutcome, GroupMember } from './write-group.ts';
import type { Waiter } from './write-lock.ts';

/**
 * `prepare`: compile the first statement. `exec`: run one statement, no rows. `script`: run all statements of a
 * text, no rows. `query`: run one statement, with rows.
 */
export type ExecutionMode = 'prepare' | 'exec' | 'script' | 'query';

/** Where the outcome of a request goes: exactly one of these is called, once. */
export interface Answer {
  /** `tail`: where the text goes on after the statement. */
  prepared(parameterCount: number, tail: number): void;
  result(lastInsertId: bigint, changes: number): void;
  rows(source: RowSource): void;
  failed(error: SqliteError): void;
}

export interface ExecutionRequest {
  readonly mode: ExecutionMode;
  readonly sql: Uint8Array;
  /** The text as a cache key. */
  readonly key: string;
  readonly parameters: ParameterTuple | undefined;
  /** `prepare`: more statements may follow the first. */
  readonly mayHaveTail: boolean;
}

const RETURNING_SAVEPOINT = 'dqlite_returning';
/** What SQLite's progress callback says of a single step. */
const TOO_SLOW = 'the statement ran longer than one step may take (maxStepMs)';

/** `next`: go on with the next statement of the text. `stop`: the answer was given, or comes later. */
type Outcome = 'next' | 'stop';

export class Execution implements Waiter, StreamOwner, GroupMember {
  readonly owner: Session;
  deadlineMs = 0;
  readonly #session: Session;
  readonly #request: ExecutionRequest;
  readonly #answer: Answer;
  /** `held`: nothing has run; it starts again once what is executed now is committed. */
  #state: 'running' | 'held' | 'grouped' | 'waiting' | 'gated' | 'streaming' | 'ended' = 'running';
  /** Where the parameters have been taken up to: a script spreads them over its statements. */
  #cursor: ParameterCursor | undefined = undefined;
  #stream: RowStream | undefined = undefined;
  /** The statement that the stream is of: one of these. */
  #sharedRead: ReadStatement | undefined = undefined;
  #ownRead: { readonly own: OwnStatement; readonly kind: StatementKind } | undefined = undefined;
  /** What to do once the lock is there, with the statement that waits for it. */
  #waiting: OwnStatement | undefined = undefined;
  #onGranted: (() => Outcome) | undefined = undefined;
  /** The lock is being requested, and has it been granted at once. */
  #requesting = false;
  #grantedAtOnce = false;
  /** Newest version that the answer could depend on, and whether it is one of this request's own. */
  #mark: number;
  #ownMark = false;
  /** Position in the text of a script. */
  #offset = 0;
  #retried = false;
  /** The database's count of undos when the request began. */
  readonly #epoch: number;

  constructor(session: Session, request: ExecutionRequest, answer: Answer) {
    this.owner = session;
    this.#session = session;
    this.#request = request;
    this.#answer = answer;
    this.#mark = session.database.store.newest;
    this.#epoch = session.database.epoch;
  }

  get sql(): Uint8Array {
    return this.#request.sql;
  }

  get key(): string {
    return this.#request.key;
  }

  get parameters(): ParameterTuple | undefined {
    return this.#request.parameters;
  }

  get counters(): ClientCounters {
    return this.#session;
  }

  /** Since when, on the monotonic clock, rows wait for the client to fetch them; undefined while it waits for us. */
  get idleSince(): number | undefined {
    return this.#stream?.idleSince;
  }

  start(): void {
    this.#guarded(() => {
      if (this.#session.needsOwnConnection) this.#runOwn();
      else this.#runShared();
    });
  }

  /** Stops a write that waits for the lock. What has executed cannot be stopped: its answer is on its way. */
  interrupt(): 'stopped' | 'executed' {
    if (this.#state === 'waiting') this.#leaveQueue();
    else if (this.#state !== 'held') return 'executed';
    this.#end();
    return 'stopped';
  }

  /** The client has gone or half-closed: what waits for the lock fails now, what executes is finished. */
  withdraw(): void {
    if (this.#state !== 'waiting') return;
    this.#leaveQueue();
    this.#fail(databaseLocked());
  }

  /** The session ends: what has not run will not. What has is answered when its fate is known. */
  refuse(error: SqliteError): void {
    if (this.#state === 'waiting') this.#leaveQueue();
    else if (this.#state !== 'running' && this.#state !== 'held') return;
    this.#failNow(error);
  }

  granted(): void {
    if (this.#requesting) {
      this.#grantedAtOnce = true;
      return;
    }
    const proceed = this.#onGranted!;
    this.#onGranted = undefined;
    this.#waiting = undefined;
    this.#state = 'running';
    if (this.#session.engine.sqlite.broken !== undefined) {
      this.#startAgain();
      return;
    }
    this.#guarded(() => {
      if (proceed() === 'next') this.#runOwn();
    });
  }

  expired(): void {
    this.#forgetWaiting();
    this.#fail(this.#session.engine.writeRefusal() ?? databaseLocked());
  }

  #leaveQueue(): void {
    this.#forgetWaiting();
    this.#session.database.lock.withdraw(this);
  }

  #forgetWaiting(): void {
    const own = this.#waiting;
    this.#onGranted = undefined;
    this.#waiting = undefined;
    if (own !== undefined && !own.statement.connection.closed) this.#session.finishOwn(this.#request.key, own);
  }

  /** Runs work whose SqliteError is the answer. */
  #guarded(work: () => void): void {
    const { engine } = this.#session;
    try {
      engine.sqlite.run(work);
    } catch (error) {
      if (error instanceof InstanceBroken) {
        engine.instanceBroken(error);
        this.#failNow(new SqliteError(SQLITE_ERROR, error.message));
      } else if (error instanceof SqliteError) {
        this.#fail(error);
      } else {
        throw error;
      }
    }
  }

  /** Autocommit, nothing special about the client: find out what the text is on the committed version. */
  #runShared(): void {
    const { database, engine } = this.#session;
    const { mode, sql, key } = this.#request;
    const compiled = database.readers(engine.sqlite).compile(sql, key);
    switch (compiled.kind) {
      case 'read':
        this.#checkTail(compiled.read.tail);
        if (mode === 'prepare') this.#prepared(compiled);
        else if (mode === 'script' && hasStatement(sql, compiled.read.tail)) this.#runOwn();
        else if (mode === 'query') this.#streamShared(compiled.read);
        else this.#stepShared(compiled.read);
        return;
      case 'write':
        this.#checkTail(compiled.tail);
        if (mode === 'prepare') this.#prepared(compiled);
        else if (mode === 'query' || !compiled.mayJoin || !this.#join()) this.#runOwn();
        return;
      case 'session':
        this.#runOwn();
        return;
      case 'empty':
        this.#empty();
        return;
      case 'error':
        // The text may be about what is executed but not committed: a table that another client just made.
        database.closeGroup();
        if (!database.hasUncommitted || this.#retried) throw compiled.error;
        this.#retryWhenCommitted();
        return;
    }
  }

  /** Runs an autocommit write together with those of other clients. */
  #join(): boolean {
    const { database, engine } = this.#session;
    if (engine.writeRefusal() !== undefined) return false;
    // Before it runs: the group may be complete with it, and answer at once.
    this.#state = 'grouped';
    const joined = database.group(engine.sqlite).run(this);
    if (!joined) this.#state = 'running';
    return joined;
  }

  grouped(outcome: GroupedOutcome, mark: number, own: boolean): void {
    this.#session.counted(outcome);
    this.#mark = Math.max(this.#mark, mark);
    this.#ownMark = own;
    if (outcome.error === undefined) this.#succeed(false);
    else this.#fail(outcome.error);
  }

  ungrouped(): void {
    this.#state = 'running';
    if (this.#session.closed) this.#failNow(noDatabase());
    else this.#guarded(() => this.#runOwn());
  }

  refused(error: SqliteError): void {
    this.#failNow(error);
  }

  #prepared(compiled: Extract<Compiled, { kind: 'read' | 'write' }>): void {
    this.#mark = 0; // only committed state was seen
    if (compiled.kind === 'write') {
      this.#gated(() => this.#answer.prepared(compiled.parameterCount, compiled.tail));
      return;
    }
    const { read } = compiled;
    const { parameterCount } = read.statement;
    if (!read.cached) read.reader.finish(read, false);
    this.#gated(() => this.#answer.prepared(parameterCount, read.tail));
  }

  #checkTail(tail: number): void {
    const { mode, sql, mayHaveTail } = this.#request;
    if (mode === 'script' || mayHaveTail) return;
    if (hasStatement(sql, tail)) throw statementTail();
  }

  #retryWhenCommitted(): void {
    const { database, engine } = this.#session;
    this.#retried = true;
    this.#state = 'held';
    database.gate(database.store.newest, false, error => {
      if (this.#state === 'ended') return;
      this.#state = 'running';
      if (error !== undefined) this.#fail(error);
      else
        engine.whenReady(() => {
          if (this.#state !== 'ended') this.start();
        });
    });
  }

  #empty(): void {
    if (this.#request.mode !== 'script') throw emptyStatement();
    this.#succeed(this.#offset === 0);
  }

  #streamShared(read: ReadStatement): void {
    const { engine } = this.#session;
    const { reader, statement } = read;
    reader.busy = true;
    try {
      this.#bind(statement);
    } catch (error) {
      reader.finish(read, true);
      throw error;
    }
    this.#mark = 0; // only committed state is seen
    this.#sharedRead = read;
    this.#deliverStream(statement.connection, new Cursor(statement, read.encoder, engine.options.maxStepMs));
  }

  /** A read through EXEC: it must have no rows. */
  #stepShared(read: ReadStatement): void {
    const { engine } = this.#session;
    const { statement, reader } = read;
    let failed = true;
    let code: number;
    reader.busy = true;
    try {
      this.#bind(statement);
      engine.sqlite.startClock(engine.options.maxStepMs);
      code = statement.step();
      if (code !== SQLITE_ROW && code !== SQLITE_DONE) throw statement.connection.error(code);
      failed = false;
    } finally {
      reader.finish(read, failed);
    }
    this.#mark = 0; // only committed state was seen
    if (code === SQLITE_ROW) throw rowsFromExec();
    this.#succeed(false);
  }

  /** On the client's own connection: the statements of the text from the present position on. */
  #runOwn(): void {
    const { clock } = this.#session.engine;
    const { database, engine } = this.#session;
    database.closeGroup();
    this.#mark = Math.max(this.#mark, database.store.newest);
    const startMs = clock.monotonicMs();
    while (this.#runOne() === 'next') {
      if (clock.monotonicMs() - startMs < SLICE_MS) continue;
      // A long script lets others in between its statements.
      clock.defer(() =>
        engine.whenReady(() => {
          if (this.#state !== 'ended') this.#guarded(() => this.#runOwn());
        }),
      );
      return;
    }
  }

  #runOne(): Outcome {
    const session = this.#session;
    const { mode, sql, key } = this.#request;
    const kind = statementKind(sql, this.#offset);
    if (session.aborted !== undefined && mode !== 'prepare') {
      if (kind !== 'rollback') throw transactionAborted(session.aborted);
      return this.#acknowledgeAbort();
    }
    const connection = session.connection();
    const { inTransaction } = session;
    // A script has begun to act on the newest version, so all of it runs there.
    const newest = inTransaction || mode === 'script' || kind === 'begin' || kind === 'savepoint';
    if (!inTransaction) connection.lookAt(newest ? 'newest' : 'committed');
    const own = this.#compileOwn(connection, newest);
    if (own === 'retry') return 'stop';
    if (own === undefined) {
      this.#empty();
      return 'stop';
    }
    const { statement } = own;
    if (mode === 'prepare') {
      const { parameterCount } = statement;
      session.finishOwn(key, own);
      this.#checkTail(own.tail);
      this.#gated(() => this.#answer.prepared(parameterCount, own.tail));
      return 'stop';
    }
    if (mode === 'query' && hasStatement(sql, own.tail)) {
      session.finishOwn(key, own);
      throw statementTail();
    }
    if ((statement.facts & FACT_DELETE_DATABASE) !== 0) {
      session.finishOwn(key, own);
      return this.#deleteDatabase(connection, own.tail);
    }
    if (!statement.isReadOnly || (statement.facts & FACT_MAY_WRITE) !== 0) {
      return this.#waitForLock(connection, own, kind);
    }
    if (!newest) this.#mark = 0; // only committed state is seen
    return this.#runStatement(connection, own, kind);
  }

  /** undefined: there is no statement any more. `retry`: the execution starts again later. */
  #compileOwn(connection: Connection, newest: boolean): OwnStatement | 'retry' | undefined {
    const session = this.#session;
    const { sql, key } = this.#request;
    let own: OwnStatement | undefined;
    try {
      own = session.compileOwn(sql, key, this.#offset);
    } catch (error) {
      const mayBeUncommitted = !newest && session.database.hasUncommitted && !this.#retried;
      if (!(error instanceof SqliteError) || !mayBeUncommitted) throw error;
      this.#retryWhenCommitted();
      return 'retry';
    }
    if (own === undefined || (own.statement.facts & FACT_JOURNAL_MODE) === 0) return own;
    // dqlite runs in WAL mode, and says so.
    own.statement.finalize();
    return { statement: connection.prepareOwn("SELECT 'wal' AS journal_mode"), tail: own.tail };
  }

  #waitForLock(connection: Connection, own: OwnStatement, kind: StatementKind): Outcome {
    const session = this.#session;
    const { file } = connection;
    const { store, lock } = session.database;
    if (file.lock === LOCK_SHARED && file.version !== store.newest && !session.ownsWriteLock) {
      // A read transaction whose snapshot is old can never write: only ROLLBACK helps.
      session.finishOwn(this.#request.key, own);
      throw new SqliteError(SQLITE_BUSY_SNAPSHOT, 'database is locked');
    }
    const refusal = session.engine.writeRefusal();
    if (refusal !== undefined) {
      session.finishOwn(this.#request.key, own);
      throw refusal;
    }
    const proceed = (): Outcome => {
      // The undo of versions, or a restart of SQLite, while this waited.
      if (connection.closed) return this.#startAgain();
      this.#checkWrite(own, kind);
      if (connection.autocommit) connection.lookAt('newest');
      file.ticket = true;
      // While the lock was waited for, its owner may have published more.
      this.#mark = Math.max(this.#mark, store.newest);
      return this.#runStatement(connection, own, kind);
    };
    this.#requesting = true;
    this.#grantedAtOnce = false;
    this.#onGranted = proceed;
    this.#waiting = own;
    this.#state = 'waiting';
    // One may have begun since this statement did: between two statements of a script others are answered.
    session.database.closeGroup();
    lock.request(this);
    this.#requesting = false;
    if (!this.#grantedAtOnce) {
      if (session.isLeaving) this.withdraw();
      return 'stop';
    }
    this.#onGranted = undefined;
    this.#waiting = undefined;
    this.#state = 'running';
    return proceed();
  }

  #startAgain(): Outcome {
    const session = this.#session;
    session.releaseLock();
    session.engine.whenReady(() => {
      if (this.#state !== 'ended') this.start();
    });
    return 'stop';
  }

  #checkWrite(own: OwnStatement, kind: StatementKind): void {
    const session = this.#session;
    const { maxVacuumBytes } = session.engine.options;
    let refusal: SqliteError | undefined;
    if (session.deleteOnCommit) {
      refusal = onlyStatement();
    } else if (kind === 'vacuum' && session.database.store.size * PAGE_SIZE > maxVacuumBytes) {
      const message = `VACUUM of a database of more than ${maxVacuumBytes} bytes is refused: it would travel as one transaction`;
      refusal = new SqliteError(SQLITE_TOOBIG, message);
    }
    if (refusal === undefined) return;
    session.finishOwn(this.#request.key, own);
    session.statementEnded(kind, undefined);
    throw refusal;
  }

  #runStatement(connection: Connection, own: OwnStatement, kind: StatementKind): Outcome {
    const session = this.#session;
    const { mode, key } = this.#request;
    const { statement } = own;
    const { engine, database } = session;
    const wasInTransaction = session.inTransaction;
    const isQuery = mode === 'query';
    let failure: SqliteError | undefined;
    let spool: Writer | undefined;
    connection.file.published = 0;
    connection.continueCounting(session);
    try {
      this.#bind(statement);
      // What may write has the lock, so it runs to its end first.
      const mayStream = statement.isReadOnly && kind !== 'pragma' && (statement.facts & FACT_MAY_WRITE) === 0;
      if (isQuery && mayStream && statement.columnCount > 0) {
        this.#streamOwn(connection, own, kind);
        return 'stop';
      }
      engine.sqlite.startClock(engine.options.maxStepMs);
      if (isQuery) spool = new Writer(512);
      // Rows of RETURNING come when everything is done: refusing them must take back the statement, and resetting
      // it would commit. Pragmas give rows too, but some refuse to run inside a savepoint.
      const returning = !statement.isReadOnly && statement.columnCount > 0 && kind !== 'pragma';
      if (returning) this.#runReturning(connection, statement, spool);
      else this.#collect(statement, spool);
      if (wasInTransaction && !statement.isReadOnly) session.transactionWrites++;
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      failure = error;
    }
    session.counted(connection);
    session.finishOwn(key, own);
    if (failure === undefined && kind === 'commit' && session.deleteOnCommit) {
      database.deleteContent();
      connection.file.published = database.store.newest;
    }
    if (connection.file.published > 0) {
      this.#mark = connection.file.published;
      this.#ownMark = true;
      database.published();
    }
    session.statementEnded(kind, failure, kind === 'other' && !statement.isReadOnly);
    if (failure !== undefined) throw failure;
    if (this.#goesOn(own.tail)) return 'next';
    // What ran before it in the text must be committed first.
    const atOnce = this.#offset === 0 && (kind === 'begin' || kind === 'savepoint' || kind === 'rollback');
    if (spool === undefined) this.#succeed(atOnce);
    else this.#deliverSpool(spool, atOnce);
    return 'stop';
  }

  #bind(statement: Statement): void {
    const { parameters, mode } = this.#request;
    if (parameters === undefined) return;
    this.#cursor ??= new ParameterCursor(parameters);
    bindParameters(statement, this.#cursor);
    if (mode === 'query') refuseLeftovers(this.#cursor);
  }

  /** Steps a statement to its end. Rows go to the spool, or are an error without one. */
  #collect(statement: Statement, spool: Writer | undefined): void {
    if (spool === undefined) {
      for (;;) {
        const code = statement.step();
        if (code === SQLITE_DONE) return;
        if (code !== SQLITE_ROW) throw statement.connection.error(code);
        // A statement without columns may "give" rows: `PRAGMA incremental_vacuum`.
        if (statement.columnCount > 0) throw rowsFromExec();
      }
    }
    const { options, sqlite } = this.#session.engine;
    const { maxSpoolBytes, maxStepMs } = options;
    const endMs = maxStepMs === 0 ? Infinity : sqlite.lookedAtMs + maxStepMs;
    const cursor = new Cursor(statement, new RowEncoder(statement, maxSpoolBytes), maxStepMs);
    while (!cursor.fill(spool, maxSpoolBytes)) {
      if (spool.offset > maxSpoolBytes) {
        throw new SqliteError(SQLITE_TOOBIG, `a write returned more than ${maxSpoolBytes} bytes of rows`);
      }
      // All steps together block the others.
      if (sqlite.lookedAtMs > endMs) throw new SqliteError(SQLITE_INTERRUPT, TOO_SLOW);
    }
  }

  /** Runs a write with RETURNING inside a savepoint, so that it can be taken back once its rows are known. */
  #runReturning(connection: Connection, statement: Statement, spool: Writer | undefined): void {
    connection.execute(`SAVEPOINT ${RETURNING_SAVEPOINT}`);
    let failure: SqliteError | undefined;
    try {
      this.#collect(statement, spool);
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      failure = error;
    }
    statement.reset();
    // Some errors have ended the whole transaction already.
    if (failure !== undefined && connection.autocommit) throw failure;
    try {
      // A violated constraint has undone what it should: everything, or with OR FAIL nothing.
      if (failure !== undefined && !isConstraint(failure)) throw failure;
      // In autocommit this is the commit, which may fail: deferred foreign keys.
      connection.execute(`RELEASE ${RETURNING_SAVEPOINT}`);
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      connection.execute(`ROLLBACK TO ${RETURNING_SAVEPOINT}; RELEASE ${RETURNING_SAVEPOINT}`);
      // SQLite has counted what is taken back.
      connection.countFrom(0, this.#session.totalChanges);
      throw error;
    }
    if (failure !== undefined) throw failure;
  }

  /** A read on the client's own connection: inside a transaction, or with connection state. */
  #streamOwn(connection: Connection, own: OwnStatement, kind: StatementKind): void {
    const { options } = this.#session.engine;
    const encoder = new RowEncoder(own.statement, options.maxRowBytes);
    this.#ownRead = { own, kind };
    this.#deliverStream(connection, new Cursor(own.statement, encoder, options.maxStepMs));
  }

  #deliverStream(connection: Connection, cursor: Cursor): void {
    this.#state = 'streaming';
    this.#stream = new RowStream(this.#session.engine, connection, cursor, this);
    this.#answer.rows(this.#stream);
  }

  gate(opened: Opened): void {
    const { database } = this.#session;
    const stream = this.#stream!;
    if (this.#mark <= database.store.committed) {
      database.gate(this.#mark, false, opened);
      return;
    }
    stream.hold();
    database.gate(this.#mark, false, error => {
      stream.release();
      opened(error);
    });
  }

  streamFinished(error: SqliteError | undefined): void {
    if (this.#sharedRead !== undefined) {
      this.#sharedRead.reader.finish(this.#sharedRead, error !== undefined);
    } else if (this.#ownRead !== undefined) {
      this.#session.finishOwn(this.#request.key, this.#ownRead.own);
      this.#session.statementEnded(this.#ownRead.kind, error);
    }
  }

  streamClosed(): void {
    this.#end();
  }

  /** Complete rows, once they may leave. */
  #deliverSpool(spool: Writer, atOnce: boolean): void {
    const { database } = this.#session;
    this.#state = 'gated';
    let sent = false;
    this.#answer.rows({
      mayStop: false,
      fill: writer => {
        if (!sent) writer.raw(spool.written());
        sent = true;
        return true;
      },
      gate: opened => (atOnce ? opened(undefined) : database.gate(this.#mark, this.#ownMark, opened)),
      close: () => this.#end(),
    });
  }

  /** `PRAGMA delete_database` (wire spec section 5.12): takes effect with the COMMIT. */
  #deleteDatabase(connection: Connection, tail: number): Outcome {
    const session = this.#session;
    if (!connection.isWriting) {
      const message = 'PRAGMA delete_database must be run in a write transaction. Use BEGIN IMMEDIATE to start one.';
      throw new SqliteError(SQLITE_ERROR, message);
    }
    if (session.transactionWrites > 0) throw onlyStatement();
    if (!session.database.store.mayShrink) throw new SqliteError(SQLITE_ERROR, SHRINKING_REFUSED);
    session.deleteOnCommit = true;
    if (this.#goesOn(tail)) return 'next';
    this.#answerWithoutRows(false);
    return 'stop';
  }

  /** ROLLBACK of a transaction that the server has ended: there is nothing to roll back. */
  #acknowledgeAbort(): Outcome {
    const session = this.#session;
    const { mode, sql, key } = this.#request;
    session.connection().lookAt('committed');
    const own = session.compileOwn(sql, key, this.#offset);
    if (own === undefined) throw emptyStatement();
    session.finishOwn(key, own);
    if (mode === 'query') this.#checkTail(own.tail);
    session.acknowledgeAbort();
    if (this.#goesOn(own.tail)) return 'next';
    this.#answerWithoutRows(true);
    return 'stop';
  }

  /** Whether another statement follows in a script, which is the next one then. */
  #goesOn(tail: number): boolean {
    const { mode, sql } = this.#request;
    if (mode !== 'script' || !hasStatement(sql, tail)) return false;
    this.#offset = tail;
    return true;
  }

  /** RESULT, or ROWS without columns, whichever the request wants. */
  #answerWithoutRows(atOnce: boolean): void {
    if (this.#request.mode !== 'query') {
      this.#succeed(atOnce);
      return;
    }
    const rows = new Writer(32);
    const start = beginMessage(rows, responseType.rows);
    writeColumns(rows, []);
    writeRowsEnd(rows, true);
    endMessage(rows, start);
    this.#deliverSpool(rows, atOnce);
  }

  /** Answers RESULT; at once if it tells nothing about the database. */
  #succeed(atOnce: boolean): void {
    const { lastInsertId, changes } = this.#session;
    const deliver = (): void => this.#answer.result(lastInsertId, changes);
    if (!atOnce) {
      this.#gated(deliver);
      return;
    }
    this.#end();
    deliver();
  }

  #fail(error: SqliteError): void {
    this.#gated(() => this.#answer.failed(error));
  }

  #failNow(error: SqliteError): void {
    this.#end();
    this.#answer.failed(error);
  }

  #gated(deliver: () => void): void {
    const { database, engine } = this.#session;
    if (this.#epoch !== database.epoch && this.#mark > database.store.committed) {
      // What this request saw or did was undone meanwhile.
      this.#failNow(engine.writeRefusal() ?? leadershipLost());
      return;
    }
    this.#state = 'gated';
    database.gate(this.#mark, this.#ownMark, error => {
      if (this.#state === 'ended') return;
      this.#end();
      if (error === undefined) deliver();
      else this.#answer.failed(error);
    });
  }

  #end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#session.executionEnded();
  }
}

function onlyStatement(): SqliteError {
  return new SqliteError(SQLITE_ERROR, 'PRAGMA delete_database must be the only statement run in the transaction.');
}

function isConstraint({ code }: SqliteError): boolean {
  return (code & 0xff) === SQLITE_CONSTRAINT;
}
