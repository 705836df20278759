/** A client that writes row after row through whatever happens to the cluster, and knows what was acknowledged. */

import assert from 'node:assert/strict';
import { DqliteError, type Client } from '../../src/client/index.ts';
import { until } from './wait.ts';

/** Its rows are the numbers from 0 on, in a table of its own database. */
export class SteadyWriter {
  readonly acknowledged: number[] = [];
  /** Whether it took effect is not known. */
  readonly doubtful: Set<number> = new Set();
  /** Refused, without effect. */
  readonly refused: Set<number> = new Set();
  readonly errors: string[] = [];
  /** The longest time between two acknowledgements. */
  longestGapMs = 0;
  readonly #db: Client;
  readonly #finished: Promise<void>;
  #isStopping = false;

  private constructor(db: Client) {
    this.#db = db;
    this.#finished = this.#run();
    this.#finished.catch(() => {}); // met by `stop`
  }

  static async start(db: Client): Promise<SteadyWriter> {
    await db.exec('CREATE TABLE row (number INTEGER PRIMARY KEY)');
    return new SteadyWriter(db);
  }

  async #run(): Promise<void> {
    let lastMs = performance.now();
    for (let number = 0; !this.#isStopping; number++) {
      try {
        await this.#db.exec('INSERT INTO row VALUES (?)', [number]);
        this.acknowledged.push(number);
        this.longestGapMs = Math.max(this.longestGapMs, performance.now() - lastMs);
        lastMs = performance.now();
      } catch (error) {
        // The test is over.
        if (!(error instanceof DqliteError) || error.code === 'CLOSED') throw error;
        this.errors.push(`${number}: ${error.code} ${error.message} (committed: ${error.committed})`);
        if (error.committed === false) this.refused.add(number);
        else this.doubtful.add(number);
      }
    }
  }

  /** Resolves when so many more rows are acknowledged. */
  async more(count: number, deadlineMs: number = 30_000): Promise<void> {
    const target = this.acknowledged.length + count;
    await until(() => this.acknowledged.length >= target, `${count} more rows`, deadlineMs);
  }

  /** Ends, and compares with what is there: everything that was acknowledged, nothing that was refused, nothing else. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#finished;
    const rows = await this.#db.query<{ number: number }>('SELECT number FROM row');
    this.#verify(new Set(rows.map(({ number }) => number)));
  }

  #verify(numbers: ReadonlySet<number>): void {
    for (const number of this.acknowledged) {
      assert.ok(numbers.has(number), `row ${number} was acknowledged and is lost`);
    }
    for (const number of this.refused) {
      assert.ok(!numbers.has(number), `row ${number} was refused and is there`);
    }
    const sent = new Set([...this.acknowledged, ...this.doubtful]);
    for (const number of numbers) assert.ok(sent.has(number), `row ${number} was never sent`);
  }
}
