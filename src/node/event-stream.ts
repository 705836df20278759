/** Events for any number of listeners, each by an async iteration of its own, with bounded memory. */

/** Events kept for a listener that does not fetch them; beyond, the oldest go. */
const MAX_WAITING = 1000;

interface Listener<Event> {
  readonly waiting: Event[];
  wake: (() => void) | undefined;
}

export class EventStream<Event> {
  readonly #listeners = new Set<Listener<Event>>();
  #ended = false;

  emit(event: Event): void {
    for (const listener of this.#listeners) {
      if (listener.waiting.length >= MAX_WAITING) listener.waiting.shift();
      listener.waiting.push(event);
      listener.wake?.();
    }
  }

  /** All iterations end once what waits was fetched. */
  end(): void {
    this.#ended = true;
    for (const listener of this.#listeners) listener.wake?.();
  }

  /** Events from this call on. */
  listen(): AsyncIterableIterator<Event> {
    const listener: Listener<Event> = { waiting: [], wake: undefined };
    this.#listeners.add(listener);
    return this.#iterate(listener);
  }

  async *#iterate(listener: Listener<Event>): AsyncGenerator<Event> {
    try {
      for (;;) {
        const event = listener.waiting.shift();
        if (event !== undefined) yield event;
        else if (this.#ended) return;
        else await new Promise<void>(resolve => (listener.wake = resolve));
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }
}
