/**
 * One database as a versioned page store (docs/ARCHITECTURE.md). A *version* is the state after one
 * transaction; a reader *pins* the version it looks at and is answered from it for as long as it likes;
 * the writer publishes a `WriteSet` as the next version. Two versions are special: *newest* (executed
 * here) and *committed* (stored by a quorum). Between them lie batches that were sealed for replication
 * and the open batch that collects what is published now.
 *
 * Plain synchronous TypeScript over byte arrays: no I/O, no SQLite. What it relies on: one writer at a
 * time, whose base is the newest version (the lock is the VFS's business).
 *
 * Invariants
 * 1. Version numbers only grow and are never used twice, also not after an undo: SQLite's page caches
 *    are keyed by them (they are presented as the change counter).
 * 2. committed <= end of each batch in flight, in order <= newest.
 * 3. The content of every page at every *marked* version (pins, committed, ends of batches in flight,
 *    newest) can be read. An image that no marked version can see is recycled.
 * 4. A database has at least one page, and no holes: each page up to the size of a version has an image.
 * 5. Pages beyond the size of a version are invisible there.
 *
 * Recycling. An image that is superseded while marked versions still see it goes into the list of the
 * *newest* mark that sees it; when that mark is released, each image of its list goes on to the next
 * older mark that sees it, or is freed. So each image costs a constant amount of work per mark that
 * protects it, and nothing is ever searched.
 */

import { assert } from '../lib/assert.ts';
import { Queue } from '../lib/queue.ts';
import { LOCK_BYTE_PAGE, schemaCookie, writeTemplate } from './header.ts';
import { Mark } from './mark.ts';
import { Nodes, NONE } from './nodes.ts';
import { Sizes } from './sizes.ts';
import { PAGE_SIZE, type PageSlabs } from './slabs.ts';
import { WriteSet } from './write-set.ts';

/** The changes between two versions, sealed to become one FRAMES entry. */
export interface Batch {
  /** The version that the batch leads to. */
  readonly version: number;
  /** Size of the database at that version, in pages. */
  readonly size: number;
  /** It was larger before. */
  readonly shrinks: boolean;
  /** Changed pages that exist at that version. */
  readonly pages: readonly number[];
  /** Their images, in the same order. */
  readonly images: readonly number[];
}

interface BatchInFlight extends Batch {
  readonly mark: Mark;
  /** All pages whose chain the batch touched, also those beyond its size. */
  readonly touched: readonly number[];
}

/** Images examined at once when a mark is released; the rest waits for `recycle`. */
const EXAMINE_AT_ONCE = 512;

export class PageStore {
  readonly slabs: PageSlabs;
  readonly #nodes = new Nodes();
  /** Newest node by page number; index 0 is unused. */
  #heads = new Int32Array(64).fill(NONE);
  #newest = 1;
  #lastIssued = 1;
  readonly #sizes = new Sizes(1, 1);
  /** Marked versions, ascending. */
  readonly #marks: Mark[] = [];
  /** All marks by number, and those that are free to be used again. */
  readonly #allMarks: Mark[] = [];
  readonly #freeMarks: Mark[] = [];
  /** Released marks with images that were not examined yet. */
  readonly #pending: Mark[] = [];
  #committed: Mark;
  readonly #inFlight = new Queue<BatchInFlight>();
  /** Pages touched since the last seal, each once, with what tells whether a page is among them. */
  #touched: number[] = [];
  #touchedStamp = new Uint32Array(64);
  #batchNumber = 1;
  #retainedImages = 0;
  /** Whether a transaction may make the database smaller; see `Vfs`. */
  mayShrink = true;

  /** A new database: version 1, committed, holds the one-page template of raft and disk spec section 4.4. */
  constructor(slabs: PageSlabs) {
    this.slabs = slabs;
    const image = slabs.allocate();
    writeTemplate(slabs.bytesOf(image), slabs.offsetOf(image));
    this.#addHead(1, image, 1);
    this.#committed = this.#mark(1);
  }

  /** The version of the last executed transaction. */
  get newest(): number {
    return this.#newest;
  }

  /** The newest version that a quorum has stored. */
  get committed(): number {
    return this.#committed.version;
  }

  /** Size of the newest version in pages. */
  get size(): number {
    return this.#sizes.newest;
  }

  /** Images kept for older versions only. */
  get retainedImages(): number {
    return this.#retainedImages;
  }

  /** Whether something was published since the last seal. */
  get hasOpenBatch(): boolean {
    return this.#newest !== (this.#inFlight.peekLast()?.version ?? this.#committed.version);
  }

  /** Pages in the open batch, some of which may have been truncated away since. */
  get openBatchPages(): number {
    return this.#touched.length;
  }

  /** Size in pages of the database at a marked version. */
  sizeAt(version: number): number {
    return this.#sizes.at(version);
  }

  /** The image of a page at a marked version. The page must not lie beyond the size there. */
  imageAt(page: number, version: number): number {
    const nodes = this.#nodes;
    let node = this.#heads[page]!;
    while (nodes.version[node]! > version) node = nodes.older[node]!;
    return nodes.image[node]!;
  }

  /** The schema cookie at a marked version: changes whenever the schema does. */
  schemaCookieAt(version: number): number {
    const image = this.imageAt(1, version);
    return schemaCookie(this.slabs.bytesOf(image), this.slabs.offsetOf(image));
  }

  /** Keeps a version readable until `unpin`. Only newest and committed can be pinned anew. */
  pin(version: number): Mark {
    return this.#mark(version);
  }

  unpin(mark: Mark): void {
    this.#release(mark);
  }

  /** A write set on top of the newest version. */
  begin(): WriteSet {
    return new WriteSet(this.slabs, this.#sizes.newest);
  }

  /**
   * Publishes a transaction as the new newest version and moves the writer's pin there. The set must
   * have been begun on the newest version; it is empty afterwards.
   */
  publish(set: WriteSet, writer?: Mark): Mark | undefined {
    const version = ++this.#lastIssued;
    const baseSize = this.#sizes.newest;
    const { size, baseLimit } = set;
    this.#newest = version;
    if (size !== baseSize) this.#sizes.change(version, size);
    // The writer's pin moves first, so that it does not protect the images that this version replaces.
    let pin: Mark | undefined;
    if (writer !== undefined) {
      pin = this.#mark(version);
      this.#release(writer);
    }
    for (const [page, image] of set.images) {
      assert(page !== LOCK_BYTE_PAGE, 'the lock-byte page is never written');
      if (page <= size) this.#replace(page, image, version);
      else this.slabs.free(image);
    }
    set.images.clear();
    // SQLite does not write pages that one transaction allocated and freed again.
    for (let page = baseLimit + 1; page <= size; page++) {
      const head = this.#headOf(page);
      if (head !== NONE && this.#nodes.version[head] === version) continue;
      const image = this.slabs.allocate();
      const offset = this.slabs.offsetOf(image);
      this.slabs.bytesOf(image).fill(0, offset, offset + PAGE_SIZE);
      this.#replace(page, image, version);
    }
    for (let page = size + 1; page <= baseSize; page++) {
      const head = this.#headOf(page);
      if (head === NONE) continue;
      this.#touch(page);
      this.#supersede(head, version);
    }
    return pin;
  }

  /** Uses up a version number: a transaction of which nothing was left to publish has labelled a page cache with it. */
  skipVersion(): void {
    this.#lastIssued++;
  }

  /** Closes the open batch: what was published since the last seal, as the newest image of each page. */
  seal(): Batch {
    assert(this.hasOpenBatch, 'nothing to seal');
    const version = this.#newest;
    const size = this.#sizes.newest;
    const pages: number[] = [];
    const images: number[] = [];
    for (const page of this.#touched) {
      // The lock-byte page has an image, of zeros, so that all pages can be read; it never leaves this node.
      if (page > size || page === LOCK_BYTE_PAGE) continue;
      pages.push(page);
      images.push(this.#nodes.image[this.#heads[page]!]!);
    }
    const sizeBefore = this.sizeAt(this.#inFlight.peekLast()?.version ?? this.#committed.version);
    assert(
      size === sizeBefore || images.length === 0 || pages.includes(1),
      'a batch that changes the size holds page 1',
    );
    const shrinks = size < sizeBefore;
    const mark = this.#mark(version);
    const batch: BatchInFlight = { version, size, shrinks, pages, images, mark, touched: this.#touched };
    this.#inFlight.push(batch);
    this.#touched = [];
    this.#batchNumber++;
    return batch;
  }

  /** The oldest batch in flight was stored by a quorum: its version is the committed one now. */
  commit(): void {
    const batch = this.#inFlight.shift();
    assert(batch !== undefined, 'no batch is in flight');
    const previous = this.#committed;
    this.#committed = batch.mark;
    this.#release(previous);
    this.#sizes.forget(this.#marks[0]!.version);
  }

  /**
   * Publishes and commits changes that come from elsewhere: the log, a leader. Nothing may be in flight. Says whether
   * the database was larger before.
   */
  apply(set: WriteSet): boolean {
    assert(this.#newest === this.committed, 'changes from elsewhere cannot go on top of uncommitted ones');
    this.publish(set);
    const { shrinks } = this.seal();
    this.commit();
    return shrinks;
  }

  /** Drops all versions above the committed one. None of them may be pinned. */
  undo(): void {
    const committed = this.#committed.version;
    const nodes = this.#nodes;
    const batches = this.#inFlight.drain();
    for (const batch of batches) this.#release(batch.mark);
    const newestMark = this.#marks[this.#marks.length - 1]!;
    assert(newestMark.version === committed, `version ${newestMark.version} is pinned and cannot be undone`);
    this.#sizes.undo(committed);
    this.#newest = committed;
    for (const touched of [...batches.map(batch => batch.touched), this.#touched]) {
      for (const page of touched) {
        let head = this.#headOf(page);
        while (head !== NONE && nodes.version[head]! > committed) {
          if (nodes.end[head] !== Infinity) this.#unretain(head);
          this.#remove(head);
          head = this.#headOf(page);
        }
        // Invariant 3 kept the committed image; it is the page's content again.
        if (
          head !== NONE &&
          page <= this.#sizes.newest &&
          nodes.end[head]! > committed &&
          nodes.end[head] !== Infinity
        ) {
          this.#unretain(head);
          nodes.end[head] = Infinity;
        }
      }
    }
    this.#touched = [];
    this.#batchNumber++;
  }

  /** Whether there are images to examine. */
  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Examines up to `limit` images whose mark is gone. Gives false when none is left. */
  recycle(limit: number): boolean {
    let examined = 0;
    for (let mark = this.#pending.pop(); mark !== undefined; mark = this.#pending.pop()) {
      examined += this.#examine(mark, limit - examined);
      if (examined >= limit) break;
    }
    return this.#pending.length > 0;
  }

  /** Frees everything. The store cannot be used afterwards. */
  destroy(): void {
    for (let page = 1; page < this.#heads.length; page++) {
      for (let node = this.#heads[page]!; node !== NONE; node = this.#nodes.older[node]!) {
        this.slabs.free(this.#nodes.image[node]!);
      }
    }
    this.#heads.fill(NONE);
  }

  #headOf(page: number): number {
    return this.#heads[page] ?? NONE;
  }

  #touch(page: number): void {
    if (this.#touchedStamp.length <= page) {
      const bigger = new Uint32Array(Math.max(page + 1, this.#touchedStamp.length * 2));
      bigger.set(this.#touchedStamp);
      this.#touchedStamp = bigger;
    }
    if (this.#touchedStamp[page] === this.#batchNumber) return;
    this.#touchedStamp[page] = this.#batchNumber;
    this.#touched.push(page);
  }

  /** Makes an image the content of a page from a version on. */
  #replace(page: number, image: number, version: number): void {
    const previous = this.#headOf(page);
    this.#touch(page);
    this.#addHead(page, image, version);
    if (previous !== NONE && this.#nodes.end[previous] === Infinity) this.#supersede(previous, version);
  }

  #addHead(page: number, image: number, version: number): void {
    const nodes = this.#nodes;
    if (this.#heads.length <= page) {
      const bigger = new Int32Array(Math.max(page + 1, this.#heads.length * 2)).fill(NONE);
      bigger.set(this.#heads);
      this.#heads = bigger;
    }
    const node = nodes.allocate();
    const older = this.#heads[page]!;
    nodes.page[node] = page;
    nodes.version[node] = version;
    nodes.end[node] = Infinity;
    nodes.image[node] = image;
    nodes.older[node] = older;
    nodes.newer[node] = NONE;
    if (older !== NONE) nodes.newer[older] = node;
    this.#heads[page] = node;
  }

  #supersede(node: number, version: number): void {
    this.#nodes.end[node] = version;
    this.#retainOrFree(node);
  }

  /** Puts a superseded image under the protection of the newest mark that sees it, or frees it. */
  #retainOrFree(node: number): void {
    const nodes = this.#nodes;
    const position = this.#marksBefore(nodes.end[node]!) - 1;
    const mark = position >= 0 ? this.#marks[position]! : undefined;
    if (mark !== undefined && mark.version >= nodes.version[node]!) {
      mark.retain(node);
      this.#retainedImages++;
    } else {
      this.#remove(node);
    }
  }

  #unretain(node: number): void {
    this.#allMarks[this.#nodes.owner[node]!]!.remove(node);
    this.#retainedImages--;
  }

  /** Takes a node out of its page's chain and frees it with its image. */
  #remove(node: number): void {
    const nodes = this.#nodes;
    const older = nodes.older[node]!;
    const newer = nodes.newer[node]!;
    if (older !== NONE) nodes.newer[older] = newer;
    if (newer === NONE) this.#heads[nodes.page[node]!] = older;
    else nodes.older[newer] = older;
    this.slabs.free(nodes.image[node]!);
    nodes.free(node);
  }

  /** How many marks have a version below the given one. */
  #marksBefore(version: number): number {
    let low = 0;
    let high = this.#marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#marks[middle]!.version < version) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #mark(version: number): Mark {
    const position = this.#marksBefore(version);
    const present = this.#marks[position];
    if (present?.version === version) {
      present.references++;
      return present;
    }
    let mark = this.#freeMarks.pop();
    if (mark === undefined) {
      mark = new Mark(this.#nodes, this.#allMarks.length);
      this.#allMarks.push(mark);
    }
    mark.version = version;
    mark.references = 1;
    if (position === this.#marks.length) this.#marks.push(mark);
    else this.#marks.splice(position, 0, mark);
    return mark;
  }

  #release(mark: Mark): void {
    assert(mark.references > 0, `version ${mark.version} released more often than pinned`);
    if (--mark.references > 0) return;
    const position = this.#marksBefore(mark.version);
    if (position === this.#marks.length - 1) this.#marks.pop();
    else this.#marks.splice(position, 1);
    this.#examine(mark, EXAMINE_AT_ONCE);
  }

  /** Hands on or frees up to `limit` images of a released mark. Gives how many; the rest waits for `recycle`. */
  #examine(mark: Mark, limit: number): number {
    for (let examined = 0; examined < limit; examined++) {
      const node = mark.take();
      if (node === NONE) {
        this.#freeMarks.push(mark);
        return examined;
      }
      this.#retainedImages--;
      this.#retainOrFree(node);
    }
    this.#pending.push(mark);
    return limit;
  }
}
