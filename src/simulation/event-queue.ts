/** Events in the order of their time; events of one time in the order in which they were added. A binary heap. */

export interface QueuedEvent {
  readonly timeMs: number;
  readonly sequence: number;
  /** Undefined once the event was cancelled. */
  run: (() => void) | undefined;
}

export class EventQueue {
  readonly #heap: QueuedEvent[] = [];
  #sequence = 0;

  add(timeMs: number, run: () => void): QueuedEvent {
    const event: QueuedEvent = { timeMs, sequence: this.#sequence++, run };
    const heap = this.#heap;
    let position = heap.length;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[position] = heap[parent]!;
      position = parent;
    }
    heap[position] = event;
    return event;
  }

  /** The next event that was not cancelled. */
  peek(): QueuedEvent | undefined {
    while (this.#heap.length > 0 && this.#heap[0]!.run === undefined) this.#removeFirst();
    return this.#heap[0];
  }

  take(): QueuedEvent | undefined {
    const event = this.peek();
    if (event !== undefined) this.#removeFirst();
    return event;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let position = 0;
    for (;;) {
      let child = position * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[position] = heap[child]!;
      position = child;
    }
    heap[position] = last;
  }
}

function isBefore(a: QueuedEvent, b: QueuedEvent): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.sequence < b.sequence);
}
