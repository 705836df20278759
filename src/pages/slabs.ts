/**
 * Memory for page images: 4 KiB slots inside 1 MiB slabs, shared by all databases of a node.
 *
 * An image is named by a number, slab * 256 + slot, so that the page store can keep its bookkeeping in
 * typed arrays without an object per page. Freed slots are used again first (fresh memory costs page
 * faults: inserts were three times slower without recycling), and a slab that is wholly free is given
 * back once more than `SPARE_SLABS` of them are free.
 */

import { assert } from '../lib/assert.ts';

export const PAGE_SIZE = 4096;
const SLOTS_PER_SLAB = 256;
const SLAB_SIZE = SLOTS_PER_SLAB * PAGE_SIZE;
/** Free slabs kept for reuse: 16 MiB. */
const SPARE_SLABS = 16;

class Slab {
  readonly bytes = new Uint8Array(SLAB_SIZE);
  readonly words = new Int32Array(this.bytes.buffer);
  /** Slots that are free, as a stack. */
  readonly free = new Uint8Array(SLOTS_PER_SLAB);
  freeCount = 0;
  /** Slots never used so far start here. */
  untouched = 0;
  /** Whether the slab stands in the list of slabs with free slots. */
  listed = true;

  get available(): number {
    return this.freeCount + SLOTS_PER_SLAB - this.untouched;
  }
}

export class PageSlabs {
  readonly #slabs: (Slab | undefined)[] = [];
  /** Numbers of given-back slabs, to be used again. */
  readonly #gaps: number[] = [];
  /** Slabs with free slots; one that became full leaves the list when it is met. */
  readonly #partial: number[] = [];
  #freeSlabs = 0;
  #used = 0;
  #slabCount = 0;

  /** Images in use. */
  get used(): number {
    return this.#used;
  }

  /** Bytes held from the system, in use or spare. */
  get heldBytes(): number {
    return this.#slabCount * SLAB_SIZE;
  }

  /** Reserves an image. Its content is undefined. */
  allocate(): number {
    this.#used++;
    for (;;) {
      const number = this.#partial[this.#partial.length - 1];
      if (number === undefined) {
        this.#addSlab();
        continue;
      }
      const slab = this.#slabs[number]!;
      const available = slab.available;
      if (available === 0) {
        this.#partial.pop();
        slab.listed = false;
        continue;
      }
      if (available === SLOTS_PER_SLAB) this.#freeSlabs--;
      const slot = slab.freeCount > 0 ? slab.free[--slab.freeCount]! : slab.untouched++;
      return number * SLOTS_PER_SLAB + slot;
    }
  }

  free(image: number): void {
    const number = Math.floor(image / SLOTS_PER_SLAB);
    const slab = this.#slabs[number];
    assert(slab !== undefined, 'an image freed twice');
    this.#used--;
    slab.free[slab.freeCount++] = image % SLOTS_PER_SLAB;
    if (slab.available === SLOTS_PER_SLAB) {
      if (this.#freeSlabs >= SPARE_SLABS) {
        this.#slabs[number] = undefined;
        this.#slabCount--;
        this.#gaps.push(number);
        if (slab.listed) this.#partial.splice(this.#partial.indexOf(number), 1);
        return;
      }
      this.#freeSlabs++;
    }
    if (!slab.listed) {
      slab.listed = true;
      this.#partial.push(number);
    }
  }

  /** The slab that holds an image. */
  bytesOf(image: number): Uint8Array {
    return this.#slabs[Math.floor(image / SLOTS_PER_SLAB)]!.bytes;
  }

  /** The same memory in 32-bit words. */
  wordsOf(image: number): Int32Array {
    return this.#slabs[Math.floor(image / SLOTS_PER_SLAB)]!.words;
  }

  /** Where in its slab an image starts, in bytes. */
  offsetOf(image: number): number {
    return (image % SLOTS_PER_SLAB) * PAGE_SIZE;
  }

  /** An image as a view. For cold paths: the view is an object. */
  view(image: number): Uint8Array {
    const offset = this.offsetOf(image);
    return this.bytesOf(image).subarray(offset, offset + PAGE_SIZE);
  }

  #addSlab(): void {
    const number = this.#gaps.pop() ?? this.#slabs.length;
    this.#slabs[number] = new Slab();
    this.#slabCount++;
    this.#freeSlabs++;
    this.#partial.push(number);
  }
}
