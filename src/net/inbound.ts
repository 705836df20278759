/**
 * The receiving side of an accepted connection: protocol version, then messages (wire spec section 1). What the
 * messages mean is the business of a `ClientHandler`, which takes them one by one; until it does, they stay here,
 * bounded, and the connection is not read any further.
 */

import type { Clock, Connection, ConnectionHandlers, Timer } from '../host/types.ts';
import type { Writer } from '../lib/bytes.ts';
import { FrameParser, MessageTooLargeError, protocolVersion, type Frame, type FrameHeader } from '../wire/index.ts';

/** Serves one client. */
export interface ClientHandler {
  /** Messages may have arrived: take what can be served with `next`. */
  readable(): void;
  /** All that was sent has been taken by the operating system. */
  drained(): void;
  /** The client sends no more. The handler answers what has arrived and then calls `finish`. */
  ended(): void;
  /** The connection is gone. */
  closed(): void;
  /** The client announces a message of more than the limit, or too much waits in memory: answer and `finish`. */
  refused(message: string): void;
}

/** Takes a connection over that speaks another protocol from some point on. */
export interface Successor {
  received(bytes: Uint8Array): void;
  /** The connection is gone, or the other side sends no more. */
  close(): void;
}

export interface InboundOptions {
  readonly clock: Clock;
  /** The connection is one too many: it gets an answer, and then it has to go. */
  readonly isRefused: boolean;
  /** Largest request body in bytes. */
  readonly maxRequestBytes: number;
  /** Bytes of requests that all connections together may hold. */
  readonly budget: InboundBudget;
  /** Makes the handler, once the protocol version is known to be good. */
  readonly handler: (inbound: Inbound, legacy: boolean) => ClientHandler;
  /** The stream goes on in another protocol. */
  readonly takenOver: () => void;
  readonly closed: (inbound: Inbound) => void;
}

/** Memory for requests, shared by all connections. */
export class InboundBudget {
  readonly limit: number;
  used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }
}

/** Requests sent ahead are read up to here; then the connection is paused until some of them are served. */
const READ_AHEAD_BYTES = 64 * 1024;

/** A client that has not said which protocol it speaks by then, or was refused and is still there, has to go. */
const GREETING_MS = 10_000;
/** So long a client may keep a connection that is over. */
const LINGER_MS = 30_000;

export class Inbound implements ConnectionHandlers {
  readonly connection: Connection;
  readonly #options: InboundOptions;
  #parser: FrameParser;
  #handler: ClientHandler | undefined = undefined;
  #paused = false;
  #finished = false;
  /** The other side sends no more. */
  #ended = false;
  #counted = 0;
  #successor: Successor | undefined = undefined;
  /** When it is dropped: connections are few, and who does nothing must not keep one. */
  #deadline: Timer;
  /** The handler is busy: what arrives waits. */
  busy = false;

  constructor(connection: Connection, options: InboundOptions) {
    this.connection = connection;
    this.#options = options;
    this.#parser = new FrameParser(options.maxRequestBytes);
    this.#deadline = options.clock.setTimer(GREETING_MS, () => this.drop());
  }

  /** The next message, if it has arrived as a whole. */
  next(): Frame | undefined {
    try {
      const frame = this.#parser.next();
      this.#account();
      return frame;
    } catch (error) {
      if (!(error instanceof MessageTooLargeError)) throw error;
      this.#handler?.refused(error.message);
      return undefined;
    }
  }

  /** The header of the next message, if all of it has arrived. */
  peek(): FrameHeader | undefined {
    return this.#parser.peek();
  }

  get pendingBytes(): number {
    return this.connection.pendingBytes;
  }

  /** Sends what was written and makes the writer ready for the next message. */
  send(writer: Writer): void {
    if (writer.offset > 0 && !this.connection.send(writer.written())) writer.renew();
    writer.clear();
  }

  /** The stream goes on in another protocol: raft, after CONNECT. `begin` gives who takes what follows. */
  takeOver(begin: (connection: Connection) => Successor): void {
    const rest = this.#parser.rest();
    this.#deadline.cancel();
    this.#stopReading();
    this.#options.takenOver();
    this.#successor = begin(this.connection);
    if (rest.length > 0) this.#successor.received(rest);
    if (this.#ended) this.#successor.close();
  }

  /** Closes once everything was sent. */
  finish(): void {
    this.#stopReading();
    this.connection.end();
    this.#linger();
  }

  /** Closes at once, without a word. */
  drop(): void {
    this.#stopReading();
    this.connection.destroy();
  }

  received(bytes: Uint8Array): void {
    this.#successor?.received(bytes);
    if (this.#finished) return;
    this.#parser.push(bytes);
    this.#account();
    const { budget } = this.#options;
    // Large requests fill the memory, so they are refused; who sends a small one is served.
    if (budget.used > budget.limit && !this.busy && this.#parser.bufferedBytes > READ_AHEAD_BYTES) {
      this.#handler?.refused('the requests waiting on this node hold more memory than allowed');
      return;
    }
    if (this.#handler === undefined && !this.#shakeHands()) return;
    this.#handler?.readable();
    this.regulate();
  }

  /** Pauses or resumes reading according to what waits. To be called when `busy` changes. */
  regulate(): void {
    const isMuch = this.#parser.bufferedBytes > READ_AHEAD_BYTES;
    const pause = isMuch && (this.busy || this.#parser.peek() !== undefined);
    if (pause === this.#paused || this.#finished) return;
    this.#paused = pause;
    if (pause) this.connection.pause();
    else this.connection.resume();
  }

  drained(): void {
    this.#handler?.drained();
  }

  ended(): void {
    this.#ended = true;
    if (this.#successor !== undefined) this.#successor.close();
    else if (this.#handler === undefined) this.drop();
    else if (!this.#finished) this.#handler.ended();
  }

  closed(): void {
    this.#deadline.cancel();
    this.#stopReading();
    this.#successor?.close();
    this.#handler?.closed();
    this.#options.closed(this);
  }

  /** Whether the stream may go on: the version is known, or has not arrived yet. */
  #shakeHands(): boolean {
    const version = this.#parser.handshake();
    if (version === undefined) return false;
    if (version !== protocolVersion.current && version !== protocolVersion.legacy) {
      this.drop();
      return false;
    }
    if (!this.#options.isRefused) this.#deadline.cancel();
    this.#handler = this.#options.handler(this, version === protocolVersion.legacy);
    return true;
  }

  /** The other side may read the rest as slowly as it likes; then it has to close. */
  #linger(): void {
    this.#deadline.cancel();
    this.#deadline = this.#options.clock.setTimer(LINGER_MS, () => {
      if (this.connection.pendingBytes > 0) this.#linger();
      else this.drop();
    });
  }

  /** What has arrived and was not taken is forgotten. */
  #stopReading(): void {
    this.#finished = true;
    // What comes is thrown away, but the other side's end must be seen.
    if (this.#paused) this.connection.resume();
    this.#paused = false;
    this.#parser = new FrameParser(this.#options.maxRequestBytes);
    this.#options.budget.used -= this.#counted;
    this.#counted = 0;
  }

  #account(): void {
    if (this.#finished) return;
    this.#options.budget.used += this.#parser.bufferedBytes - this.#counted;
    this.#counted = this.#parser.bufferedBytes;
  }
}
