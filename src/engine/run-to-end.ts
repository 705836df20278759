/**
 * Statements that run to their end in one piece: writes, so that no client can hold the lock by reading slowly (design
 * rule 9), and whatever else may not be left half-way. Rows are gathered in a spool; without one they are an error.
 */

import type { Writer } from '../lib/bytes.ts';
import {
  SQLITE_CONSTRAINT,
  SQLITE_DONE,
  SQLITE_INTERRUPT,
  SQLITE_ROW,
  SQLITE_TOOBIG,
  SqliteError,
  TOO_SLOW,
  type Statement,
} from '../sqlite/index.ts';
import { Cursor } from './cursor.ts';
import { rowsFromExec } from './failure.ts';
import type { EngineOptions } from './options.ts';
import { RowEncoder } from './row-encoder.ts';

const RETURNING_SAVEPOINT = 'dqlite_returning';

/** Steps a statement to its end; the clock has been started. Throws SqliteError. */
export function runToEnd(statement: Statement, spool: Writer | undefined, options: EngineOptions): void {
  if (spool === undefined) {
    for (;;) {
      const code = statement.step();
      if (code === SQLITE_DONE) return;
      if (code !== SQLITE_ROW) throw statement.connection.error(code);
      // A statement without columns may "give" rows: `PRAGMA incremental_vacuum`.
      if (statement.columnCount > 0) throw rowsFromExec();
    }
  }
  const { sqlite } = statement.connection;
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

/**
 * Runs a write with RETURNING inside a savepoint, so that it can be taken back once its rows are known. `totalChanges`:
 * what the client had changed before. Throws SqliteError.
 */
export function runReturning(
  statement: Statement,
  spool: Writer | undefined,
  options: EngineOptions,
  totalChanges: number,
): void {
  const { connection } = statement;
  connection.execute(`SAVEPOINT ${RETURNING_SAVEPOINT}`);
  let failure: SqliteError | undefined;
  try {
    runToEnd(statement, spool, options);
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
    failure = error;
  }
  statement.reset();
  // Some errors have ended the whole transaction already.
  if (failure !== undefined && connection.autocommit) throw failure;
  try {
    // A violated constraint has undone what it should: everything, or with OR FAIL nothing.
    if (failure !== undefined && (failure.code & 0xff) !== SQLITE_CONSTRAINT) throw failure;
    // In autocommit this is the commit, which may fail: deferred foreign keys.
    connection.execute(`RELEASE ${RETURNING_SAVEPOINT}`);
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
    connection.execute(`ROLLBACK TO ${RETURNING_SAVEPOINT}; RELEASE ${RETURNING_SAVEPOINT}`);
    // SQLite has counted what is taken back.
    connection.countFrom(0, totalChanges);
    throw error;
  }
  if (failure !== undefined) throw failure;
}
