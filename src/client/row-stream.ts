/**
 * Rows as they arrive, for `for await`. Messages wait undecoded until their rows are asked for; when enough are waiting,
 * the connection is not read any further and the server stops producing. So a slow loop costs some messages, not the result.
 */

import { DqliteError } from '../lib/errors.ts';
import { Queue } from '../lib/queue.ts';
import { Call, type CallEnd } from './call.ts';
import type { ServerConnection } from './connection.ts';
import type { Plan } from './plan.ts';
import { RowDecoder, type RowFormat } from './row-decoder.ts';

/** Bytes of messages that may wait before the connection is paused. */
const HIGH_WATER_BYTES = 256 * 1024;
/** What another call on the same connection may make the rest of the rows occupy. */
export const MAX_SPOOLED_BYTES: number = 64 * 1024 * 1024;

export class RowStream extends Call {
  readonly #connection: ServerConnection;
  readonly #reader: RowDecoder;
  readonly #bodies = new Queue<Uint8Array>();
  #waitingBytes = 0;
  #hasMessage = false;
  #end: CallEnd | undefined = undefined;
  #wake: (() => void) | undefined = undefined;
  #isSpooling = false;
  #isStopped = false;
  #tooMuch: DqliteError | undefined = undefined;
  #resolve!: (end: CallEnd) => void;
  readonly ended: Promise<CallEnd> = new Promise<CallEnd>(resolve => {
    this.#resolve = resolve;
  });

  constructor(plan: Plan, format: RowFormat, connection: ServerConnection) {
    super(plan, format);
    this.#connection = connection;
    this.#reader = new RowDecoder(format, plan.shape);
  }

  protected override rowsArrived(body: Uint8Array): void {
    this.#bodies.push(body);
    this.#waitingBytes += body.length;
    if (this.#isSpooling) {
      if (this.#waitingBytes > MAX_SPOOLED_BYTES) this.#giveUp();
    } else if (this.#waitingBytes > HIGH_WATER_BYTES) {
      this.#connection.pause();
    }
    this.#wakeUp();
  }

  /** Whoever cancels a stream, or leaves its loop, does not look at it any more. */
  protected override get dropsWhenInterrupted(): boolean {
    return true;
  }

  protected override over(end: CallEnd): void {
    this.#end = end;
    this.#connection.resume();
    this.#wakeUp();
    this.#resolve(end);
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #giveUp(): void {
    this.#tooMuch = new DqliteError(
      'LIMIT',
      `rows that another statement of the transaction had to wait for take more than ${MAX_SPOOLED_BYTES} bytes`,
      { hint: 'collect the rows first, or read them in portions' },
    );
    this.#drop();
    this.interrupt(this.#connection);
  }

  #drop(): void {
    this.#bodies.drain();
    this.#waitingBytes = 0;
    this.#hasMessage = false;
  }

  /** Another statement wants the connection: the rest of the rows is read into memory. */
  spool(): void {
    this.#isSpooling = true;
    this.#connection.resume();
  }

  /** A row if one is here, undefined if not yet or no more. May throw RangeError. */
  take(): unknown {
    for (;;) {
      if (this.#hasMessage) {
        const row = this.#reader.row();
        if (row !== undefined) {
          this.rowCount++;
          return row;
        }
        this.#hasMessage = false;
      }
      const body = this.#bodies.shift();
      if (body === undefined) return undefined;
      this.#waitingBytes -= body.length;
      if (this.#waitingBytes <= HIGH_WATER_BYTES / 2) this.#connection.resume();
      this.#reader.begin(body);
      this.#hasMessage = true;
    }
  }

  /** How it ended; undefined while more may come. */
  get end(): CallEnd | undefined {
    return this.#end;
  }

  /** Why rows were dropped on this side. */
  get tooMuch(): DqliteError | undefined {
    return this.#tooMuch;
  }

  /** Resolves when there is more to take, or no more. */
  more(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve;
    });
  }

  /** Resolves when the first rows are here, or it has ended without. */
  async begun(): Promise<void> {
    if (!this.hasRows && this.#end === undefined) await this.more();
  }

  /** Whether there is something to take. */
  get hasRows(): boolean {
    return this.#hasMessage || this.#bodies.length > 0;
  }

  /** Whether `stop` ended it, not the caller's cancellation. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Nobody wants the rest. */
  stop(): void {
    this.#isStopped = true;
    this.#drop();
    this.interrupt(this.#connection);
  }

  override interrupt(connection: ServerConnection): void {
    super.interrupt(connection);
    connection.resume();
  }
}
