/**
 * The bookkeeping of page images, one *node* per stored image: which page and version it belongs to, up
 * to which version it is valid, its neighbours in the page's chain, and the list of retained images it is
 * in. Nodes are numbers and their fields lie in typed arrays: a database of a million pages has a million
 * nodes, and the garbage collector should not walk them.
 *
 * Invariants
 * 1. A page's chain runs from its newest image (the head) to older ones by strictly falling version.
 * 2. `end` is the version from which on the image is no longer the page's content; Infinity while it is.
 * 3. A node is in a retained list exactly if `end` is finite.
 */

/** No node. */
export const NONE = -1;

const INITIAL_CAPACITY = 64;

function grown<T extends Float64Array | Int32Array>(array: T, capacity: number): T {
  const bigger = new (array.constructor as new (length: number) => T)(capacity);
  bigger.set(array);
  return bigger;
}

export class Nodes {
  version: Float64Array = new Float64Array(INITIAL_CAPACITY);
  end: Float64Array = new Float64Array(INITIAL_CAPACITY);
  page: Int32Array = new Int32Array(INITIAL_CAPACITY);
  image: Int32Array = new Int32Array(INITIAL_CAPACITY);
  older: Int32Array = new Int32Array(INITIAL_CAPACITY);
  newer: Int32Array = new Int32Array(INITIAL_CAPACITY);
  /** Neighbours in a retained list. */
  retainedNext: Int32Array = new Int32Array(INITIAL_CAPACITY);
  retainedPrevious: Int32Array = new Int32Array(INITIAL_CAPACITY);
  /** Number of the retained list that a node is in. */
  owner: Int32Array = new Int32Array(INITIAL_CAPACITY);
  /** Free nodes are linked through `older`. */
  #free = NONE;
  #untouched = 0;

  allocate(): number {
    if (this.#free !== NONE) {
      const node = this.#free;
      this.#free = this.older[node]!;
      return node;
    }
    if (this.#untouched === this.version.length) this.#grow();
    return this.#untouched++;
  }

  free(node: number): void {
    this.older[node] = this.#free;
    this.#free = node;
  }

  #grow(): void {
    const capacity = this.version.length * 2;
    this.version = grown(this.version, capacity);
    this.end = grown(this.end, capacity);
    this.page = grown(this.page, capacity);
    this.image = grown(this.image, capacity);
    this.older = grown(this.older, capacity);
    this.newer = grown(this.newer, capacity);
    this.retainedNext = grown(this.retainedNext, capacity);
    this.retainedPrevious = grown(this.retainedPrevious, capacity);
    this.owner = grown(this.owner, capacity);
  }
}
