/** A client that writes one row after the other and keeps account of what became of each. */

import { DqliteError, type Client } from '../client/index.ts';

export interface FailoverReport {
  readonly acknowledged: number;
  /** Rows whose answer was lost: they may be there or not. */
  readonly doubtful: number;
  readonly found: number;
  /** Acknowledged, but not there. */
  readonly lost: number;
}

const WRITE_MS = 10_000;
const PAUSE_MS = 5;

export class FailoverWatch {
  readonly #client: Client;
  readonly #rows = new Set<number>();
  #doubtful = 0;
  #next = 1;
  #lastMs = performance.now();
  #longestMs = 0;
  #stopped = false;
  readonly #finished: Promise<void>;
  #failure: unknown = undefined;
  #wake: (() => void) | undefined = undefined;

  private constructor(client: Client) {
    this.#client = client;
    this.#finished = this.#run().catch((error: unknown) => {
      this.#failure = error;
      this.#wake?.();
    });
  }

  static async start(client: Client): Promise<FailoverWatch> {
    await client.exec('CREATE TABLE written (id INTEGER PRIMARY KEY)');
    return new FailoverWatch(client);
  }

  get acknowledged(): number {
    return this.#rows.size;
  }

  /** Between two acknowledged rows, in milliseconds. */
  get longestGapMs(): number {
    return Math.round(this.#longestMs);
  }

  /** Waits until so many rows are acknowledged. Rejects if writing has failed. */
  async writes(count: number): Promise<void> {
    while (this.#rows.size < count) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>(resolve => (this.#wake = resolve));
    }
  }

  /** Stops writing and looks what is there. */
  async end(): Promise<FailoverReport> {
    this.#stopped = true;
    await this.#finished;
    const rows = await this.#client.query<{ id: number }>('SELECT id FROM written');
    const found = new Set(rows.map(({ id }) => id));
    const lost = [...this.#rows].filter(id => !found.has(id)).length;
    return { acknowledged: this.#rows.size, doubtful: this.#doubtful, found: found.size, lost };
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const id = this.#next++;
      try {
        await this.#client.exec('INSERT INTO written VALUES (?)', [id], { timeoutMs: WRITE_MS });
      } catch (error) {
        if (!(error instanceof DqliteError)) throw error;
        // What provably did not happen is of no interest; a lost answer leaves doubt.
        if (error.committed !== false) this.#doubtful++;
        await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
        continue;
      }
      const nowMs = performance.now();
      if (this.#rows.size > 0) this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
      this.#lastMs = nowMs;
      this.#rows.add(id);
      this.#wake?.();
    }
  }
}
