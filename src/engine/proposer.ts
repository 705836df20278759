/**
 * From executed transactions to log entries: a slot of the log is one append, which takes one FRAMES command of each
 * database that has something (design rule 15), and one append is under way at a time.
 *
 * "Already executed" is a property of the current leadership: the queue of own proposals, emptied by an undo. The
 * entry at its head needs no work when it is committed; every other entry is applied as pages (design rule 2).
 */

import { assert } from '../lib/assert.ts';
import { Queue } from '../lib/queue.ts';
import type { Database } from './database.ts';
import type { Command, Engine, Replicator } from './engine.ts';
import { SLOT_BYTES, SMALL_BATCH_BYTES } from './options.ts';

interface Executed {
  readonly index: number;
  readonly database: Database;
}

export class Proposer {
  replicator: Replicator | undefined = undefined;
  readonly #engine: Engine;
  /** Databases with something to propose, the longest waiting first. */
  readonly #dirty = new Set<Database>();
  readonly #executed = new Queue<Executed>();
  #slotTaken = false;
  #lastBatchBytes = 0;
  #sealing = false;
  /** Answers since the last proposal that no commit has released: to reads, and inside transactions. */
  #otherAnswers = 0;
  /** Whether everybody who was served before the last proposal waits for its commit. */
  allWait = false;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** A database has something to propose. */
  add(database: Database): void {
    this.#dirty.add(database);
    if (!this.#slotTaken) this.#sealSoon();
  }

  /** The database is gone. */
  remove(database: Database): void {
    this.#dirty.delete(database);
  }

  /**
   * The log has room for the next append: one disk write at a time. The clients who are being answered now send
   * their next requests at once. While batches are small, one that waits for these is cheaper than two; with large
   * ones it is better to keep the disk busy.
   */
  slotFreed(): void {
    this.#slotTaken = false;
    if (this.#dirty.size === 0) return;
    if (this.#lastBatchBytes < SMALL_BATCH_BYTES) this.#sealSoon();
    else this.#propose();
  }

  /** It was not possible to propose anything for a while. */
  resume(): void {
    if (this.#dirty.size > 0 && !this.#slotTaken) this.#sealSoon();
  }

  /** Everything that is not committed is undone. */
  clear(): void {
    this.#slotTaken = false;
    this.#dirty.clear();
    this.#executed.drain();
  }

  /** An entry is committed. Gives the database that has executed it already, if it is an own one. */
  committed(index: number): Database | undefined {
    const own = this.#executed.peek();
    if (own === undefined) return undefined;
    assert(own.index === index, `entry ${index} is committed before own entry ${own.index}`);
    this.#executed.shift();
    return own.database;
  }

  answered(): void {
    this.#otherAnswers++;
  }

  /** The answer that comes next has waited for a commit. */
  released(): void {
    this.#otherAnswers--;
  }

  /**
   * Seals and proposes after the next turn of the loop: what has arrived, and what those send who were just answered,
   * goes together.
   */
  #sealSoon(): void {
    if (this.#sealing) return;
    this.#sealing = true;
    const { clock } = this.#engine;
    clock.defer(() =>
      clock.defer(() => {
        this.#sealing = false;
        this.#propose();
      }),
    );
  }

  /** Seals what is open and hands it to raft: one FRAMES command per database, up to a slot's worth. */
  #propose(): void {
    const replicator = this.replicator!;
    const { isLeading } = this.#engine;
    if (this.#slotTaken || !isLeading || !replicator.canPropose || this.#dirty.size === 0) return;
    this.#sealing = true;
    this.#engine.guard(() => {
      for (const database of [...this.#dirty]) database.closeGroup();
    });
    this.#sealing = false;
    const commands: Command[] = [];
    const proposed: Database[] = [];
    const later: Database[] = [];
    let bytes = 0;
    for (const database of this.#dirty) {
      if (bytes >= SLOT_BYTES) break;
      this.#dirty.delete(database);
      if (!database.hasBatch) {
        if (database.hasGroup) later.push(database);
        continue;
      }
      const { batch, size } = database.sealNext();
      const data = this.#engine.entryBuffers.take(size);
      database.encode(batch, data);
      commands.push({ data, shrinks: batch.shrinks });
      proposed.push(database);
      bytes += size;
      if (database.hasBatch || database.hasGroup) later.push(database);
    }
    // One batch per database and slot: what is left waits behind the others. So does a group that clients have begun
    // who were answered while theirs was closed.
    for (const database of later) this.#dirty.add(database);
    if (commands.length === 0) {
      if (this.#dirty.size > 0) this.#sealSoon();
      return;
    }
    this.#slotTaken = true;
    this.#lastBatchBytes = bytes;
    this.allWait = this.#otherAnswers === 0 && this.#engine.streams.size === 0;
    this.#otherAnswers = 0;
    const first = replicator.propose(commands);
    for (const [position, database] of proposed.entries()) this.#executed.push({ index: first + position, database });
  }
}
