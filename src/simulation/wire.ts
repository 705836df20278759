/**
 * What travels from one simulated machine to another, in order. While the network keeps the two apart it waits, as
 * TCP does by sending again.
 */

import type { Scheduler } from './scheduler.ts';

export interface Routes {
  readonly scheduler: Scheduler;
  latencyMs(from: string, to: string): number;
  isBlocked(from: string, to: string): boolean;
  /** Calls back once the two machines are connected again. */
  whenOpen(callback: () => void): void;
}

export class Wire {
  readonly #routes: Routes;
  readonly #from: string;
  readonly #to: string;
  #lastArrivalMs = 0;
  #waiting: (() => void)[] = [];

  constructor(routes: Routes, from: string, to: string) {
    this.#routes = routes;
    this.#from = from;
    this.#to = to;
  }

  send(arrive: () => void): void {
    if (this.#waiting.length > 0 || this.#routes.isBlocked(this.#from, this.#to)) {
      this.#waiting.push(arrive);
      if (this.#waiting.length === 1) this.#routes.whenOpen(() => this.#flush());
      return;
    }
    this.#transmit(arrive);
  }

  #transmit(arrive: () => void): void {
    const { scheduler } = this.#routes;
    const arrivalMs = scheduler.nowMs + this.#routes.latencyMs(this.#from, this.#to);
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, arrivalMs);
    scheduler.scheduleAt(this.#lastArrivalMs, arrive);
  }

  #flush(): void {
    if (this.#routes.isBlocked(this.#from, this.#to)) {
      this.#routes.whenOpen(() => this.#flush());
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const arrive of waiting) this.#transmit(arrive);
  }
}
