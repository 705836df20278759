/** Clients that write row after row through whatever happens to the cluster, and know what was acknowledged. */

import assert from 'node:assert/strict';
import { DqliteError, type Client } from '../../src/client/index.ts';
import { until } from './wait.ts';

/** Rows of a table `(writer INTEGER, number INTEGER, PRIMARY KEY (writer, number))`. */
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
  readonly #writer: number;
  readonly #table: string;
  readonly #finished: Promise<void>;
  #isStopping = false;

  constructor(db: Client, table: string, writer: number) {
    this.#db = db;
    this.#writer = writer;
    this.#table = table;
    this.#finished = this.#run();
    this.#finished.catch(() => {}); // met by `stop`
  }

  async #run(): Promise<void> {
    let lastMs = performance.now();
    for (let number = 0; !this.#isStopping; number++) {
      try {
        await this.#db.exec(`INSERT INTO "${this.#table}" VALUES (?, ?)`, [this.#writer, number]);
        this.acknowledged.push(number);
        this.longestGapMs = Math.max(this.longestGapMs, performance.now() - lastMs);
        lastMs = performance.now();
      } catch (error) {
        if (!(error instanceof DqliteError)) throw error;
        this.errors.push(`${number}: ${error.code} ${error.message} (committed: ${error.committed})`);
        if (error.committed === false) this.refused.add(number);
        else this.doubtful.add(number);
      }
    }
  }

  /** Resolves when so many more rows are acknowledged. */
  async more(count: number, deadlineMs = 30_000): Promise<void> {
    const target = this.acknowledged.length + count;
    const what = `${count} more rows of writer ${this.#writer}\n${this.errors.slice(-5).join('\n')}`;
    await until(() => this.acknowledged.length >= target, what, deadlineMs);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#finished;
  }

  /** Compares with what is there: everything that was acknowledged, nothing that was refused, nothing else. */
  verify(numbers: ReadonlySet<number>): void {
    for (const number of this.acknowledged) {
      assert.ok(numbers.has(number), `writer ${this.#writer}: row ${number} was acknowledged and is lost`);
    }
    for (const number of this.refused) {
      assert.ok(!numbers.has(number), `writer ${this.#writer}: row ${number} was refused and is there`);
    }
    const sent = new Set([...this.acknowledged, ...this.doubtful]);
    for (const number of numbers) assert.ok(sent.has(number), `writer ${this.#writer}: row ${number} was never sent`);
  }
}
