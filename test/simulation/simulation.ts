/**
 * A seeded run of a whole node with several clients: random SQL, a disk that is slow, full or broken, lost connections,
 * kills, power failures and clean restarts, each at random moments. Everything that the clients are told goes through
 * `History`, which knows what must not be. The same seed gives the same run, event for event.
 */

import { createHash } from 'node:crypto';
import { DqliteError, messageOf } from '../../src/lib/errors.ts';
import type { SeededRandom } from '../../src/lib/random.ts';
import { streamOf, type OperationKind, type SimulatedFiles } from '../../src/simulation/index.ts';
import { History, SUMMARY, Violation } from './history.ts';
import { ADDRESS, NodeWorld } from './node-world.ts';
import { SimulatedClient } from './simulated-client.ts';
import { verifyHistory } from './world.ts';
import { Worker, type Surroundings } from './worker.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Lives of the node. */
  readonly steps?: number;
  readonly sabotage?: (files: SimulatedFiles) => void;
  /** Gets every line of the trace. */
  readonly onTrace?: (line: string) => void;
}

export interface SimulationReport {
  readonly seed: number;
  /** Undefined: everything was as it must be. */
  readonly failure: Error | undefined;
  /** Of everything that happened. */
  readonly hash: string;
  readonly counts: Readonly<Record<string, number>>;
}

export const DEFAULT_STEPS = 8;
const DATABASES = ['first.db', 'second.db'];
/** After the disk is mended, a write succeeds within this time. */
const RECOVERY_MS = 10_000;
const WRITING: readonly OperationKind[] = ['write', 'sync', 'create', 'rename', 'truncate', 'syncDirectory'];

export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  const simulation = new Simulation(options);
  let failure: Error | undefined;
  try {
    await simulation.run();
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
  }
  const { hash, counts } = simulation;
  return { seed: options.seed, failure, hash, counts };
}

class Simulation {
  readonly counts: Record<string, number> = {};
  readonly #options: SimulationOptions;
  readonly #random: SeededRandom;
  readonly #world: NodeWorld;
  readonly #histories = DATABASES.map(name => new History(name));
  readonly #workers: Worker[];
  readonly #hash = createHash('sha256');
  #state = { full: false, error: false, closing: false };
  /** What happened in the life before: answers to its clients may still be under way. */
  #before = this.#state;
  /** How much slower than usual the disk is. */
  #slowness = 1;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const { seed, sabotage } = options;
    const random = streamOf(seed, 'simulation');
    this.#random = random;
    this.#world = new NodeWorld(
      {
        seed,
        sabotage,
        snapshotThreshold: random.pick([0, 10, 50, 200]),
        snapshotTrailing: random.pick([0, 5, 100]),
        fileLatencyMs: source => (0.02 + source.float() * 0.4) * this.#slowness,
      },
      line => this.#note(line),
    );
    const surroundings: Surroundings = {
      addresses: [ADDRESS],
      net: this.#world.clientHost.net,
      sleep: ms => this.#world.sleep(ms),
      answered: (work, what) => this.#world.answered(work, what),
      explains: what => what !== 'failover' && (this.#state[what] || this.#before[what]),
      trace: line => this.#note(line),
    };
    this.#workers = Array.from({ length: 2 + random.below(7) }, (_, number) => {
      const history = random.chance(0.7) ? this.#histories[0]! : this.#histories[1]!;
      return new Worker(`client ${number}`, history, surroundings, streamOf(seed, `client ${number}`));
    });
  }

  get hash(): string {
    return this.#hash.copy().update(String(this.#world.scheduler.eventCount)).digest('hex');
  }

  async run(): Promise<void> {
    const { scheduler } = this.#world;
    try {
      await scheduler.run(this.#live());
    } finally {
      for (const { acknowledged, refused, found, reads } of this.#histories) {
        for (const [what, count] of Object.entries({ acknowledged, refused, found, reads })) this.#count(what, count);
      }
      this.#count('events', scheduler.eventCount);
      for (const { codes } of this.#workers) for (const [code, count] of codes) this.#count(`failure ${code}`, count);
    }
  }

  async #live(): Promise<void> {
    const { steps = DEFAULT_STEPS } = this.#options;
    await this.#start();
    const working = Promise.all(this.#workers.map(worker => worker.run()));
    // Whatever a client meets that must not be ends the run.
    const broken = working.then(() => new Promise<never>(() => {}));
    for (let step = 0; step < steps; step++) {
      await Promise.race([this.#life(), broken]);
      await Promise.race([this.#end(), broken]);
    }
    await Promise.race([this.#progress(), broken]);
    for (const worker of this.#workers) worker.stop();
    await this.#world.answered(working, 'the end of the clients');
    await this.#world.close();
    await this.#start();
    await this.#world.close();
  }

  /** The node starts, perhaps not at the first attempt, and has everything. */
  async #start(): Promise<void> {
    const random = this.#random;
    for (const history of this.#histories) history.life++;
    this.#before = this.#state;
    this.#state = { full: false, error: false, closing: false };
    this.#slowness = random.pick([1, 1, 10]);
    while (random.chance(0.2)) {
      this.#note('a start is interrupted');
      const starting = this.#world.start();
      starting.catch(() => {});
      await this.#world.sleep(random.float() * 10 * this.#slowness);
      this.#world.end(random.pick(['kill', 'crash']));
      this.#count('interrupted starts');
    }
    if (random.chance(0.2)) {
      this.#count('faults in starts');
      this.#note('a start meets a fault');
      this.#world.host.files.inject({ code: random.pick(['ENOSPC', 'EIO']), at: 1 + random.below(20) });
    }
    await this.#world.startHealing();
    this.#world.host.files.heal();
    this.#note('started');
    this.#count('starts');
    for (const history of this.#histories) {
      await verifyHistory(this.#world, history);
      this.#note(`verified ${history.newest}`);
    }
    this.#noFailures();
  }

  /** Some time with clients, and what happens in it. */
  async #life(): Promise<void> {
    const random = this.#random;
    const { scheduler } = this.#world;
    const endMs = scheduler.nowMs + random.float() * random.pick([20, 100, 400, 1500]);
    const happenings = [this.#reset, this.#leave, this.#slow, this.#partition, this.#fill, this.#fault];
    while (scheduler.nowMs < endMs) {
      await this.#world.sleep(random.float() * (endMs - scheduler.nowMs + 1));
      if (random.chance(0.6)) await random.pick(happenings).call(this);
    }
  }

  async #end(): Promise<void> {
    const how = this.#random.pick(['kill', 'crash', 'crash', 'close'] as const);
    this.#note(how);
    this.#count(how);
    if (how === 'close') {
      this.#state.closing = true;
      const { full, error } = this.#state;
      await this.#world.close(full || error);
    } else this.#world.end(how);
    this.#world.host.files.heal();
    this.#world.network.heal();
    // Whoever waits for a machine that has lost its power learns it sooner or later.
    this.#world.clientHost.net.resetConnections();
    await this.#start();
  }

  /** All is well: a write succeeds soon. */
  async #progress(): Promise<void> {
    const { host, network, clientHost } = this.#world;
    host.files.heal();
    network.heal();
    if (this.#state.error) return;
    const client = await this.#world.answered(SimulatedClient.open(clientHost.net, ADDRESS, DATABASES[0]!), 'OPEN');
    const write = async (): Promise<void> => {
      for (;;) {
        try {
          await client.exec('UPDATE ballast SET bytes = bytes WHERE id = 1');
          return;
        } catch (error) {
          if (!(error instanceof DqliteError) || ![5, 10, 13, 517].includes(error.sqliteCode ?? 0)) throw error;
          await this.#world.sleep(50);
        }
      }
    };
    await this.#world.answered(write(), 'a write on a disk that is well', RECOVERY_MS);
    await this.#world.answered(client.query(SUMMARY), 'a read');
    client.close();
    this.#noFailures();
  }

  async #reset(): Promise<void> {
    this.#note('connections are reset');
    this.#count('resets');
    this.#world.clientHost.net.resetConnections();
  }

  async #leave(): Promise<void> {
    this.#count('left');
    this.#random.pick(this.#workers).leave();
  }

  async #slow(): Promise<void> {
    this.#slowness = this.#random.pick([0, 1, 5, 30]);
    this.#note(`the disk is ${this.#slowness} times slower`);
  }

  async #partition(): Promise<void> {
    this.#count('partitions');
    this.#world.network.partition(['n1'], ['clients']);
    await this.#world.sleep(this.#random.float() * 300);
    this.#world.network.heal();
  }

  /** Somebody else fills the disk, and makes space again later. */
  async #fill(): Promise<void> {
    const { files } = this.#world.host;
    this.#state.full = true;
    this.#note('the disk fills');
    this.#count('full');
    files.disk.capacity = files.disk.usedBytes + this.#random.below(this.#random.pick([1, 5000, 500_000]));
    await this.#world.sleep(this.#random.float() * this.#random.pick([10, 500, 3000]));
    files.heal();
    this.#note('there is space again');
    await this.#progress();
  }

  async #fault(): Promise<void> {
    const { files } = this.#world.host;
    const code = this.#random.pick(['ENOSPC', 'EIO'] as const);
    this.#note(`${code} comes`);
    this.#count(code);
    const at = 1 + this.#random.below(this.#random.pick([1, 4, 30]));
    if (code === 'ENOSPC') {
      this.#state.full = true;
      files.inject({ code, at });
      return;
    }
    this.#state.error = true;
    files.inject({ code, at, repeat: this.#random.chance(0.5), kinds: this.#random.chance(0.5) ? ['sync'] : WRITING });
  }

  #noFailures(): void {
    const [failure] = this.#world.failures;
    if (failure !== undefined) throw new Violation(`the node gave up: ${messageOf(failure)}`, { cause: failure });
  }

  #count(what: string, by = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + by;
  }

  #note(what: string): void {
    const line = `${this.#world.scheduler.nowMs.toFixed(3)} ${what}`;
    this.#hash.update(line);
    this.#options.onTrace?.(line);
  }
}
