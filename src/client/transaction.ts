/**
 * One transaction, on one connection. Its statements run one after the other, in the order in which they were asked for.
 * After it has ended, or once SQLite has ended it, nothing runs in it any more: the next statement would not be undone.
 */

import { DqliteError } from '../lib/errors.ts';
import type { Collected } from './call.ts';
import { Cancellation } from './cancellation.ts';
import { Executor, type Defaults } from './executor.ts';
import { withEffect } from './failure.ts';
import type { Fragment } from './fragment.ts';
import type { ClientHost } from './host.ts';
import type { Bound, Plan, Plans } from './plan.ts';
import type { OpenedStream } from './row-iterator.ts';
import type { RowStream } from './row-stream.ts';
import type { Session } from './session.ts';
import { isTransactionControl } from './sql-text.ts';
import type { BatchStatement, CallOptions, ExecResult, QueryOptions } from './types.ts';

/** Called for each statement that has ended. */
export type Observer = (session: Session, plan: Plan, startMs: number, rowCount: number, error: unknown) => void;

/** What all levels of one transaction share. */
export interface Pinned {
  readonly session: Session;
  readonly plans: Plans;
  readonly defaults: Defaults;
  readonly host: ClientHost;
  readonly observe: Observer;
  readonly finalize: (plan: Plan) => void;
}

const SQLITE_ERROR = 1;

/** Runs work one piece after the other; a stream among it is read into memory if other work waits. */
class Line {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #stream: RowStream | undefined = undefined;

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++;
    this.#stream?.spool();
    const before = this.#tail;
    let leave!: () => void;
    this.#tail = new Promise<void>(resolve => {
      leave = resolve;
    });
    await before;
    this.#waiting--;
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** To be called in `run`, with the stream whose end `run` will wait for. */
  streaming(stream: RowStream): void {
    this.#stream = stream;
    if (this.#waiting > 0) stream.spool();
  }

  streamed(): void {
    this.#stream = undefined;
  }

  abandon(): void {
    this.#stream?.stop();
  }

  /** Resolves when nothing runs or waits. */
  async idle(): Promise<void> {
    for (let tail: unknown; tail !== this.#tail;) {
      tail = this.#tail;
      await tail;
    }
  }
}

export class Transaction extends Executor {
  readonly #pinned: Pinned;
  readonly #line: Line;
  readonly #depth: number;
  readonly #cancellation: Cancellation | undefined;
  /** Why nothing may run any more. */
  #closed: DqliteError | undefined = undefined;
  /** What was started and has not ended. */
  #running = new Set<Promise<unknown>>();
  /** A savepoint inside: statements belong there until it has ended. */
  #inner: Promise<unknown> | undefined = undefined;

  /** Begun by `Client.transaction` and `Transaction.transaction`. */
  constructor(pinned: Pinned, cancellation: Cancellation | undefined, outer?: Transaction) {
    super(pinned.plans, pinned.defaults);
    this.#pinned = pinned;
    this.#cancellation = cancellation;
    this.#line = outer === undefined ? new Line() : outer.#line;
    this.#depth = outer === undefined ? 0 : outer.#depth + 1;
  }

  /** The address of the server it runs on. */
  get server(): string {
    return this.#pinned.session.address;
  }

  override collect(bound: Bound, options: QueryOptions): Promise<Collected> {
    return this.#track(this.#collect(bound, options));
  }

  async #collect(bound: Bound, options: QueryOptions): Promise<Collected> {
    this.#checkUsable();
    const { host } = this.#pinned;
    const own = Cancellation.of(host.clock, options.signal, options.timeoutMs ?? this.defaults.timeoutMs);
    try {
      return await this.#line.run(() => this.#runNow(bound, options, own));
    } finally {
      own?.end();
    }
  }

  /** In the line. */
  async #runNow(bound: Bound, options: QueryOptions, own: Cancellation | undefined): Promise<Collected> {
    this.#checkOpen(bound.plan);
    const { session, host, observe } = this.#pinned;
    const startMs = host.clock.monotonicMs();
    try {
      const collected = await session.execute(bound, this.format(options), own ?? this.#cancellation);
      observe(session, bound.plan, startMs, collected.rowCount, undefined);
      return collected;
    } catch (error) {
      observe(session, bound.plan, startMs, 0, error);
      await this.examine(error);
      throw error;
    }
  }

  /** After a failure: SQLite may have ended the transaction, and the next statement would commit by itself. */
  protected async examine(error: unknown): Promise<void> {
    if (!(error instanceof DqliteError) || error.sqliteCode === SQLITE_ERROR) return;
    const { session } = this.#pinned;
    if (session.isBroken) {
      this.#closed ??= new DqliteError(error.code, `the transaction ended with its connection: ${error.message}`, {
        cause: error,
        committed: false,
      });
    } else if (!(await session.isTransactionOpen())) {
      this.#closed ??= new DqliteError(error.code, `the transaction was rolled back: ${error.message}`, {
        cause: error,
        committed: false,
        ...(error.sqliteCode === undefined ? {} : { sqliteCode: error.sqliteCode }),
      });
    }
  }

  #checkUsable(): void {
    if (this.#inner === undefined) return;
    throw new DqliteError('USAGE', 'a nested transaction is open: use the one that its function was given');
  }

  #checkOpen(plan: Plan): void {
    const error = this.#closed ?? this.#cancellation?.error;
    if (error !== undefined) throw withEffect(error, { sql: plan.sql, committed: false });
  }

  /** The transaction waits for what was started in it, also if the function does not. */
  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const done = (): void => void this.#running.delete(work);
    work.then(done, done);
    return work;
  }

  protected override async openStream(bound: Bound, options: QueryOptions): Promise<OpenedStream> {
    this.#checkUsable();
    const { session, host, observe } = this.#pinned;
    const own = Cancellation.of(host.clock, options.signal, options.timeoutMs ?? this.defaults.timeoutMs);
    const cancellation = own ?? this.#cancellation;
    return new Promise((resolve, reject) => {
      // The line is held until the stream is over.
      const over = this.#line.run(async () => {
        let error: unknown;
        try {
          this.#checkOpen(bound.plan);
          const startMs = host.clock.monotonicMs();
          const stream = await session.stream(bound, this.format(options), cancellation);
          this.#line.streaming(stream);
          const unwatch = cancellation === undefined ? undefined : session.watch(stream, cancellation);
          resolve({ stream, end: () => over });
          const end = await stream.ended;
          unwatch?.();
          this.#line.streamed();
          if (end.kind !== 'done') {
            const isLeft = end.kind === 'stopped' && cancellation?.error === undefined;
            error = isLeft ? stream.tooMuch : (stream.tooMuch ?? session.errorOf(bound.plan, end, cancellation));
            await this.examine(isLeft ? LEFT : error);
          } else {
            error = stream.tooMuch;
          }
          observe(session, bound.plan, startMs, stream.rowCount, error);
        } finally {
          own?.end();
        }
        if (error !== undefined) throw error;
      });
      over.catch(reject);
      void this.#track(over).catch(() => {});
    });
  }

  /** Runs statements so that all take effect in this transaction, or none. */
  override async batch(
    statements: readonly (string | BatchStatement | Fragment)[],
    options: CallOptions = {},
  ): Promise<ExecResult> {
    const bound = this.bindAll(statements);
    return this.transaction(async inner => {
      let result: ExecResult = { rowsAffected: 0, lastInsertId: 0n };
      for (const one of bound) {
        const { rowsAffected, lastInsertId } = await inner.collect(one, options);
        result = { rowsAffected, lastInsertId };
      }
      return result;
    });
  }

  /**
   * A savepoint: what the function does is undone if it throws, and the transaction around goes on. Several at the same
   * time run one after the other. Meanwhile this transaction itself must not be used.
   */
  async transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    while (this.#inner !== undefined) await this.#inner.catch(() => {});
    const inner = new Transaction(this.#pinned, this.#cancellation, this);
    const name = `dqlite_node_${this.#depth + 1}`;
    const nested = this.#nest(inner, name, work);
    this.#inner = nested;
    try {
      return await this.#track(nested);
    } finally {
      this.#inner = undefined;
    }
  }

  async #nest<T>(inner: Transaction, name: string, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const run = (sql: string): Promise<unknown> =>
      this.#line.run(() => this.#runNow({ plan: this.#pinned.plans.of(sql), parameters: [] }, {}, undefined));
    await run(`SAVEPOINT ${name}`);
    let result: T;
    try {
      result = await work(inner);
      await inner.settled();
    } catch (error) {
      inner.close(error);
      inner.abandon();
      await inner.#line.idle();
      this.#closed ??= inner.#closedBySqlite;
      if (this.#closed === undefined && this.#cancellation?.error === undefined) {
        await run(`ROLLBACK TO ${name}`);
        await run(`RELEASE ${name}`);
      }
      throw error;
    }
    inner.close(undefined);
    await run(`RELEASE ${name}`);
    return result;
  }

  get #closedBySqlite(): DqliteError | undefined {
    return this.#closed?.code === 'CLOSED' ? undefined : this.#closed;
  }

  /** Waits for statements that were started and not awaited. Rejects if one of them fails, or nothing may run any more. */
  async settled(): Promise<void> {
    this.abandon();
    while (this.#running.size > 0) await Promise.all(this.#running);
    const error = this.#closed ?? this.#cancellation?.error;
    if (error !== undefined) throw withEffect(error, { committed: false });
  }

  /** Nothing may run in it any more. */
  close(cause: unknown): void {
    this.#closed ??= new DqliteError('CLOSED', 'the transaction has ended', { cause });
  }

  /** Nobody iterates any more: a stream that is still open ends. */
  abandon(): void {
    this.#line.abandon();
  }

  /** Resolves when no statement runs. */
  idle(): Promise<void> {
    return this.#line.idle();
  }

  protected override finalize(plan: Plan): void {
    this.#pinned.finalize(plan);
  }

  protected override checkPlan(plan: Plan): void {
    const control = plan.statements.find(isTransactionControl);
    if (control === undefined) return;
    throw new DqliteError('USAGE', `${control.verb} in a transaction`, {
      hint: 'it is committed when its function returns and rolled back when it throws; nest transaction() for a savepoint',
      sql: plan.sql,
    });
  }
}

/** A loop was left: nothing failed, but the server may have taken the INTERRUPT for the transaction. */
const LEFT = new DqliteError('ABORTED', 'a stream of rows was left');
