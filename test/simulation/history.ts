/**
 * What the clients of one database know, and what must be true because of it. Each transaction writes its number into
 * a table whose row ids count up, so every write has a place in the order of all writes, and a read sees all writes up
 * to some place. Then the database is linearizable and durable if
 *
 * 1. a write comes after, and a read does not see less than, every place that anybody had learned of before it was
 *    sent, also across crashes;
 * 2. a place that was seen keeps its transaction for ever;
 * 3. what was refused is never seen, and what was acknowledged always is;
 * 4. whatever is seen of a transaction, all of it is: its rows, the money it moved, what its trigger counted.
 */

import type { SeededRandom } from '../../src/lib/random.ts';
import type { Bound } from '../support/connection.ts';
import type { SimulatedClient, Value } from './simulated-client.ts';

/** Something that must not be. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** `sent`: in doubt. */
type State = 'sent' | 'committed' | 'absent';

export interface Transaction {
  readonly id: number;
  readonly parts: number;
  readonly amount: number;
  readonly payload: Uint8Array;
  /** The life of the node in which it was sent. */
  readonly life: number;
  state: State;
  /** What anybody had learned of when it was sent. */
  readonly floor: number;
  place: number | undefined;
}

const ACCOUNTS = 8;
const MAX_PARTS = 12;

export const SCHEMA: string = `
  CREATE TABLE txn (seq INTEGER PRIMARY KEY, id INTEGER UNIQUE, parts INTEGER, amount INTEGER, payload BLOB);
  CREATE TABLE entry (txn INTEGER, part INTEGER, payload BLOB, PRIMARY KEY (txn, part));
  CREATE INDEX entry_payload ON entry (substr(payload, 1, 8));
  CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
  CREATE TABLE tally (txns INTEGER, parts INTEGER);
  CREATE TABLE number (value INTEGER PRIMARY KEY);
  CREATE TABLE ballast (id INTEGER PRIMARY KEY, bytes BLOB);
  INSERT INTO tally VALUES (0, 0);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${MAX_PARTS}) INSERT INTO number SELECT i FROM n;
  INSERT INTO account SELECT value - 1, 0 FROM number WHERE value <= ${ACCOUNTS};
  CREATE TRIGGER txn_inserted AFTER INSERT ON txn BEGIN
    INSERT INTO entry SELECT new.id, value, new.payload FROM number WHERE value <= new.parts;
    UPDATE account SET balance = balance - new.amount WHERE id = new.id % ${ACCOUNTS};
    UPDATE account SET balance = balance + new.amount WHERE id = (new.id + 3) % ${ACCOUNTS};
    UPDATE tally SET txns = txns + 1, parts = parts + new.parts;
  END;`;

export const INSERT = 'INSERT INTO txn (id, parts, amount, payload) VALUES (?, ?, ?, ?)';

/** One row; what it says of the whole database must fit together. */
export const SUMMARY = `SELECT (SELECT max(seq) FROM txn), (SELECT txns FROM tally), (SELECT parts FROM tally),
  (SELECT count(*) FROM entry), (SELECT sum(balance) FROM account)`;

export class History {
  readonly name: string;
  readonly #transactions: Transaction[] = [];
  readonly #places: number[] = [];
  /** The last place that anybody knows of. */
  #newest = 0;
  /** The life of the node. */
  life = 0;
  acknowledged = 0;
  refused = 0;
  /** In doubt, and found. */
  found = 0;
  reads = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** What is known now, to go on with in several ways. */
  clone(): History {
    const copy = new History(this.name);
    copy.#transactions.push(...this.#transactions.map(transaction => ({ ...transaction })));
    copy.#places.push(...this.#places);
    copy.#newest = this.#newest;
    copy.life = this.life;
    return copy;
  }

  /** What a read that is sent now must see. */
  get newest(): number {
    return this.#newest;
  }

  /** A transaction that is about to be sent. */
  begin(random: SeededRandom, maxPayload: number): Transaction {
    const payload = new Uint8Array(random.below(maxPayload));
    random.fill(payload);
    const transaction: Transaction = {
      id: this.#transactions.length,
      parts: 1 + random.below(MAX_PARTS),
      amount: random.below(1000),
      payload,
      life: this.life,
      state: 'sent',
      floor: this.#newest,
      place: undefined,
    };
    this.#transactions.push(transaction);
    return transaction;
  }

  values({ id, parts, amount, payload }: Transaction): Bound[] {
    return [id, parts, amount, payload];
  }

  acknowledge(transaction: Transaction, place: number): void {
    this.acknowledged++;
    this.#check(place > transaction.floor, `${transaction.id} is at ${place}, after ${transaction.floor} was seen`);
    if (transaction.state === 'sent') transaction.state = 'committed';
    this.#see(transaction.id, place);
    this.#newest = Math.max(this.#newest, place);
  }

  /** The node says that it has not happened. */
  refuse(transaction: Transaction): void {
    this.refused++;
    this.#check(transaction.place === undefined, `${transaction.id} was refused, but seen at ${transaction.place}`);
    transaction.state = 'absent';
  }

  /** A row of `SUMMARY`, sent when `floor` was the newest. */
  sawSummary(rows: readonly Value[][], floor: number): number {
    this.reads++;
    const [place, txns, parts, entries, balance] = rows[0]!.map(value => Number(value ?? 0)) as [number, ...number[]];
    const text = `place ${place}, counted ${txns} with ${parts} parts, ${entries} entries, balance ${balance}`;
    this.#check(rows.length === 1 && txns === place && entries === parts && balance === 0, `in part: ${text}`);
    this.#sawAll(place, floor);
    return place;
  }

  /** The rows of `SELECT seq, id, payload FROM txn ORDER BY seq`. */
  sawTransactions(rows: readonly Value[][], floor: number): void {
    this.reads++;
    for (const [position, [seq, id, payload]] of rows.entries()) {
      const place = position + 1;
      this.#check(Number(seq) === place, `place ${Number(seq)} where ${place} should be`);
      this.#see(Number(id), place);
      const known = this.#transactions[Number(id)]!;
      this.#check(equal(payload as Uint8Array, known.payload), `${known.id} has another payload than was sent`);
    }
    this.#sawAll(rows.length, floor);
  }

  /**
   * Reads everything at the beginning of a life of the node, compares, and settles what was in doubt. Rejects with
   * `Violation`.
   */
  async verify(client: SimulatedClient): Promise<void> {
    const floor = this.#newest;
    await client.exec('BEGIN');
    const place = this.sawSummary(await client.query(SUMMARY), floor);
    this.sawTransactions(await client.query('SELECT seq, id, payload FROM txn ORDER BY seq'), floor);
    const whole = await client.query(
      'SELECT t.id, count(*) FROM txn t JOIN entry e ON e.txn = t.id AND e.payload IS t.payload GROUP BY t.id',
    );
    const accounts = await client.query('SELECT balance FROM account ORDER BY id');
    const check = await client.query('PRAGMA integrity_check');
    await client.exec('COMMIT');
    this.#check(check[0]?.[0] === 'ok', `integrity_check: ${JSON.stringify(check)}`);
    this.#check(whole.length === place, `${whole.length} of ${place} transactions have rows`);
    for (const [id, count] of whole) {
      const { parts } = this.#transactions[Number(id)]!;
      this.#check(Number(count) === parts, `${Number(id)} has ${Number(count)} of ${parts} rows`);
    }
    const balances = Array.from({ length: ACCOUNTS }, () => 0);
    for (const id of this.#places.slice(0, place)) {
      const { amount } = this.#transactions[id]!;
      balances[id % ACCOUNTS]! -= amount;
      balances[(id + 3) % ACCOUNTS]! += amount;
    }
    const found = accounts.map(([balance]) => Number(balance));
    this.#check(found.join() === balances.join(), `balances are ${found.join()}, not ${balances.join()}`);
    for (const transaction of this.#transactions) {
      if (transaction.state === 'sent' && transaction.life < this.life) transaction.state = 'absent';
    }
  }

  #sawAll(place: number, floor: number): void {
    this.#check(place >= floor, `a read sees up to ${place}, and ${floor} was seen before it`);
    this.#newest = Math.max(this.#newest, place);
  }

  #see(id: number, place: number): void {
    const transaction = this.#transactions[id];
    const { state, place: before } = transaction ?? {};
    this.#check(state !== undefined, `${id} is there and was never sent`);
    this.#check(state !== 'absent', `${id} is there and was refused`);
    this.#check(before === undefined || before === place, `${id} is at ${place} and was at ${before}`);
    const other = this.#places[place - 1];
    this.#check(other === undefined || other === id, `${id} is at ${place}, where ${other} was`);
    if (state !== 'committed') this.found++;
    transaction!.state = 'committed';
    transaction!.place = place;
    this.#places[place - 1] = id;
  }

  #check(isSo: boolean, what: string): asserts isSo {
    if (!isSo) throw new Violation(`${this.name}: ${what}`);
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
