/**
 * One replicated database on this node: its pages, its write lock, the responses that wait for a version to be
 * committed, and the batches on their way to the log.
 */

import type { Clock } from '../host/types.ts';
import { assert } from '../lib/assert.ts';
import { Queue } from '../lib/queue.ts';
import {
  LOCK_BYTE_PAGE,
  PAGE_SIZE,
  PageStore,
  sizeField,
  statedSize,
  writeDeletion,
  type Batch,
  type PageSlabs,
  type WriteSet,
} from '../pages/index.ts';
import type { Sqlite, SqliteError } from '../sqlite/index.ts';
import { framesSize, writeFrames, type FramesCommand, type PageImages } from '../wire/index.ts';
import { BATCH_BYTES, MAX_SEALED_BYTES, type EngineOptions } from './options.ts';
import { Readers } from './readers.ts';
import type { Session } from './session.ts';
import { keyBytes } from './sql-text.ts';
import { WriteGroup } from './write-group.ts';
import { WriteLock } from './write-lock.ts';

/** A response that must not be sent before a version is committed. */
interface Gate {
  readonly version: number;
  /** The version is the response's own: its commit also confirms that this node led after the execution. */
  readonly own: boolean;
  readonly opened: (error: SqliteError | undefined) => void;
}

/** What a database needs from the engine. */
export interface DatabaseOwner {
  readonly clock: Clock;
  readonly slabs: PageSlabs;
  readonly options: EngineOptions;
  /** The database has something to be replicated. */
  dirty(database: Database): void;
  /** A user of the database is gone, perhaps the last one. */
  left(database: Database): void;
  /** Runs what calls into SQLite and belongs to no request; it may not be done if the instance fails. */
  guard(work: () => void): void;
  /** A response that waited for a commit is being sent. */
  released(): void;
  /** Calls back, perhaps at once, when this node is known to lead now. */
  confirmLeadership(confirmed: (error: SqliteError | undefined) => void): void;
}

export class Database {
  /** The name as a byte string, one character per byte. */
  readonly key: string;
  readonly name: Uint8Array;
  readonly store: PageStore;
  readonly lock: WriteLock;
  readonly sessions: Set<Session> = new Set();
  readonly #owner: DatabaseOwner;
  readonly #gates = new Queue<Gate>();
  /** Batches that were cut off because of their size and wait for a slot. */
  readonly #sealed = new Queue<Batch>();
  #sealedBytes = 0;
  #readers: Readers | undefined = undefined;
  #readersSqlite: Sqlite | undefined = undefined;
  #group: WriteGroup | undefined = undefined;
  /** The newest version that was handed to raft. */
  #proposedVersion = 0;
  /** Counts the undos: what was executed before one is gone. */
  epoch = 0;
  /** Images that are being read. */
  #images = 0;

  constructor(key: string, owner: DatabaseOwner) {
    this.key = key;
    this.name = keyBytes(key);
    this.#owner = owner;
    this.store = new PageStore(owner.slabs);
    this.lock = new WriteLock(owner.clock, owner.options.busyTimeoutMs);
  }

  /** The shared connections, made at first use. */
  readers(sqlite: Sqlite): Readers {
    if (this.#readers === undefined || this.#readersSqlite !== sqlite) {
      this.#readersSqlite = sqlite;
      this.#readers = new Readers(sqlite, this.store, this.#owner.options.maxRowBytes);
    }
    return this.#readers;
  }

  /** The connection for autocommit writes of all clients, made at first use. Throws SqliteError. */
  group(sqlite: Sqlite): WriteGroup {
    this.#group ??= new WriteGroup(this, sqlite, this.#owner.options);
    return this.#group;
  }

  /** Publishes the autocommit writes that have run, for those who need the lock or the newest version. */
  closeGroup(): void {
    this.#group?.close();
  }

  /** A group has begun: it is closed when the next batch is made. */
  grouped(): void {
    this.#owner.dirty(this);
  }

  /** Whether there is anything that the quorum has not stored. */
  get hasUncommitted(): boolean {
    return this.store.newest !== this.store.committed || this.hasGroup;
  }

  /** Autocommit writes have run that are not published. */
  get hasGroup(): boolean {
    return this.#group?.isOpen === true;
  }

  get hasBatch(): boolean {
    return this.#sealed.length > 0 || this.store.hasOpenBatch;
  }

  /** Nothing was ever written, or the database was deleted (wire spec section 5.12). */
  get isEmpty(): boolean {
    if (this.hasUncommitted || this.store.size !== 1) return false;
    const image = this.store.imageAt(1, this.store.committed);
    return sizeField(this.store.slabs.bytesOf(image), this.store.slabs.offsetOf(image)) === 0;
  }

  /** Empty, and nobody has it open or reads it: nothing would be lost with it. */
  get isUnused(): boolean {
    return this.sessions.size === 0 && this.#images === 0 && this.isEmpty;
  }

  imageOpened(): void {
    this.#images++;
  }

  imageClosed(): void {
    this.#images--;
    this.#owner.left(this);
  }

  /** A transaction was published: it becomes part of the next batch. */
  published(): void {
    if (this.store.openBatchPages * PAGE_SIZE >= BATCH_BYTES) {
      const batch = this.store.seal();
      this.#sealed.push(batch);
      this.#sealedBytes += batch.pages.length * PAGE_SIZE;
      if (this.#sealedBytes > MAX_SEALED_BYTES) this.lock.pause('backlog');
    }
    this.#owner.dirty(this);
  }

  /** Calls back once a response that could have seen `version` may be sent, perhaps at once. */
  gate(version: number, own: boolean, opened: (error: SqliteError | undefined) => void): void {
    if (version <= this.store.committed) this.#owner.confirmLeadership(opened);
    else this.#gates.push({ version, own, opened });
  }

  /** The size in bytes of the FRAMES command of the next batch. */
  sealNext(): { batch: Batch; size: number } {
    const sealed = this.#sealed.shift();
    const batch = sealed ?? this.store.seal();
    if (sealed !== undefined) {
      this.#sealedBytes -= batch.pages.length * PAGE_SIZE;
      if (this.#sealedBytes <= MAX_SEALED_BYTES) this.lock.resume('backlog');
    }
    this.#proposedVersion = batch.version;
    return { batch, size: framesSize(this.name, batch.pages.length) };
  }

  /** Writes the FRAMES command of a batch. */
  encode(batch: Batch, target: Uint8Array): void {
    const { slabs } = this.store;
    const pages: PageImages = {
      count: batch.pages.length,
      pageNumber: index => batch.pages[index]!,
      pageData: index => slabs.view(batch.images[index]!),
    };
    writeFrames(target, 0, this.name, pages);
  }

  /** The oldest proposed batch is committed: what waited for it is released, in this same turn (design rule 5). */
  committed(): void {
    this.store.commit();
    this.#committedMoved();
    const { committed } = this.store;
    for (let gate = this.#gates.peek(); gate !== undefined && gate.version <= committed; gate = this.#gates.peek()) {
      this.#gates.shift();
      this.#owner.released();
      if (gate.own) gate.opened(undefined);
      else this.#owner.confirmLeadership(gate.opened);
    }
  }

  /**
   * Publishes and commits a transaction that this node has not executed (raft and disk spec section 4.4). Says whether
   * it made the database smaller.
   */
  apply(command: FramesCommand): boolean {
    const { store } = this;
    assert(!this.hasUncommitted, 'an entry from elsewhere on top of uncommitted versions');
    const set = store.begin();
    let size = store.size;
    let stated: number | undefined;
    for (let i = 0; i < command.count; i++) {
      const page = command.pageNumber(i);
      if (page === LOCK_BYTE_PAGE) continue; // nobody reads it
      const data = command.pageData(i);
      const image = set.write(page);
      store.slabs.bytesOf(image).set(data, store.slabs.offsetOf(image));
      size = Math.max(size, page);
      if (page !== 1) continue;
      // A size field of 0 in a single page 1 deletes the database.
      if (sizeField(data) === 0 && command.count === 1) {
        stated = 1;
        this.#forgetSchema();
      } else {
        stated = statedSize(data);
      }
    }
    set.truncate(stated ?? size);
    const shrinks = store.apply(set);
    this.#committedMoved();
    return shrinks;
  }

  /** Replaces everything by what a snapshot of another node holds. */
  replace(set: WriteSet): void {
    assert(!this.hasUncommitted, 'a snapshot on top of uncommitted versions');
    this.#forgetSchema();
    this.store.apply(set);
  }

  /** The database has no content any more, by what others have decided. */
  empty(): void {
    if (!this.isEmpty) this.replace(this.#deletion());
  }

  /** With C dqlite the next schema may have the cookies of the one that is deleted: connections must not live on. */
  #forgetSchema(): void {
    const readers = this.#readers;
    const group = this.#group;
    this.#readers = undefined;
    this.#group = undefined;
    this.#owner.guard(() => {
      readers?.retire();
      group?.dispose();
    });
  }

  #committedMoved(): void {
    const readers = this.#readers;
    if (readers !== undefined) this.#owner.guard(() => readers.committedMoved());
  }

  /** Publishes the deletion of all content, for the owner of the write lock: one page whose size field is 0. */
  deleteContent(): void {
    this.store.publish(this.#deletion());
  }

  #deletion(): WriteSet {
    const { store } = this;
    const set = store.begin();
    set.truncate(1);
    const image = set.write(1);
    writeDeletion(store.slabs.bytesOf(image), store.slabs.offsetOf(image), store.schemaCookieAt(store.newest));
    return set;
  }

  /**
   * Drops what is not committed, and all connections that could have seen it; those for reads have not. Responses
   * that waited get `proposed` if what they saw was handed to raft, else `executed`.
   */
  undo(proposed: () => SqliteError, executed: () => SqliteError): void {
    this.epoch++;
    // Before the sessions' connections go: the lock of one must not pass to another that would still look at this.
    const waiters = this.lock.reset();
    this.lock.resume('backlog');
    for (const session of this.sessions) session.connectionLost(proposed());
    this.#sealed.drain();
    this.#sealedBytes = 0;
    const members = this.#group?.dispose() ?? [];
    this.#group = undefined;
    this.store.undo();
    for (const member of members) member.refused(executed());
    for (const gate of this.#gates.drain())
      gate.opened(gate.version <= this.#proposedVersion ? proposed() : executed());
    for (const waiter of waiters) waiter.expired();
  }

  /** The SQLite instance is gone, and with it all connections. */
  instanceLost(error: SqliteError): void {
    this.#readers = undefined;
    const members = this.#group?.dispose() ?? [];
    this.#group = undefined;
    for (const member of members) member.refused(error);
  }

  /** Closes the shared connections. */
  close(): void {
    this.#readers?.close();
    this.#readers = undefined;
    this.#group?.dispose();
    this.#group = undefined;
  }
}
