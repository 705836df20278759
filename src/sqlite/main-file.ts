/**
 * What the VFS knows of one connection's database file: the lock it holds, the version it reads, and
 * what its transaction has written. All pages live in the `PageStore`.
 *
 * Invariants
 * 1. lock >= SHARED exactly if `pin` is set: the connection reads that version until it unlocks.
 * 2. lock >= RESERVED exactly if `set` is set and not yet published; then `ticket` is set and `pin` was
 *    the newest version. The engine gives the ticket to one connection of a database at a time.
 */

import { isUtf16, schemaCookie, type Mark, type PageStore, type WriteSet } from '../pages/index.ts';

/** Which version a connection looks at when it takes the SHARED lock. */
export type View = 'committed' | 'newest';

export class MainFile {
  readonly store: PageStore;
  view: View = 'committed';
  /** Whether the engine owns the database's write lock for this connection. */
  ticket = false;
  lock = 0;
  pin: Mark | undefined = undefined;
  set: WriteSet | undefined = undefined;
  /** A write of this transaction was refused; what follows is its rollback, which nobody will read. */
  doomed = false;
  /** Version that this connection published last, 0 if none since it was looked at. */
  published = 0;
  /** SQLite has the file open. */
  isOpen = false;
  /** SQLite is in a state that only closing the connection mends. */
  unusable = false;

  constructor(store: PageStore) {
    this.store = store;
  }

  /** The version that a read is answered from. */
  get version(): number {
    if (this.pin !== undefined) return this.pin.version;
    return this.view === 'committed' ? this.store.committed : this.store.newest;
  }

  /** Schema cookie of what is read; what SQLite has not written yet is not in it. */
  get schemaCookie(): number {
    const image = this.#firstImage;
    return schemaCookie(this.store.slabs.bytesOf(image), this.store.slabs.offsetOf(image));
  }

  get isUtf16(): boolean {
    const image = this.#firstImage;
    return isUtf16(this.store.slabs.bytesOf(image), this.store.slabs.offsetOf(image));
  }

  get #firstImage(): number {
    return this.set?.imageOf(1) ?? this.store.imageAt(1, this.version);
  }

  dropSet(): void {
    this.set?.discard();
    this.set = undefined;
    this.doomed = false;
  }

  /** Lets go of everything, as when the file is closed. */
  drop(): void {
    this.dropSet();
    if (this.pin !== undefined) this.store.unpin(this.pin);
    this.pin = undefined;
    this.lock = 0;
    this.isOpen = false;
  }
}
