/**
 * Autocommit writes of many clients as one SQLite transaction. All that arrive while the log is busy with the batch
 * before theirs travel together anyway and are answered together; executed in one transaction on one connection,
 * they also share its beginning, its page cache and the writing of pages that several of them change.
 *
 * Each statement keeps what it would have by itself: an error undoes that statement alone (statements roll back by
 * themselves inside a transaction), and counters are read right after it. Where SQLite cannot give that, the group
 * is rolled back and its statements run again, each for itself: errors that end the whole transaction (OR
 * ROLLBACK, out of space, time limit), a deferred foreign key that is violated (alone the statement would have
 * failed at its commit), a COMMIT that fails. Nobody has been answered by then.
 *
 * A group holds the write lock from its first statement until `close`. It never makes others wait: whoever needs the
 * lock or the newest version closes it first.
 */

import { PAGE_SIZE } from '../pages/index.ts';
import {
  SQLITE_DONE,
  SQLITE_FULL,
  SQLITE_IOERR,
  SQLITE_NOMEM,
  SqliteError,
  type ClientCounters,
  type Connection,
  type Sqlite,
  type Statement,
} from '../sqlite/index.ts';
import { ParameterCursor, type ParameterTuple } from '../wire/index.ts';
import { bindParameters } from './bind.ts';
import type { Database } from './database.ts';
import { BATCH_BYTES, type EngineOptions } from './options.ts';
import { StatementCache } from './statement-cache.ts';

/** What became of a member's statement: the client's counters after it, and its error. */
export interface GroupedOutcome extends ClientCounters {
  readonly error: SqliteError | undefined;
}

/** An execution whose statement may join. */
export interface GroupMember {
  readonly sql: Uint8Array;
  readonly key: string;
  readonly parameters: ParameterTuple | undefined;
  /** The client's counters before the statement. */
  readonly counters: ClientCounters;
  /** The statement has run, in the version `mark`; `own` if the group has made that version. */
  grouped(outcome: GroupedOutcome, mark: number, own: boolean): void;
  /** The group was rolled back: the statement must run again, alone. */
  ungrouped(): void;
  /** The group is lost, and with it what the statement did. */
  refused(error: SqliteError): void;
}

interface Ran {
  readonly member: GroupMember;
  readonly outcome: GroupedOutcome;
}

/** Statements in one group; more would make the transaction's journal and the wait for its answers long. */
const MAX_MEMBERS = 1000;

export class WriteGroup {
  readonly #database: Database;
  readonly #sqlite: Sqlite;
  readonly #options: EngineOptions;
  readonly #connection: Connection;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #rollback: Statement;
  readonly #cache: StatementCache<Statement>;
  #members: Ran[] = [];
  /** Newest version when the group began. */
  #base = 0;
  /** Schema cookie of the version that the group works on. */
  #cookie = 0;
  isOpen = false;

  /** Throws SqliteError. */
  constructor(database: Database, sqlite: Sqlite, options: EngineOptions) {
    this.#database = database;
    this.#sqlite = sqlite;
    this.#options = options;
    this.#connection = sqlite.open(database.store, 'shared');
    this.#connection.lookAt('newest');
    this.#begin = this.#connection.prepareOwn('BEGIN IMMEDIATE');
    this.#commit = this.#connection.prepareOwn('COMMIT');
    this.#rollback = this.#connection.prepareOwn('ROLLBACK');
    this.#cache = new StatementCache(statement => statement.finalize());
  }

  /** Runs a member's statement, if the group can take it. Its answer comes with `close`. */
  run(member: GroupMember): boolean {
    if (!this.isOpen && !this.#open()) return false;
    const connection = this.#connection;
    const statement = this.#compile(member);
    if (statement === undefined) return false;
    const outcome = this.#execute(statement, member);
    this.#members.push({ member, outcome });
    statement.reset();
    if (this.#cache.accepts(member.key)) statement.clearBindings();
    else statement.finalize();
    if (this.#members.length === 1) this.#database.grouped();
    const { set } = connection.file;
    if (connection.autocommit || connection.hasDeferredViolations || isOfGroup(outcome.error)) this.#dissolve();
    else if (this.#members.length >= MAX_MEMBERS || (set !== undefined && set.pageCount * PAGE_SIZE >= BATCH_BYTES))
      this.close();
    return true;
  }

  /** Commits what has run, publishes it as one version and tells the members. */
  close(): void {
    if (!this.isOpen) return;
    const { file } = this.#connection;
    file.published = 0;
    const code = this.#commit.step();
    this.#commit.reset();
    if (code !== SQLITE_DONE) {
      this.#dissolve();
      return;
    }
    const own = file.published > 0;
    const mark = own ? file.published : this.#base;
    const members = this.#end();
    if (own) this.#database.published();
    for (const { member, outcome } of members) member.grouped(outcome, mark, own);
    this.#database.lock.release(this);
  }

  /** Gives the connection up. What has run is lost; its members are given back, to be told why. */
  dispose(): GroupMember[] {
    const members = this.#end().map(({ member }) => member);
    if (this.#sqlite.broken === undefined) this.#connection.close();
    this.#database.lock.release(this);
    return members;
  }

  #execute(statement: Statement, { parameters, counters }: GroupMember): GroupedOutcome {
    const connection = this.#connection;
    connection.continueCounting(counters);
    let error: SqliteError | undefined;
    try {
      if (parameters !== undefined) bindParameters(statement, new ParameterCursor(parameters));
      this.#sqlite.startClock(this.#options.maxStepMs);
      const code = statement.step();
      if (code !== SQLITE_DONE) error = connection.error(code);
    } catch (failure) {
      if (!(failure instanceof SqliteError)) throw failure;
      error = failure;
    }
    const { lastInsertId, changes, totalChanges } = connection;
    return { error, lastInsertId, changes, totalChanges };
  }

  #open(): boolean {
    const { lock, store } = this.#database;
    if (!lock.take(this)) return false;
    this.#base = store.newest;
    this.#cookie = store.schemaCookieAt(store.newest);
    this.#connection.file.ticket = true;
    const code = this.#begin.step();
    this.#begin.reset();
    if (code !== SQLITE_DONE) {
      this.#connection.file.ticket = false;
      lock.release(this);
      return false;
    }
    this.isOpen = true;
    return true;
  }

  /** The member's statement on this connection; undefined if it is none for a group. */
  #compile({ sql, key }: GroupMember): Statement | undefined {
    const cached = this.#cache.get(key, this.#cookie);
    if (cached !== undefined) return cached;
    let statement: Statement | undefined;
    try {
      ({ statement } = this.#connection.prepare(sql, 0, true));
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      return undefined;
    }
    if (statement === undefined) return undefined;
    if (statement.isReadOnly || statement.columnCount > 0 || statement.facts !== 0) {
      statement.finalize();
      return undefined;
    }
    if (this.#cache.accepts(key)) this.#cache.set(key, statement);
    return statement;
  }

  /** Takes everything back; the members run again, each for itself. */
  #dissolve(): void {
    if (!this.#connection.autocommit) {
      this.#rollback.step();
      this.#rollback.reset();
    }
    this.#connection.letGo();
    const members = this.#end();
    this.#database.lock.release(this);
    for (const { member } of members) member.ungrouped();
  }

  #end(): Ran[] {
    const members = this.#members;
    this.#members = [];
    this.isOpen = false;
    this.#connection.file.ticket = false;
    return members;
  }
}

/** Whether the others of the group may be to blame for an error: together they need more. */
function isOfGroup(error: SqliteError | undefined): boolean {
  const code = error === undefined ? 0 : error.code & 0xff;
  return code === SQLITE_NOMEM || code === SQLITE_FULL || code === SQLITE_IOERR;
}
