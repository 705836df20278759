/**
 * A connection to the leader with the database open. Statements run on it one at a time; each call resolves when the
 * connection is in step again, so that whoever gets the session next finds it as new.
 */

import { DqliteError } from '../lib/errors.ts';
import { Queue } from '../lib/queue.ts';
import { encodeUtf8 } from '../lib/bytes.ts';
import { beginMessage, endMessage, ParameterTuple, requestType, sqliteCode, valueType } from '../wire/index.ts';
import { Collected, type Call, type CallEnd } from './call.ts';
import type { Cancellation } from './cancellation.ts';
import type { ServerConnection } from './connection.ts';
import { committedAfter, failureError, withEffect, type Sent } from './failure.ts';
import type { ClientHost } from './host.ts';
import { MAX_SCHEMA_0_PARAMETERS, writeParameters, type BoundValue } from './parameters.ts';
import { Plan, type Bound } from './plan.ts';
import type { RowFormat } from './row-decoder.ts';
import { RowStream } from './row-stream.ts';
import type { Parameter } from './types.ts';

type AnyBound = Bound<BoundValue>;

/** Prepared statements per connection; the one prepared first makes room. */
const MAX_PREPARED = 100;

/** Values as they are stored, nothing turned into something else. */
export const STORED: RowFormat = { asArrays: true, bigints: true, dates: false, booleans: false };

/** True for a server of 1.18.2 or later: it runs both statements, each with its own value, and they give no rows. */
const MODERN_PROBE = 'SELECT 1 WHERE ? IS NOT 7; SELECT 1 WHERE ? IS NOT 8';

export interface SessionOptions {
  readonly host: ClientHost;
  readonly openTimeoutMs: number;
  /** How long a cancelled call waits for the server before the connection is closed. Infinity: for ever. */
  readonly cancelGraceMs: number;
}

export class Session {
  readonly connection: ServerConnection;
  readonly #options: SessionOptions;
  #call: Call | undefined = undefined;
  readonly #prepared = new Map<Plan, number>();
  readonly #toFinalize = new Queue<Plan>();
  #isModern: Promise<boolean> | undefined = undefined;
  /** A later COMMIT decides what becomes of what runs now. */
  inTransaction = false;
  /** When it was last given back. */
  usedMs = 0;
  /** Bytes that had arrived when its pool looked last and it was waiting for an answer; else -1. */
  heardBytes = -1;

  private constructor(connection: ServerConnection, options: SessionOptions) {
    this.connection = connection;
    this.#options = options;
  }

  /** Opens the database; closes the connection if that fails. */
  static async open(connection: ServerConnection, database: string, options: SessionOptions): Promise<Session> {
    const open = { kind: 'open', name: encodeUtf8(database), flags: 0n, vfs: encodeUtf8('volatile') } as const;
    const timer = options.host.clock.setTimer(options.openTimeoutMs, () =>
      connection.close(new DqliteError('CONNECTION', `${connection.address} has not opened the database in time`)),
    );
    try {
      const [, answer] = await Promise.all([connection.call({ kind: 'client', id: 0n }), connection.call(open)]);
      if (answer.kind !== 'db') throw new DqliteError('PROTOCOL', `${answer.kind} in answer to OPEN`);
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      timer.cancel();
    }
    return new Session(connection, options);
  }

  get address(): string {
    return this.connection.address;
  }

  get isBroken(): boolean {
    return this.connection.error !== undefined;
  }

  close(): void {
    this.connection.close();
  }

  /** Runs a statement to its end. Rejects with DqliteError, or with RangeError for a value that cannot be given. */
  async execute(bound: AnyBound, format: RowFormat, cancellation?: Cancellation): Promise<Collected> {
    const { plan } = bound;
    if (this.#needsCare(bound)) {
      const collected = await this.#withCare(bound, format, cancellation);
      if (collected !== undefined) return collected;
    }
    const call = new Collected(plan, format);
    const end = await this.#run(call, bound, plan.givesRows, cancellation);
    if (end.kind === 'done') return call;
    if (plan.first.verb === 'PRAGMA' && isIgnored(end)) {
      const again = new Collected(plan, format);
      const endAgain = await this.#run(again, bound, false, cancellation);
      if (endAgain.kind === 'done') return again;
      throw this.errorOf(plan, endAgain, cancellation);
    }
    throw this.errorOf(plan, end, cancellation);
  }

  /** Starts a statement whose rows the caller takes as they come. Rejects with DqliteError. */
  async stream(bound: AnyBound, format: RowFormat, cancellation?: Cancellation): Promise<RowStream> {
    if (this.#needsCare(bound)) await this.#withCare(bound, format, cancellation);
    const stream = this.#startStream(bound, format, true);
    if (bound.plan.first.verb !== 'PRAGMA') return stream;
    // It may have no rows to give, which its text does not tell.
    const unwatch = cancellation === undefined ? undefined : this.watch(stream, cancellation);
    await stream.begun();
    unwatch?.();
    return stream.end !== undefined && isIgnored(stream.end) ? this.#startStream(bound, format, false) : stream;
  }

  #startStream(bound: AnyBound, format: RowFormat, wantsRows: boolean): RowStream {
    const stream = new RowStream(bound.plan, format, this.connection);
    this.#start(stream, bound, wantsRows);
    return stream;
  }

  /** What the server says against a text, without running it; undefined if nothing. Rejects if the connection breaks. */
  async complaintAbout(sql: string): Promise<string | undefined> {
    try {
      const answer = await this.connection.call({ kind: 'prepare', schema: 0, database: 0, sql: encodeUtf8(sql) });
      if (answer.kind !== 'stmt') throw new DqliteError('PROTOCOL', `${answer.kind} in answer to PREPARE`);
      await this.connection.call({ kind: 'finalize', database: 0, statement: answer.statement });
      return undefined;
    } catch (error) {
      if (!(error instanceof DqliteError) || error.code !== 'SQLITE') throw error;
      return error.message;
    }
  }

  /** What a stream or a statement that was not done means to its caller. */
  errorOf(plan: Plan, end: Exclude<CallEnd, { kind: 'done' }>, cancellation: Cancellation | undefined): Error {
    if (end.kind === 'unreadable') return end.error;
    const sent: Sent = {
      sql: plan.sql,
      isRead: plan.isRead,
      isSingle: plan.isSingle,
      inTransaction: this.inTransaction,
    };
    const cause = cancellation?.error;
    const { sql } = plan;
    if (end.kind === 'failed') {
      if (cause === undefined) return failureError(end.failure, sent);
      return withEffect(cause, { sql, committed: committedAfter(sent, end.failure) });
    }
    if (end.kind === 'stopped') {
      const committed = sent.isRead
        ? undefined
        : sent.inTransaction
          ? false
          : end.answered
            ? true
            : sent.isSingle
              ? false
              : 'unknown';
      return withEffect(cause ?? new DqliteError('ABORTED', 'the statement was stopped'), { sql, committed });
    }
    return withEffect(cause ?? end.error, { sql, committed: committedAfter(sent, undefined) });
  }

  /** Whether the server is of 1.18.2 or later, in what matters here: parameters for scripts, RETURNING, many parameters. */
  isModern(): Promise<boolean> {
    this.#isModern ??= this.#probe();
    return this.#isModern;
  }

  async #probe(): Promise<boolean> {
    const parameters = ParameterTuple.of([
      { type: valueType.integer, value: 7n },
      { type: valueType.integer, value: 8n },
    ]);
    try {
      await this.connection.call({ kind: 'execSql', database: 0, sql: encodeUtf8(MODERN_PROBE), parameters });
      return true;
    } catch (error) {
      if (!(error instanceof DqliteError) || error.code !== 'SQLITE') {
        this.#isModern = undefined;
        throw error;
      }
      return false;
    }
  }

  // --- The usual way --------------------------------------------------------------------------------------------

  async #run(call: Collected, bound: AnyBound, wantsRows: boolean, cancellation?: Cancellation): Promise<CallEnd> {
    if (cancellation === undefined) {
      this.#start(call, bound, wantsRows);
      return call.ended;
    }
    if (cancellation.error !== undefined) throw notRun(cancellation.error, bound.plan);
    this.#start(call, bound, wantsRows);
    const unwatch = this.watch(call, cancellation);
    const end = await call.ended;
    unwatch();
    return end;
  }

  /** From now on the cancellation interrupts the call; if that takes too long, the connection is closed. */
  watch(call: Call, cancellation: Cancellation): () => void {
    let timer: { cancel(): void } | undefined;
    cancellation.handler = () => {
      call.interrupt(this.connection);
      timer ??= this.closeLater();
    };
    return () => {
      cancellation.handler = undefined;
      timer?.cancel();
    };
  }

  /** Closes the connection when the grace for cancelled calls is over. */
  closeLater(): { cancel(): void } {
    const { host, cancelGraceMs } = this.#options;
    if (cancelGraceMs === Infinity) return NO_TIMER;
    const message = `${this.address} did not stop a cancelled statement within ${cancelGraceMs} ms`;
    return host.clock.setTimer(
      cancelGraceMs,
      () => this.connection.close(new DqliteError('CONNECTION', message)),
      true,
    );
  }

  #start(call: Call, { plan, parameters }: AnyBound, wantsRows: boolean): void {
    const { connection } = this;
    if (connection.error !== undefined) {
      throw notRun(connection.error, plan);
    }
    const { writer } = connection;
    const schema = parameters.length > MAX_SCHEMA_0_PARAMETERS ? 1 : 0;
    const statement = plan.prepared ? this.#prepared.get(plan) : undefined;
    let start: number;
    if (statement === undefined) {
      start = beginMessage(writer, wantsRows ? requestType.querySql : requestType.execSql, schema);
      writer.zeros(8);
      writer.textBytes(plan.bytes);
    } else {
      start = beginMessage(writer, wantsRows ? requestType.query : requestType.exec, schema);
      writer.uint32(0);
      writer.uint32(statement);
    }
    writeParameters(writer, parameters, schema);
    endMessage(writer, start);
    this.#call = call;
    call.onOver = this.#over;
    connection.submit(call);
  }

  readonly #over = (): void => {
    this.#call = undefined;
    this.#finalizeAll();
  };

  // --- What takes more than one request -------------------------------------------------------------------------

  #needsCare({ plan, parameters }: AnyBound): boolean {
    return (
      (plan.prepared && !this.#prepared.has(plan)) ||
      parameters.length > MAX_SCHEMA_0_PARAMETERS ||
      (plan.first.returning && !this.inTransaction)
    );
  }

  /** Prepares, or finds out what the server can. The result, if the statement has already run in here. */
  async #withCare(bound: AnyBound, format: RowFormat, cancellation?: Cancellation): Promise<Collected | undefined> {
    const { plan, parameters } = bound;
    if (cancellation?.error !== undefined) throw notRun(cancellation.error, plan);
    let timer: { cancel(): void } | undefined;
    if (cancellation !== undefined) cancellation.handler = () => (timer ??= this.closeLater());
    try {
      if (plan.prepared && !this.#prepared.has(plan)) await this.#prepare(plan);
      const isLong = parameters.length > MAX_SCHEMA_0_PARAMETERS;
      const isReturning = plan.first.returning && !this.inTransaction;
      if ((!isLong && !isReturning) || (await this.isModern())) return undefined;
      if (isLong) {
        throw new DqliteError('UNSUPPORTED', `${parameters.length} parameters, this server takes 255`, {
          hint: 'divide the statement; servers from dqlite 1.12 on take more',
          sql: plan.sql,
          committed: false,
        });
      }
    } catch (error) {
      // Nothing was run yet.
      const cause = cancellation?.error ?? error;
      if (!(cause instanceof DqliteError)) throw cause;
      throw notRun(cause, plan);
    } finally {
      timer?.cancel();
      if (cancellation !== undefined) cancellation.handler = undefined;
    }
    return this.#returning(bound, format, cancellation);
  }

  /** Old servers lose a write with RETURNING, and end at the next write, unless it runs in a transaction (spec section 3.6). */
  async #returning(bound: AnyBound, format: RowFormat, cancellation?: Cancellation): Promise<Collected> {
    await this.execute(BEGIN_IMMEDIATE, STORED, cancellation);
    this.inTransaction = true;
    let collected: Collected;
    try {
      collected = await this.execute(bound, format, cancellation);
    } catch (error) {
      await this.rollback();
      throw error;
    }
    await this.commit();
    return collected;
  }

  async #prepare(plan: Plan): Promise<void> {
    if (this.isBroken) throw this.connection.error!;
    const answer = await this.connection.call({ kind: 'prepare', schema: 0, database: 0, sql: plan.bytes });
    if (answer.kind !== 'stmt') throw new DqliteError('PROTOCOL', `${answer.kind} in answer to PREPARE`);
    this.#prepared.set(plan, answer.statement);
    if (this.#prepared.size > MAX_PREPARED) {
      const [oldest] = this.#prepared.keys();
      this.finalize(oldest!);
    }
  }

  /** The statement is not needed any more. It goes when the connection has time: its answer looks like an INTERRUPT's. */
  finalize(plan: Plan): void {
    if (!this.#prepared.has(plan)) return;
    this.#toFinalize.push(plan);
    if (this.#call === undefined) this.#finalizeAll();
  }

  #finalizeAll(): void {
    for (let plan = this.#toFinalize.shift(); plan !== undefined; plan = this.#toFinalize.shift()) {
      const statement = this.#prepared.get(plan);
      if (statement === undefined || this.isBroken) continue;
      this.#prepared.delete(plan);
      this.connection.call({ kind: 'finalize', database: 0, statement }).catch(() => this.close());
    }
  }

  // --- Transactions ---------------------------------------------------------------------------------------------

  /** Ends the transaction. Rejects with a DqliteError that says what became of it; then nothing of it is left here. */
  async commit(): Promise<void> {
    this.inTransaction = false;
    try {
      await this.execute(COMMIT, STORED);
    } catch (error) {
      if (error instanceof DqliteError && error.committed === false) await this.rollback();
      else this.close();
      throw error;
    }
  }

  /** Ends the transaction, if need be with the connection. Never rejects. */
  async rollback(): Promise<void> {
    this.inTransaction = false;
    const timer = this.closeLater();
    try {
      await this.execute(ROLLBACK, STORED);
    } catch (error) {
      const isOver = error instanceof DqliteError && error.sqliteCode === sqliteCode.error;
      if (!isOver) this.close();
    } finally {
      timer.cancel();
    }
  }

  /** Whether the transaction that should be open is: SQLite ends it by itself after some errors. */
  async isTransactionOpen(): Promise<boolean> {
    try {
      await this.execute(BEGIN, STORED);
      return false;
    } catch (error) {
      return error instanceof DqliteError && error.sqliteCode === sqliteCode.error;
    }
  }
}

function bare(sql: string): Bound {
  return { plan: new Plan(sql), parameters: [] as readonly Parameter[] };
}

export const BEGIN: Bound = bare('BEGIN');
export const BEGIN_IMMEDIATE: Bound = bare('BEGIN IMMEDIATE');
const COMMIT: Bound = bare('COMMIT');
const ROLLBACK: Bound = bare('ROLLBACK');

const NO_TIMER = { cancel(): void {} };

/** Old servers refuse to run as a query what has no columns, with this. */
function isIgnored(end: CallEnd): boolean {
  return end.kind === 'failed' && end.failure.code === sqliteCode.error && end.failure.message === 'not an error';
}

/** The error, of a statement that was not sent. */
function notRun(error: DqliteError, { sql, isRead }: Plan): DqliteError {
  return withEffect(error, { sql, committed: isRead ? undefined : false });
}
