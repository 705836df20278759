/** What a server's FAILURE means to a caller (wire spec section 4.6): the error's code, and whether something was written. */

import { DqliteError, type ErrorCode } from '../lib/errors.ts';
import { dqliteCode, sqliteCode, type Failure } from '../wire/index.ts';

/** How the statement that failed was sent. */
export interface Sent {
  readonly sql: string;
  /** It changes nothing, whatever it is. */
  readonly isRead: boolean;
  /** One statement, not a script, of which a part may have taken effect. */
  readonly isSingle: boolean;
  /** A later COMMIT decides. */
  readonly inTransaction: boolean;
}

function errorCode({ code, message }: Failure): ErrorCode {
  switch (code) {
    case dqliteCode.notLeader:
    case dqliteCode.notLeaderLegacy:
      return 'NOT_LEADER';
    case dqliteCode.leadershipLost:
    case dqliteCode.leadershipLostLegacy:
      return 'LEADERSHIP_LOST';
    case sqliteCode.notFound:
      // After it has lost leadership a server forgets what its connections have opened.
      return /^no (database opened|statement with)/.test(message) ? 'NOT_LEADER' : 'SQLITE';
    default:
      return 'SQLITE';
  }
}

const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  LEADERSHIP_LOST: 'read what was written to find out whether it took effect',
  NOT_LEADER: 'connect again: another server leads, or will',
};

const SQLITE_HINTS: Readonly<Record<number, string>> = {
  5: 'another connection is writing; try again, or set a longer busyTimeoutMs',
  517: 'others have written since this transaction began to read; run it again, or begin it with mode immediate',
  516: 'run the transaction again',
};

/** Codes that a server also gives when it does not know itself what has become of a write. */
const UNCLEAR = new Set<number>([sqliteCode.abort, sqliteCode.ioError]);

/** What is known about the effect of something that failed after it was sent. */
export function committedAfter(sent: Sent, failure: Failure | undefined): false | 'unknown' | undefined {
  if (sent.isRead) return undefined;
  if (sent.inTransaction) return false;
  if (failure === undefined || !sent.isSingle) return 'unknown';
  const code = errorCode(failure);
  if (code === 'NOT_LEADER') return false;
  return code === 'LEADERSHIP_LOST' || UNCLEAR.has(failure.code & 0xff) ? 'unknown' : false;
}

/** A FAILURE as an error. `sent` is absent for what is not SQL. */
export function failureError(failure: Failure, sent: Sent | undefined): DqliteError {
  const code = errorCode(failure);
  return new DqliteError(code, failure.message, {
    sqliteCode: failure.code,
    hint: HINTS[code] ?? SQLITE_HINTS[failure.code],
    committed: sent === undefined ? undefined : committedAfter(sent, failure),
    sql: sent?.sql,
  });
}

/** Somebody else holds the write lock; the statement was not run. */
export function isBusy(error: DqliteError): boolean {
  return (
    error.code === 'SQLITE' &&
    error.sqliteCode !== undefined &&
    (error.sqliteCode & 0xff) === sqliteCode.busy &&
    error.sqliteCode !== sqliteCode.busySnapshot
  );
}

/** It went to a server that does not lead (any more), or to none: elsewhere it may work, and here it had no effect. */
export function mayRunElsewhere(error: DqliteError): boolean {
  return error.code === 'NOT_LEADER' || (error.code === 'CONNECTION' && error.committed !== 'unknown');
}

/** The same error, of this statement and with this effect. */
export function withEffect(
  { code, message, sqliteCode, hint, cause }: DqliteError,
  effect: { readonly sql?: string; readonly committed: boolean | 'unknown' | undefined },
): DqliteError {
  const { sql, committed } = effect;
  return new DqliteError(code, message, {
    hint: committed === 'unknown' ? 'the write may or may not have been committed: read to find out' : hint,
    committed,
    sql,
    cause,
    ...(sqliteCode === undefined ? {} : { sqliteCode }),
  });
}
