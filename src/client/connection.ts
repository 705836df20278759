/**
 * One connection to one server: sends requests, which may be pipelined, and hands their answers back in order. What
 * to do with an answer is up to whoever asked.
 */

import type { Connection, ConnectionHandlers, Net } from '../host/types.ts';
import { DecodeError, Writer } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { Queue } from '../lib/queue.ts';
import {
  decodeResponse,
  encodeRequest,
  FrameParser,
  protocolVersion,
  type Frame,
  type Request,
  type Response,
  type ResponseVariant,
} from '../wire/index.ts';
import { failureError } from './failure.ts';

/** Takes the messages that answer one request. */
export interface Receiver {
  /** A message has arrived. True if it was the last one of the answer. May throw: then the connection is given up. */
  message(frame: Frame): boolean;
  /** The connection broke; there will be no more messages. */
  broken(error: DqliteError): void;
}

/** Servers send rows in messages of any size; a dump is one message. */
const MAX_RESPONSE_BYTES = 2 ** 32;

export class ServerConnection implements ConnectionHandlers {
  /** The address that was dialled. */
  readonly address: string;
  /** Where the next request is written, to be sent by `submit`. */
  readonly writer: Writer = new Writer();
  #connection: Connection | undefined = undefined;
  readonly #parser = new FrameParser(MAX_RESPONSE_BYTES);
  readonly #receivers = new Queue<Receiver>();
  #error: DqliteError | undefined = undefined;
  #isPaused = false;
  /** All that has arrived. */
  receivedBytes = 0;
  /** Called once when it breaks or is closed. */
  onBroken: (() => void) | undefined = undefined;

  private constructor(address: string) {
    this.address = address;
  }

  /** Connects and says which protocol it will speak. Rejects with DqliteError CONNECTION. */
  static async open(net: Net, address: string, timeoutMs: number): Promise<ServerConnection> {
    const attach = await net.connect(address, timeoutMs);
    const opened = new ServerConnection(address);
    opened.#connection = attach(opened);
    opened.writer.uint64(protocolVersion.current);
    opened.#flush();
    return opened;
  }

  /** The server has something to say, and nothing keeps it from that. */
  get awaitsAnswer(): boolean {
    return this.#receivers.length > 0 && !this.#isPaused && this.#error === undefined;
  }

  /** Why nothing can be sent any more. */
  get error(): DqliteError | undefined {
    return this.#error;
  }

  /** Sends a request that has one message for an answer. A FAILURE rejects with a DqliteError. */
  call(request: Request, variant?: ResponseVariant): Promise<Exclude<Response, { kind: 'failure' }>> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) throw this.#error;
      try {
        encodeRequest(this.writer, request);
      } catch (error) {
        this.writer.clear();
        throw error;
      }
      this.submit({
        message: frame => {
          const response = decodeResponse(frame.type, frame.schema, frame.body, variant);
          if (response.kind === 'failure') reject(failureError(response, undefined));
          else resolve(response);
          return true;
        },
        broken: reject,
      });
    });
  }

  /** Sends what was written. The connection must not be broken. */
  submit(receiver: Receiver): void {
    this.#receivers.push(receiver);
    this.#flush();
  }

  /** Takes back the receiver that was submitted last: its answer will not come. */
  withdrawLast(): void {
    this.#receivers.pop();
  }

  /** Stops reading, so that the server has to wait; what was read before may still arrive. */
  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#connection!.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#connection!.resume();
  }

  close(error?: DqliteError): void {
    if (this.#error === undefined) {
      this.#break(error ?? new DqliteError('CLOSED', `the connection to ${this.address} was closed`));
    }
    this.#connection!.destroy();
  }

  #flush(): void {
    if (this.#connection!.send(this.writer.written())) this.writer.clear();
    else this.writer.renew();
  }

  received(bytes: Uint8Array): void {
    this.receivedBytes += bytes.length;
    if (this.#error !== undefined) return;
    this.#parser.push(bytes);
    try {
      for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) {
        const receiver = this.#receivers.peek();
        if (receiver === undefined) throw new DecodeError('a message that nobody asked for', 0);
        if (receiver.message(frame)) this.#receivers.shift();
      }
    } catch (error) {
      this.close(new DqliteError('PROTOCOL', `${this.address} sent what cannot be understood`, { cause: error }));
    }
  }

  drained(): void {}

  ended(): void {
    this.#connection!.destroy();
  }

  closed(error: Error | undefined): void {
    this.#break(new DqliteError('CONNECTION', `the connection to ${this.address} was lost`, { cause: error }));
  }

  #break(error: DqliteError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    for (const receiver of this.#receivers.drain()) receiver.broken(error);
    this.onBroken?.();
  }
}
