/**
 * One statement under way on a session: takes the messages that answer it. A call that was interrupted discards
 * what still comes and is over with the EMPTY that answers the INTERRUPT. A server that stops a statement sends only
 * that; one that does not, sends its answer first (wire spec section 5.9). Both are understood.
 */

import { DecodeError } from '../lib/bytes.ts';
import type { DqliteError } from '../lib/errors.ts';
import { decodeFailure, responseType, type Failure, type Frame } from '../wire/index.ts';
import type { Receiver, ServerConnection } from './connection.ts';
import type { Plan } from './plan.ts';
import { RowDecoder, type RowFormat } from './row-decoder.ts';
import type { Column } from './types.ts';

/** How a call ended. */
export type CallEnd =
  | { readonly kind: 'done' }
  /**
   * Ended by an INTERRUPT: before it had an effect, or `answered`, and only rows were dropped on this side.
   */
  | { readonly kind: 'stopped'; readonly answered: boolean }
  | { readonly kind: 'failed'; readonly failure: Failure }
  /** The answer was there, but cannot be given to the caller. */
  | { readonly kind: 'unreadable'; readonly error: RangeError }
  /** The connection broke. */
  | { readonly kind: 'broken'; readonly error: DqliteError };

const DONE: CallEnd = { kind: 'done' };
const STOPPED: CallEnd = { kind: 'stopped', answered: false };
const DROPPED: CallEnd = { kind: 'stopped', answered: true };

export abstract class Call implements Receiver {
  readonly plan: Plan;
  rowsAffected = 0;
  lastInsertId = 0n;
  rowCount = 0;
  protected readonly decoder: RowDecoder;
  /** How it ended, once its answer was complete; it is over when the connection is in step, too. */
  #end: CallEnd | undefined = undefined;
  #interrupted = false;
  /** Rows came after the INTERRUPT and were not kept: the answer is not whole. */
  #hasDropped = false;
  /** The session's, to go on. */
  onOver: ((call: Call, end: CallEnd) => void) | undefined = undefined;

  constructor(plan: Plan, format: RowFormat) {
    this.plan = plan;
    this.decoder = new RowDecoder(format, plan.shape);
  }

  /** A message with rows has begun; takes rows from the decoder. May throw RangeError. */
  protected abstract rowsArrived(body: Uint8Array): void;

  /** The end is near, or there: nobody needs to wait for rows any longer. */
  protected abstract over(end: CallEnd): void;

  /** Whether rows that come after an INTERRUPT are of use. */
  protected get dropsWhenInterrupted(): boolean {
    return this.plan.isRead;
  }

  get columns(): readonly Column[] {
    return this.decoder.shape?.columns ?? [];
  }

  /** Sends INTERRUPT behind the statement. */
  interrupt(connection: ServerConnection): void {
    if (this.#interrupted || this.#end !== undefined) return;
    this.#interrupted = true;
    this.#connection = connection;
    const { writer } = connection;
    writer.uint32(1);
    writer.uint32(INTERRUPT_TYPE);
    writer.zeros(8);
    connection.submit(this.#afterwards);
  }

  #connection: ServerConnection | undefined = undefined;

  /** Waits for the EMPTY that comes after the whole answer. */
  readonly #afterwards: Receiver = {
    message: frame => {
      if (frame.type !== responseType.empty) throw new DecodeError(`response type ${frame.type} to an INTERRUPT`, 0);
      this.#finish(this.#end ?? STOPPED);
      return true;
    },
    broken: error => this.#finish(this.#end ?? { kind: 'broken', error }),
  };

  message({ type, body }: Frame): boolean {
    switch (type) {
      case responseType.rows: {
        this.decoder.begin(body);
        const { isLast } = this.decoder;
        if (this.#end === undefined) {
          if (this.#interrupted && this.dropsWhenInterrupted) this.#hasDropped = true;
          else this.#takeRows(body);
        }
        if (!isLast) return false;
        this.plan.shape = this.decoder.shape;
        this.#answered(this.#end ?? (this.#hasDropped ? DROPPED : DONE));
        return true;
      }
      case responseType.result: {
        if (body.length < 16) throw new DecodeError('result ends early', 0);
        const view = new DataView(body.buffer, body.byteOffset, body.length);
        this.lastInsertId = view.getBigInt64(0, true);
        this.rowsAffected = Number(view.getBigUint64(8, true));
        this.#answered(DONE);
        return true;
      }
      case responseType.failure:
        this.#answered({ kind: 'failed', failure: decodeFailure(body) });
        return true;
      case responseType.empty:
        if (!this.#interrupted) break;
        // It stands for both.
        this.#connection!.withdrawLast();
        this.#finish(STOPPED);
        return true;
    }
    throw new DecodeError(`response type ${type} to a statement`, 0);
  }

  broken(error: DqliteError): void {
    if (this.#interrupted) this.#end ??= { kind: 'broken', error };
    else this.#finish({ kind: 'broken', error });
  }

  #takeRows(body: Uint8Array): void {
    try {
      this.rowsArrived(body);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // The connection stays in step: the rest is read, and dropped.
      this.#end = { kind: 'unreadable', error };
    }
  }

  #answered(end: CallEnd): void {
    if (this.#interrupted) this.#end = end;
    else this.#finish(end);
  }

  #finish(end: CallEnd): void {
    this.#end = end;
    const onOver = this.onOver;
    this.onOver = undefined;
    onOver?.(this, end);
    this.over(end);
  }
}

const INTERRUPT_TYPE = 10;

/** Collects all rows. */
export class Collected extends Call {
  readonly rows: unknown[] = [];
  #resolve!: (end: CallEnd) => void;
  /** Resolves when the call is over and the connection in step. */
  readonly ended: Promise<CallEnd> = new Promise<CallEnd>(resolve => {
    this.#resolve = resolve;
  });

  protected override rowsArrived(): void {
    const { decoder, rows } = this;
    for (let row = decoder.row(); row !== undefined; row = decoder.row()) rows.push(row);
    this.rowCount = rows.length;
  }

  protected override over(end: CallEnd): void {
    this.#resolve(end);
  }
}
