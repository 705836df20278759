/** A client of one database: a pool of connections to whoever leads, and what can be run on them. */

import { DqliteError } from '../lib/errors.ts';
import type { Collected } from './call.ts';
import { Cancellation } from './cancellation.ts';
import { Cluster } from './cluster.ts';
import { clientChannels, type Channels } from './events.ts';
import { Executor } from './executor.ts';
import { isBusy, mayRunElsewhere, withEffect } from './failure.ts';
import type { Fragment } from './fragment.ts';
import { sleep, type ClientHost } from './host.ts';
import { LeaderFinder } from './leader.ts';
import { settingsOf, type Settings } from './options.ts';
import { Plan, Plans, type Bound } from './plan.ts';
import { Pool, type PoolState } from './pool.ts';
import { Reserved } from './reserved.ts';
import type { OpenedStream } from './row-iterator.ts';
import { BEGIN, BEGIN_IMMEDIATE, type Session } from './session.ts';
import { isTransactionControl } from './sql-text.ts';
import { Transaction, type Observer, type Pinned } from './transaction.ts';
import type {
  BatchStatement,
  CallOptions,
  ConnectOptions,
  ExecResult,
  Parameter,
  QueryOptions,
  TransactionOptions,
} from './types.ts';

/** Pauses before something that had no effect is tried again. They grow, and are a little random. */
const FIRST_PAUSE_MS = 2;
const MAX_PAUSE_MS = 200;
const DEFAULT_CLOSE_MS = 10_000;

export class Client extends Executor implements AsyncDisposable {
  /** Who belongs to the cluster, and changing it. */
  readonly cluster: Cluster;
  readonly #settings: Settings;
  readonly #host: ClientHost;
  readonly #channels: Channels;
  readonly #pool: Pool;
  readonly #plans: Plans;

  private constructor(settings: Settings, host: ClientHost) {
    const plans = new Plans();
    super(plans, settings);
    const channels = clientChannels();
    const { servers, connectTimeoutMs } = settings;
    const finder = new LeaderFinder(host, servers, connectTimeoutMs, channels);
    this.#plans = plans;
    this.#settings = settings;
    this.#host = host;
    this.#channels = channels;
    this.#pool = new Pool({ ...settings, host }, finder, channels);
    this.cluster = new Cluster(host, finder, settings);
  }

  /** Rejects with DqliteError USAGE, NO_LEADER, or SQLITE if the database cannot be opened. */
  static async connect(options: ConnectOptions, host: ClientHost): Promise<Client> {
    const client = new Client(settingsOf(options), host);
    try {
      client.#pool.release(await client.#pool.acquire());
    } catch (error) {
      await client.close();
      throw error;
    }
    return client;
  }

  /** The leader's address, as far as is known at this moment. */
  get server(): string | undefined {
    return this.#pool.leader;
  }

  /** Connections and calls at this moment. */
  get pool(): PoolState {
    return this.#pool.state;
  }

  // --- Statements -----------------------------------------------------------------------------------------------

  override async collect(bound: Bound, options: QueryOptions): Promise<Collected> {
    const { clock } = this.#host;
    const cancellation = Cancellation.of(clock, options.signal, options.timeoutMs ?? this.defaults.timeoutMs);
    try {
      return await this.#retrying(bound.plan, cancellation, async session => {
        try {
          return await this.#execute(session, bound, options, cancellation);
        } finally {
          this.#pool.release(session);
        }
      });
    } finally {
      cancellation?.end();
    }
  }

  async #execute(
    session: Session,
    bound: Bound,
    options: QueryOptions,
    cancellation: Cancellation | undefined,
  ): Promise<Collected> {
    const { plan } = bound;
    const startMs = this.#channels.query.hasSubscribers ? this.#host.clock.monotonicMs() : 0;
    try {
      const collected = await session.execute(bound, this.format(options), cancellation);
      this.#observe(session, plan, startMs, collected.rowCount, undefined);
      return collected;
    } catch (error) {
      this.#observe(session, plan, startMs, 0, error);
      if (plan.statements.length > 1 && plan.statements.some(isTransactionControl)) await session.rollback();
      throw error;
    }
  }

  /**
   * Gives work a connection, and another one as long as it fails without effect because nobody leads where it went, or
   * because the database is locked. The work gives the connection back if it fails.
   */
  async #retrying<T>(
    plan: Plan,
    cancellation: Cancellation | undefined,
    work: (session: Session) => Promise<T>,
  ): Promise<T> {
    let startMs: number | undefined;
    for (let attempt = 1; ; attempt++) {
      let session: Session;
      try {
        session = this.#pool.takeIdle() ?? (await this.#pool.acquire(cancellation));
      } catch (error) {
        if (!(error instanceof DqliteError)) throw error;
        throw withEffect(error, { sql: plan.sql, committed: plan.isRead ? undefined : false });
      }
      try {
        return await work(session);
      } catch (error) {
        startMs ??= this.#host.clock.monotonicMs();
        if (!(error instanceof DqliteError)) throw error;
        this.#noteLeader(session, error);
        if (!this.#mayRetry(error, startMs) || cancellation?.error !== undefined) throw error;
        await this.#pause(attempt, error);
        if (cancellation?.error !== undefined) {
          throw withEffect(cancellation.error, { sql: plan.sql, committed: plan.isRead ? undefined : false });
        }
      }
    }
  }

  #mayRetry(error: DqliteError, startMs: number): boolean {
    if (error.committed === 'unknown') return false;
    const { acquireTimeoutMs, busyTimeoutMs } = this.#settings;
    const elapsedMs = this.#host.clock.monotonicMs() - startMs;
    if (mayRunElsewhere(error)) return elapsedMs < acquireTimeoutMs;
    return isBusy(error) && elapsedMs < busyTimeoutMs;
  }

  #noteLeader({ address }: Session, error: DqliteError): void {
    if (error.code === 'NOT_LEADER' || error.code === 'LEADERSHIP_LOST' || error.code === 'CONNECTION') {
      this.#pool.leaderLost(address);
    }
  }

  async #pause(attempt: number, error: unknown): Promise<void> {
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** attempt, MAX_PAUSE_MS);
    const delayMs = longest * (0.5 + this.#host.random.uint32() / 2 ** 33);
    const { retry } = this.#channels;
    if (retry.hasSubscribers) retry.publish({ database: this.#settings.database, attempt, delayMs, error });
    await sleep(this.#host.clock, delayMs);
  }

  readonly #observe: Observer = (session, { sql }, startMs, rowCount, error) => {
    const { query } = this.#channels;
    if (!query.hasSubscribers) return;
    const durationMs = this.#host.clock.monotonicMs() - startMs;
    const { database } = this.#settings;
    const { address: server } = session;
    query.publish({ database, server, sql, durationMs, rowCount, ...(error === undefined ? {} : { error }) });
  };

  // --- Streams --------------------------------------------------------------------------------------------------

  protected override async openStream(bound: Bound, options: QueryOptions): Promise<OpenedStream> {
    const { plan } = bound;
    const { clock } = this.#host;
    const cancellation = Cancellation.of(clock, options.signal, options.timeoutMs ?? this.defaults.timeoutMs);
    try {
      return await this.#retrying(plan, cancellation, async session => {
        try {
          return await this.#openOn(session, bound, options, cancellation);
        } catch (error) {
          this.#pool.release(session);
          throw error;
        }
      });
    } catch (error) {
      cancellation?.end();
      throw error;
    }
  }

  async #openOn(
    session: Session,
    bound: Bound,
    options: QueryOptions,
    cancellation: Cancellation | undefined,
  ): Promise<OpenedStream> {
    const { plan } = bound;
    const { clock } = this.#host;
    const startMs = clock.monotonicMs();
    const stream = await session.stream(bound, this.format(options), cancellation);
    const unwatch = cancellation === undefined ? undefined : session.watch(stream, cancellation);
    // A failure before the first row may be retried.
    await stream.begun();
    if (stream.end?.kind === 'failed' || stream.end?.kind === 'broken') {
      unwatch?.();
      throw session.errorOf(plan, stream.end, cancellation);
    }
    const finish = async (): Promise<void> => {
      // A loop that was left early does not wait for a server that goes on.
      const timer = stream.isStopped ? session.closeLater() : undefined;
      const end = await stream.ended;
      timer?.cancel();
      unwatch?.();
      cancellation?.end();
      const isDone = end.kind === 'done' || (stream.isStopped && cancellation?.error === undefined);
      const error = isDone ? undefined : session.errorOf(plan, end, cancellation);
      this.#observe(session, plan, startMs, stream.rowCount, error);
      this.#pool.release(session);
      if (error === undefined) return;
      if (error instanceof DqliteError) this.#noteLeader(session, error);
      throw error;
    };
    return { stream, end: finish };
  }

  // --- Transactions ---------------------------------------------------------------------------------------------

  override async batch(
    statements: readonly (string | BatchStatement | Fragment)[],
    options: CallOptions = {},
  ): Promise<ExecResult> {
    const all = this.bindAll(statements);
    if (all.length === 0) return { rowsAffected: 0, lastInsertId: 0n };
    const sql = ['BEGIN IMMEDIATE', ...all.map(({ plan }) => plan.sql), 'COMMIT'].join('\n;\n');
    const parameters: Parameter[] = all.flatMap(bound => bound.parameters);
    const bound: Bound = { plan: new Plan(sql, { isAtomic: true }), parameters };
    if (parameters.length === 0 || (await this.#isModern(options))) {
      const { rowsAffected, lastInsertId } = await this.collect(bound, options);
      return { rowsAffected, lastInsertId };
    }
    // Old servers give all parameters to the first statement.
    return this.transaction(async transaction => {
      let result: ExecResult = { rowsAffected: 0, lastInsertId: 0n };
      for (const one of all) result = await transaction.collect(one, {});
      return { rowsAffected: result.rowsAffected, lastInsertId: result.lastInsertId };
    }, options);
  }

  /** Whether the leader can give each statement of a script its own parameters. */
  async #isModern(options: CallOptions): Promise<boolean> {
    const { clock } = this.#host;
    const cancellation = Cancellation.of(clock, options.signal, options.timeoutMs ?? this.defaults.timeoutMs);
    try {
      return await this.#retrying(BEGIN.plan, cancellation, async session => {
        try {
          return await session.isModern();
        } finally {
          this.#pool.release(session);
        }
      });
    } finally {
      cancellation?.end();
    }
  }

  /**
   * Runs a function in a transaction: committed when it returns, rolled back when it throws. The transaction it is given
   * is the only way to run something in it. Rejects with what the function throws, or with DqliteError; `committed` says
   * what became of it.
   */
  async transaction<T>(work: (transaction: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const { mode = 'immediate', retries = 0, signal, timeoutMs = this.defaults.timeoutMs } = options;
    if (mode !== 'immediate' && mode !== 'deferred') {
      throw new DqliteError('USAGE', `mode is ${String(mode)}, not immediate or deferred`);
    }
    const cancellation = Cancellation.of(this.#host.clock, signal, timeoutMs);
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#transact(work, mode === 'immediate' ? BEGIN_IMMEDIATE : BEGIN, cancellation);
        } catch (error) {
          if (attempt > retries || cancellation?.error !== undefined || !hadNoEffect(error)) throw error;
          await this.#pause(attempt, error);
        }
      }
    } finally {
      cancellation?.end();
    }
  }

  async #transact<T>(
    work: (transaction: Transaction) => Promise<T>,
    begin: Bound,
    cancellation: Cancellation | undefined,
  ): Promise<T> {
    const startMs = this.#host.clock.monotonicMs();
    const session = await this.#retrying(begin.plan, cancellation, async session => {
      try {
        await session.execute(begin, this.format({}), cancellation);
        return session;
      } catch (error) {
        this.#pool.release(session);
        throw error;
      }
    });
    session.inTransaction = true;
    const transaction = new Transaction(this.#pinned(session), cancellation);
    let failure: unknown;
    try {
      const result = await orCancelled(work(transaction), cancellation);
      await transaction.settled();
      transaction.close(undefined);
      await transaction.idle();
      await session.commit();
      return result;
    } catch (error) {
      failure = error;
      transaction.close(error);
      transaction.abandon();
      await transaction.idle();
      if (session.inTransaction) await session.rollback();
      if (error instanceof DqliteError) this.#noteLeader(session, error);
      throw error;
    } finally {
      this.#pool.release(session);
      this.#publishTransaction(startMs, failure);
    }
  }

  #publishTransaction(startMs: number, error: unknown): void {
    const { transaction } = this.#channels;
    if (!transaction.hasSubscribers) return;
    const isUnknown = error instanceof DqliteError && error.committed === 'unknown';
    const outcome = error === undefined ? 'committed' : isUnknown ? 'unknown' : 'rolled back';
    const durationMs = this.#host.clock.monotonicMs() - startMs;
    const { database } = this.#settings;
    transaction.publish({ database, outcome, durationMs, ...(error === undefined ? {} : { error }) });
  }

  #pinned(session: Session): Pinned {
    const finalize = (plan: Plan): void => this.finalize(plan);
    const { defaults } = this;
    return { session, plans: this.#plans, defaults, host: this.#host, observe: this.#observe, finalize };
  }

  /**
   * A connection for one user, on which everything is allowed: BEGIN and COMMIT by hand, temporary tables, PRAGMAs. It
   * is closed at the end and not used for others. Nothing is tried again on it.
   *
   *     await using connection = await db.reserve();
   */
  async reserve(options: CallOptions = {}): Promise<Reserved> {
    const { clock } = this.#host;
    const cancellation = Cancellation.of(clock, options.signal, options.timeoutMs ?? this.defaults.timeoutMs);
    try {
      const session = this.#pool.takeIdle() ?? (await this.#pool.acquire(cancellation));
      return new Reserved(this.#pinned(session), () => this.#pool.discard(session));
    } finally {
      cancellation?.end();
    }
  }

  protected override finalize(plan: Plan): void {
    this.#pool.finalize(plan);
  }

  protected override checkPlan(plan: Plan): void {
    if (!plan.statements.some(isTransactionControl)) return;
    let depth = 0;
    for (const { verb } of plan.statements) {
      if (verb === 'BEGIN') depth++;
      else if (verb === 'COMMIT' || verb === 'END' || verb === 'ROLLBACK') depth--;
    }
    const { verb } = plan.first;
    if (depth === 0 && verb === 'BEGIN') return;
    throw new DqliteError('USAGE', `${verb}: a transaction needs one connection, and calls share several`, {
      hint: 'use transaction() or batch(), or reserve() for a connection of your own',
      sql: plan.sql,
    });
  }

  /** Takes no more calls, waits for those under way (10 s, or `timeoutMs`), and closes all connections. */
  async close({ timeoutMs = DEFAULT_CLOSE_MS }: { readonly timeoutMs?: number } = {}): Promise<void> {
    await this.#pool.close(timeoutMs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The function's outcome, or the cancellation, whichever comes first. */
async function orCancelled<T>(work: Promise<T>, cancellation: Cancellation | undefined): Promise<T> {
  if (cancellation === undefined) return work;
  const cancelled = new Promise<never>((_resolve, reject) => {
    cancellation.onceCancelled(error => reject(withEffect(error, { committed: false })));
  });
  work.catch(() => {});
  return Promise.race([work, cancelled]);
}

/** Whether a transaction that failed so can be run again. */
function hadNoEffect(error: unknown): boolean {
  if (!(error instanceof DqliteError) || error.committed === 'unknown') return false;
  return isBusy(error) || mayRunElsewhere(error) || error.sqliteCode === BUSY_SNAPSHOT || error.code === 'NO_LEADER';
}

const BUSY_SNAPSHOT = 517;
