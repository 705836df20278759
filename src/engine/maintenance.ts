/**
 * What the engine does beside requests, once a second: transactions that clients have forgotten end, old reads end when
 * they hold too much memory (design rule 12), and page images that nobody needs any more are recycled in slices.
 */

import type { Logger, Timer } from '../host/types.ts';
import { PAGE_SIZE } from '../pages/index.ts';
import { SqliteError, SQLITE_ERROR } from '../sqlite/index.ts';
import type { Database } from './database.ts';
import type { Engine } from './engine.ts';
import { OLD_READ_MS } from './options.ts';
import type { RowStream } from './row-stream.ts';
import { Session } from './session.ts';

const INTERVAL_MS = 1000;
/** Page images examined in one go when their last reader has gone. */
const RECYCLE_SLICE = 10_000;

export class Maintenance {
  readonly #engine: Engine;
  readonly #logger: Logger;
  #timer: Timer | undefined = undefined;
  #stopped = false;
  #recycling = false;

  constructor(engine: Engine, logger: Logger) {
    this.#engine = engine;
    this.#logger = logger;
  }

  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#engine.clock.setTimer(INTERVAL_MS, () => {
      this.#endIdleTransactions();
      this.#endOldReads();
      for (const database of this.#engine.databases.values()) this.recycle(database);
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Examines the images of a database whose last reader has gone, in later turns. */
  recycle(database: Database): void {
    if (!database.store.hasPending || this.#recycling) return;
    this.#recycling = true;
    this.#engine.clock.defer(() => {
      this.#recycling = false;
      database.store.recycle(RECYCLE_SLICE);
      this.recycle(database);
    });
  }

  #endIdleTransactions(): void {
    const { options, clock, databases } = this.#engine;
    const limitMs = options.transactionIdleTimeoutMs;
    if (limitMs === 0) return;
    const nowMs = clock.monotonicMs();
    for (const database of databases.values()) {
      const owner = database.lock.owner;
      if (!(owner instanceof Session)) continue;
      const since = owner.idleSince;
      if (since !== undefined && nowMs - since > limitMs) {
        owner.abortTransaction(`the client was idle for more than ${limitMs} ms inside a write transaction`);
      }
    }
  }

  /** Old versions take memory as long as somebody reads them: above a limit the oldest reads are ended. */
  #endOldReads(): void {
    const { options, clock, databases } = this.#engine;
    let retained = 0;
    for (const { store } of databases.values()) retained += store.retainedImages;
    if (retained * PAGE_SIZE <= options.maxOldVersionBytes) return;
    const cause = `a read older than ${OLD_READ_MS / 1000} s was ended: old versions held more than ${options.maxOldVersionBytes} bytes`;
    const oldest = this.#oldestReader(clock.monotonicMs() - OLD_READ_MS);
    if (oldest === undefined) return;
    this.#logger.warn({ retainedBytes: retained * PAGE_SIZE }, cause);
    if (oldest instanceof Session) oldest.abortTransaction(cause);
    else oldest.terminate(new SqliteError(SQLITE_ERROR, cause));
  }

  /** The stream or transaction that has looked at one version for longest, if since before `beforeMs`. */
  #oldestReader(beforeMs: number): RowStream | Session | undefined {
    const { streams, openConnections } = this.#engine;
    let oldest: RowStream | Session | undefined;
    let oldestMs = beforeMs;
    for (const stream of streams) {
      if (stream.startedMs >= oldestMs) continue;
      oldest = stream;
      oldestMs = stream.startedMs;
    }
    for (const session of openConnections) {
      const sinceMs = session.transactionSinceMs;
      if (sinceMs === undefined || sinceMs >= oldestMs || session.idleSince === undefined) continue;
      oldest = session;
      oldestMs = sinceMs;
    }
    return oldest;
  }
}
