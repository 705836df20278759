/**
 * What the shell needs of the cluster, and nothing else of a client: one connection to the leader for a session, whose
 * statements run one at a time, whose rows arrive as the terminal takes them, and which INTERRUPT reaches; and
 * single requests to any server.
 */

import type { Connection, ConnectionHandlers, Host } from '../host/index.ts';
import { Writer, encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import { Queue } from '../lib/queue.ts';
import {
  FrameParser,
  ParameterTuple,
  RowsReader,
  decodeResponse,
  dqliteCode,
  encodeRequest,
  protocolVersion,
  responseType,
  sqliteCode,
  valueType,
  type Frame,
  type Request,
  type Response,
} from '../wire/index.ts';

/** INTEGER is a bigint, REAL a number. A BOOLEAN is the integer that it is stored as. */
export type SqlValue = null | bigint | number | string | Uint8Array;

export interface Rows {
  readonly columns: readonly string[];
  /** The rows as they arrive, some at a time. The server waits while nobody asks for more. */
  readonly batches: AsyncIterable<SqlValue[][]>;
}

type Answer = Exclude<Response, { kind: 'failure' }>;

const CONNECT_TIMEOUT_MS = 5000;
const ANSWER_TIMEOUT_MS = 5000;
/** How long an election may take until there is no leader for a person's patience. */
const ELECTION_MS = 10_000;
const ELECTION_POLL_MS = 100;
/** A dump is one message. */
const MAX_RESPONSE_BYTES = 2 ** 32;
/** ROWS messages that are held here before the server has to wait. */
const MAX_WAITING_FRAMES = 4;
/** SQLITE_INTERRUPT. */
const INTERRUPTED = 9;

/** Codes after which the session's database is gone (wire spec section 5.8). */
const LOST_CODES: ReadonlySet<number> = new Set([
  dqliteCode.notLeader,
  dqliteCode.leadershipLost,
  dqliteCode.notLeaderLegacy,
  dqliteCode.leadershipLostLegacy,
  sqliteCode.notFound,
]);

/** Whether an error means that the connection is of no use any more. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof DqliteError)) return false;
  return error.code !== 'SQLITE' ? error.code !== 'USAGE' : LOST_CODES.has(error.sqliteCode ?? 0);
}

export function isInterrupted(error: unknown): boolean {
  return error instanceof DqliteError && error.sqliteCode === INTERRUPTED;
}

/** A connection to one server: one request at a time, its answers one by one. */
export class Link implements ConnectionHandlers {
  readonly address: string;
  #connection: Connection | undefined = undefined;
  readonly #parser = new FrameParser(MAX_RESPONSE_BYTES);
  readonly #frames = new Queue<Frame>();
  readonly #writer = new Writer();
  #wake: (() => void) | undefined = undefined;
  #error: DqliteError | undefined = undefined;
  #isPaused = false;
  #isBusy = false;
  #isInterrupting = false;

  private constructor(address: string) {
    this.address = address;
  }

  /** Rejects with DqliteError CONNECTION. */
  static async open(host: Host, address: string): Promise<Link> {
    const attach = await host.net.connect(address, CONNECT_TIMEOUT_MS);
    const link = new Link(address);
    link.#connection = attach(link);
    link.#writer.uint64(protocolVersion.current);
    link.#flush();
    return link;
  }

  /** One request, one answer. Rejects with DqliteError SQLITE for a FAILURE. */
  async call(request: Request): Promise<Answer> {
    this.#begin(request);
    return this.#end(await this.#response());
  }

  /** A call that must be answered soon, by a server that may not be one. */
  async callSoon(host: Host, request: Request): Promise<Answer> {
    const timer = host.clock.setTimer(ANSWER_TIMEOUT_MS, () =>
      this.#break(new DqliteError('TIMEOUT', `${this.address} does not answer`)),
    );
    try {
      return await this.call(request);
    } finally {
      timer.cancel();
    }
  }

  /** A query. Resolves with the first rows at hand. Its batches must be read to the end, or left by `return`. */
  async query(request: Request): Promise<Rows> {
    this.#begin(request);
    const first = rowsOf(this.#end(await this.#response(), false));
    if (first.done) this.#isBusy = false;
    return { columns: first.columnNames(), batches: this.#batches(first) };
  }

  async *#batches(first: RowsReader): AsyncGenerator<SqlValue[][]> {
    try {
      for (let reader = first; ; reader = rowsOf(this.#end(await this.#response(), false))) {
        if (reader.done) this.#isBusy = false;
        const rows = valuesOf(reader);
        if (rows.length > 0) yield rows;
        if (reader.done) return;
      }
    } finally {
      if (this.#isBusy && this.#error === undefined) await this.#abandon();
    }
  }

  /** Asks the server to stop the request that runs, if one does: it then fails with SQLITE_INTERRUPT. */
  interrupt(): void {
    if (!this.#isBusy || this.#isInterrupting || this.#error !== undefined) return;
    this.#isInterrupting = true;
    encodeRequest(this.#writer, { kind: 'interrupt', database: 0 });
    this.#flush();
    this.#setPaused(false);
  }

  close(): void {
    this.#break(new DqliteError('CLOSED', `the connection to ${this.address} was closed`));
  }

  #begin(request: Request): void {
    if (this.#error !== undefined) throw this.#error;
    if (this.#isBusy) throw new DqliteError('USAGE', 'the connection is still busy with another statement');
    try {
      encodeRequest(this.#writer, request);
    } catch (error) {
      this.#writer.clear();
      throw error;
    }
    this.#isBusy = true;
    this.#flush();
  }

  /** Checks an answer; with `isLast`, the request is over. */
  #end(response: Response, isLast = true): Answer {
    if (isLast || response.kind === 'failure') this.#isBusy = false;
    if (response.kind === 'failure') {
      throw new DqliteError('SQLITE', response.message, { sqliteCode: response.code });
    }
    return response;
  }

  /**
   * The next answer to the request. Once INTERRUPT was sent, an EMPTY ends everything: rows before it are dropped, but
   * the result of what ran to its end first is what it is (wire spec section 5.9).
   */
  async #response(): Promise<Response> {
    const frame = await this.#frame();
    if (!this.#isInterrupting) return decodeResponse(frame.type, frame.schema, frame.body);
    let last = frame;
    for (let next = frame; next.type !== responseType.empty; next = await this.#frame()) last = next;
    this.#isInterrupting = false;
    this.#isBusy = false;
    if (last.type === responseType.empty || last.type === responseType.rows) {
      throw new DqliteError('SQLITE', 'interrupted', { sqliteCode: INTERRUPTED });
    }
    return decodeResponse(last.type, last.schema, last.body);
  }

  /** Leaves the rest of a result unread. */
  async #abandon(): Promise<void> {
    this.interrupt();
    try {
      await this.#response();
    } catch (error) {
      if (!isInterrupted(error)) throw error;
    }
  }

  async #frame(): Promise<Frame> {
    while (this.#frames.length === 0) {
      if (this.#error !== undefined) throw this.#error;
      this.#setPaused(false);
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    return this.#frames.shift()!;
  }

  #flush(): void {
    if (this.#connection!.send(this.#writer.written())) this.#writer.clear();
    else this.#writer.renew();
  }

  #setPaused(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#connection!.pause();
    else this.#connection!.resume();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  received(bytes: Uint8Array): void {
    this.#parser.push(bytes);
    try {
      for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) this.#frames.push(frame);
    } catch (error) {
      this.#break(new DqliteError('PROTOCOL', `${this.address} sent what cannot be understood`, { cause: error }));
    }
    if (this.#frames.length > MAX_WAITING_FRAMES && !this.#isInterrupting) this.#setPaused(true);
    this.#wakeUp();
  }

  drained(): void {}

  ended(): void {
    this.#break(new DqliteError('CONNECTION', `${this.address} closed the connection`));
  }

  closed(error: Error | undefined): void {
    const why = error === undefined ? '' : `: ${error.message}`;
    this.#break(new DqliteError('CONNECTION', `the connection to ${this.address} was lost${why}`));
  }

  #break(error: DqliteError): void {
    this.#error ??= error;
    this.#connection?.destroy();
    this.#wakeUp();
  }
}

function rowsOf(response: Answer): RowsReader {
  if (response.kind !== 'rows') throw new DqliteError('PROTOCOL', `${response.kind} in answer to a query`);
  return new RowsReader(response.body);
}

function valuesOf(reader: RowsReader): SqlValue[][] {
  const rows: SqlValue[][] = [];
  while (reader.nextRow()) {
    const row: SqlValue[] = [];
    while (reader.nextValue()) row.push(valueOf(reader));
    rows.push(row);
  }
  return rows;
}

function valueOf(reader: RowsReader): SqlValue {
  switch (reader.type) {
    case valueType.integer:
    case valueType.unixtime:
    case valueType.boolean:
      return reader.int64();
    case valueType.float:
      return reader.double();
    case valueType.text:
      return reader.text();
    case valueType.iso8601:
      // Empty means NULL (wire spec section 2.5).
      return reader.length === 0 ? null : reader.text();
    case valueType.blob:
      return reader.payload();
    case valueType.null:
      return null;
  }
}

/**
 * A connection to the leader, found by asking each server and whom it names (wire spec section 7.2), for a while if an
 * election may be going on. Rejects with DqliteError NO_LEADER, which lists each server's answer.
 */
export async function connectToLeader(host: Host, servers: readonly string[]): Promise<Link> {
  const deadline = host.clock.monotonicMs() + ELECTION_MS;
  for (;;) {
    const answers: string[] = [];
    let isElecting = false;
    const toAsk = [...servers];
    const asked = new Set<string>();
    for (let address = toAsk.shift(); address !== undefined; address = toAsk.shift()) {
      if (asked.has(address)) continue;
      asked.add(address);
      let link: Link | undefined;
      try {
        link = await Link.open(host, address);
        const answer = await link.callSoon(host, { kind: 'leader' });
        const leader = answer.kind === 'server' ? answer.address : '';
        if (leader === address) return link;
        isElecting = true;
        answers.push(leader === '' ? `${address} knows no leader` : `${address} names ${leader}`);
        if (leader !== '') toAsk.unshift(leader);
      } catch (error) {
        answers.push(`${address}: ${messageOf(error)}`);
      }
      link?.close();
    }
    if (!isElecting || host.clock.monotonicMs() > deadline) {
      throw new DqliteError('NO_LEADER', `no server leads: ${answers.join('; ')}`, {
        hint: 'is a majority of the servers running, and are these their addresses?',
      });
    }
    await new Promise<void>(resolve => {
      host.clock.setTimer(ELECTION_POLL_MS, resolve, true);
    });
  }
}

/** A database at the leader. One statement at a time. */
export class Session {
  readonly #link: Link;
  /** C dqlite before 1.15: a write that returns rows must not stand alone there (wire spec section 3.6). */
  readonly #isOld: boolean;

  private constructor(link: Link, isOld: boolean) {
    this.#link = link;
    this.#isOld = isOld;
  }

  /** Rejects with DqliteError. */
  static async open(host: Host, servers: readonly string[], database: string): Promise<Session> {
    const link = await connectToLeader(host, servers);
    try {
      await link.callSoon(host, { kind: 'client', id: 0n });
      await link.callSoon(host, { kind: 'open', name: encodeUtf8(database), flags: 0n, vfs: encodeUtf8('volatile') });
      // Old servers do not know the newer form of PREPARE and answer in the old one.
      const prepared = await link.callSoon(host, {
        kind: 'prepare',
        schema: 1,
        database: 0,
        sql: encodeUtf8('SELECT 1'),
      });
      if (prepared.kind !== 'stmt') throw new DqliteError('PROTOCOL', `${prepared.kind} in answer to PREPARE`);
      await link.callSoon(host, { kind: 'finalize', database: 0, statement: prepared.statement });
      return new Session(link, prepared.tailOffset === undefined);
    } catch (error) {
      link.close();
      throw error;
    }
  }

  get address(): string {
    return this.#link.address;
  }

  /** Runs a statement that yields no rows; gives how many it changed. Text parameters are bound in order. */
  async exec(sql: string, parameters: readonly string[] = []): Promise<number> {
    const response = await this.#link.call({
      kind: 'execSql',
      database: 0,
      sql: encodeUtf8(sql),
      parameters: ParameterTuple.of(parameters.map(value => ({ type: valueType.text, value }))),
    });
    if (response.kind !== 'result') throw new DqliteError('PROTOCOL', `${response.kind} in answer to a statement`);
    return response.rowsAffected;
  }

  /** Runs a statement that yields rows, or may: undefined if it turned out to have none and was executed so. */
  async query(sql: string): Promise<Rows | undefined> {
    try {
      return await this.#link.query({
        kind: 'querySql',
        database: 0,
        sql: encodeUtf8(sql),
        parameters: ParameterTuple.of([]),
      });
    } catch (error) {
      // What old servers say of a statement without result columns, which they have not executed.
      if (!this.#isOld || !(error instanceof DqliteError) || error.message !== 'not an error') throw error;
      await this.exec(sql);
      return undefined;
    }
  }

  /** Runs a write with RETURNING. */
  async queryWrite(sql: string): Promise<Rows | undefined> {
    if (!this.#isOld || !(await this.begin())) return this.query(sql);
    try {
      const rows = await this.query(sql);
      const batches: SqlValue[][][] = [];
      for await (const batch of rows?.batches ?? []) batches.push(batch);
      await this.exec('COMMIT');
      return { columns: rows?.columns ?? [], batches: inTurn(batches) };
    } catch (error) {
      if (!isLost(error)) await this.exec('ROLLBACK');
      throw error;
    }
  }

  /** Begins a transaction; false if one is open already. */
  async begin(): Promise<boolean> {
    try {
      await this.exec('BEGIN');
      return true;
    } catch (error) {
      if (messageOf(error) === 'cannot start a transaction within a transaction') return false;
      throw error;
    }
  }

  /** What the server says about a text without running it: the error's message, or undefined. */
  async check(sql: string): Promise<string | undefined> {
    try {
      const answer = await this.#link.call({ kind: 'prepare', schema: 0, database: 0, sql: encodeUtf8(sql) });
      if (answer.kind === 'stmt') {
        await this.#link.call({ kind: 'finalize', database: 0, statement: answer.statement });
      }
      return undefined;
    } catch (error) {
      if (isLost(error)) throw error;
      return messageOf(error);
    }
  }

  interrupt(): void {
    this.#link.interrupt();
  }

  close(): void {
    this.#link.close();
  }
}

async function* inTurn<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
