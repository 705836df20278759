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

/** Takes the messages that answer one request. */
interface Receiver {
  /** A message has arrived. True if it was the last one of the answer. May throw: then the connection is given up. */
  message(frame: Frame): boolean;
  /** The connection broke; there will be no more messages. */
  broken(error: DqliteError): void;
}

/** Servers send rows in messages of any size; a dump is one message. */
const MAX_RESPONSE_BYTES = 2 ** 32;
const CONNECT_TIMEOUT_MS = 5000;

export class ServerConnection implements ConnectionHandlers {
  /** The address that was dialled. */
  readonly address: string;
  #connection: Connection | undefined = undefined;
  readonly #parser = new FrameParser(MAX_RESPONSE_BYTES);
  readonly #receivers = new Queue<Receiver>();
  readonly #writer = new Writer();
  #error: DqliteError | undefined = undefined;

  private constructor(address: string) {
    this.address = address;
  }

  /** Connects and says which protocol it will speak. Rejects with DqliteError CONNECTION. */
  static async open(net: Net, address: string): Promise<ServerConnection> {
    const attach = await net.connect(address, CONNECT_TIMEOUT_MS);
    const opened = new ServerConnection(address);
    opened.#connection = attach(opened);
    opened.#writer.uint64(protocolVersion.current);
    opened.#flush();
    return opened;
  }

  get isBroken(): boolean {
    return this.#error !== undefined;
  }

  /** Sends a request that has one message for an answer. A FAILURE rejects with DqliteError SQLITE. */
  call(request: Request, variant?: ResponseVariant): Promise<Exclude<Response, { kind: 'failure' }>> {
    return new Promise((resolve, reject) => {
      this.#send(request, {
        message: frame => {
          const response = decodeResponse(frame.type, frame.schema, frame.body, variant);
          if (response.kind === 'failure') reject(failureError(response));
          else resolve(response);
          return true;
        },
        broken: reject,
      });
    });
  }

  /** Sends a query. `rows` is called with each ROWS body as it arrives. */
  query(request: Request, rows: (body: Uint8Array) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#send(request, {
        message: frame => {
          const response = decodeResponse(frame.type, frame.schema, frame.body);
          if (response.kind === 'failure') {
            reject(failureError(response));
            return true;
          }
          if (response.kind !== 'rows') throw new DecodeError(`${response.kind} in answer to a query`, 0);
          const done = rows(response.body);
          if (done) resolve();
          return done;
        },
        broken: reject,
      });
    });
  }

  close(): void {
    this.#error ??= new DqliteError('CLOSED', `the connection to ${this.address} was closed`);
    this.#connection?.destroy();
  }

  #send(request: Request, receiver: Receiver): void {
    if (this.#error !== undefined) {
      receiver.broken(this.#error);
      return;
    }
    encodeRequest(this.#writer, request);
    this.#receivers.push(receiver);
    this.#flush();
  }

  #flush(): void {
    if (this.#connection!.send(this.#writer.written())) this.#writer.clear();
    else this.#writer.renew();
  }

  received(bytes: Uint8Array): void {
    this.#parser.push(bytes);
    try {
      for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) {
        const receiver = this.#receivers.peek();
        if (receiver === undefined) throw new DecodeError('a message that nobody asked for', 0);
        if (receiver.message(frame)) this.#receivers.shift();
      }
    } catch (error) {
      this.#break(new DqliteError('PROTOCOL', `${this.address} sent what cannot be understood`, { cause: error }));
      this.#connection!.destroy();
    }
  }

  drained(): void {}

  ended(): void {
    this.#connection!.destroy();
  }

  closed(error: Error | undefined): void {
    this.#break(
      new DqliteError('CONNECTION', `the connection to ${this.address} was lost`, {
        cause: error,
        hint: 'a write that was under way may or may not have been committed',
      }),
    );
  }

  #break(error: DqliteError): void {
    this.#error ??= error;
    for (const receiver of this.#receivers.drain()) receiver.broken(this.#error);
  }
}

/** A FAILURE as an error. */
function failureError({ code, message }: { readonly code: number; readonly message: string }): DqliteError {
  return new DqliteError('SQLITE', message, { sqliteCode: code });
}
