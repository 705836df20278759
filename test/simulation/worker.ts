/** A client that does random things until it is stopped, and tells the history what it was answered. */

import type { Net } from '../../src/host/types.ts';
import { DqliteError } from '../../src/lib/errors.ts';
import type { SeededRandom } from '../../src/lib/random.ts';
import { INSERT, SUMMARY, Violation, type History, type Transaction } from './history.ts';
import { SimulatedClient } from './simulated-client.ts';

/** Codes of FAILUREs that any client may get: somebody else writes, or wrote; its transaction took too long. */
const BUSY = [5, 517];
const ENDED_BY_NODE = 516;
const FULL = 13;
/** Whether the write is there is not known: a disk error, or leadership that ended. */
const DOUBTFUL = [10, 10506];
const NOT_LEADER = 10250;
/** What ends with leadership: the request that waits for it, the next one, and what the connection had opened. */
const NO_DATABASE = 12;
const LEADERSHIP = [NOT_LEADER, 10506, NO_DATABASE];
const CONNECTION_CODES: readonly string[] = ['CONNECTION', 'CLOSED'];

/** What a worker asks of the simulation around it. */
export interface Surroundings {
  /** All servers; one of them leads. */
  readonly addresses: readonly string[];
  readonly net: Net;
  sleep(ms: number): Promise<void>;
  /** Fails if the work takes longer than any answer may. */
  answered<Result>(work: Promise<Result>, what: string): Promise<Result>;
  /** What may be the reason of a failure: faults of the disk, that the node stops, or that others may lead. */
  explains(what: 'full' | 'error' | 'closing' | 'failover'): boolean;
  trace(line: string): void;
}

export class Worker {
  readonly name: string;
  readonly #history: History;
  readonly #surroundings: Surroundings;
  readonly #random: SeededRandom;
  readonly #maxPayload: number;
  #client: SimulatedClient | undefined = undefined;
  #stopping = false;
  /** Failed requests by code. */
  readonly codes: Map<number, number> = new Map();

  constructor(name: string, history: History, surroundings: Surroundings, random: SeededRandom) {
    this.name = name;
    this.#history = history;
    this.#surroundings = surroundings;
    this.#random = random;
    this.#maxPayload = random.pick([30, 300, 3000]);
  }

  /** Resolves when it was stopped; rejects with what must not be. */
  async run(): Promise<void> {
    const random = this.#random;
    const operations: ((client: SimulatedClient) => Promise<unknown>)[] = [
      this.#write,
      this.#write,
      this.#transact,
      this.#transact,
      this.#upgrade,
      this.#script,
    ];
    operations.push(this.#pipeline, this.#read, this.#read, this.#readAll, this.#readTwice);
    while (!this.#stopping) {
      try {
        this.#client ??= await this.#connect();
        await random.pick(operations).call(this, this.#client);
      } catch (error) {
        await this.#failed(error);
      }
      await this.#surroundings.sleep(random.below(random.pick([2, 20])));
    }
    this.#client?.close();
  }

  stop(): void {
    this.#stopping = true;
  }

  /** Its connection is gone, in the middle of whatever it does. */
  leave(): void {
    this.#client?.close();
  }

  #connect(): Promise<SimulatedClient> {
    const { net, addresses } = this.#surroundings;
    const address = addresses.length === 1 ? addresses[0]! : this.#random.pick(addresses);
    return this.#answer(SimulatedClient.open(net, address, this.#history.name), 'OPEN');
  }

  #answer<Result>(work: Promise<Result>, what: string): Promise<Result> {
    return this.#surroundings.answered(work, `${this.name}: ${what}`);
  }

  /** What of an error is expected; anything else is thrown. */
  async #failed(error: unknown): Promise<void> {
    if (!(error instanceof DqliteError)) throw error;
    const { sqliteCode, code, message } = error;
    this.#surroundings.trace(`${this.name} failed: ${code} ${sqliteCode ?? ''} ${message}`);
    if (CONNECTION_CODES.includes(code)) {
      this.#client?.close();
      this.#client = undefined;
      await this.#surroundings.sleep(1 + this.#random.below(20));
      return;
    }
    if (sqliteCode === undefined) throw error;
    this.codes.set(sqliteCode, (this.codes.get(sqliteCode) ?? 0) + 1);
    const full = this.#surroundings.explains('full');
    const broken = this.#surroundings.explains('error');
    const closing = this.#surroundings.explains('closing');
    const failover = this.#surroundings.explains('failover');
    const expected =
      BUSY.includes(sqliteCode) ||
      sqliteCode === ENDED_BY_NODE ||
      (sqliteCode === FULL && full) ||
      (DOUBTFUL.includes(sqliteCode) && (broken || full)) ||
      (sqliteCode === NOT_LEADER && (broken || closing)) ||
      (LEADERSHIP.includes(sqliteCode) && failover);
    if (!expected) throw new Violation(`${this.name}: unexpected failure ${sqliteCode} ${message}`);
    if (this.#client === undefined) {
      await this.#surroundings.sleep(this.#random.below(30));
      return;
    }
    if (LEADERSHIP.includes(sqliteCode) && failover && this.#random.chance(0.8)) {
      this.#client.close();
      this.#client = undefined;
      return;
    }
    try {
      await this.#answer(this.#client.exec('ROLLBACK'), 'ROLLBACK');
    } catch (failure) {
      // 1: the transaction has ended already, or there was none.
      if (!(failure instanceof DqliteError)) throw failure;
      const known = failover ? [1, ...LEADERSHIP] : [1];
      if (!known.includes(failure.sqliteCode ?? 1)) throw failure;
      if (failure.sqliteCode !== 1) await this.#failed(failure);
    }
  }

  /** Notes what the request was answered that decides about a transaction. */
  async #settle(transaction: Transaction, decision: Promise<number>, what: string): Promise<void> {
    const { trace } = this.#surroundings;
    let place: number;
    try {
      place = await this.#answer(decision, what);
    } catch (error) {
      const code = error instanceof DqliteError ? error.sqliteCode : undefined;
      // Of a script some statements may have run before this node stopped leading.
      const isRefused = code === NOT_LEADER ? what !== 'script' : !DOUBTFUL.includes((code ?? 10) & 0xff);
      if (isRefused) this.#history.refuse(transaction);
      throw error;
    }
    trace(`${this.name} wrote ${transaction.id} at ${place}`);
    this.#history.acknowledge(transaction, place);
  }

  #begin(): Transaction {
    const transaction = this.#history.begin(this.#random, this.#maxPayload);
    this.#surroundings.trace(`${this.name} sends ${transaction.id}`);
    return transaction;
  }

  /** One statement, in one of the ways to send it. */
  async #write(client: SimulatedClient): Promise<void> {
    const transaction = this.#begin();
    const values = this.#history.values(transaction);
    const way = this.#random.below(3);
    if (way === 0) await this.#settle(transaction, client.exec(INSERT, ...values), 'EXEC_SQL');
    else if (way === 1) await this.#settle(transaction, client.execPrepared(INSERT, ...values), 'EXEC');
    else {
      const rows = client.query(`${INSERT} RETURNING seq`, ...values);
      await this.#settle(
        transaction,
        rows.then(([row]) => Number(row![0])),
        'RETURNING',
      );
    }
  }

  /** Statement by statement, ended in one of three ways, and now and then too late. */
  async #transact(client: SimulatedClient): Promise<void> {
    await this.#answer(client.exec('BEGIN IMMEDIATE'), 'BEGIN');
    await this.#complete(client);
  }

  /** A read transaction that becomes a write transaction. */
  async #upgrade(client: SimulatedClient): Promise<void> {
    await this.#answer(client.exec('BEGIN'), 'BEGIN');
    await this.#read(client);
    await this.#pause();
    await this.#complete(client);
  }

  /** The part of a transaction that writes. */
  async #complete(client: SimulatedClient): Promise<void> {
    const random = this.#random;
    const transaction = this.#begin();
    // Until COMMIT is sent nothing can have happened.
    transaction.state = 'absent';
    const place = await this.#answer(client.exec(INSERT, ...this.#history.values(transaction)), 'INSERT');
    if (random.chance(0.3)) await this.#pause();
    if (random.chance(0.4)) {
      await this.#answer(
        client.exec('INSERT INTO ballast (bytes) VALUES (randomblob(?))', random.below(9000)),
        'ballast',
      );
    }
    if (random.chance(0.2)) {
      await this.#answer(client.exec('DELETE FROM ballast WHERE id <= (SELECT max(id) - 10 FROM ballast)'), 'ballast');
    }
    if (random.chance(0.2)) {
      this.#history.refuse(transaction);
      await this.#answer(client.exec('ROLLBACK'), 'ROLLBACK');
      return;
    }
    transaction.state = 'sent';
    await this.#settle(
      transaction,
      client.exec('COMMIT').then(() => place),
      'COMMIT',
    );
  }

  async #script(client: SimulatedClient): Promise<void> {
    const transaction = this.#begin();
    const script = `BEGIN IMMEDIATE; UPDATE ballast SET bytes = randomblob(length(bytes)) WHERE id % 3 = 0; ${INSERT}; COMMIT`;
    await this.#settle(transaction, client.exec(script, ...this.#history.values(transaction)), 'script');
  }

  /** Several writes at once. */
  async #pipeline(client: SimulatedClient): Promise<void> {
    const answers = Array.from({ length: 2 + this.#random.below(6) }, () => {
      const transaction = this.#begin();
      return this.#settle(transaction, client.exec(INSERT, ...this.#history.values(transaction)), 'pipelined');
    });
    const failed = (await Promise.allSettled(answers)).filter(answer => answer.status === 'rejected');
    for (const { reason } of failed) if (!(reason instanceof DqliteError)) throw reason;
    if (failed.length > 0) throw failed[0]!.reason;
  }

  async #read(client: SimulatedClient): Promise<number> {
    const floor = this.#history.newest;
    const place = this.#history.sawSummary(await this.#answer(client.query(SUMMARY), 'read'), floor);
    this.#surroundings.trace(`${this.name} read ${place}`);
    return place;
  }

  async #readAll(client: SimulatedClient): Promise<void> {
    const floor = this.#history.newest;
    const rows = await this.#answer(client.query('SELECT seq, id, payload FROM txn ORDER BY seq'), 'read all');
    this.#history.sawTransactions(rows, floor);
    this.#surroundings.trace(`${this.name} read all ${rows.length}`);
  }

  /** A transaction sees one state. */
  async #readTwice(client: SimulatedClient): Promise<void> {
    await this.#answer(client.exec('BEGIN'), 'BEGIN');
    const place = await this.#read(client);
    await this.#pause();
    const again = Number((await this.#answer(client.query('SELECT count(*) FROM txn'), 'read again'))[0]![0]);
    if (again !== place) throw new Violation(`${this.name}: a transaction read up to ${place}, then up to ${again}`);
    await this.#answer(client.exec('COMMIT'), 'COMMIT');
  }

  /** Sometimes longer than the node waits. */
  #pause(): Promise<void> {
    return this.#surroundings.sleep(this.#random.below(this.#random.pick([3, 30, 30, 800])));
  }
}
