/** A statement failed: SQLite's extended result code and message, as a client gets to see them. */
export class SqliteError extends Error {
  override readonly name = 'SqliteError';
  readonly code: number;
  /** Byte offset in the SQL text that the error refers to, -1 if none. */
  readonly offset: number;

  constructor(code: number, message: string, offset = -1) {
    super(message);
    this.code = code;
    this.offset = offset;
  }
}

/**
 * Something was thrown through WASM frames: a trap, or the stack overflowed. The instance is in an unknown
 * state; its connections are lost, the pages outside it are not (design rule 24).
 */
export class InstanceBroken extends Error {
  override readonly name = 'InstanceBroken';

  constructor(cause: unknown) {
    super('the SQL engine failed and was restarted; the statement had no effect', { cause });
  }
}

/** What a statement is told that was stopped. */
export const TOO_SLOW = 'the statement ran longer than one step may take (maxStepMs)';
