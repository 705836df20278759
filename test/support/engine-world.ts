/**
 * An engine and its gateways between two things that a test holds in its hands: bytes of clients on the one side, a log
 * and a leadership on the other. No sockets, no disk, no time but what the test lets pass, so everything that a client
 * could be told has been told when `turn` returns.
 */

import assert from 'node:assert/strict';
import {
  defaultEngineOptions,
  Engine,
  SqliteError,
  type Command,
  type Database,
  type EngineOptions,
  type Replicator,
  bytesKey,
} from '../../src/engine/index.ts';
import { Gateway, type GatewayNode } from '../../src/gateway/index.ts';
import { sameBytes, type Clock, type Logger, type Timer } from '../../src/host/index.ts';
import { Writer } from '../../src/lib/bytes.ts';
import { SeededRandom } from '../../src/lib/random.ts';
import {
  decodeCommand,
  decodeResponse,
  FrameParser,
  RowsReader,
  type Frame,
  type FrameHeader,
  type Request,
  type WireValue,
} from '../../src/wire/index.ts';
import { encoded, plain, requests, type Bound, type Plain } from './connection.ts';

/** Leadership was lost with what was proposed on its way. */
const leadershipLost = (): SqliteError => new SqliteError(10_506, 'leadership lost');

/** Time stands still until the test moves it. */
class HeldClock implements Clock {
  nowMs = 1000;
  /** Each look at the clock finds it so much later: everything seems to take long. */
  tickMs = 0;
  #deferred: (() => void)[] = [];
  readonly #timers = new Set<{ readonly dueMs: number; readonly callback: () => void }>();

  monotonicMs(): number {
    return (this.nowMs += this.tickMs);
  }

  wallMs(): number {
    return this.nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { dueMs: this.nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }

  /** Runs what was deferred, and what that defers. Gives whether there was anything. */
  turn(): boolean {
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const callback of deferred) callback();
    return deferred.length > 0;
  }

  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [due] = [...this.#timers].filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs);
      if (due === undefined) break;
      this.#timers.delete(due);
      this.nowMs = Math.max(this.nowMs, due.dueMs);
      due.callback();
    }
    this.nowMs = endMs;
  }
}

/** How a request was answered: by the last message of its answer. */
export type Outcome =
  | { readonly kind: 'result'; readonly lastInsertId: bigint; readonly changes: number }
  | { readonly kind: 'rows'; readonly columns: readonly string[]; readonly rows: Plain[][] }
  | { readonly kind: 'failure'; readonly code: number; readonly message: string }
  | { readonly kind: 'other'; readonly name: string; readonly statement?: number };

/** A connection: requests go in and answers come out as bytes. */
export class EngineClient {
  readonly #parser = new FrameParser(2 ** 30);
  readonly #gateway: Gateway;
  /** Answers that were not taken, the oldest first. */
  readonly answers: Outcome[] = [];
  #rows: WireValue[][] = [];
  busy = false;
  readonly pendingBytes = 0;

  constructor(node: GatewayNode) {
    this.#gateway = new Gateway(this, node, false);
  }

  send(...list: readonly (Request | Writer)[]): void {
    for (const item of list) {
      if (item instanceof Writer) this.#received(item);
      else this.#parser.push(encoded(item));
    }
    if (!(list[0] instanceof Writer)) this.#gateway.readable();
  }

  exec(sql: string, ...values: readonly Bound[]): void {
    this.send(requests.execSql(sql, ...values));
  }

  query(sql: string, ...values: readonly Bound[]): void {
    this.send(requests.querySql(sql, ...values));
  }

  /** The one answer that has come. */
  take(): Outcome {
    assert.equal(this.answers.length, 1, 'one answer');
    return this.answers.shift()!;
  }

  close(): void {
    this.#gateway.closed();
  }

  /** The client sends no more. */
  end(): void {
    this.#gateway.ended();
  }

  #received(writer: Writer): void {
    const parser = new FrameParser(2 ** 30);
    parser.push(writer.copy());
    writer.clear();
    for (let frame = parser.next(); frame !== undefined; frame = parser.next()) this.#answer(frame);
    assert.equal(parser.bufferedBytes, 0, 'whole messages');
  }

  #answer({ type, schema, body }: Frame): void {
    const response = decodeResponse(type, schema, body);
    switch (response.kind) {
      case 'failure':
        this.#rows = [];
        this.answers.push({ kind: 'failure', code: response.code, message: response.message });
        return;
      case 'result':
        this.answers.push({
          kind: 'result',
          lastInsertId: response.lastInsertId,
          changes: response.rowsAffected,
        });
        return;
      case 'rows': {
        const reader = new RowsReader(response.body);
        const columns = reader.columnNames();
        for (let row = reader.row(); row !== undefined; row = reader.row()) this.#rows.push(row);
        if (!reader.done) return;
        this.answers.push({ kind: 'rows', columns, rows: this.#rows.map(row => row.map(plain)) });
        this.#rows = [];
        return;
      }
      case 'stmt':
        this.answers.push({ kind: 'other', name: 'stmt', statement: response.statement });
        return;
      default:
        this.answers.push({ kind: 'other', name: response.kind });
    }
  }

  // --- The stream, as the gateway sees it -----------------------------------------------------------------------

  next(): Frame | undefined {
    return this.#parser.next();
  }

  peek(): FrameHeader | undefined {
    return this.#parser.peek();
  }

  regulate(): void {}
  takeOver(): void {}
  finish(): void {}
  drop(): void {}
}

/** A command on its way. */
interface Proposed {
  readonly index: number;
  readonly data: Uint8Array;
  /** The newest version of its database when it was made. */
  readonly version: number;
}

export class EngineWorld implements Replicator {
  readonly engine: Engine;
  readonly clock: HeldClock;
  /** Commands that were proposed and are not committed. */
  readonly proposed: Proposed[] = [];
  /** Commands that are committed. */
  readonly log: Uint8Array[] = [];
  /** Whether leadership is known without asking; else `confirm` answers. */
  lease = true;
  canPropose = true;
  /** What the last proposal said of those who were served since the one before. */
  allWait: boolean | undefined = undefined;
  /** What was logged as an error. To be emptied by tests that cause some. */
  readonly errors: string[];
  readonly #asked: ((leads: boolean) => void)[] = [];
  #lastIndex = 0;
  readonly #node: GatewayNode;

  private constructor(engine: Engine, clock: HeldClock, errors: string[]) {
    this.engine = engine;
    this.clock = clock;
    this.errors = errors;
    this.#node = {
      engine,
      clock,
      writer: new Writer(),
      leader: () => undefined,
      configuration: () => ({ servers: [] }),
      change() {},
      transfer() {},
      peerConnected: () => ({ received() {}, close() {} }),
      weight: 0n,
      failureDomain: 0n,
    };
    engine.start(this);
  }

  /** An engine that leads. */
  static async create(options?: Partial<EngineOptions>): Promise<EngineWorld> {
    const world = await EngineWorld.following(options);
    world.lead();
    return world;
  }

  static async following(options: Partial<EngineOptions> = {}): Promise<EngineWorld> {
    const clock = new HeldClock();
    const random = new SeededRandom(1);
    const environment = {
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      fillRandom: (bytes: Uint8Array) => random.fill(bytes),
      sameBytes,
    };
    const errors: string[] = [];
    const record = (_fields: object, message: string): void => void errors.push(message);
    const logger: Logger = { debug() {}, info() {}, warn() {}, error: record, fatal: record };
    const engine = await Engine.create({ ...defaultEngineOptions, ...options }, clock, environment, logger);
    return new EngineWorld(engine, clock, errors);
  }

  // --- For the engine -------------------------------------------------------------------------------------------

  propose(commands: readonly Command[]): number {
    this.allWait = this.engine.allWait;
    const first = this.#lastIndex + 1;
    for (const { data } of commands) {
      const command = decodeCommand(data);
      assert.ok(command.kind === 'frames');
      const { store } = this.database(bytesKey(command.name));
      this.proposed.push({ index: ++this.#lastIndex, data, version: store.newest });
    }
    return first;
  }

  hasLease(): boolean {
    return this.lease;
  }

  confirmLeadership(confirmed: (leads: boolean) => void): void {
    this.#asked.push(confirmed);
  }

  // --- For tests ------------------------------------------------------------------------------------------------

  lead(): void {
    this.engine.electionWon();
    this.engine.startLeading();
  }

  /** What was proposed may be lost or kept: here it is lost. */
  loseLeadership(): void {
    this.proposed.length = 0;
    this.engine.stopLeading(leadershipLost);
    this.turn();
  }

  connect(name: string): EngineClient {
    const client = new EngineClient(this.#node);
    client.send(requests.open(name));
    assert.deepEqual(client.take(), { kind: 'other', name: 'db' });
    return client;
  }

  connectMany(name: string, count: number): EngineClient[] {
    return Array.from({ length: count }, () => this.connect(name));
  }

  database(name: string): Database {
    const database = this.engine.databases.get(name);
    assert.ok(database !== undefined, `database ${name}`);
    return database;
  }

  /** Lets everything happen that needs neither log nor time. */
  turn(): void {
    while (this.clock.turn());
  }

  /** Commits what was proposed so far. */
  commit(): void {
    const entries = this.proposed.splice(0);
    if (entries.length > 0) this.engine.slotFreed();
    for (const { index, data } of entries) {
      this.engine.apply(index, undefined);
      this.log.push(data);
    }
  }

  /** Applies what another engine has committed, from the first command that is not applied yet on. */
  follow(leader: EngineWorld): void {
    for (const data of leader.log.slice(this.log.length)) this.apply(data);
  }

  /** Applies a command that comes from elsewhere. */
  apply(data: Uint8Array): void {
    this.engine.apply(++this.#lastIndex, data);
    this.log.push(data);
  }

  /** Commits until there is nothing left to. */
  settle(): void {
    for (;;) {
      this.turn();
      if (this.proposed.length === 0) return;
      this.commit();
    }
  }

  /** Answers those who ask whether this node leads. Gives whether there were any. */
  confirm(leads: boolean): boolean {
    const asked = this.#asked.splice(0);
    for (const confirmed of asked) confirmed(leads);
    this.turn();
    return asked.length > 0;
  }

  /** Runs a text for one client, to its answer. */
  exec(client: EngineClient, sql: string, ...values: readonly Bound[]): Outcome {
    client.exec(sql, ...values);
    this.settle();
    return client.take();
  }

  query(client: EngineClient, sql: string, ...values: readonly Bound[]): Plain[][] {
    client.query(sql, ...values);
    this.settle();
    const answer = client.take();
    assert.ok(answer.kind === 'rows', answer.kind === 'failure' ? answer.message : answer.kind);
    return answer.rows;
  }

  /** Ends the engine, which must be well. */
  close(): void {
    assert.deepEqual(this.errors, []);
    assert.equal(this.engine.sqlite.vfs.defect, undefined, 'no callback failed');
    this.engine.close();
  }
}
