/** Answers that are not SQLite's own: what a client gets as FAILURE, with the codes of wire spec section 4.6. */

import { CANNOT_SHRINK, SQLITE_ABORT_ROLLBACK, SQLITE_BUSY, SQLITE_IOERR_WRITE, SqliteError } from '../sqlite/index.ts';
import { dqliteCode, sqliteCode } from '../wire/index.ts';

/** Nothing was done: this node does not lead. */
export const notLeader = (): SqliteError => new SqliteError(dqliteCode.notLeader, 'not leader');

/** The write was handed to the other nodes; whether they keep it is not known. */
export const leadershipLost = (): SqliteError => new SqliteError(dqliteCode.leadershipLost, 'leadership lost');

export const databaseLocked = (): SqliteError => new SqliteError(SQLITE_BUSY, 'database is locked');

export const emptyStatement = (): SqliteError => new SqliteError(sqliteCode.ok, 'empty statement');

export const statementTail = (): SqliteError => new SqliteError(sqliteCode.error, 'nonempty statement tail');

export const noDatabase = (): SqliteError => new SqliteError(sqliteCode.notFound, 'no database opened');

export const noStatement = (): SqliteError => new SqliteError(sqliteCode.notFound, 'no statement with the given id');

export const rowsFromExec = (): SqliteError =>
  new SqliteError(sqliteCode.error, 'rows yielded when none expected for EXEC request');

export const cannotShrink = (): SqliteError => new SqliteError(SQLITE_IOERR_WRITE, CANNOT_SHRINK);

/** The server has ended the transaction; the client must say that it knows (design rule 8). */
export const transactionAborted = (cause: string): SqliteError =>
  new SqliteError(SQLITE_ABORT_ROLLBACK, `the transaction was rolled back: ${cause}; send ROLLBACK to go on`);
