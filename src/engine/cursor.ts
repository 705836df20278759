/**
 * The rows of a running statement as ROWS messages (wire spec section 4.4), produced piece by piece as they are
 * sent: a slow reader costs one piece, not the result.
 */

import { Writer } from '../lib/bytes.ts';
import { InstanceBroken, SQLITE_DONE, SQLITE_ROW, type Statement } from '../sqlite/index.ts';
import { beginMessage, endMessage, responseType, writeColumns, writeRowsEnd } from '../wire/index.ts';
import { SLICE_MS } from './options.ts';
import type { RowEncoder } from './row-encoder.ts';

/** A message is full when it has this many bytes, its header included; C dqlite's rule, which makes answers byte-identical. */
const FULL_MESSAGE = 4096;

/** A result without columns and rows. */
export function noRows(): Writer {
  const rows = new Writer(32);
  const start = beginMessage(rows, responseType.rows);
  writeColumns(rows, []);
  writeRowsEnd(rows, true);
  endMessage(rows, start);
  return rows;
}

export class Cursor {
  readonly #statement: Statement;
  readonly #encoder: RowEncoder;
  readonly #maxStepMs: number;
  /** Code of a step that was made but not looked at yet. */
  #ahead: number | undefined = undefined;
  #started = false;

  constructor(statement: Statement, encoder: RowEncoder, maxStepMs: number) {
    this.#statement = statement;
    this.#encoder = encoder;
    this.#maxStepMs = maxStepMs;
  }

  /**
   * Appends whole messages to `writer` until it holds `size` bytes or the time slice is over. True when the result
   * is complete. Throws SqliteError (after the complete messages) or InstanceBroken; then the statement must be reset.
   */
  fill(writer: Writer, size: number): boolean {
    const { sqlite } = this.#statement.connection;
    if (sqlite.broken !== undefined) throw new InstanceBroken(sqlite.broken);
    return sqlite.run(() => {
      const startMs = sqlite.startClock(this.#maxStepMs);
      const sliceEndMs = startMs + SLICE_MS;
      for (;;) {
        const done = this.#message(writer, sliceEndMs);
        if (done) return true;
        if (writer.offset >= size || sqlite.lookedAtMs > sliceEndMs) return false;
      }
    });
  }

  /** One message, with at least one row unless there are no more. */
  #message(writer: Writer, sliceEndMs: number): boolean {
    const { sqlite } = this.#statement.connection;
    if (!this.#started) {
      this.#ahead = this.#step();
      this.#started = true;
      this.#encoder.refresh();
    }
    const start = beginMessage(writer, responseType.rows);
    this.#encoder.writeColumns(writer);
    for (let rows = 0; ; rows++) {
      const full = writer.offset - start >= FULL_MESSAGE || sqlite.lookedAtMs > sliceEndMs;
      if (full && rows > 0) break;
      const code = this.#ahead ?? this.#step();
      this.#ahead = undefined;
      if (code !== SQLITE_ROW) {
        if (code !== SQLITE_DONE) {
          writer.offset = start;
          throw this.#statement.connection.error(code);
        }
        writeRowsEnd(writer, true);
        endMessage(writer, start);
        return true;
      }
      try {
        if (this.#encoder.columnCount > 0) this.#encoder.writeRow(writer);
      } catch (error) {
        writer.offset = start;
        throw error;
      }
    }
    writeRowsEnd(writer, false);
    endMessage(writer, start);
    return false;
  }

  #step(): number {
    return this.#statement.step();
  }
}
