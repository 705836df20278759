/** Why a statement that SQLite would run must not run now. */

import { PAGE_SIZE } from '../pages/index.ts';
import { SQLITE_ERROR, SQLITE_TOOBIG, SqliteError } from '../sqlite/index.ts';
import { cannotShrink } from './failure.ts';
import type { Session } from './session.ts';
import type { StatementKind } from './sql-text.ts';

/** Of a write that has the lock. */
export function writeRefusal(
  { database, engine, deleteOnCommit }: Session,
  kind: StatementKind,
): SqliteError | undefined {
  // The disk may have failed while this waited.
  const refusal = engine.writeRefusal();
  if (refusal !== undefined) return refusal;
  if (deleteOnCommit) return onlyStatement();
  const { maxVacuumBytes } = engine.options;
  if (kind !== 'vacuum' || database.store.size * PAGE_SIZE <= maxVacuumBytes) return undefined;
  const message = `VACUUM of a database of more than ${maxVacuumBytes} bytes is refused: it would travel as one transaction`;
  return new SqliteError(SQLITE_TOOBIG, message);
}

/** Of the end of a transaction that has written. */
export function commitRefusal({ database, engine, deleteOnCommit }: Session): SqliteError | undefined {
  return engine.writeRefusal() ?? (deleteOnCommit && !database.store.mayShrink ? cannotShrink() : undefined);
}

/** Of `PRAGMA delete_database` (wire spec section 5.12). `isWriting`: in a transaction that has the lock. */
export function deletionRefusal({ database, transactionWrites }: Session, isWriting: boolean): SqliteError | undefined {
  if (!isWriting) {
    const message = 'PRAGMA delete_database must be run in a write transaction. Use BEGIN IMMEDIATE to start one.';
    return new SqliteError(SQLITE_ERROR, message);
  }
  if (transactionWrites > 0) return onlyStatement();
  return database.store.mayShrink ? undefined : cannotShrink();
}

function onlyStatement(): SqliteError {
  return new SqliteError(SQLITE_ERROR, 'PRAGMA delete_database must be the only statement run in the transaction.');
}
