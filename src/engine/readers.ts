/**
 * Connections for autocommit reads, shared by all clients of a database. They only ever look at committed versions
 * (design rule 6), and keep a read transaction open while the committed version stays the same: then a read costs
 * no callback at all. Statements are cached by their text, so that a thousand clients share one.
 *
 * A reader serves one result at a time. Most are complete at once; a reader whose rows are still being sent stays at
 * its version and is nobody else's, so that what one client does (out of memory, say) never ends another's result.
 */

import type { PageStore } from '../pages/index.ts';
import {
  FACT_SESSION,
  SqliteError,
  SQLITE_ROW,
  type Connection,
  type Sqlite,
  type Statement,
} from '../sqlite/index.ts';
import { RowEncoder } from './row-encoder.ts';
import { hasStatement, statementKind } from './sql-text.ts';
import { StatementCache } from './statement-cache.ts';

/** Readers kept when nobody streams from them. */
const IDLE_READERS = 2;

/** Gives one row and stays active, which keeps the read transaction open. */
const KEEPER = 'SELECT 1 UNION ALL SELECT 1 FROM sqlite_schema';

export interface ReadStatement {
  readonly reader: Reader;
  readonly statement: Statement;
  readonly encoder: RowEncoder;
  readonly key: string;
  /** Where the text goes on after the statement. */
  readonly tail: number;
  readonly cached: boolean;
}

export type Compiled =
  | { readonly kind: 'read'; readonly read: ReadStatement }
  /** It writes; `mayJoin`: the whole text is one INSERT, UPDATE or DELETE without rows, which a group can take. */
  | { readonly kind: 'write'; readonly parameterCount: number; readonly tail: number; readonly mayJoin: boolean }
  /** It needs the client's own connection. */
  | { readonly kind: 'session' }
  /** There is no statement in the text. */
  | { readonly kind: 'empty' }
  | { readonly kind: 'error'; readonly error: SqliteError };

export class Reader {
  readonly connection: Connection;
  readonly #keeper: Statement;
  readonly #maxRowBytes: number;
  /** The version that the open transaction reads, 0 if none is open. */
  version = 0;
  /** A result is being sent. */
  busy = false;
  /** To be closed once its result is sent. */
  retired = false;
  readonly #cache = new StatementCache<ReadStatement>(read => read.statement.finalize());
  /** Schema cookie at the version. */
  #cookie = -1;

  constructor(sqlite: Sqlite, store: PageStore, maxRowBytes: number) {
    this.connection = sqlite.open(store, 'shared');
    this.#maxRowBytes = maxRowBytes;
    this.#keeper = this.connection.prepareOwn(KEEPER);
  }

  /** Looks at the committed version. Nothing may be streaming. */
  renew(): void {
    const { store } = this.connection.file;
    if (this.version === store.committed) return;
    this.release();
    const code = this.#keeper.step();
    if (code !== SQLITE_ROW) {
      this.#keeper.reset();
      throw this.connection.error(code);
    }
    this.version = store.committed;
    this.#cookie = store.schemaCookieAt(this.version);
  }

  /** Lets go of the version. */
  release(): void {
    if (this.version === 0) return;
    this.#keeper.reset();
    this.version = 0;
  }

  compile(sql: Uint8Array, key: string): Compiled {
    const present = this.#cache.get(key, this.#cookie);
    if (present !== undefined) return { kind: 'read', read: present };
    try {
      return this.#compile(sql, key);
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      return (this.connection.facts & FACT_SESSION) !== 0 ? { kind: 'session' } : { kind: 'error', error };
    }
  }

  #compile(sql: Uint8Array, key: string): Compiled {
    const { statement, tail } = this.connection.prepare(sql, 0, true);
    if (statement === undefined) return { kind: 'empty' };
    if (!statement.isReadOnly) {
      const { parameterCount, columnCount } = statement;
      statement.finalize();
      const mayJoin = columnCount === 0 && !hasStatement(sql, tail) && statementKind(sql) === 'change';
      return { kind: 'write', parameterCount, tail, mayJoin };
    }
    const cached = this.#cache.accepts(key);
    const encoder = new RowEncoder(statement, this.#maxRowBytes);
    const read: ReadStatement = { reader: this, statement, encoder, key, tail, cached };
    if (cached) this.#cache.set(key, read);
    return { kind: 'read', read };
  }

  /** What was compiled is not going to run. */
  abandon({ cached, statement }: ReadStatement): void {
    if (!cached) statement.finalize();
  }

  /** Ends an execution; a statement outside the cache is gone then. */
  finish(read: ReadStatement, failed: boolean): void {
    this.busy = false;
    if (this.retired) {
      this.connection.close();
      return;
    }
    if (read.cached) {
      read.statement.reset();
      read.statement.clearBindings();
    } else {
      read.statement.finalize();
    }
    // Some errors end the transaction that the keeper holds. A version that was left behind keeps its pages.
    if (failed || this.version !== this.connection.file.store.committed) this.release();
  }
}

export class Readers {
  readonly #sqlite: Sqlite;
  readonly #store: PageStore;
  readonly #maxRowBytes: number;
  readonly #readers: Reader[] = [];
  /** Texts that were found to be something else than a shared read, with what they are. */
  readonly #others = new StatementCache<Compiled>(() => {});

  constructor(sqlite: Sqlite, store: PageStore, maxRowBytes: number) {
    this.#sqlite = sqlite;
    this.#store = store;
    this.#maxRowBytes = maxRowBytes;
  }

  /** What a text is at the committed version; a shared read comes compiled. */
  compile(sql: Uint8Array, key: string): Compiled {
    const other = this.#others.get(key, this.#store.schemaCookieAt(this.#store.committed));
    if (other !== undefined) return other;
    const compiled = this.acquire().compile(sql, key);
    const isKnown = compiled.kind === 'write' || compiled.kind === 'session';
    if (isKnown && this.#others.accepts(key)) this.#others.set(key, compiled);
    return compiled;
  }

  /** A reader that looks at the committed version and has nothing else to do. */
  acquire(): Reader {
    let idle: Reader | undefined;
    for (const reader of this.#readers) {
      if (reader.busy) continue;
      if (reader.version === this.#store.committed) return reader;
      idle = reader;
    }
    if (idle === undefined) {
      idle = new Reader(this.#sqlite, this.#store, this.#maxRowBytes);
      this.#readers.push(idle);
    }
    idle.renew();
    return idle;
  }

  /** The committed version has moved: nobody needs the old one but for what is being streamed. */
  committedMoved(): void {
    let idle = 0;
    for (let i = this.#readers.length - 1; i >= 0; i--) {
      const reader = this.#readers[i]!;
      if (reader.busy) continue;
      reader.release();
      if (++idle > IDLE_READERS) {
        reader.connection.close();
        this.#readers.splice(i, 1);
      }
    }
  }

  /** Closes all connections, those that are busy as soon as they can be. */
  retire(): void {
    for (const reader of this.#readers) {
      if (reader.busy) reader.retired = true;
      else reader.connection.close();
    }
    this.#readers.length = 0;
  }

  close(): void {
    for (const reader of this.#readers) reader.connection.close();
    this.#readers.length = 0;
  }
}
