/**
 * Loading an SQLite file into a database of a running server.
 *
 * By SQL, because the protocol carries nothing else: pages could only be put into the log by the leader itself. A
 * small file is loaded in one transaction, all or nothing. A larger one would be more than servers take in one, and
 * would keep other clients waiting: it is loaded in many, and a table of a peculiar name says that it is unfinished,
 * until the last transaction removes it. If the import fails it removes what it has made; if it cannot do even that,
 * the table is still there, and a later import with `restart` begins by removing everything.
 */

import type { Clock } from '../host/index.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import { planImport, quoted, text, type ImportPlan, type RowCopy, type SchemaObject } from './import-plan.ts';
import { inserts } from './insert.ts';
import type { Server } from './server.ts';
import type { SourceDatabase } from './source-database.ts';

export interface ImportOptions {
  readonly clock: Clock;
  readonly source: SourceDatabase;
  /** A new connection to the leader, with the database open. */
  readonly connect: () => Promise<Server>;
  /** The file's name, for the marker. */
  readonly sourceName: string;
  /** The database may have tables already; none of the same name. */
  readonly add: boolean;
  /** An unfinished import is removed first. */
  readonly restart: boolean;
  /** Asked often: whether to give up. */
  readonly isStopped: () => boolean;
  readonly onProgress: (progress: { readonly table: string; readonly rows: number; readonly bytes: number }) => void;
  /** Called when the rows are there, before they are made to count: throws if the file has changed. */
  readonly checkSource: () => void;
}

export interface Imported {
  readonly tables: number;
  readonly rows: number;
  readonly notes: readonly string[];
}

/** The largest file that is loaded in one transaction. Its pages and those of its indexes must fit the server's limit. */
export const ONE_TRANSACTION_BYTES: number = 16 * 1024 * 1024;
/** Rows of a larger one are committed when they have so many bytes. */
const TRANSACTION_BYTES = 4 * 1024 * 1024;
const TRANSACTION_ROWS = 50_000;
export const MARKER = 'dqlite-node import, unfinished';
const SQLITE_BUSY = 5;
/** How long another client's transaction is waited for, beyond what the server waits. */
const BUSY_MS = 10_000;
const BUSY_RETRY_MS = 20;
/** How long a leader is looked for to clean up. */
const LEADER_MS = 10_000;
const LEADER_RETRY_MS = 100;

/** Rejects with DqliteError; its message says what state the database is in. */
export async function importDatabase(options: ImportOptions): Promise<Imported> {
  const plan = planImport(options.source);
  const server = await options.connect();
  const run = new ImportRun(options, plan, server);
  try {
    return await run.load();
  } finally {
    run.server.close();
  }
}

class ImportRun {
  server: Server;
  readonly #options: ImportOptions;
  readonly #plan: ImportPlan;
  readonly #isOneTransaction: boolean;
  /** What was made and committed, in this order. */
  readonly #made: SchemaObject[] = [];
  #rows = 0;
  #bytes = 0;
  #pendingBytes = 0;
  #pendingRows = 0;
  #committing = false;
  #isMarked = false;

  constructor(options: ImportOptions, plan: ImportPlan, server: Server) {
    this.#options = options;
    this.#plan = plan;
    this.server = server;
    this.#isOneTransaction = options.source.size <= ONE_TRANSACTION_BYTES;
  }

  async load(): Promise<Imported> {
    await this.server.exec('PRAGMA foreign_keys = OFF');
    if (this.#options.restart) await this.#removeUnfinished();
    await this.#begin();
    try {
      await this.#checkTarget();
      await this.#loadAll();
      return { tables: this.#plan.tables.length, rows: this.#rows, notes: this.#plan.notes };
    } catch (error) {
      throw await this.#failed(error);
    }
  }

  async #loadAll(): Promise<void> {
    const { tables, indexes, viewsAndTriggers, ownTables, pragmas } = this.#plan;
    const large = !this.#isOneTransaction;
    if (large && !this.#options.add) {
      this.#isMarked = true;
      await this.#make({ type: 'table', name: MARKER, sql: `CREATE TABLE ${quoted(MARKER)} (file TEXT)` });
      await this.server.exec(`INSERT INTO ${quoted(MARKER)} VALUES (${text(this.#options.sourceName)})`);
      await this.#commitAndBegin();
    }
    for (const table of tables) {
      await this.#make(table);
      if (large) await this.#commitAndBegin();
    }
    // One step that makes an index over many rows takes longer than a server lets a step take.
    if (large) for (const index of indexes) await this.#make(index);
    for (const { copies } of tables) for (const copy of copies) await this.#copy(copy);
    if (!large) for (const index of indexes) await this.#make(index);
    for (const object of viewsAndTriggers) await this.#make(object);
    for (const { make, copy } of ownTables) {
      if (make !== undefined) await this.server.exec(make);
      else if (!(await this.#has(copy.table))) continue;
      // The rows of tables that were there before stay.
      for (const [name] of this.#options.source.query(
        `SELECT DISTINCT ${firstColumn(copy)} FROM ${quoted(copy.table)}`,
      )) {
        const [insert] = inserts({ ...copy, columnCount: 1 }, [[name!]]);
        await this.server.exec(`DELETE FROM ${quoted(copy.table)} WHERE ${firstColumn(copy)} IS ?`, insert!.parameters);
      }
      await this.#copy(copy);
    }
    // A database with tables has an owner, who knows its version.
    if (!this.#options.add) for (const pragma of pragmas) await this.server.exec(pragma);
    this.#options.checkSource();
    if (this.#isMarked) await this.server.exec(`DROP TABLE ${quoted(MARKER)}`);
    await this.#commit();
  }

  async #copy(copy: RowCopy): Promise<void> {
    for (const { sql, parameters, bytes, rows } of inserts(copy, this.#options.source.query(copy.select))) {
      if (this.#options.isStopped()) throw new DqliteError('CLOSED', 'interrupted');
      await this.#run(sql, copy.table, parameters);
      this.#rows += rows;
      this.#bytes += bytes;
      this.#pendingBytes += bytes;
      this.#pendingRows += rows;
      this.#options.onProgress({ table: copy.table, rows: this.#rows, bytes: this.#bytes });
      if (this.#isOneTransaction) continue;
      if (this.#pendingBytes >= TRANSACTION_BYTES || this.#pendingRows >= TRANSACTION_ROWS)
        await this.#commitAndBegin();
    }
  }

  async #make(object: SchemaObject): Promise<void> {
    // Before: it may take effect although the answer does not come.
    await this.#run(object.sql, object.name);
    this.#made.push(object);
  }

  /** Runs a statement, and says what it was about if it fails. */
  async #run(sql: string, about: string, parameters?: Parameters<Server['exec']>[1]): Promise<void> {
    try {
      await this.server.exec(sql, parameters);
    } catch (error) {
      if (!(error instanceof DqliteError) || error.code !== 'SQLITE') throw error;
      const { message, hint, sqliteCode } = error;
      throw new DqliteError('SQLITE', `"${about}": ${message}`, {
        cause: error,
        hint,
        ...(sqliteCode === undefined ? {} : { sqliteCode }),
      });
    }
  }

  async #commitAndBegin(): Promise<void> {
    await this.#commit();
    await this.#begin();
  }

  async #commit(): Promise<void> {
    this.#committing = true;
    await this.server.exec('COMMIT');
    this.#committing = false;
    this.#pendingBytes = 0;
    this.#pendingRows = 0;
  }

  /** Servers of C dqlite refuse at once while somebody else writes. */
  async #begin(): Promise<void> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + BUSY_MS;
    for (;;) {
      try {
        return await this.server.exec('BEGIN IMMEDIATE');
      } catch (error) {
        if (!(error instanceof DqliteError) || error.sqliteCode !== SQLITE_BUSY || clock.monotonicMs() > endMs)
          throw error;
      }
      await new Promise<void>(resolve => clock.setTimer(BUSY_RETRY_MS, resolve, true));
    }
  }

  async #checkTarget(): Promise<void> {
    const sql = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid";
    const names = (await this.server.rows(sql)).map(([name]) => String(name));
    if (names.includes(MARKER)) {
      const [row] = await this.server.rows(`SELECT file FROM ${quoted(MARKER)}`);
      throw new DqliteError('CONFIGURATION', `an import of ${String(row?.[0])} into the database was not finished`, {
        hint: 'add --restart to remove what it has loaded and begin again',
      });
    }
    if (names.length === 0 || this.#options.add) return;
    const some = names.slice(0, 3).join(', ') + (names.length > 3 ? ', ...' : '');
    throw new DqliteError('CONFIGURATION', `the database is not empty, it has ${some}`, {
      hint: 'choose another database, or add --add to import beside what is there',
    });
  }

  async #has(table: string): Promise<boolean> {
    return (await this.server.rows(`SELECT 1 FROM sqlite_schema WHERE name = ${text(table)}`)).length > 0;
  }

  /** Undoes what was done. Gives the error to be thrown, which tells what state the database is in. */
  async #failed(error: unknown): Promise<unknown> {
    const isOver = this.#isOneTransaction || this.#made.length === 0;
    try {
      await this.server.exec('ROLLBACK');
    } catch {
      // There is no transaction any more, or no connection.
    }
    if (isOver) {
      const state = this.#committing ? 'it is not known whether the import took effect' : 'nothing was imported';
      return withState(error, state);
    }
    try {
      await this.#removeMade();
      return withState(error, 'what was imported so far has been removed');
    } catch (second) {
      const what = this.#isMarked
        ? 'what was imported so far is still there: import again with --restart'
        : `what was imported so far is still there: ${this.#made.map(({ name }) => name).join(', ')}`;
      return withState(error, `${what} (removing it failed: ${messageOf(second)})`);
    }
  }

  async #removeMade(): Promise<void> {
    await this.#reconnect();
    await this.server.exec('PRAGMA foreign_keys = OFF');
    await this.#begin();
    // The marker is first in the list, and so the last to go.
    for (const { type, name } of this.#made.toReversed())
      await this.server.exec(`DROP ${type} IF EXISTS ${quoted(name)}`);
    if (this.#committing) await this.#removeRest();
    await this.#commit();
  }

  /** The leader may just have changed: a new one is waited for. */
  async #reconnect(): Promise<void> {
    const { clock, connect } = this.#options;
    this.server.close();
    const endMs = clock.monotonicMs() + LEADER_MS;
    for (;;) {
      try {
        this.server = await connect();
        return;
      } catch (error) {
        if (!(error instanceof DqliteError) || clock.monotonicMs() > endMs) throw error;
      }
      await new Promise<void>(resolve => clock.setTimer(LEADER_RETRY_MS, resolve, true));
    }
  }

  /** Objects of the transaction whose outcome is not known. */
  async #removeRest(): Promise<void> {
    const { tables, viewsAndTriggers } = this.#plan;
    for (const { type, name } of [...viewsAndTriggers.toReversed(), ...tables]) {
      await this.server.exec(`DROP ${type} IF EXISTS ${quoted(name)}`);
    }
  }

  /** Removes everything, if the marker says that it is of an unfinished import. */
  async #removeUnfinished(): Promise<void> {
    await this.#begin();
    const objects = await this.#objects();
    if (objects.some(({ name }) => name === MARKER)) {
      for (const { type, name } of objects) await this.server.exec(`DROP ${type} IF EXISTS ${quoted(name)}`);
    }
    await this.#commit();
  }

  /** What is in the database, in an order in which it can be dropped; the marker last. */
  async #objects(): Promise<{ readonly type: string; readonly name: string }[]> {
    const rows = await this.server.rows(
      `SELECT type, name FROM sqlite_schema
       WHERE type IN ('view', 'trigger', 'table') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
       ORDER BY name = ${text(MARKER)}, type <> 'trigger', type <> 'view', sql NOT LIKE 'CREATE VIRTUAL%', rowid`,
    );
    return rows.map(([type, name]) => ({ type: String(type), name: String(name) }));
  }
}

function firstColumn(copy: RowCopy): string {
  return copy.table === 'sqlite_sequence' ? 'name' : 'tbl';
}

function withState(error: unknown, state: string): unknown {
  if (!(error instanceof DqliteError)) return error;
  const { code, message, hint, sqliteCode } = error;
  return new DqliteError(code, `${message}; ${state}`, {
    cause: error,
    hint,
    ...(sqliteCode === undefined ? {} : { sqliteCode }),
  });
}
