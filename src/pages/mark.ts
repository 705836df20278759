/** Marked versions of a database; see `page-store.ts` for what they protect. */

import { NONE, type Nodes } from './nodes.ts';

/**
 * A version that must stay readable, with the images that only it and older marks protect: a doubly linked list
 * through the `retained` fields of their nodes.
 */
export class Mark {
  readonly #nodes: Nodes;
  /** By which nodes name their mark. */
  readonly number: number;
  version = 0;
  references = 0;
  #first = NONE;

  constructor(nodes: Nodes, number: number) {
    this.#nodes = nodes;
    this.number = number;
  }

  retain(node: number): void {
    const nodes = this.#nodes;
    nodes.owner[node] = this.number;
    nodes.retainedNext[node] = this.#first;
    nodes.retainedPrevious[node] = NONE;
    if (this.#first !== NONE) nodes.retainedPrevious[this.#first] = node;
    this.#first = node;
  }

  remove(node: number): void {
    const nodes = this.#nodes;
    const next = nodes.retainedNext[node]!;
    const previous = nodes.retainedPrevious[node]!;
    if (next !== NONE) nodes.retainedPrevious[next] = previous;
    if (previous === NONE) this.#first = next;
    else nodes.retainedNext[previous] = next;
  }

  /** Takes any node out of the list, or gives NONE. */
  take(): number {
    const node = this.#first;
    if (node !== NONE) this.remove(node);
    return node;
  }
}
