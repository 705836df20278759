/**
 * A SQLite connection over a page store, set up as dqlite's are (wire spec section 6.1): foreign keys on,
 * double-quoted strings allowed, extended result codes, no busy handler; and with the limits of design rule 25.
 */

import { assert } from '../lib/assert.ts';
import type { PageStore } from '../pages/index.ts';
import { authorize, FACT_SESSION } from './authorizer.ts';
import {
  AUTHORIZER_DENY,
  DBCONFIG_DEFENSIVE,
  DBCONFIG_DQS_DDL,
  DBCONFIG_DQS_DML,
  DBCONFIG_ENABLE_FKEY,
  DBSTATUS_DEFERRED_FKS,
  LIMIT_LENGTH,
  LIMIT_LIKE_PATTERN_LENGTH,
  LOCK_NONE,
  OPEN_READWRITE_CREATE,
  PREPARE_PERSISTENT,
  SQLITE_DONE,
  SQLITE_ERROR,
  SQLITE_FULL,
  SQLITE_INTERRUPT,
  SQLITE_IOERR,
  SQLITE_IOERR_NOMEM,
  SQLITE_NOMEM,
  SQLITE_OK,
  SQLITE_ROW,
  TXN_WRITE,
} from './constants.ts';
import { findCounters, readCounter, writeCounter } from './counters.ts';
import { SqliteError, TOO_SLOW } from './error.ts';
import { MainFile, type View } from './main-file.ts';
import type { Sqlite } from './sqlite.ts';
import { Statement } from './statement.ts';
import { findValueLayout } from './value-layout.ts';
import { Budget } from './temp-file.ts';
import type { Pointer } from './wasm.ts';

/**
 * `shared`: used by all clients for autocommit reads, so a statement that needs or leaves connection state does
 * not compile there. `session`: belongs to one client.
 */
export type Role = 'shared' | 'session';

/** What `last_insert_rowid()`, `changes()` and `total_changes()` give a client. */
export interface ClientCounters {
  readonly lastInsertId: bigint;
  readonly changes: number;
  readonly totalChanges: number;
}

/** LIKE and GLOB patterns recurse on the native stack: 24 kB of pattern overflow it. */
export const MAX_PATTERN_LENGTH = 1000;
/** Page cache of temporary tables: SQLite's usual one. This build's, 16 MiB, is too much of a heap that all share. */
const TEMP_CACHE_KIB = 2000;

/** SQLite's build for WebAssembly takes such texts for UTF-8: it would fail, or write a schema that nobody can read. */
const UTF16 =
  'the database is encoded in UTF-16, and SQL needs UTF-8 here: export it, convert it (sqlite3 old.db .dump | sqlite3 new.db) and import it under another name';

const encoder = new TextEncoder();

export class Connection {
  readonly sqlite: Sqlite;
  readonly role: Role;
  readonly file: MainFile;
  readonly pointer: Pointer;
  readonly #budget: Budget;
  /** Where SQLite keeps its counters. */
  readonly #changes: Pointer;
  readonly #totalChanges: Pointer;
  /** What the authorizer learnt during the compilation that runs. */
  #facts = 0;
  /** SQL of our own is running: no authorization. */
  #trusted = true;
  #compiling = false;
  /** Schema cookie that this connection's schema was read at, -1 before the first time. */
  #schemaCookie = -1;
  #schemaProbe: Statement | undefined = undefined;
  /** Compiled here and not finalized. SQLite knows of more: virtual tables have some, which are theirs to finalize. */
  readonly statements: Set<Statement> = new Set();
  /** Closed: its statements are gone. */
  closed = false;

  constructor(sqlite: Sqlite, store: PageStore, role: Role) {
    this.sqlite = sqlite;
    this.role = role;
    this.file = new MainFile(store);
    if (this.file.isUtf16) throw new SqliteError(SQLITE_ERROR, UTF16);
    this.#budget = new Budget(sqlite.limits.tempBytesPerConnection, sqlite.tempBudget);
    const { exports, heap, vfs } = sqlite;
    const name = sqlite.takeScratch(8);
    heap.bytes.set(encoder.encode('dqlite\0'), name);
    vfs.opening = this.file;
    const code = exports.sqlite3_open_v2(name, sqlite.out, OPEN_READWRITE_CREATE, 0);
    vfs.opening = undefined;
    this.pointer = heap.uint32(sqlite.out);
    if (code !== SQLITE_OK) {
      if (this.pointer !== 0) exports.sqlite3_close_v2(this.pointer);
      throw new SqliteError(code, 'the database could not be opened');
    }
    sqlite.counters ??= findCounters(exports, heap, this.pointer);
    this.#changes = this.pointer + sqlite.counters.changes;
    this.#totalChanges = this.pointer + sqlite.counters.totalChanges;
    sqlite.connections.add(this);
    try {
      this.#setUp();
    } catch (error) {
      if (error instanceof SqliteError) this.close();
      throw error;
    }
  }

  #setUp(): void {
    const { sqlite } = this;
    const { exports } = sqlite;
    exports.sqlite3_extended_result_codes(this.pointer, 1);
    exports.sqlite3_set_authorizer(this.pointer, sqlite.authorizerCallback, 0);
    for (const option of [DBCONFIG_ENABLE_FKEY, DBCONFIG_DEFENSIVE, DBCONFIG_DQS_DML, DBCONFIG_DQS_DDL]) {
      exports.sqlite3__wasm_db_config_ip(this.pointer, option, 1, 0);
    }
    exports.sqlite3_limit(this.pointer, LIMIT_LENGTH, sqlite.limits.maxValueBytes);
    exports.sqlite3_limit(this.pointer, LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_LENGTH);
    this.execute(
      `PRAGMA page_size=4096; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA temp_store=1;
       PRAGMA hard_heap_limit=${sqlite.limits.heapBytes}; PRAGMA cache_size=-${sqlite.limits.cacheKib};
       PRAGMA temp.cache_size=-${TEMP_CACHE_KIB}`,
    );
    sqlite.stringFunctions.define(this.pointer);
    exports.sqlite3_progress_handler(this.pointer, sqlite.progressOpcodes, sqlite.progressCallback, 0);
    sqlite.valueLayout ??= findValueLayout(this);
  }

  get autocommit(): boolean {
    return this.sqlite.exports.sqlite3_get_autocommit(this.pointer) !== 0;
  }

  /** Whether a transaction has begun to write to the database (not only to temporary tables). */
  get isWriting(): boolean {
    return this.sqlite.exports.sqlite3_txn_state(this.pointer, this.sqlite.mainSchema) === TXN_WRITE;
  }

  get changes(): number {
    return readCounter(this.sqlite.heap, this.#changes);
  }

  /** Sets what `changes()` and `total_changes()` count from. */
  countFrom(changes: number, totalChanges: number): void {
    writeCounter(this.sqlite.heap, this.#changes, changes);
    writeCounter(this.sqlite.heap, this.#totalChanges, totalChanges);
  }

  /** Takes over a client's counters before a statement: some of the client's statements have run elsewhere. */
  continueCounting(client: ClientCounters): void {
    this.countFrom(client.changes, client.totalChanges);
    this.lastInsertId = client.lastInsertId;
  }

  get totalChanges(): number {
    return readCounter(this.sqlite.heap, this.#totalChanges);
  }

  /** Foreign keys are violated that will be checked at the commit. */
  get hasDeferredViolations(): boolean {
    const { exports, heap, out } = this.sqlite;
    exports.sqlite3_db_status(this.pointer, DBSTATUS_DEFERRED_FKS, out, out + 4, 0);
    return heap.uint32(out) !== 0;
  }

  get lastInsertId(): bigint {
    return this.sqlite.exports.sqlite3_last_insert_rowid(this.pointer);
  }

  set lastInsertId(rowid: bigint) {
    this.sqlite.exports.sqlite3_set_last_insert_rowid(this.pointer, rowid);
  }

  /**
   * Chooses the version that the next transaction reads. SQLite parses the schema again by itself when a statement
   * starts on another one, but not when it compiles: what it has parsed last is unknown from here on.
   */
  lookAt(view: View): void {
    if (this.file.view === view) return;
    this.file.view = view;
    this.#schemaCookie = -1;
  }

  /** Makes this the connection that callbacks mean. To be called before anything that compiles or steps. */
  activate(): void {
    this.sqlite.active = this;
    this.sqlite.vfs.budget = this.#budget;
  }

  /**
   * Compiles the first statement of `sql` from `offset` on; undefined if there is none (blanks, comments).
   * `facts` and `denied` of the connection tell more afterwards, also after an error.
   */
  prepare(sql: Uint8Array, offset = 0, persistent = false): { statement: Statement | undefined; tail: number } {
    const { sqlite } = this;
    this.activate();
    sqlite.restartClock();
    this.readSchema();
    const size = sql.length - offset;
    const text = sqlite.takeText(sql, offset);
    this.#facts = 0;
    this.#compiling = true;
    sqlite.isLimited = true;
    const flags = persistent ? PREPARE_PERSISTENT : 0;
    const code = sqlite.exports.sqlite3_prepare_v3(this.pointer, text, size + 1, flags, sqlite.out, sqlite.out + 4);
    sqlite.isLimited = false;
    this.#compiling = false;
    const pointer = sqlite.heap.uint32(sqlite.out);
    const end = sqlite.heap.uint32(sqlite.out + 4);
    if (code !== SQLITE_OK || pointer === 0 || end === text + size) sqlite.dropText();
    if (code !== SQLITE_OK) throw this.error(code);
    const statement = pointer === 0 ? undefined : new Statement(this, pointer, this.#facts);
    if (statement !== undefined) this.statements.add(statement);
    return { statement, tail: offset + end - text };
  }

  /** What the last compilation was found to touch (FACT_*), also if it failed. */
  get facts(): number {
    return this.#facts;
  }

  /** Compiles SQL of our own and keeps it: no authorization, must succeed. */
  prepareOwn(sql: string): Statement {
    this.#trusted = true;
    this.activate();
    try {
      const { statement } = this.prepare(encoder.encode(sql), 0, true);
      assert(statement !== undefined, 'an empty statement of our own');
      return statement;
    } finally {
      this.#trusted = false;
    }
  }

  /** Runs SQL of our own, without authorization and results. */
  execute(sql: string): void {
    const { sqlite } = this;
    this.activate();
    sqlite.restartClock();
    this.#trusted = true;
    const text = encoder.encode(`${sql}\0`);
    const pointer = sqlite.takeScratch(text.length);
    sqlite.heap.bytes.set(text, pointer);
    const code = sqlite.exports.sqlite3_exec(this.pointer, pointer, 0, 0, 0);
    sqlite.giveScratch(pointer);
    this.#trusted = false;
    if (code !== SQLITE_OK) throw this.error(code);
  }

  /**
   * Ends a read transaction that nobody needs. An R-Tree whose statement was rolled back leaves one: SQLite closes its
   * blob when it has unlocked already, and ends the transaction of that with the next statement.
   */
  letGo(): void {
    if (this.autocommit && this.file.lock !== LOCK_NONE) this.execute('SELECT 1 FROM sqlite_schema LIMIT 0');
  }

  /** Ends an open transaction. If SQLite will not, it stays open. */
  rollBack(): void {
    try {
      this.execute('ROLLBACK');
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
    }
  }

  /** The authorizer's answer for this connection. */
  authorize(action: number, first: Pointer, second: Pointer, schema: Pointer): number {
    if (this.#trusted) return SQLITE_OK;
    const verdict = authorize(this.sqlite.heap, action, first, second, schema);
    // Statements that SQLite runs for its own purposes (FTS5, VACUUM) are compiled while another one steps.
    if (!this.#compiling) return verdict.answer;
    this.#facts |= verdict.facts;
    return this.role === 'shared' && (verdict.facts & FACT_SESSION) !== 0 ? AUTHORIZER_DENY : verdict.answer;
  }

  /** The error of the last call on this connection, with the cause that a callback has recorded in place of SQLite's words. */
  error(code: number): SqliteError {
    const { exports, heap, vfs } = this.sqlite;
    const primary = code & 0xff;
    // A cause that SQLite has dealt with by itself says nothing about this error.
    const ofCallback = primary === SQLITE_IOERR || primary === SQLITE_FULL || primary === SQLITE_INTERRUPT;
    const isLate = vfs.cause === TOO_SLOW;
    const cause = ofCallback ? vfs.cause : undefined;
    vfs.cause = undefined;
    // Memory was refused to what had run for too long.
    if (isLate && (code === SQLITE_NOMEM || code === SQLITE_IOERR_NOMEM))
      return new SqliteError(SQLITE_INTERRUPT, TOO_SLOW);
    if (code === SQLITE_NOMEM) return new SqliteError(code, 'out of memory');
    const message = cause ?? heap.string(exports.sqlite3_errmsg(this.pointer)) ?? 'unknown error';
    return new SqliteError(code, message, exports.sqlite3_error_offset(this.pointer));
  }

  /** Lets go of the page store without a call into a broken instance. */
  abandon(): void {
    this.closed = true;
    this.file.drop();
  }

  /** Finalizes all statements and closes. A rollback is implied. */
  close(): void {
    const { exports, connections } = this.sqlite;
    this.closed = true;
    this.activate();
    for (const statement of this.statements) exports.sqlite3_finalize(statement.pointer);
    this.statements.clear();
    const code = exports.sqlite3_close_v2(this.pointer);
    connections.delete(this);
    this.sqlite.active = undefined;
    // close_v2 answers OK and leaves a zombie when a statement is left.
    assert(code === SQLITE_OK && !this.file.isOpen, 'a connection did not close');
  }

  /**
   * SQLite compiles with the schema it has parsed last, whatever version the connection looks at now. If the
   * schema cookie at this view is another one, a statement that reads the schema brings it up to date.
   */
  readSchema(): void {
    const cookie = this.file.schemaCookie;
    if (cookie === this.#schemaCookie || this.#trusted) return;
    this.#schemaProbe ??= this.prepareOwn('SELECT 1 FROM sqlite_schema LIMIT 0');
    const code = this.#schemaProbe.step();
    this.#schemaProbe.reset();
    if (code !== SQLITE_DONE && code !== SQLITE_ROW) throw this.error(code);
    this.#schemaCookie = cookie;
  }
}
