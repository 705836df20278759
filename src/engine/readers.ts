/**
 * Connections for autocommit reads, shared by all clients of a database. They only ever look at committed versions
 * (design rule 6), and keep a read transaction open while the committed version stays the same: then a read costs
 * no callback at all. Statements are cached by their text, so that a thousand clients share one.
 *
 * A reader serves one result at a time. Most are complete at once; a reader whose rows are still being sent stays at
 * its version and is nobody else's, so that what one client does (out of memory, say) never ends another's result.
 */

import type { PageStore } from '../pages/index.ts';
import { schemaCookie } from '../pages/index.ts';
import {
  FACT_SESSION,
  SqliteError,
  SQLITE_ROW,
  type Connection,
  type Sqlite,
  type Statement,
} from '../sqlite/index.ts';
import { RowEncoder } from './row-encoder.ts';

/** Statements kept compiled per reader. */
const CACHED_STATEMENTS = 200;
/** Texts longer than this are not worth a place in the cache. */
export const CACHED_TEXT_SIZE: number = 16 * 1024;
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
  /** It writes: to be run on the client's own connection. */
  | { readonly kind: 'write'; readonly parameterCount: number; readonly tail: number }
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
  readonly #cache = new Map<string, ReadStatement>();
  /** Texts that were found to be something else than a shared read, with what they are. */
  readonly #others = new Map<string, Compiled>();
  /** Schema cookie that the cache belongs to. */
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
    const image = store.imageAt(1, this.version);
    const cookie = schemaCookie(store.slabs.bytesOf(image), store.slabs.offsetOf(image));
    if (cookie === this.#cookie) return;
    // What a statement touches was found out under another schema.
    this.#cookie = cookie;
    for (const read of this.#cache.values()) read.statement.finalize();
    this.#cache.clear();
    this.#others.clear();
  }

  /** Lets go of the version. */
  release(): void {
    if (this.version === 0) return;
    this.#keeper.reset();
    this.version = 0;
  }

  compile(sql: Uint8Array, key: string): Compiled {
    const present = this.#cache.get(key);
    if (present !== undefined) return { kind: 'read', read: present };
    const other = this.#others.get(key);
    if (other !== undefined) return other;
    try {
      return this.#compile(sql, key);
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      if ((this.connection.facts & FACT_SESSION) !== 0) return this.#remember(key, { kind: 'session' });
      return { kind: 'error', error };
    }
  }

  #compile(sql: Uint8Array, key: string): Compiled {
    const { statement, tail } = this.connection.prepare(sql, 0, true);
    if (statement === undefined) return { kind: 'empty' };
    if (!statement.isReadOnly) {
      const { parameterCount } = statement;
      statement.finalize();
      return this.#remember(key, { kind: 'write', parameterCount, tail });
    }
    const cached = key.length <= CACHED_TEXT_SIZE;
    const encoder = new RowEncoder(statement, this.#maxRowBytes);
    const read: ReadStatement = { reader: this, statement, encoder, key, tail, cached };
    if (cached) {
      evict(this.#cache, old => old.statement.finalize());
      this.#cache.set(key, read);
    }
    return { kind: 'read', read };
  }

  /** Ends an execution; a statement outside the cache is gone then. */
  finish(read: ReadStatement, failed: boolean): void {
    this.busy = false;
    if (read.cached) {
      read.statement.reset();
      read.statement.clearBindings();
    } else {
      read.statement.finalize();
    }
    // Some errors end the transaction that the keeper holds.
    if (failed) this.release();
  }

  #remember(key: string, compiled: Compiled): Compiled {
    if (key.length <= CACHED_TEXT_SIZE) {
      evict(this.#others, () => {});
      this.#others.set(key, compiled);
    }
    return compiled;
  }
}

/** Makes room in a cache: the entry that came first goes. */
function evict<T>(cache: Map<string, T>, drop: (value: T) => void): void {
  if (cache.size < CACHED_STATEMENTS) return;
  for (const [key, value] of cache) {
    drop(value);
    cache.delete(key);
    return;
  }
}

export class Readers {
  readonly #sqlite: Sqlite;
  readonly #store: PageStore;
  readonly #maxRowBytes: number;
  readonly #readers: Reader[] = [];

  constructor(sqlite: Sqlite, store: PageStore, maxRowBytes: number) {
    this.#sqlite = sqlite;
    this.#store = store;
    this.#maxRowBytes = maxRowBytes;
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

  close(): void {
    for (const reader of this.#readers) reader.connection.close();
    this.#readers.length = 0;
  }
}
