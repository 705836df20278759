/**
 * Simulated time. Everything that takes time in a simulation is an event in one queue, and time moves only from one
 * event to the next. Between two events all code that the first one woke runs until it waits for something
 * simulated: the queue of promise callbacks is emptied. So a run depends on the order of events alone, and the
 * same seed gives the same run.
 *
 * This holds as long as nothing in the simulation waits for something real: a timer of Node, a file, a thread.
 * Compiling WebAssembly does; see `synchronous-wasm.ts`.
 */

import { assert } from '../lib/assert.ts';
import type { Timer } from '../host/types.ts';
import { EventQueue } from './event-queue.ts';

/** A run that takes more simulated time than this is stuck in a loop. */
const LIMIT_MS = 24 * 3600 * 1000;

export class SimulationStuckError extends Error {
  override readonly name = 'SimulationStuckError';
}

export class Scheduler {
  readonly #queue = new EventQueue();
  #nowMs = 0;
  #eventCount = 0;
  #running = false;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events run so far: equal runs have equal counts. */
  get eventCount(): number {
    return this.#eventCount;
  }

  schedule(delayMs: number, run: () => void): Timer {
    return this.scheduleAt(this.#nowMs + delayMs, run);
  }

  /** Events of one time come in the order in which they were scheduled. */
  scheduleAt(timeMs: number, run: () => void): Timer {
    const event = this.#queue.add(Math.max(this.#nowMs, timeMs), run);
    return {
      cancel: () => {
        event.run = undefined;
      },
    };
  }

  /** Runs until no event is left. Rejects if that takes more than `limitMs`. */
  async runUntilIdle(limitMs: number = LIMIT_MS): Promise<void> {
    await this.#run(() => false, this.#nowMs + limitMs, 'nothing is left to do');
  }

  /** Runs all events of the next `durationMs`, at the end of which it then is. */
  async runFor(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await this.#run(() => (this.#queue.peek()?.timeMs ?? Infinity) > endMs, Infinity, '');
    this.#nowMs = endMs;
  }

  /** Runs until the condition holds, looked at after every event. Rejects if it does not within `limitMs`. */
  async runUntil(condition: () => boolean, limitMs: number = LIMIT_MS, what = 'a condition'): Promise<void> {
    await this.#run(condition, this.#nowMs + limitMs, what);
    if (!condition()) throw new SimulationStuckError(`nothing is left to do at ${this.#nowMs} ms, but not ${what}`);
  }

  /** Runs until the promise is settled, and gives what it gives. */
  async run<T>(work: Promise<T>, limitMs: number = LIMIT_MS): Promise<T> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    work.then(settle, settle);
    await this.runUntil(() => settled, limitMs, 'the promise settled');
    return work;
  }

  async #run(done: () => boolean, limitMs: number, what: string): Promise<void> {
    assert(!this.#running, 'the simulation is being run already');
    this.#running = true;
    try {
      for (;;) {
        await microtasksDone();
        if (done()) return;
        const event = this.#queue.peek();
        if (event === undefined) return;
        if (event.timeMs > limitMs) {
          throw new SimulationStuckError(
            `it is ${this.#nowMs} ms, the next event comes after ${limitMs} ms: not ${what}`,
          );
        }
        this.#queue.take();
        this.#nowMs = event.timeMs;
        this.#eventCount++;
        event.run?.();
      }
    } finally {
      this.#running = false;
    }
  }
}

/** All promise callbacks run before Node comes to its next immediate, also those that they cause. */
function microtasksDone(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve);
  });
}
