/**
 * What the tests of SQLite over the page store share: an instance with a store, a clock that the test moves, running
 * SQL to JavaScript values, a stock SQLite database to compare with, the raw callbacks of the VFS, and images of a
 * database as nodes and followers have them.
 */

import assert from 'node:assert/strict';
import { sameBytes } from '../host/index.ts';
import { SeededRandom } from '../lib/random.ts';
import { PAGE_SIZE, PageSlabs, PageStore, readUint32, type Batch } from '../pages/index.ts';
import type { Connection, Statement } from './index.ts';
import {
  LOCK_NONE,
  Sqlite,
  SQLITE_DONE,
  SQLITE_ROW,
  SqliteError,
  TYPE_BLOB,
  TYPE_FLOAT,
  TYPE_INTEGER,
  TYPE_TEXT,
  type Environment,
  type Pointer,
  type Role,
  type SqliteLimits,
  type View,
} from './index.ts';

export type Value = number | bigint | string | null | Buffer;
export type Row = Value[];

const MIB = 1024 * 1024;

export const testLimits: SqliteLimits = {
  maxValueBytes: 128 * MIB,
  maxTransactionBytes: 64 * MIB,
  heapBytes: 1024 * MIB,
  tempBytesPerConnection: 256 * MIB,
  tempBytes: 1024 * MIB,
  cacheKib: 1024,
};

/** A clock that stands still, or goes on by `tickMs` each time it is looked at; random numbers from a seed. */
export class TestEnvironment implements Environment {
  nowMs = 1000;
  tickMs = 0;
  readonly sameBytes: Environment['sameBytes'] = sameBytes;
  wall: number = Date.UTC(2026, 10, 22, 12, 0, 0);
  readonly #random = new SeededRandom(1);

  wallMs(): number {
    return this.wall;
  }

  monotonicMs(): number {
    return (this.nowMs += this.tickMs);
  }

  fillRandom(bytes: Uint8Array): void {
    this.#random.fill(bytes);
  }
}

export interface ConnectOptions {
  readonly role?: Role;
  readonly view?: View;
  readonly ticket?: boolean;
  readonly store?: PageStore;
  /** Pages of page cache: few make SQLite spill. */
  readonly cachePages?: number;
}

/** A SQLite instance and one database. */
export class World {
  sqlite: Sqlite;
  readonly environment: TestEnvironment;
  readonly slabs: PageSlabs = new PageSlabs();
  store: PageStore = new PageStore(this.slabs);
  readonly #limits: SqliteLimits;

  private constructor(sqlite: Sqlite, environment: TestEnvironment, limits: SqliteLimits) {
    this.sqlite = sqlite;
    this.environment = environment;
    this.#limits = limits;
  }

  static async create(limits: Partial<SqliteLimits> = {}): Promise<World> {
    const environment = new TestEnvironment();
    const all = { ...testLimits, ...limits };
    return new World(await Sqlite.create(environment, all), environment, all);
  }

  /** A connection; unless told otherwise a client's own one that may write. */
  connect(options: ConnectOptions = {}): Connection {
    const { role = 'session', view = 'newest', store = this.store } = options;
    const connection = this.sqlite.open(store, role);
    connection.lookAt(view);
    connection.file.ticket = options.ticket ?? role === 'session';
    if (options.cachePages !== undefined) connection.execute(`PRAGMA cache_size=${options.cachePages}`);
    return connection;
  }

  /** Goes on with a new database, as if the world were new. */
  renew(): this {
    this.closeAll();
    this.store.destroy();
    this.store = new PageStore(this.slabs);
    this.sqlite.vfs.fault = undefined;
    this.environment.tickMs = 0;
    return this;
  }

  /** A new instance over the same store, as after a failure of the old one. */
  async restart(): Promise<void> {
    this.sqlite.abandon();
    this.sqlite = await Sqlite.create(this.environment, this.#limits);
  }

  closeAll(): void {
    for (const connection of [...this.sqlite.connections]) connection.close();
  }

  /** Closes everything and checks that nothing is held any more, in the page store or outside the heap. */
  closeAndCheck(): void {
    this.closeAll();
    assert.equal(this.sqlite.vfs.openFiles, 0, 'open files');
    assert.equal(this.sqlite.tempBudget.used, 0, 'bytes of temporary files');
    commitAll(this.store);
    while (this.store.recycle(1000));
    assert.equal(this.store.retainedImages, 0, 'images that only old versions need');
    assert.equal(this.slabs.used, this.store.size, 'one image per page');
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** Compiles one statement. */
export function prepare(connection: Connection, sql: string): Statement {
  const { statement } = connection.prepare(utf8(sql));
  assert.ok(statement !== undefined, `no statement in ${sql}`);
  return statement;
}

/** The value of a column of the row that the statement has. */
export function column(statement: Statement, index: number): Value {
  return columnValue(statement.connection.sqlite, statement.pointer, index);
}

function columnValue({ exports, heap }: Sqlite, pointer: Pointer, index: number): Value {
  const bytesAt = (start: Pointer): Buffer =>
    Buffer.from(heap.bytes.slice(start, start + exports.sqlite3_column_bytes(pointer, index)));
  switch (exports.sqlite3_column_type(pointer, index)) {
    case TYPE_INTEGER: {
      const integer = exports.sqlite3_column_int64(pointer, index);
      return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
    }
    case TYPE_FLOAT:
      return exports.sqlite3_column_double(pointer, index);
    case TYPE_TEXT:
      return decoder.decode(bytesAt(exports.sqlite3_column_text(pointer, index)));
    case TYPE_BLOB:
      return bytesAt(exports.sqlite3_column_blob(pointer, index));
    default:
      return null;
  }
}

/** Steps a statement to its end. Gives the rows; throws what SQLite says. */
export function stepAll(statement: Statement): Row[] {
  const rows: Row[] = [];
  for (;;) {
    const code = statement.step();
    if (code === SQLITE_DONE) return rows;
    if (code !== SQLITE_ROW) throw statement.connection.error(code);
    const { columnCount } = statement;
    if (columnCount > 0) rows.push(Array.from({ length: columnCount }, (_, index) => column(statement, index)));
  }
}

/** Runs the statements of a text as a client's. Gives the rows of all of them. */
export function run(connection: Connection, sql: string): Row[] {
  const text = utf8(sql.trimEnd());
  const rows: Row[] = [];
  for (let offset = 0; offset < text.length;) {
    const { statement, tail } = connection.prepare(text, offset);
    if (statement === undefined) return rows;
    try {
      for (const row of stepAll(statement)) rows.push(row);
    } finally {
      statement.finalize();
    }
    offset = tail;
  }
  return rows;
}

/** The first column of the first row. */
export function value(connection: Connection, sql: string): Value | undefined {
  return run(connection, sql)[0]?.[0];
}

/** Runs a text that must fail. Gives the error. */
export function failure(connection: Connection, sql: string): SqliteError {
  try {
    run(connection, sql);
  } catch (error) {
    assert.ok(error instanceof SqliteError, `${sql}: ${String(error)}`);
    return error;
  }
  return assert.fail(`${sql} was expected to fail`);
}

/** Runs a text; an error is a result too. */
export function attempt(connection: Connection, sql: string): { rows?: Row[]; code?: number; message?: string } {
  try {
    return { rows: run(connection, sql) };
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
    return { code: error.code, message: error.message };
  }
}

/** SQL of the test's own, which nobody authorizes. */
export function trusted(connection: Connection, sql: string): Row[] {
  const statement = connection.prepareOwn(sql);
  try {
    return stepAll(statement);
  } finally {
    statement.finalize();
  }
}

/** What a request must leave behind outside a transaction; otherwise its connection has to go. */
export function isClean({ file }: Connection): boolean {
  return file.lock === LOCK_NONE && file.pin === undefined && file.set === undefined && !file.unusable;
}

/** `PRAGMA integrity_check` on a connection of its own: full-text tables keep what they have read before. */
export function checkIntegrity(world: World, view: View = 'newest', store: PageStore = world.store): void {
  const connection = world.connect({ view, store, ticket: false });
  try {
    assert.deepEqual(run(connection, 'PRAGMA integrity_check'), [['ok']]);
  } finally {
    connection.close();
  }
}

/** All tables and what is in them, of everything that the schema names. */
export function dump(execute: (sql: string) => Row[]): Row[] {
  const schema = execute('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name');
  const tables = schema.filter(([type]) => type === 'table');
  // Rows as a set: in which order they lie is the query planner's business.
  const contents = tables.map(([, name]) => [
    name!,
    ...execute(`SELECT * FROM "${String(name)}"`)
      .map(rowText)
      .sort(),
  ]);
  return [...schema, ...contents];
}

function rowText(row: Row): string {
  return row
    .map(value => (Buffer.isBuffer(value) ? `x${value.toString('hex')}` : `${typeof value} ${value}`))
    .join('|');
}

/** A stock SQLite database in memory, in the same instance: what every statement must do. */
export class StockDatabase {
  readonly #sqlite: Sqlite;
  readonly #pointer: Pointer;

  constructor(sqlite: Sqlite) {
    const { exports, heap, out } = sqlite;
    this.#sqlite = sqlite;
    const name = sqlite.takeText(utf8(':memory:'), 0);
    assert.equal(exports.sqlite3_open_v2(name, out, 6, 0), 0);
    this.#pointer = heap.uint32(out);
    exports.sqlite3_extended_result_codes(this.#pointer, 1);
    for (const option of [1002, 1010, 1013, 1014]) exports.sqlite3__wasm_db_config_ip(this.#pointer, option, 1, 0);
    this.attempt('PRAGMA page_size=4096; PRAGMA temp_store=1');
  }

  /** Runs the statements of a text like `attempt`. */
  attempt(sql: string): { rows?: Row[]; code?: number; message?: string } {
    const { exports, heap, out } = this.#sqlite;
    const text = utf8(sql);
    const rows: Row[] = [];
    for (let offset = 0; ;) {
      const start = this.#sqlite.takeText(text, offset);
      const size = text.length - offset + 1;
      const code = exports.sqlite3_prepare_v3(this.#pointer, start, size, 0, out, out + 4);
      const statement = heap.uint32(out);
      offset += heap.uint32(out + 4) - start;
      if (code !== 0) return this.#error(code);
      if (statement === 0) return { rows };
      try {
        for (;;) {
          const step = exports.sqlite3_step(statement);
          if (step === SQLITE_DONE) break;
          if (step !== SQLITE_ROW) return this.#error(step);
          const count = exports.sqlite3_column_count(statement);
          if (count > 0) rows.push(Array.from({ length: count }, (_, i) => columnValue(this.#sqlite, statement, i)));
        }
      } finally {
        exports.sqlite3_finalize(statement);
      }
    }
  }

  #error(code: number): { code: number; message: string } {
    const { exports, heap } = this.#sqlite;
    return { code, message: heap.string(exports.sqlite3_errmsg(this.#pointer)) ?? '' };
  }

  close(): void {
    this.#sqlite.exports.sqlite3_close_v2(this.#pointer);
  }
}

/** A main database file as SQLite sees it: calls the VFS's callbacks with arguments of the test's choice. */
export class RawFile {
  readonly #sqlite: Sqlite;
  readonly #file: Pointer;
  readonly #buffer: Pointer;

  constructor(connection: Connection) {
    const { sqlite } = connection;
    this.#sqlite = sqlite;
    const filePointer = 7; // SQLITE_FCNTL_FILE_POINTER, answered by SQLite itself
    assert.equal(
      this.#export('sqlite3_file_control')(connection.pointer, sqlite.mainSchema, filePointer, sqlite.out),
      0,
    );
    this.#file = sqlite.heap.uint32(sqlite.out);
    this.#buffer = sqlite.exports.sqlite3_malloc(2 * PAGE_SIZE);
  }

  #export(name: string): (...args: (number | bigint)[]) => number {
    return (this.#sqlite.exports as unknown as Record<string, (...args: (number | bigint)[]) => number>)[name]!;
  }

  /** The method at a position of `sqlite3_io_methods`. */
  #call(position: number, ...args: (number | bigint)[]): number {
    const { exports, heap } = this.#sqlite;
    const methods = heap.uint32(this.#file);
    const table = (exports as unknown as { __indirect_function_table: { get(index: number): unknown } })
      .__indirect_function_table;
    const method = table.get(heap.uint32(methods + 4 * position)) as (...args: (number | bigint)[]) => number;
    return method(this.#file, ...args);
  }

  read(offset: number, size: number): { code: number; bytes: Buffer } {
    const { heap } = this.#sqlite;
    heap.bytes.fill(0xee, this.#buffer, this.#buffer + size);
    const code = this.#call(2, this.#buffer, size, BigInt(offset));
    return { code, bytes: Buffer.from(heap.bytes.slice(this.#buffer, this.#buffer + size)) };
  }

  write(offset: number, bytes: Uint8Array): number {
    this.#sqlite.heap.bytes.set(bytes, this.#buffer);
    return this.#call(3, this.#buffer, bytes.length, BigInt(offset));
  }

  truncate(size: number): number {
    return this.#call(4, BigInt(size));
  }

  size(): number {
    assert.equal(this.#call(6, this.#buffer), 0);
    return this.#sqlite.heap.uint32(this.#buffer) + this.#sqlite.heap.uint32(this.#buffer + 4) * 2 ** 32;
  }

  lock(level: number): number {
    return this.#call(7, level);
  }

  unlock(level: number): number {
    return this.#call(8, level);
  }

  /** Whether somebody is said to hold a RESERVED lock. */
  isReserved(): boolean {
    this.#sqlite.heap.setUint32(this.#buffer, 7);
    assert.equal(this.#call(9, this.#buffer), 0);
    return this.#sqlite.heap.uint32(this.#buffer) !== 0;
  }

  control(operation: number): number {
    return this.#call(10, operation, this.#buffer);
  }

  free(): void {
    this.#sqlite.exports.sqlite3_free(this.#buffer);
  }
}

/** A table of the numbers from `start` on. */
export function numbers(count: number, start = 1): string {
  const last = start + count - 1;
  return `(WITH RECURSIVE n(value) AS (SELECT ${start} UNION ALL SELECT value + 1 FROM n WHERE value < ${last}) SELECT value FROM n)`;
}

/** Commits everything that was published. */
export function commitAll(store: PageStore): void {
  if (store.hasOpenBatch) store.seal();
  while (store.committed !== store.newest) store.commit();
}

/** All pages of a version, one after the other. */
export function pagesOf(store: PageStore, version: number): Buffer {
  const pages: Uint8Array[] = [];
  for (let page = 1; page <= store.sizeAt(version); page++) pages.push(store.slabs.view(store.imageAt(page, version)));
  return Buffer.concat(pages);
}

/** `pagesOf` without what depends on how many transactions there were before: the counters of page 1. */
export function stateOf(store: PageStore, version: number): Buffer {
  const pages = pagesOf(store, version);
  pages.fill(0, 24, 28);
  pages.fill(0, 92, 96);
  return pages;
}

/** A copy of a database fed with nothing but sealed batches, as a follower's is. */
export class Follower {
  #pages: (Buffer | undefined)[] = [];

  /** Begins with the pages of a version. */
  constructor(store: PageStore, version: number) {
    for (let page = 1; page <= store.sizeAt(version); page++) {
      this.#pages.push(Buffer.from(store.slabs.view(store.imageAt(page, version))));
    }
  }

  /** Applies a batch by the rule of followers: the size is what page 1 states if it is there (design rule 13). */
  apply(batch: Batch, slabs: PageSlabs): void {
    for (const [position, page] of batch.pages.entries()) {
      this.#pages[page - 1] = Buffer.from(slabs.view(batch.images[position]!));
    }
    const first = this.#pages[0]!;
    if (batch.pages.includes(1)) this.#pages.length = readUint32(first, 28);
    assert.equal(this.#pages.length, batch.size, 'size by the rule of followers');
    assert.equal(readUint32(first, 28), batch.size, 'size that page 1 states');
    assert.ok(!this.#pages.includes(undefined), 'no holes');
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pages as Buffer[]);
  }

  /** The copy as a store, to be opened by a connection. */
  toStore(slabs: PageSlabs): PageStore {
    const store = new PageStore(slabs);
    const set = store.begin();
    for (const [index, bytes] of this.#pages.entries()) {
      const image = set.write(index + 1);
      slabs.bytesOf(image).set(bytes!, slabs.offsetOf(image));
    }
    store.apply(set);
    return store;
  }
}
