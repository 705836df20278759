/** The rows of a running statement on their way to a client, which fetches them piece by piece. */

import type { Writer } from '../lib/bytes.ts';
import { InstanceBroken, SQLITE_ERROR, SqliteError, type Connection } from '../sqlite/index.ts';
import type { Cursor } from './cursor.ts';
import type { Engine } from './engine.ts';

/** Called back when something may be sent, or with the reason why it must not. */
export type Opened = (error: SqliteError | undefined) => void;

/** Rows for the client. */
export interface RowSource {
  /** Whether the result may be left at any point: what produced it has changed nothing. */
  readonly mayStop: boolean;
  /** Appends messages to `writer` up to about `size` bytes; true when the result is complete. Throws SqliteError. */
  fill(writer: Writer, size: number): boolean;
  /** Calls back, perhaps at once, when what the first `fill` gave, or its error, may be sent. */
  gate(opened: Opened): void;
  /** Frees what the result holds. To be called once, whether it was read to its end or not. */
  close(): void;
}

/** What a stream needs of whoever started the statement. */
export interface StreamOwner {
  gate(opened: Opened): void;
  /** Resets the statement; not called if its connection is gone. */
  streamFinished(error: SqliteError | undefined): void;
  /** The client was given everything, or wants no more. */
  streamClosed(): void;
}

export class RowStream implements RowSource {
  readonly #engine: Engine;
  readonly #connection: Connection;
  readonly #cursor: Cursor;
  readonly #owner: StreamOwner;
  /** When rows were last produced, and first, on the monotonic clock; 0 if all came at once. */
  #lastFillMs = 0;
  startedMs = 0;
  #held = false;
  #finished = false;
  /** Why the server has ended the result. */
  #terminated: SqliteError | undefined = undefined;

  constructor(engine: Engine, connection: Connection, cursor: Cursor, owner: StreamOwner) {
    this.#engine = engine;
    this.#connection = connection;
    this.#cursor = cursor;
    this.#owner = owner;
  }

  get mayStop(): boolean {
    return true;
  }

  fill(writer: Writer, size: number): boolean {
    if (this.#terminated !== undefined) throw this.#terminated;
    if (this.#connection.closed) {
      throw new SqliteError(SQLITE_ERROR, 'the result was ended: the connection that produced it was closed');
    }
    try {
      const done = this.#cursor.fill(writer, size);
      if (done) this.#finish(undefined);
      else this.#continue();
      return done;
    } catch (error) {
      if (error instanceof InstanceBroken) {
        this.#finished = true;
        this.#engine.streamEnded(this);
        this.#engine.instanceBroken(error);
        throw new SqliteError(SQLITE_ERROR, error.message);
      }
      if (error instanceof SqliteError) this.#finish(error);
      throw error;
    }
  }

  /** Since when the client was given all that may be sent; undefined while it waits for more. */
  get idleSince(): number | undefined {
    return this.#held || this.startedMs === 0 ? undefined : this.#lastFillMs;
  }

  /** The first rows may not be sent yet. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    if (this.startedMs > 0) this.#lastFillMs = this.#engine.clock.monotonicMs();
  }

  gate(opened: Opened): void {
    this.#owner.gate(opened);
  }

  close(): void {
    this.#finish(undefined);
    this.#owner.streamClosed();
  }

  /** Ends the result before its end; the client gets the error with its next piece. */
  terminate(error: SqliteError): void {
    this.#terminated = error;
    this.#finish(error);
  }

  #continue(): void {
    this.#lastFillMs = this.#engine.clock.monotonicMs();
    if (this.startedMs === 0) {
      this.startedMs = this.#lastFillMs;
      this.#engine.streamContinues(this);
    }
  }

  #finish(error: SqliteError | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.startedMs > 0) this.#engine.streamEnded(this);
    if (!this.#connection.closed && this.#connection.sqlite.broken === undefined) this.#owner.streamFinished(error);
  }
}
