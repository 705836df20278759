/** A request that compiles or runs SQL, and where its answer goes. */

import type { SqliteError } from '../sqlite/index.ts';
import type { ParameterTuple } from '../wire/index.ts';
import type { RowSource } from './row-stream.ts';

/**
 * `prepare`: compile the first statement. `exec`: run one statement, no rows. `script`: run all statements of a
 * text, no rows. `query`: run one statement, with rows.
 */
export type ExecutionMode = 'prepare' | 'exec' | 'script' | 'query';

/** Where the outcome of a request goes: exactly one of these is called, once. */
export interface Answer {
  /** `tail`: where the text goes on after the statement. */
  prepared(parameterCount: number, tail: number): void;
  result(lastInsertId: bigint, changes: number): void;
  rows(source: RowSource): void;
  failed(error: SqliteError): void;
}

export interface ExecutionRequest {
  readonly mode: ExecutionMode;
  readonly sql: Uint8Array;
  /** The text as a cache key. */
  readonly key: string;
  readonly parameters: ParameterTuple | undefined;
  /** `prepare`: more statements may follow the first. */
  readonly mayHaveTail: boolean;
}
