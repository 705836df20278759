/**
 * The pages that one transaction has written so far, private to its connection until the transaction
 * commits (`PageStore.publish`) or is dropped (`discard`). SQLite may write a page several times, read it
 * back and truncate: spills of a full page cache and rollbacks do all of that.
 */

import { assert } from '../lib/assert.ts';
import type { PageSlabs } from './slabs.ts';

export class WriteSet {
  readonly #slabs: PageSlabs;
  /** Page number to image. */
  readonly images: Map<number, number> = new Map();
  /** Size of the database in pages, as this transaction leaves it so far. */
  size: number;
  /** Pages beyond this one are not those of the base any more: zeros unless written. */
  baseLimit: number;

  constructor(slabs: PageSlabs, baseSize: number) {
    this.#slabs = slabs;
    this.size = baseSize;
    this.baseLimit = baseSize;
  }

  get pageCount(): number {
    return this.images.size;
  }

  imageOf(page: number): number | undefined {
    return this.images.get(page);
  }

  /** The image to write a page into: the one written before, or a new one with undefined content. */
  write(page: number): number {
    let image = this.images.get(page);
    if (image === undefined) {
      image = this.#slabs.allocate();
      this.images.set(page, image);
    }
    if (page > this.size) this.size = page;
    return image;
  }

  /** Forgets that a page was written. */
  drop(page: number): void {
    const image = this.images.get(page);
    if (image === undefined) return;
    this.#slabs.free(image);
    this.images.delete(page);
  }

  truncate(size: number): void {
    assert(size >= 1, 'a database has at least one page');
    if (size < this.size) {
      for (const page of this.images.keys()) if (page > size) this.drop(page);
    }
    this.size = size;
    this.baseLimit = Math.min(this.baseLimit, size);
  }

  discard(): void {
    for (const image of this.images.values()) this.#slabs.free(image);
    this.images.clear();
  }
}
