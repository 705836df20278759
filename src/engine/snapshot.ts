/**
 * The content of a raft snapshot, all databases at one applied index (raft and disk spec section 5.9), taken by
 * pinning versions: writing goes on while it is read.
 */

import { encodeDatabaseHeader, encodeSnapshotHeader, snapshotContentSize, type SnapshotSink } from '../format/index.ts';
import { assert } from '../lib/assert.ts';
import { LOCK_BYTE_PAGE, PAGE_SIZE, restate, statedSize, type Mark, type WriteSet } from '../pages/index.ts';
import type { Database } from './database.ts';
import { bytesKey } from './sql-text.ts';

/** The pages of a database at a pinned version, as a database file has them. To be released once. */
export class DatabaseImage {
  readonly #database: Database;
  readonly #mark: Mark;
  readonly pageCount: number;
  #released = false;

  /** Pins the committed version. */
  constructor(database: Database) {
    this.#database = database;
    this.#mark = database.store.pin(database.store.committed);
    database.imageOpened();
    this.pageCount = database.store.sizeAt(this.#mark.version);
  }

  get name(): Uint8Array {
    return this.#database.name;
  }

  /** In bytes. */
  get size(): number {
    return this.pageCount * PAGE_SIZE;
  }

  /** The pages in order, as views that stay valid until `release`. */
  *pages(): Generator<Uint8Array> {
    const { store } = this.#database;
    for (let page = 1; page <= this.pageCount; page++) {
      const view = store.slabs.view(store.imageAt(page, this.#mark.version));
      if (page > 1 || statedSize(view) === this.pageCount) {
        yield view;
        continue;
      }
      // C dqlite reads the size from page 1, so it must be right there.
      const first = view.slice();
      restate(first, this.pageCount);
      yield first;
    }
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#database.store.unpin(this.#mark);
    this.#database.imageClosed();
  }
}

export class EngineSnapshot {
  readonly #images: readonly DatabaseImage[];
  /** Bytes of the content. */
  readonly size: number;

  constructor(databases: readonly Database[]) {
    this.#images = databases.map(database => new DatabaseImage(database));
    this.size = snapshotContentSize(this.#images);
  }

  /** The content in pieces, each a view that stays valid until `release`. */
  *pieces(): Generator<Uint8Array> {
    yield encodeSnapshotHeader(this.#images.length);
    for (const image of this.#images) {
      yield encodeDatabaseHeader(image);
      yield* image.pages();
    }
  }

  release(): void {
    for (const image of this.#images) image.release();
  }
}

/** Fills databases from a snapshot. */
export class SnapshotRestorer implements SnapshotSink {
  readonly #create: (key: string) => Database;
  /** Names of the databases that were in it. */
  readonly keys: Set<string> = new Set();
  #database: Database | undefined = undefined;
  #set: WriteSet | undefined = undefined;

  /** `create` gives the database with a name. */
  constructor(create: (key: string) => Database) {
    this.#create = create;
  }

  beginDatabase(name: Uint8Array, _mainPages: number): void {
    const key = bytesKey(name);
    this.keys.add(key);
    this.#database = this.#create(key);
    this.#set = this.#database.store.begin();
  }

  page(pageNumber: number, bytes: Uint8Array): void {
    const set = this.#set;
    assert(set !== undefined && bytes.length === PAGE_SIZE, 'a page of a database');
    if (pageNumber === LOCK_BYTE_PAGE) return; // a file has it, but nobody writes it
    const { slabs } = this.#database!.store;
    const image = set.write(pageNumber);
    slabs.bytesOf(image).set(bytes, slabs.offsetOf(image));
  }

  endDatabase(pageCount: number): void {
    const set = this.#set;
    assert(set !== undefined, 'a database was begun');
    set.truncate(pageCount);
    this.#database!.replace(set);
    this.#set = undefined;
  }
}
