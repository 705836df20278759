/**
 * A write load that knows exactly what it may find again. Writers, each with a connection of its own, send transactions
 * of several rows, in every way that a client can; the ledger keeps of each whether it was acknowledged. After a crash
 * `verify` reads everything back:
 *
 * 1. What was acknowledged is there, what was refused is not.
 * 2. Of every transaction all is there or nothing: its rows, its deletions, what its triggers counted.
 * 3. Nothing is there that was not sent, and each row is what was sent.
 * 4. What a writer sent later is not there without what it sent earlier.
 * 5. What was in doubt and has been looked at once is settled: it never changes again.
 */

import assert from 'node:assert/strict';
import { SeededRandom } from '../../src/lib/random.ts';
import { within } from './wait.ts';
import { Ended, Failure, Connection, type Bound } from './connection.ts';

/** `sent`: in doubt, as long as nobody has looked. */
type State = 'sent' | 'committed' | 'absent';

interface Transaction {
  readonly sequence: number;
  readonly rows: number;
  /** A transaction of the same writer whose rows this one deletes. */
  readonly deletes: Transaction | undefined;
  state: State;
}

interface Writer {
  readonly number: number;
  readonly database: string;
  readonly random: SeededRandom;
  readonly transactions: Transaction[];
}

export interface LedgerOptions {
  readonly seed: number;
  readonly writers: number;
  readonly databases: readonly string[];
  readonly payloadBytes?: number;
}

const SCHEMA = `
  CREATE TABLE entry (
    writer INTEGER, sequence INTEGER, part INTEGER, rows INTEGER, payload BLOB,
    PRIMARY KEY (writer, sequence, part)
  );
  CREATE INDEX entry_payload ON entry (substr(payload, 1, 8));
  CREATE TABLE counter (writer INTEGER PRIMARY KEY, inserted INTEGER NOT NULL, deleted INTEGER NOT NULL);
  CREATE TRIGGER entry_inserted AFTER INSERT ON entry BEGIN
    INSERT INTO counter VALUES (new.writer, 1, 0) ON CONFLICT DO UPDATE SET inserted = inserted + 1;
  END;
  CREATE TRIGGER entry_deleted AFTER DELETE ON entry BEGIN
    UPDATE counter SET deleted = deleted + 1 WHERE writer = old.writer;
  END;`;

const BUSY_SNAPSHOT = 517;
const INSERT = 'INSERT INTO entry VALUES (?, ?, ?, ?, ?)';
const DELETE = 'DELETE FROM entry WHERE writer = ? AND sequence = ?';
const MIN_ROWS = 2;
const MAX_ROWS = 5;
const PIPELINE = 4;
/** Every so many transactions one deletes the rows of an earlier one. */
const DELETE_EVERY = 4;
const DELETE_BACK = 3;

export class Ledger {
  readonly databases: readonly string[];
  /** Failures that a load must not meet. */
  readonly failures: string[] = [];
  acknowledged = 0;
  /** Transactions refused with 517, which the client is to try again. */
  refused = 0;
  readonly #writers: readonly Writer[];
  readonly #payloadBytes: number;
  readonly #waiting: { readonly count: number; readonly reached: () => void }[] = [];

  constructor({ seed, writers, databases, payloadBytes = 300 }: LedgerOptions) {
    this.databases = databases;
    this.#payloadBytes = payloadBytes;
    this.#writers = Array.from({ length: writers }, (_, number) => ({
      number,
      database: databases[number % databases.length]!,
      random: new SeededRandom(seed * 1000 + number),
      transactions: [],
    }));
  }

  async createTables(address: string): Promise<void> {
    for (const database of this.databases) {
      const client = await Connection.open(address, database);
      await client.exec(SCHEMA);
      client.close();
    }
  }

  /** Resolves when so many more transactions are acknowledged. */
  acknowledgements(count: number, deadlineMs: number): Promise<void> {
    const reached = new Promise<void>(resolve =>
      this.#waiting.push({ count: this.acknowledged + count, reached: resolve }),
    );
    return within(reached, `${count} acknowledged transactions`, deadlineMs);
  }

  /** Starts all writers. They end when their connections do, or `stop` is called. */
  async load(address: string): Promise<Load> {
    const clients = await Promise.all(this.#writers.map(({ database }) => Connection.open(address, database)));
    const load = new Load();
    load.finished = Promise.all(
      this.#writers.map(async (writer, position) => {
        const client = clients[position]!;
        await this.#write(writer, client, load);
        client.close();
      }),
    ).then(() => {});
    return load;
  }

  async #write(writer: Writer, client: Connection, load: Load): Promise<void> {
    const { random } = writer;
    const sends = [this.#sendScript, this.#sendInteractive, this.#sendSingle, this.#sendPipelined];
    const statements = new Map<number, number>();
    try {
      while (!load.stopping) {
        try {
          await random.pick(sends).call(this, writer, client, statements);
        } catch (error) {
          if (!(error instanceof Failure) || error.code !== BUSY_SNAPSHOT) throw error;
          this.refused++;
          await client.exec('ROLLBACK');
        }
      }
    } catch (error) {
      if (error instanceof Ended) return;
      const code = error instanceof Failure ? ` (${error.code})` : '';
      this.failures.push(`writer ${writer.number}: ${String(error)}${code}`);
    }
  }

  /** BEGIN to COMMIT in one request. */
  async #sendScript(writer: Writer, client: Connection): Promise<void> {
    const transaction = this.#begin(writer, true);
    const texts = ['BEGIN'];
    const values: Bound[] = [];
    for (let part = 0; part < transaction.rows; part++) {
      texts.push(INSERT);
      values.push(...this.#row(writer, transaction, part));
    }
    if (transaction.deletes !== undefined) {
      texts.push(DELETE);
      values.push(writer.number, transaction.deletes.sequence);
    }
    await this.#settled(transaction, client.exec([...texts, 'COMMIT'].join('; '), ...values));
  }

  /** Statement by statement. */
  async #sendInteractive(writer: Writer, client: Connection): Promise<void> {
    const transaction = this.#begin(writer, true);
    await client.exec('BEGIN');
    for (let part = 0; part < transaction.rows; part++) {
      await client.exec(INSERT, ...this.#row(writer, transaction, part));
    }
    if (transaction.deletes !== undefined) await client.exec(DELETE, writer.number, transaction.deletes.sequence);
    await this.#settled(transaction, client.exec('COMMIT'));
  }

  /** One statement, several rows. */
  async #sendSingle(writer: Writer, client: Connection): Promise<void> {
    const transaction = this.#begin(writer, false);
    await this.#settled(transaction, client.exec(insertOf(transaction.rows), ...this.#rows(writer, transaction)));
  }

  /** Several prepared statements at once. */
  async #sendPipelined(writer: Writer, client: Connection, statements: Map<number, number>): Promise<void> {
    for (let rows = MIN_ROWS; rows <= MAX_ROWS; rows++) {
      if (!statements.has(rows)) statements.set(rows, (await client.prepare(insertOf(rows))).statement);
    }
    const answers = Array.from({ length: PIPELINE }, () => {
      const transaction = this.#begin(writer, false);
      const statement = statements.get(transaction.rows)!;
      return this.#settled(transaction, client.execPrepared(statement, ...this.#rows(writer, transaction)));
    });
    const broken = (await Promise.allSettled(answers)).find(answer => answer.status === 'rejected');
    if (broken !== undefined) throw broken.reason;
  }

  #begin(writer: Writer, mayDelete: boolean): Transaction {
    const { transactions, random } = writer;
    const sequence = transactions.length;
    const candidate = transactions[sequence - DELETE_BACK];
    const deletes =
      mayDelete && sequence % DELETE_EVERY === DELETE_BACK && candidate?.state === 'committed' ? candidate : undefined;
    const transaction: Transaction = { sequence, rows: MIN_ROWS + random.below(MAX_ROWS - 1), deletes, state: 'sent' };
    transactions.push(transaction);
    return transaction;
  }

  /** Notes what a transaction's last request was answered. */
  async #settled(transaction: Transaction, answer: Promise<unknown>): Promise<void> {
    try {
      await answer;
    } catch (error) {
      // 10506: whether it is committed is unknown. Everything else is a promise that it is not.
      if (error instanceof Failure && error.code !== 10506) transaction.state = 'absent';
      throw error;
    }
    transaction.state = 'committed';
    this.acknowledged++;
    while (this.#waiting[0] !== undefined && this.#waiting[0].count <= this.acknowledged) {
      this.#waiting.shift()!.reached();
    }
  }

  #rows(writer: Writer, transaction: Transaction): Bound[] {
    return Array.from({ length: transaction.rows }, (_, part) => this.#row(writer, transaction, part)).flat();
  }

  #row({ number }: Writer, { sequence, rows }: Transaction, part: number): Bound[] {
    return [number, sequence, part, rows, this.#payload(number, sequence, part)];
  }

  #payload(writer: number, sequence: number, part: number): Uint8Array {
    const bytes = new Uint8Array(this.#payloadBytes);
    new SeededRandom(((writer << 24) ^ (sequence << 4) ^ part) >>> 0).fill(bytes);
    return bytes;
  }

  /** Reads everything and compares. Gives the number of transactions that were in doubt, and how many of them are there. */
  async verify(address: string): Promise<{ readonly doubtful: number; readonly found: number; readonly rows: number }> {
    assert.deepEqual(this.failures, []);
    let doubtful = 0;
    let found = 0;
    let total = 0;
    for (const database of this.databases) {
      const client = await Connection.open(address, database);
      const rows = await client.values('SELECT writer, sequence, part, rows, payload FROM entry ORDER BY 1, 2, 3');
      const counters = await client.values('SELECT writer, inserted, deleted FROM counter');
      assert.deepEqual(await client.values('PRAGMA integrity_check'), [['ok']]);
      client.close();
      total += rows.length;
      const present = grouped(rows);
      for (const writer of this.#writers) {
        if (writer.database !== database) continue;
        const own = present.get(BigInt(writer.number)) ?? new Map<bigint, WireRow[]>();
        const inDoubt = writer.transactions.filter(({ state }) => state === 'sent');
        settle(writer, own);
        doubtful += inDoubt.length;
        found += inDoubt.filter(({ state }) => state === 'committed').length;
        this.#compare(writer, own, counters);
      }
    }
    return { doubtful, found, rows: total };
  }

  /** All is settled: what is there must be exactly what is committed. */
  #compare(writer: Writer, own: ReadonlyMap<bigint, WireRow[]>, counters: readonly WireRow[]): void {
    const { number, transactions } = writer;
    const committed = transactions.filter(({ state }) => state === 'committed');
    const deleted = new Set(committed.flatMap(({ deletes }) => deletes ?? []));
    const expected = new Map(
      committed
        .filter(transaction => !deleted.has(transaction))
        .map(transaction => [BigInt(transaction.sequence), transaction]),
    );
    for (const [sequence, transaction] of expected) {
      const rows = own.get(sequence);
      assert.ok(rows !== undefined, `writer ${number}: committed transaction ${sequence} is lost`);
      assert.equal(rows.length, transaction.rows, `writer ${number}: transaction ${sequence} is there in part`);
      for (const [part, row] of rows.entries()) {
        assert.deepEqual(row.slice(2), [
          BigInt(part),
          BigInt(transaction.rows),
          this.#payload(number, Number(sequence), part),
        ]);
      }
    }
    for (const sequence of own.keys()) {
      assert.ok(expected.has(sequence), `writer ${number}: transaction ${sequence} is there and must not be`);
    }
    const sum = (all: Iterable<Transaction>): bigint => [...all].reduce((rows, one) => rows + BigInt(one.rows), 0n);
    const counter = counters.find(row => row[0] === BigInt(number)) ?? [BigInt(number), 0n, 0n];
    assert.deepEqual(
      counter,
      [BigInt(number), sum(committed), sum(deleted)],
      `what the triggers of writer ${number} counted`,
    );
  }
}

type WireRow = Awaited<ReturnType<Connection['values']>>[number];

/** Rows by writer and sequence. */
function grouped(rows: readonly WireRow[]): Map<bigint, Map<bigint, WireRow[]>> {
  const writers = new Map<bigint, Map<bigint, WireRow[]>>();
  for (const row of rows) {
    const writer = row[0] as bigint;
    const sequence = row[1] as bigint;
    const transactions = writers.get(writer) ?? new Map<bigint, WireRow[]>();
    writers.set(writer, transactions);
    const parts = transactions.get(sequence) ?? [];
    transactions.set(sequence, parts);
    parts.push(row);
  }
  return writers;
}

/** Decides what was in doubt by what is there. */
function settle({ number, transactions }: Writer, own: ReadonlyMap<bigint, WireRow[]>): void {
  let missing: number | undefined;
  for (const transaction of transactions) {
    if (transaction.state !== 'sent') continue;
    const { sequence } = transaction;
    transaction.state = own.has(BigInt(sequence)) ? 'committed' : 'absent';
    if (transaction.state === 'absent') missing ??= sequence;
    else assert.equal(missing, undefined, `writer ${number}: ${sequence} is there without ${missing}, sent before`);
  }
}

function insertOf(rows: number): string {
  return `INSERT INTO entry VALUES ${Array.from({ length: rows }, () => '(?, ?, ?, ?, ?)').join(', ')}`;
}

/** Running writers. */
export class Load {
  /** Resolves when all writers have ended. */
  finished: Promise<void> = Promise.resolve();
  stopping = false;

  /** Lets the writers finish what they are doing. */
  async stop(deadlineMs = 20_000): Promise<void> {
    this.stopping = true;
    await within(this.finished, 'the end of the writers', deadlineMs);
  }
}
