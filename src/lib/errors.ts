/**
 * The error type that leaves this project for operating errors: things that go wrong in a correct
 * program. Programmer errors are assertions (`assert.ts`), undecodable bytes are a `DecodeError`
 * (`bytes.ts`) that the caller turns into one of these where a person will read it.
 */

import { sqliteCodeName } from './sqlite-codes.ts';

/** The closed set of reasons a caller can act on. */
export type ErrorCode =
  | 'SQLITE' // a statement failed; `sqliteCode` says how
  | 'NOT_LEADER' // this node does not lead; nothing was done
  | 'NO_LEADER' // no server that was asked leads or knows a leader
  | 'LEADERSHIP_LOST' // leadership ended while the write was in flight
  | 'PROTOCOL' // the peer sent what the protocol does not allow
  | 'CONNECTION' // the connection could not be made or broke
  | 'CLOSED' // the object was closed by its owner
  | 'TIMEOUT' // a deadline of this side passed
  | 'ABORTED' // an AbortSignal cancelled it; `cause` is its reason
  | 'DAMAGED' // files on disk are damaged
  | 'IO' // the operating system refused a read or write
  | 'LOCKED' // the data directory is used by another process
  | 'CONFIGURATION' // options contradict each other, the directory or the cluster
  | 'LIMIT' // a stated limit was reached
  | 'USAGE' // the API was called wrongly
  | 'UNSUPPORTED'; // this platform, version or format cannot do it

export interface DqliteErrorOptions {
  readonly cause?: unknown;
  /** What the reader can do about it, one sentence. */
  readonly hint?: string | undefined;
  /** SQLite's extended result code, or dqlite's own (10250, 10506, 1001 and up). */
  readonly sqliteCode?: number;
  /** Whether a write took effect. Absent for what writes nothing. */
  readonly committed?: boolean | 'unknown' | undefined;
  /** The statement. Kept where logs do not print it by themselves. */
  readonly sql?: string | undefined;
}

const brand = Symbol.for('dqlite-node.DqliteError');

export class DqliteError extends Error {
  override readonly name = 'DqliteError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly sqliteCode: number | undefined;
  /** The name of `sqliteCode`, such as SQLITE_CONSTRAINT_UNIQUE. */
  readonly sqliteName: string | undefined;
  readonly committed: boolean | 'unknown' | undefined;
  /** Not enumerable: statements can hold what does not belong in a log. */
  declare readonly sql: string | undefined;

  constructor(code: ErrorCode, message: string, options: DqliteErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.sqliteCode = options.sqliteCode;
    this.sqliteName = options.sqliteCode === undefined ? undefined : sqliteCodeName(options.sqliteCode);
    this.committed = options.committed;
    Object.defineProperty(this, 'sql', { value: options.sql });
    Object.defineProperty(this, brand, { value: true });
  }

  /** Two copies of this package agree on what is a DqliteError. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
