/**
 * A client over a plain socket, independent of the product's own client: it sends any request, or any bytes, to any
 * dqlite server and keeps what comes back byte for byte. It looks for no leader: it talks to the address it is given.
 */

import net from 'node:net';
import { encodeUtf8, Writer } from '../../src/lib/bytes.ts';
import {
  decodeResponse,
  encodeRequest,
  FrameParser,
  ParameterTuple,
  protocolVersion,
  requestType,
  responseType,
  RowsReader,
  valueType,
  type ParameterValue,
  type Request,
  type Response,
  type ResponseVariant,
  type WireValue,
} from '../../src/wire/index.ts';
import { within } from './deadline.ts';

/** A FAILURE. */
export class ServerFailure extends Error {
  override readonly name = 'ServerFailure';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The connection ended before the answer. */
export class Disconnected extends Error {
  override readonly name = 'Disconnected';
}

/** One message from the server. */
export interface Message {
  readonly type: number;
  readonly schema: number;
  readonly body: Uint8Array;
}

export interface Rows {
  readonly columns: readonly string[];
  readonly rows: WireValue[][];
}

export interface Result {
  readonly lastInsertId: bigint;
  readonly rowsAffected: number;
}

/** What tests bind. A number is an INTEGER if it is whole, a `ParameterValue` is sent as it is. */
export type Bound = null | bigint | number | string | boolean | Uint8Array | ParameterValue;

interface Receiver {
  /** Takes a message; true if it was the last of the answer. */
  message(message: Message): boolean;
  broken(error: Disconnected): void;
}

const CONNECT_MS = 5000;
const ANSWER_MS = 60_000;

export interface ClientOptions {
  readonly version?: bigint;
  readonly answerMs?: number;
}

export class WireClient {
  readonly address: string;
  readonly socket: net.Socket;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** Bytes received. */
  received = 0;
  readonly #parser = new FrameParser(2 ** 32);
  readonly #writer = new Writer();
  readonly #receivers: Receiver[] = [];
  readonly #answerMs: number;
  #error: Disconnected | undefined = undefined;

  private constructor(address: string, socket: net.Socket, answerMs: number) {
    this.address = address;
    this.socket = socket;
    this.#answerMs = answerMs;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', () => {}); // `close` follows
    socket.on('end', () => socket.destroy());
    this.closed = new Promise(resolve => {
      socket.on('close', () => {
        this.#break();
        resolve();
      });
    });
  }

  static async connect(address: string, options: ClientOptions = {}): Promise<WireClient> {
    const socket = await dial(address);
    const client = new WireClient(address, socket, options.answerMs ?? ANSWER_MS);
    const writer = new Writer();
    writer.uint64(options.version ?? protocolVersion.current);
    socket.write(writer.written());
    return client;
  }

  /** Connects and opens a database. */
  static async open(address: string, database: string, options?: ClientOptions): Promise<WireClient> {
    const client = await WireClient.connect(address, options);
    await client.open(database);
    return client;
  }

  get isClosed(): boolean {
    return this.#error !== undefined;
  }

  /** Sends a request and gives all messages of its answer. Rejects with `Disconnected`. */
  answer(request: Request): Promise<Message[]> {
    const messages: Message[] = [];
    return this.#ask(request, message => {
      messages.push({ ...message, body: message.body.slice() });
      return isLast(message);
    }).then(() => messages);
  }

  /** Sends a request whose answer is one message. Rejects with `ServerFailure` or `Disconnected`. */
  async call(request: Request, variant?: ResponseVariant): Promise<Exclude<Response, { kind: 'failure' }>> {
    const [message] = await this.answer(request);
    const response = decodeResponse(message!.type, message!.schema, message!.body, variant);
    if (response.kind === 'failure') throw new ServerFailure(response.code, response.message);
    return response;
  }

  async open(name: string): Promise<void> {
    await this.call({ kind: 'open', name: encodeUtf8(name), flags: 0n, vfs: encodeUtf8('volatile') });
  }

  async exec(sql: string, ...parameters: readonly Bound[]): Promise<Result> {
    return resultOf(
      await this.call({ kind: 'execSql', database: 0, sql: encodeUtf8(sql), parameters: bind(parameters) }),
    );
  }

  async query(sql: string, ...parameters: readonly Bound[]): Promise<Rows> {
    return rowsOf(
      await this.answer({ kind: 'querySql', database: 0, sql: encodeUtf8(sql), parameters: bind(parameters) }),
    );
  }

  /** The values of a query, as JavaScript values. */
  async values(sql: string, ...parameters: readonly Bound[]): Promise<WireValue['value'][][]> {
    const { rows } = await this.query(sql, ...parameters);
    return rows.map(row => row.map(({ value }) => value));
  }

  /** Runs a query without keeping its rows. Gives the number of messages. */
  async scan(sql: string): Promise<number> {
    let messages = 0;
    let failure: ServerFailure | undefined;
    const request: Request = { kind: 'querySql', database: 0, sql: encodeUtf8(sql), parameters: ParameterTuple.of([]) };
    await this.#ask(request, message => {
      messages++;
      if (message.type === responseType.failure) failure = failureOf(message);
      return isLast(message);
    });
    if (failure !== undefined) throw failure;
    return messages;
  }

  async prepare(sql: string): Promise<number> {
    const response = await this.call({ kind: 'prepare', schema: 0, database: 0, sql: encodeUtf8(sql) });
    if (response.kind !== 'stmt') throw new Error(`${response.kind} in answer to PREPARE`);
    return response.statement;
  }

  async execPrepared(statement: number, ...parameters: readonly Bound[]): Promise<Result> {
    return resultOf(await this.call({ kind: 'exec', database: 0, statement, parameters: bind(parameters) }));
  }

  async queryPrepared(statement: number, ...parameters: readonly Bound[]): Promise<Rows> {
    return rowsOf(await this.answer({ kind: 'query', database: 0, statement, parameters: bind(parameters) }));
  }

  /** Sends a request and forgets about it: for answers that nobody reads. */
  send(request: Request): void {
    encodeRequest(this.#writer, request);
    this.socket.write(this.#writer.copy());
    this.#writer.clear();
  }

  close(): void {
    this.socket.destroy();
  }

  #ask(request: Request, message: (message: Message) => boolean): Promise<void> {
    const answered = new Promise<void>((resolve, reject) => {
      if (this.#error !== undefined) {
        reject(this.#error);
        return;
      }
      this.#receivers.push({
        message: received => {
          const last = message(received);
          if (last) resolve();
          return last;
        },
        broken: reject,
      });
      this.send(request);
    });
    return within(answered, this.#answerMs, `${this.address} answers a request of kind ${request.kind}`);
  }

  #receive(bytes: Uint8Array): void {
    this.received += bytes.length;
    this.#parser.push(bytes);
    for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) {
      if (this.#receivers[0]?.message(frame) === true) this.#receivers.shift();
    }
  }

  #break(): void {
    this.#error ??= new Disconnected(`the connection to ${this.address} is closed`);
    for (const receiver of this.#receivers.splice(0)) receiver.broken(this.#error);
  }
}

/** Opens a socket to `host:port` or `@name`. */
export function dial(address: string): Promise<net.Socket> {
  const connected = new Promise<net.Socket>((resolve, reject) => {
    const colon = address.lastIndexOf(':');
    const socket = address.startsWith('@')
      ? net.connect({ path: `\0${address.slice(1)}` })
      : net.connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)), noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
  });
  return within(connected, CONNECT_MS, `a connection to ${address}`);
}

/** Whether this is the last message of an answer: all but a ROWS that says that another one follows. */
function isLast({ type, body }: Message): boolean {
  return type !== responseType.rows || new RowsReader(body).done;
}

function failureOf({ type, schema, body }: Message): ServerFailure {
  const response = decodeResponse(type, schema, body);
  if (response.kind !== 'failure') throw new Error(`${response.kind} is not a failure`);
  return new ServerFailure(response.code, response.message);
}

function resultOf(response: Response): Result {
  if (response.kind !== 'result') throw new Error(`${response.kind} in answer to EXEC`);
  return { lastInsertId: response.lastInsertId, rowsAffected: response.rowsAffected };
}

/** The rows of an answer. Throws `ServerFailure`. */
export function rowsOf(messages: readonly Message[]): Rows {
  let columns: readonly string[] = [];
  const rows: WireValue[][] = [];
  for (const message of messages) {
    if (message.type === responseType.failure) throw failureOf(message);
    if (message.type !== responseType.rows) throw new Error(`response type ${message.type} in answer to QUERY`);
    const reader = new RowsReader(message.body);
    columns = reader.columnNames();
    for (let row = reader.row(); row !== undefined; row = reader.row()) rows.push(row);
  }
  return { columns, rows };
}

export function bind(values: readonly Bound[]): ParameterTuple {
  return ParameterTuple.of(values.map(parameterOf));
}

function parameterOf(value: Bound): ParameterValue {
  switch (typeof value) {
    case 'bigint':
      return { type: valueType.integer, value };
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0)
        ? { type: valueType.integer, value: BigInt(value) }
        : { type: valueType.float, value };
    case 'string':
      return { type: valueType.text, value };
    case 'boolean':
      return { type: valueType.boolean, value };
    case 'object':
      if (value === null) return { type: valueType.null, value };
      return value instanceof Uint8Array ? { type: valueType.blob, value } : value;
  }
}

/** The name of a request's or response's number, for messages. */
export function requestName(type: number): string {
  return Object.entries(requestType).find(([, code]) => code === type)?.[0] ?? String(type);
}
