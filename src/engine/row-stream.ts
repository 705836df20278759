/** The rows of a running statement on their way to a client, which fetches them piece by piece. */

import type { Writer } from '../lib/bytes.ts';
import { InstanceBroken, SQLITE_ERROR, SqliteError, type Connection } from '../sqlite/index.ts';
import type { Cursor } from './cursor.ts';
import type { Database } from './database.ts';
import type { Engine } from './engine.ts';

/** Called back when something may be sent, or with the reason why it must not. */
export type Opened = (error: SqliteError | undefined) => void;

/** Rows for the client. */
export interface RowSource {
  /** Appends messages to `writer` up to about `size` bytes; true when the result is complete. Throws SqliteError. */
  fill(writer: Writer, size: number): boolean;
  /** Calls back, perhaps at once, when what the first `fill` gave, or its error, may be sent. */
  gate(opened: Opened): void;
  /** Frees what the result holds. To be called once, whether it was read to its end or not. */
  close(): void;
}

interface Options {
  readonly engine: Engine;
  readonly database: Database;
  readonly connection: Connection;
  readonly cursor: Cursor;
  readonly gate: (opened: Opened) => void;
  /** Resets the statement; not called if the connection is gone. */
  readonly finish: (error: SqliteError | undefined) => void;
  /** The client was given everything, or wants no more. */
  readonly closed: () => void;
}

export class RowStream implements RowSource {
  readonly #options: Options;
  readonly database: Database;
  /** When the client was last given rows, on the monotonic clock. */
  lastFillMs: number;
  readonly startedMs: number;
  #finished = false;
  /** Why the server has ended the result. */
  #terminated: SqliteError | undefined = undefined;

  constructor(options: Options) {
    this.#options = options;
    this.database = options.database;
    this.startedMs = options.engine.clock.monotonicMs();
    this.lastFillMs = this.startedMs;
  }

  fill(writer: Writer, size: number): boolean {
    const { engine, connection, cursor } = this.#options;
    if (this.#terminated !== undefined) throw this.#terminated;
    if (connection.closed) {
      throw new SqliteError(SQLITE_ERROR, 'the result was ended: the connection that produced it was closed');
    }
    try {
      const done = cursor.fill(writer, size);
      if (done) this.#finish(undefined);
      else engine.streamContinues(this);
      return done;
    } catch (error) {
      if (error instanceof InstanceBroken) {
        this.#finished = true;
        engine.instanceBroken(error);
        throw new SqliteError(SQLITE_ERROR, error.message);
      }
      if (error instanceof SqliteError) this.#finish(error);
      throw error;
    } finally {
      this.lastFillMs = engine.clock.monotonicMs();
    }
  }

  gate(opened: Opened): void {
    this.#options.gate(opened);
  }

  close(): void {
    this.#finish(undefined);
    this.#options.closed();
  }

  /** Ends the result before its end; the client gets the error with its next piece. */
  terminate(error: SqliteError): void {
    this.#terminated = error;
    this.#finish(error);
  }

  #finish(error: SqliteError | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    const { engine, connection, finish } = this.#options;
    engine.streamEnded(this);
    if (!connection.closed && connection.sqlite.broken === undefined) finish(error);
  }
}
