/**
 * A simulated machine with one process on it: clock, randomness, disk and network that run on simulated time, and
 * the ways in which a process or a machine ends.
 *
 *     const scheduler = new Scheduler();
 *     const network = new SimulatedNetwork({ scheduler, random: streamOf(seed, 'network') });
 *     const host = simulatedHost({ seed, scheduler, network, machine: 'n1' });
 *     const node = await scheduler.run(Node.start({ ..., host }));
 *     const restarted = host.crash().restart(); // the power fails and comes back
 */

import { sameBytes, type Host } from '../host/index.ts';
import type { SeededRandom } from '../lib/random.ts';
import { SimulatedClock } from './clock.ts';
import { SimulatedFiles } from './files.ts';
import { SimulatedNetwork } from './network.ts';
import type { SimulatedNet } from './net.ts';
import { streamOf } from './random.ts';
import { Scheduler } from './scheduler.ts';

export interface SimulatedHostOptions {
  readonly seed: number;
  readonly scheduler?: Scheduler;
  readonly network?: SimulatedNetwork;
  /** Its name in the network. */
  readonly machine?: string;
  /** How long a file operation takes. */
  readonly fileLatencyMs?: (random: SeededRandom) => number;
}

const DEFAULT_MACHINE = 'machine';

/** A machine with an empty disk. */
export function simulatedHost(options: SimulatedHostOptions): SimulatedHost {
  const { seed, machine = DEFAULT_MACHINE, scheduler = new Scheduler() } = options;
  const network = options.network ?? new SimulatedNetwork({ scheduler, random: streamOf(seed, 'network') });
  const random = streamOf(seed, `machine ${machine}`);
  const diskRandom = streamOf(seed, `disk of ${machine}`);
  const latencyMs = options.fileLatencyMs ?? ((source): number => 0.05 + source.float() * 0.3);
  const files = new SimulatedFiles({ scheduler, random: diskRandom, latencyMs: () => latencyMs(diskRandom) });
  return new SimulatedHost({ scheduler, network, machine, random, diskRandom }, files);
}

interface Machine {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly machine: string;
  readonly random: SeededRandom;
  readonly diskRandom: SeededRandom;
}

/** What one process sees of its machine. */
export class SimulatedHost implements Host {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly machine: string;
  readonly clock: SimulatedClock;
  readonly random: SeededRandom;
  readonly files: SimulatedFiles;
  readonly net: SimulatedNet;
  readonly sameBytes: Host['sameBytes'] = sameBytes;
  readonly #machine: Machine;

  constructor(machine: Machine, files: SimulatedFiles) {
    this.#machine = machine;
    this.scheduler = machine.scheduler;
    this.network = machine.network;
    this.machine = machine.machine;
    this.clock = new SimulatedClock(machine.scheduler);
    this.random = machine.random;
    this.files = files;
    this.net = machine.network.net(machine.machine);
  }

  /** The process is killed; gives the host of the next one, which finds what the system had been given. */
  kill(): SimulatedHost {
    this.clock.stop();
    this.net.kill();
    return new SimulatedHost(this.#machine, this.files.kill(this.#machine.diskRandom));
  }

  /** The power fails; nobody is told. Gives what comes back up when it returns. */
  crash(): { restart(): SimulatedHost } {
    this.clock.stop();
    this.net.powerOff();
    const files = this.files.crash(this.#machine.diskRandom);
    return { restart: () => new SimulatedHost(this.#machine, files) };
  }
}
