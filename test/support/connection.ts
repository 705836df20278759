/**
 * A connection to a server, down to the bytes: sends requests or anything else, gives the messages that come back as
 * they are or decoded. Knows nothing of leaders and repairs nothing.
 */

import assert from 'node:assert/strict';
import net from 'node:net';
import { encodeUtf8, Writer } from '../../src/lib/bytes.ts';
import {
  decodeResponse,
  encodeRequest,
  ParameterTuple,
  protocolVersion,
  responseType,
  RowsReader,
  valueType,
  type ParameterValue,
  type Request,
  type Response,
  type ResponseVariant,
  type WireValue,
} from '../../src/wire/index.ts';
import { DEADLINE_MS, until, within } from './wait.ts';

/** One message from the server. */
export interface Message {
  readonly type: number;
  readonly schema: number;
  readonly extra: number;
  readonly body: Buffer;
  /** Header and body. */
  readonly bytes: Buffer;
}

/** A FAILURE. */
export class Failure extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The server has ended the connection. */
export class Ended extends Error {}

export type Plain = null | number | bigint | string | boolean | Uint8Array;

/** What tests bind. A number is an INTEGER if it is whole, a `ParameterValue` is sent as it is. */
export type Bound = Plain | ParameterValue;

export interface Rows {
  readonly columns: readonly string[];
  readonly rows: WireValue[][];
  /** Messages that brought them. */
  readonly parts: number;
}

export interface Result {
  /** A number as long as it is exact. */
  readonly lastInsertId: number | bigint;
  readonly changes: number;
}

export interface ConnectOptions {
  /** Undefined: nothing is sent. */
  readonly version?: bigint | undefined;
  readonly deadlineMs?: number;
}

/** A value as tests write it. */
export function parameter(value: Bound): ParameterValue {
  switch (typeof value) {
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0)
        ? { type: valueType.integer, value: BigInt(value) }
        : { type: valueType.float, value };
    case 'bigint':
      return { type: valueType.integer, value };
    case 'string':
      return { type: valueType.text, value };
    case 'boolean':
      return { type: valueType.boolean, value };
    case 'object':
      if (value === null) return { type: valueType.null, value };
      return value instanceof Uint8Array ? { type: valueType.blob, value } : value;
  }
}

export function parameters(values: readonly Bound[], schema?: number): ParameterTuple {
  return ParameterTuple.of(values.map(parameter), schema);
}

/** A value as tests compare it: small integers as numbers. */
export function plain({ value }: WireValue): Plain {
  return typeof value === 'bigint' ? plainInteger(value) : value;
}

function plainInteger(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

export const requests = {
  open: (name: string | Uint8Array): Request => ({
    kind: 'open',
    name: typeof name === 'string' ? encodeUtf8(name) : name,
    flags: 0n,
    vfs: encodeUtf8('volatile'),
  }),
  prepare: (sql: string, schema = 0): Request => ({ kind: 'prepare', schema, database: 0, sql: encodeUtf8(sql) }),
  exec: (statement: number, ...values: Bound[]): Request => ({
    kind: 'exec',
    database: 0,
    statement,
    parameters: parameters(values),
  }),
  query: (statement: number, ...values: Bound[]): Request => ({
    kind: 'query',
    database: 0,
    statement,
    parameters: parameters(values),
  }),
  finalize: (statement: number): Request => ({ kind: 'finalize', database: 0, statement }),
  execSql: (sql: string, ...values: Bound[]): Request => ({
    kind: 'execSql',
    database: 0,
    sql: encodeUtf8(sql),
    parameters: parameters(values),
  }),
  querySql: (sql: string, ...values: Bound[]): Request => ({
    kind: 'querySql',
    database: 0,
    sql: encodeUtf8(sql),
    parameters: parameters(values),
  }),
  interrupt: { kind: 'interrupt', database: 0 } as Request,
  leader: { kind: 'leader' } as Request,
};

/** The bytes of requests, one behind the other. */
export function encoded(...list: readonly Request[]): Buffer {
  const writer = new Writer();
  for (const request of list) encodeRequest(writer, request);
  return Buffer.from(writer.copy());
}

interface MessageOptions {
  readonly schema?: number;
  /** What the header says of the body's size. */
  readonly words?: number;
  readonly extra?: number;
}

/** A message with any header and body. */
export function message(type: number, body: Uint8Array, options: MessageOptions = {}): Buffer {
  const { schema = 0, words = body.length / 8, extra = 0 } = options;
  const bytes = Buffer.alloc(8 + body.length);
  bytes.writeUInt32LE(words, 0);
  bytes[4] = type;
  bytes[5] = schema;
  bytes.writeUInt16LE(extra, 6);
  bytes.set(body, 8);
  return bytes;
}

/** 64-bit words, little-endian. */
export function words(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), index * 8);
  return bytes;
}

/** Text as it travels: NUL-terminated and padded. Characters above 255 are not for here. */
export function text(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  const padded = Buffer.alloc(Math.ceil((bytes.length + 1) / 8) * 8);
  padded.set(bytes);
  return padded;
}

export class Connection {
  readonly socket: net.Socket;
  readonly #deadlineMs: number;
  readonly #messages: Message[] = [];
  #chunks: Buffer[] = [];
  #size = 0;
  /** Why there will be no more messages. */
  #end: Error | undefined = undefined;
  #wake: (() => void) | undefined = undefined;
  /** Answers are read one after the other, in the order of the requests. */
  #reading: Promise<unknown> = Promise.resolve();
  /** Bytes received. */
  received = 0;

  private constructor(socket: net.Socket, deadlineMs: number) {
    this.socket = socket;
    this.#deadlineMs = deadlineMs;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('end', () => this.#over(new Ended('end of stream')));
    socket.on('error', error => this.#over(new Ended(error.message)));
    socket.on('close', () => this.#over(new Ended('closed')));
  }

  /** Connects to `host:port` or `@name` and says which protocol it will speak. */
  static async connect(address: string, options: ConnectOptions = {}): Promise<Connection> {
    const socket = net.connect({ ...target(address), noDelay: true, allowHalfOpen: true });
    await within(
      new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      }),
      `a connection to ${address}`,
    );
    const connection = new Connection(socket, options.deadlineMs ?? DEADLINE_MS);
    const version = 'version' in options ? options.version : protocolVersion.current;
    if (version !== undefined) connection.write(words(version));
    return connection;
  }

  /** Connects and opens a database. */
  static async open(address: string, database: string, options?: ConnectOptions): Promise<Connection> {
    const connection = await Connection.connect(address, options);
    await connection.open(database);
    return connection;
  }

  // --- Sending --------------------------------------------------------------------------------------------------

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  send(...list: readonly Request[]): void {
    this.write(encoded(...list));
  }

  /** Sends no more, but reads on. */
  half(): void {
    this.socket.end();
  }

  /** Closes, as a program that ends does. */
  close(): void {
    this.socket.destroy();
  }

  /** Closes with a reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Stops and goes on taking what the server sends. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  // --- Receiving ------------------------------------------------------------------------------------------------

  /** The next message. */
  async next(deadlineMs: number = this.#deadlineMs): Promise<Message> {
    const late = new Error(`no message within ${deadlineMs} ms`);
    const endMs = performance.now() + deadlineMs;
    for (;;) {
      const first = this.#messages.shift();
      if (first !== undefined) return first;
      if (this.#end !== undefined) throw this.#end;
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw late;
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  /** Messages that have arrived and were not taken. */
  get arrived(): number {
    return this.#messages.length;
  }

  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** The server ends the connection, and says nothing before that. */
  async ended(): Promise<void> {
    const stray = await this.next().catch((error: unknown) => {
      if (error instanceof Ended) return undefined;
      throw error;
    });
    assert.equal(stray, undefined, 'the connection ends without a message');
  }

  /** The next message, decoded. A FAILURE is thrown. */
  async response(variant?: ResponseVariant): Promise<Exclude<Response, { kind: 'failure' }>> {
    const { type, schema, extra, body } = await this.next();
    assert.equal(extra, 0);
    const response = decodeResponse(type, schema, body, variant);
    if (response.kind === 'failure') throw new Failure(response.code, response.message);
    return response;
  }

  /** All messages of the next answer, which is to a query: undecoded. */
  async parts(): Promise<Message[]> {
    const parts: Message[] = [];
    for (;;) {
      const part = await this.next();
      parts.push(part);
      if (part.type !== responseType.rows || part.body[part.body.length - 1] === 0xff) return parts;
    }
  }

  async rows(): Promise<Rows> {
    let columns: readonly string[] = [];
    const rows: WireValue[][] = [];
    for (let parts = 1; ; parts++) {
      const response = await this.response();
      assert.equal(response.kind, 'rows');
      const reader = new RowsReader(response.kind === 'rows' ? response.body : new Uint8Array());
      columns = reader.columnNames();
      for (let row = reader.row(); row !== undefined; row = reader.row()) rows.push(row);
      if (reader.done) return { columns, rows, parts };
    }
  }

  async result(): Promise<Result> {
    const response = await this.response();
    assert.ok(response.kind === 'result', `RESULT, not ${response.kind}`);
    return { lastInsertId: plainInteger(response.lastInsertId), changes: response.rowsAffected };
  }

  async empty(): Promise<void> {
    const response = await this.response();
    assert.equal(response.kind, 'empty');
  }

  // --- Both -----------------------------------------------------------------------------------------------------

  /** Sends a request; its answer is read when those before it were. */
  ask<T>(request: Request, answer: () => Promise<T>): Promise<T> {
    this.send(request);
    const read = this.#reading.then(answer);
    this.#reading = read.catch(() => {});
    return read;
  }

  call(request: Request, variant?: ResponseVariant): Promise<Exclude<Response, { kind: 'failure' }>> {
    return this.ask(request, () => this.response(variant));
  }

  async open(name: string | Uint8Array): Promise<void> {
    const response = await this.call(requests.open(name));
    assert.deepEqual(response, { kind: 'db', database: 0 });
  }

  async prepare(sql: string): Promise<{ readonly statement: number; readonly parameterCount: number }> {
    const response = await this.call(requests.prepare(sql));
    assert.ok(response.kind === 'stmt', `STMT, not ${response.kind}`);
    return { statement: response.statement, parameterCount: response.parameterCount };
  }

  /** EXEC_SQL. */
  exec(sql: string, ...values: Bound[]): Promise<Result> {
    return this.ask(requests.execSql(sql, ...values), () => this.result());
  }

  /** QUERY_SQL: rows as plain values. */
  query(sql: string, ...values: Bound[]): Promise<Plain[][]> {
    return this.ask(requests.querySql(sql, ...values), async () => (await this.rows()).rows.map(row => row.map(plain)));
  }

  /** QUERY_SQL: all that came. */
  queryTyped(sql: string, ...values: Bound[]): Promise<Rows> {
    return this.ask(requests.querySql(sql, ...values), () => this.rows());
  }

  /** QUERY_SQL: rows of values as they were sent, all integers as bigints. */
  async values(sql: string, ...values: Bound[]): Promise<WireValue['value'][][]> {
    const { rows } = await this.queryTyped(sql, ...values);
    return rows.map(row => row.map(({ value }) => value));
  }

  execPrepared(statement: number, ...values: Bound[]): Promise<Result> {
    return this.ask(requests.exec(statement, ...values), () => this.result());
  }

  queryPrepared(statement: number, ...values: Bound[]): Promise<Rows> {
    return this.ask(requests.query(statement, ...values), () => this.rows());
  }

  /** The one value of a query. */
  async value(sql: string, ...values: Bound[]): Promise<Plain> {
    const rows = await this.query(sql, ...values);
    assert.equal(rows.length, 1, sql);
    return rows[0]![0]!;
  }

  /** Resolves once the server has closed. */
  closed(): Promise<void> {
    return until(() => this.#end !== undefined, 'the end of a connection');
  }

  #receive(bytes: Buffer): void {
    this.received += bytes.length;
    this.#chunks.push(bytes);
    this.#size += bytes.length;
    while (this.#size >= 8) {
      if (this.#chunks[0]!.length < 8) this.#chunks = [Buffer.concat(this.#chunks)];
      const total = 8 + this.#chunks[0]!.readUInt32LE(0) * 8;
      if (this.#size < total) return;
      const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
      const whole = all.subarray(0, total);
      this.#chunks = all.length > total ? [all.subarray(total)] : [];
      this.#size -= total;
      this.#messages.push({
        type: whole[4]!,
        schema: whole[5]!,
        extra: whole.readUInt16LE(6),
        body: whole.subarray(8),
        bytes: whole,
      });
      this.#wake?.();
    }
  }

  #over(reason: Error): void {
    this.#end ??= reason;
    this.#wake?.();
  }
}

function target(address: string): { host: string; port: number } | { path: string } {
  if (address.startsWith('@')) return { path: `\0${address.slice(1)}` };
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}

/** Expects a FAILURE. `wanted`: its code, and its message or what that matches. */
export async function fails(answer: Promise<unknown>, code: number, wanted: string | RegExp): Promise<void> {
  try {
    await answer;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (typeof wanted === 'string') assert.equal(error.message, wanted);
    else assert.match(error.message, wanted);
    assert.equal(error.code, code, error.message);
    return;
  }
  assert.fail(`no failure ${code}`);
}
