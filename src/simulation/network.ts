/**
 * A simulated network: machines by name, which processes on them listen where, how long messages take, and who is
 * kept apart from whom. A TCP address belongs to the machine that listens there, whatever host it names; abstract
 * names are known on their own machine only.
 */

import { assert } from '../lib/assert.ts';
import type { SeededRandom } from '../lib/random.ts';
import type { Connection, ConnectionHandlers } from '../host/types.ts';
import { SimulatedNet } from './net.ts';
import type { Scheduler } from './scheduler.ts';
import type { Routes } from './wire.ts';

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  /** One way, for every message anew. */
  readonly latencyMs?: (from: string, to: string) => number;
  /** Bytes that the system takes before the peer has read them. */
  readonly windowBytes?: number;
}

export interface ListeningProcess {
  readonly net: SimulatedNet;
  readonly accept: (connection: Connection) => ConnectionHandlers;
}

const DEFAULT_WINDOW_BYTES = 256 * 1024;
const FIRST_FREE_PORT = 49_152;

export class SimulatedNetwork implements Routes {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly windowBytes: number;
  readonly #options: NetworkOptions;
  /** By address, with the machine for abstract ones. */
  readonly #listeners = new Map<string, ListeningProcess>();
  /** The machine that listened last at an address. */
  readonly #machines = new Map<string, string>();
  readonly #down = new Set<string>();
  readonly #blocked = new Set<string>();
  #waiting: (() => void)[] = [];
  #nextPort = FIRST_FREE_PORT;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.scheduler = options.scheduler;
    this.random = options.random;
    this.windowBytes = options.windowBytes ?? DEFAULT_WINDOW_BYTES;
  }

  /** The network of a new process on a machine, which is up from now on. */
  net(machine: string): SimulatedNet {
    this.#down.delete(machine);
    return new SimulatedNet(this, machine);
  }

  /** Messages from one machine to another wait until `heal`; in the other direction they pass. */
  block(from: string, to: string): void {
    this.#blocked.add(routeKey(from, to));
  }

  /** Keeps every machine of the one group apart from every machine of the other. */
  partition(group: readonly string[], others: readonly string[]): void {
    for (const one of group) {
      for (const other of others) {
        this.block(one, other);
        this.block(other, one);
      }
    }
  }

  heal(): void {
    this.#blocked.clear();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }

  latencyMs(from: string, to: string): number {
    if (from === to) return 0.01;
    return this.#options.latencyMs?.(from, to) ?? 0.2 + this.random.float() * 0.8;
  }

  isBlocked(from: string, to: string): boolean {
    return this.#blocked.has(routeKey(from, to));
  }

  whenOpen(callback: () => void): void {
    this.#waiting.push(callback);
  }

  isUp(machine: string): boolean {
    return !this.#down.has(machine);
  }

  /** The power of a machine has failed. */
  powerOff(machine: string): void {
    this.#down.add(machine);
  }

  freePort(): number {
    return this.#nextPort++;
  }

  /** False if somebody listens there. */
  listen(key: string, process: ListeningProcess): boolean {
    if (this.#listeners.has(key)) return false;
    this.#listeners.set(key, process);
    this.#machines.set(key, process.net.machine);
    return true;
  }

  unlisten(key: string, process: ListeningProcess): void {
    if (this.#listeners.get(key) === process) this.#listeners.delete(key);
  }

  listener(key: string): ListeningProcess | undefined {
    return this.#listeners.get(key);
  }

  /** The machine that an address belongs to, as far as is known. */
  machineOf(key: string): string | undefined {
    return this.#machines.get(key);
  }
}

function routeKey(from: string, to: string): string {
  assert(!from.includes('>') && !to.includes('>'), 'names of machines have no ">"');
  return `${from}>${to}`;
}
