/**
 * The shell's session with the leader: one statement at a time, each of them stopped by the signal of the command that runs, and
 * transactions that are begun and ended by hand.
 */

import type { Value } from '../client/index.ts';
import {
  BEGIN,
  Cancellation,
  isChange,
  openBatches,
  Plan,
  STORED,
  type LeaderAccess,
  type Session,
} from '../client/internal.ts';
import type { Clock } from '../host/index.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import { sqliteCode } from '../wire/index.ts';
import { TransactionWords } from './sql-statement.ts';

/** INTEGER is a bigint, REAL a number. A BOOLEAN is the integer that it is stored as. */
export type SqlValue = Exclude<Value, boolean | Date>;

export interface Rows {
  readonly columns: readonly string[];
  /** The rows as they arrive, some at a time. The server waits while nobody asks for more. */
  readonly batches: AsyncIterable<SqlValue[][]>;
}

/** What a statement has done: rows, or how many it changed if it was to change some. */
export interface Outcome {
  readonly rows?: Rows;
  readonly changed?: number;
}

const COMMITS: ReadonlySet<string> = new Set(['COMMIT', 'END']);
/** SQLITE_INTERRUPT. */
const INTERRUPTED = 9;

export function isInterrupted(error: unknown): boolean {
  return error instanceof DqliteError && (error.code === 'ABORTED' || error.sqliteCode === INTERRUPTED);
}

function isNoTransaction(error: unknown): boolean {
  return /^cannot (commit|rollback) - no transaction is active$/.test(messageOf(error));
}

export async function* inTurn<T>(...items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** All calls reject with DqliteError. */
export class SqlSession {
  readonly #session: Session;
  readonly #clock: Clock;
  readonly #signal: () => AbortSignal;
  readonly #transaction = new TransactionWords();

  private constructor(session: Session, clock: Clock, signal: () => AbortSignal) {
    this.#session = session;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** `signal` gives the one that stops what is run next. */
  static async open(
    access: LeaderAccess,
    clock: Clock,
    database: string,
    signal: () => AbortSignal,
  ): Promise<SqlSession> {
    return new SqlSession(await access.openSession(database, signal()), clock, signal);
  }

  get address(): string {
    return this.#session.address;
  }

  get isBroken(): boolean {
    return this.#session.isBroken;
  }

  /** As far as the statements tell that were run. */
  get inTransaction(): boolean {
    return this.#transaction.isOpen;
  }

  /** Whether an error means that the session is of no use any more: its connection broke, or its server does not lead. */
  isLostBy(error: unknown): boolean {
    if (this.#session.isBroken) return true;
    return error instanceof DqliteError && (error.code === 'NOT_LEADER' || error.code === 'LEADERSHIP_LOST');
  }

  /** Runs a statement that somebody has written. Its rows must be read to the end, or left by `return`. */
  async run(sql: string): Promise<Outcome> {
    const plan = new Plan(sql);
    const { first } = plan;
    if (plan.givesRows && !first.returning) return { rows: await this.#open(plan) };
    const { columns, rows, rowsAffected } = await this.#collectFrom(sql, plan);
    if (first.returning) {
      return { rows: { columns: columns.map(({ name }) => name), batches: inTurn(rows as SqlValue[][]) } };
    }
    return isChange(first) ? { changed: rowsAffected } : {};
  }

  /** The same, seeing to what it does to the transaction. */
  async #collectFrom(sql: string, plan: Plan): ReturnType<Session['execute']> {
    const session = this.#session;
    // What becomes of a COMMIT whose answer does not come is not decided later.
    session.inTransaction = this.inTransaction && !COMMITS.has(plan.first.verb);
    try {
      const collected = await this.#collect(plan);
      this.#transaction.run(sql);
      return collected;
    } finally {
      session.inTransaction = this.inTransaction;
    }
  }

  /**
   * After a statement has failed in a transaction: SQLite ends some with it, and the next statement would be committed by itself. True
   * if it did so. A server that rolls one back itself runs nothing until ROLLBACK.
   */
  async noticeEnd(error: unknown): Promise<boolean> {
    const code = error instanceof DqliteError ? error.sqliteCode : undefined;
    if (!this.inTransaction || (code === sqliteCode.error && !isNoTransaction(error))) return false;
    try {
      await this.#session.execute(BEGIN, STORED);
    } catch {
      return false;
    }
    await this.rollback();
    return true;
  }

  /** Runs a statement without rows. */
  async exec(sql: string, parameters: readonly string[] = []): Promise<void> {
    await this.#collect(new Plan(sql), parameters);
  }

  /** Runs a query. Its rows must be read to the end, or left by `return`. */
  query(sql: string): Promise<Rows> {
    return this.#open(new Plan(sql));
  }

  async #open(plan: Plan): Promise<Rows> {
    const bound = { plan, parameters: [] };
    return (await openBatches(this.#session, bound, STORED, this.#cancellation())) as Rows;
  }

  async #collect(plan: Plan, parameters: readonly string[] = []): ReturnType<Session['execute']> {
    const cancellation = this.#cancellation();
    try {
      return await this.#session.execute({ plan, parameters }, STORED, cancellation);
    } finally {
      cancellation.end();
    }
  }

  #cancellation(): Cancellation {
    return Cancellation.of(this.#clock, this.#signal(), 0)!;
  }

  /** Begins a transaction; false if one is open already. */
  async begin(): Promise<boolean> {
    try {
      await this.exec('BEGIN');
    } catch (error) {
      if (messageOf(error) === 'cannot start a transaction within a transaction') return false;
      throw error;
    }
    this.#setTransaction(true);
    return true;
  }

  async commit(): Promise<void> {
    // What becomes of it if the answer does not come is not decided later.
    this.#session.inTransaction = false;
    await this.exec('COMMIT');
    this.#setTransaction(false);
  }

  /** Also when the command was interrupted. Never rejects. */
  async rollback(): Promise<void> {
    if (!this.#session.isBroken) await this.#session.rollback();
    this.#setTransaction(false);
  }

  #setTransaction(isOpen: boolean): void {
    this.#transaction.set(isOpen);
    this.#session.inTransaction = isOpen;
  }

  /** What the server says about a text without running it: the error's message, or undefined. */
  complaintAbout(sql: string): Promise<string | undefined> {
    return this.#session.complaintAbout(sql);
  }

  close(): void {
    this.#session.close();
  }
}
