/**
 * The write lock of one database: one owner at a time, first come first served, each waiter with a deadline.
 * Autocommit writes hold it only while they execute, so there is a queue only behind explicit transactions.
 */

import type { Clock, Timer } from '../host/types.ts';
import { Queue } from '../lib/queue.ts';

/** Something that wants to write. */
export interface Waiter {
  readonly owner: object;
  deadlineMs: number;
  /** The lock is the owner's: it must call `release` when done with it. Runs synchronously. */
  granted(): void;
  /** The deadline passed first. */
  expired(): void;
}

/** `backlog`: too much waits for the disk. `handover`: another node is to lead. */
export type PauseReason = 'backlog' | 'handover';

export class WriteLock {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #queue = new Queue<Waiter>();
  #owner: object | undefined = undefined;
  #granting = false;
  #timer: Timer | undefined = undefined;
  /** While there is any reason, nobody may start to write. */
  readonly #reasons = new Set<PauseReason>();

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  get owner(): object | undefined {
    return this.#owner;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Grants at once if the lock is free and nobody is before. */
  request(waiter: Waiter): void {
    if (this.#owner === waiter.owner) {
      waiter.granted();
      return;
    }
    if (this.#owner === undefined && this.#queue.length === 0 && this.#reasons.size === 0) {
      this.#owner = waiter.owner;
      waiter.granted();
      return;
    }
    waiter.deadlineMs = this.#clock.monotonicMs() + this.#timeoutMs;
    this.#queue.push(waiter);
    this.#arm();
    this.#grant();
  }

  /** Takes the lock if it is free and nobody waits for it. */
  take(owner: object): boolean {
    if (this.#owner !== undefined || this.#queue.length > 0 || this.#reasons.size > 0) return false;
    this.#owner = owner;
    return true;
  }

  /** Takes a waiter out of the queue. Gives whether it was there. */
  withdraw(waiter: Waiter): boolean {
    return this.#queue.remove(waiter);
  }

  release(owner: object): void {
    if (this.#owner !== owner) return;
    this.#owner = undefined;
    this.#grant();
  }

  pause(reason: PauseReason): void {
    this.#reasons.add(reason);
  }

  resume(reason: PauseReason): void {
    this.#reasons.delete(reason);
    this.#grant();
  }

  /** Empties the queue and frees the lock, for a node that stops leading. Gives who waited. */
  reset(): Waiter[] {
    this.#owner = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    return this.#queue.drain();
  }

  /** Hands the lock on. A loop, not a recursion: each waiter may release before its call returns. */
  #grant(): void {
    if (this.#granting) return;
    this.#granting = true;
    try {
      while (this.#owner === undefined && this.#reasons.size === 0) {
        const waiter = this.#queue.shift();
        if (waiter === undefined) break;
        this.#owner = waiter.owner;
        waiter.granted();
      }
    } finally {
      this.#granting = false;
    }
  }

  /** One timer, for the waiter that came first: deadlines have the same order as the queue. */
  #arm(): void {
    const first = this.#queue.peek();
    if (first === undefined || this.#timer !== undefined) return;
    this.#timer = this.#clock.setTimer(Math.max(1, first.deadlineMs - this.#clock.monotonicMs()), () => {
      this.#timer = undefined;
      const nowMs = this.#clock.monotonicMs();
      for (
        let waiter = this.#queue.peek();
        waiter !== undefined && waiter.deadlineMs <= nowMs;
        waiter = this.#queue.peek()
      ) {
        this.#queue.shift();
        waiter.expired();
      }
      this.#arm();
    });
  }
}
