/**
 * The clock of one simulated process. Timers and deferred callbacks are events of the simulation; those of a process
 * that was stopped never come.
 */

import type { Clock, Timer } from '../host/types.ts';
import type { Scheduler } from './scheduler.ts';

/** Where wall clocks stand when a simulation begins: 1 January 2026. */
const WALL_START_MS = 1_767_225_600_000;
/** Node's shortest timer. */
const TIMER_MIN_MS = 1;

export class SimulatedClock implements Clock {
  readonly #scheduler: Scheduler;
  #wallOffsetMs = WALL_START_MS;
  #stopped = false;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  monotonicMs(): number {
    return this.#scheduler.nowMs;
  }

  wallMs(): number {
    return this.#scheduler.nowMs + this.#wallOffsetMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return this.#schedule(Math.max(TIMER_MIN_MS, delayMs), callback);
  }

  defer(callback: () => void): void {
    this.#schedule(0, callback);
  }

  /** People set the wall clock forwards or back. */
  moveWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** The process is gone. */
  stop(): void {
    this.#stopped = true;
  }

  #schedule(delayMs: number, callback: () => void): Timer {
    return this.#scheduler.schedule(delayMs, () => {
      if (!this.#stopped) callback();
    });
  }
}
