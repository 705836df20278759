/**
 * A seeded run of a whole cluster with several clients: partitions, slow networks and disks, full and broken disks, lost
 * connections, kills and power failures of any node, leadership handed over, roles changed. What the clients are told
 * goes through `History`. In the end all nodes run and reach each other: then there is a leader, everything that was
 * acknowledged is there, and the databases are the same on all nodes, byte for byte. The same seed gives the same run.
 */

import { createHash } from 'node:crypto';
import { DqliteError } from '../../src/lib/errors.ts';
import type { SeededRandom } from '../../src/lib/random.ts';
import { streamOf } from '../../src/simulation/index.ts';
import { ClusterWorld, type Member } from './cluster-world.ts';
import { History } from './history.ts';
import type { SimulationOptions, SimulationReport } from './simulation.ts';
import { Worker } from './worker.ts';
import { verifyHistory } from './world.ts';

export const DEFAULT_HAPPENINGS = 25;
const NODES = [3, 3, 3, 5];
const DATABASES = ['first.db', 'second.db'];
/** Answers that were under way are lost or have come by then. */
const QUIET_MS = 2000;
/** All nodes have what the leader has by then. */
const SAME_MS = 60_000;
const WRITE_MS = 30_000;

export async function simulateCluster(options: SimulationOptions): Promise<SimulationReport> {
  const simulation = new ClusterSimulation(options);
  let failure: Error | undefined;
  try {
    await simulation.run();
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
  }
  const { hash, counts } = simulation;
  return { seed: options.seed, failure, hash, counts };
}

class ClusterSimulation {
  readonly counts: Record<string, number> = {};
  readonly #options: SimulationOptions;
  readonly #random: SeededRandom;
  readonly #world: ClusterWorld;
  readonly #histories = DATABASES.map(name => new History(name));
  readonly #workers: Worker[];
  readonly #hash = createHash('sha256');
  #slowDisks = 1;
  #slowNetwork = 1;
  /** Disks of this run may fail: until its end clients may be told so. */
  #hasFaults = false;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const { seed, sabotage } = options;
    const random = streamOf(seed, 'simulation');
    const latencies = streamOf(seed, 'latencies');
    this.#random = random;
    this.#world = new ClusterWorld(
      {
        seed,
        sabotage,
        nodes: random.pick(NODES),
        snapshotThreshold: random.pick([0, 10, 50, 200]),
        snapshotTrailing: random.pick([0, 5, 100]),
        // Mostly little: memory of entries is used again, and followers that lag are sent what is read from the disk.
        logCacheBytes: streamOf(seed, 'cache').pick([0, 100_000, 32 * 2 ** 20]),
        fileLatencyMs: source => (0.02 + source.float() * 0.4) * this.#slowDisks,
        latencyMs: () => (0.2 + latencies.float() * 0.8) * this.#slowNetwork,
      },
      line => this.#note(line),
    );
    const { clientHost, addresses } = this.#world;
    this.#workers = Array.from({ length: 2 + random.below(5) }, (_, number) => {
      const history = random.chance(0.7) ? this.#histories[0]! : this.#histories[1]!;
      const surroundings = {
        addresses,
        net: clientHost.net,
        sleep: (ms: number) => this.#world.sleep(ms),
        answered: <Result>(work: Promise<Result>, what: string) => this.#world.answered(work, what),
        explains: (what: 'full' | 'error' | 'closing' | 'failover') =>
          what === 'failover' || (this.#hasFaults && what !== 'closing'),
        trace: (line: string) => this.#note(line),
      };
      return new Worker(`client ${number}`, history, surroundings, streamOf(seed, `client ${number}`));
    });
  }

  get hash(): string {
    return this.#hash.copy().update(String(this.#world.scheduler.eventCount)).digest('hex');
  }

  async run(): Promise<void> {
    const { scheduler, violation } = this.#world;
    try {
      await scheduler.run(Promise.race([this.#live(), violation]));
    } finally {
      for (const { acknowledged, refused, found, reads } of this.#histories) {
        for (const [what, count] of Object.entries({ acknowledged, refused, found, reads })) this.#count(what, count);
      }
      this.#count('events', scheduler.eventCount);
      for (const { codes } of this.#workers) for (const [code, count] of codes) this.#count(`failure ${code}`, count);
    }
  }

  async #live(): Promise<void> {
    const { steps = DEFAULT_HAPPENINGS } = this.#options;
    const world = this.#world;
    await world.found();
    for (const history of this.#histories) await verifyHistory(world, history);
    const working = Promise.all(this.#workers.map(worker => worker.run()));
    const broken = working.then(() => new Promise<never>(() => {}));
    const happenings = [this.#end, this.#end, this.#end, this.#isolate, this.#isolate, this.#isolate, this.#split];
    happenings.push(this.#halve, this.#transfer, this.#transfer, this.#reset, this.#leave, this.#slow, this.#fill);
    happenings.push(this.#fault, this.#assign, this.#heal, this.#heal, this.#restart, this.#restart, this.#replace);
    for (let step = 0; step < steps; step++) {
      const happening = this.#random.pick(happenings);
      await Promise.race([happening.call(this), broken]);
      await Promise.race([world.sleep(this.#random.float() * this.#random.pick([10, 200, 1500])), broken]);
      if (this.#random.chance(0.15)) await Promise.race([this.#settle(), broken]);
    }
    await Promise.race([this.#settle(), broken]);
    for (const worker of this.#workers) worker.stop();
    await world.answered(working, 'the end of the clients');
    await this.#verify();
    for (const member of world.members) await member.close();
  }

  /** Everything is well again: a leader serves, and writes succeed. */
  async #settle(): Promise<void> {
    const world = this.#world;
    this.#note('all is well');
    this.#count('settled');
    world.network.heal();
    this.#slowDisks = 1;
    this.#slowNetwork = 1;
    for (const member of world.members) {
      if (member.hasFaults && member.isRunning) member.end('kill');
      if (!member.isRunning) await this.#start(member);
    }
    // Whoever waits for a machine that has lost its power learns it sooner or later.
    world.clientHost.net.resetConnections();
    await world.answered(this.#write(), 'a write to a cluster that is well', WRITE_MS);
  }

  async #write(): Promise<void> {
    for (;;) {
      const client = await this.#world.connect(DATABASES[0]!);
      try {
        await client.exec('UPDATE ballast SET bytes = bytes WHERE id = 1');
        return;
      } catch (error) {
        if (!(error instanceof DqliteError)) throw error;
        await this.#world.sleep(50);
      } finally {
        client.close();
      }
    }
  }

  /** No client is active: what is in doubt is decided, and all nodes agree. */
  async #verify(): Promise<void> {
    const world = this.#world;
    await world.sleep(QUIET_MS);
    await world.answered(this.#makeVoters(), 'all nodes become voters', WRITE_MS);
    await world.answered(this.#write(), 'the last write', WRITE_MS);
    for (const history of this.#histories) {
      history.life++;
      await verifyHistory(world, history);
      await world.answered(this.#same(history.name), `${history.name} is the same on all nodes`, SAME_MS);
    }
  }

  /** A spare has nothing. */
  async #makeVoters(): Promise<void> {
    const { cluster } = this.#world;
    for (;;) {
      try {
        const other = (await cluster.servers()).find(({ role }) => role !== 'voter');
        if (other === undefined) return;
        await cluster.assign(other.id, 'voter');
      } catch (error) {
        if (!(error instanceof DqliteError)) throw error;
        await this.#world.sleep(100);
      }
    }
  }

  async #same(database: string): Promise<void> {
    for (;;) {
      const dumps = await Promise.all(this.#world.members.map(member => this.#world.dump(member, database)));
      const [first] = dumps;
      if (dumps.every(dump => dump !== undefined && first !== undefined && Buffer.compare(dump, first) === 0)) {
        this.#note(`${database}: ${createHash('sha256').update(first!).digest('hex')}`);
        return;
      }
      await this.#world.sleep(100);
    }
  }

  // --- What happens ---------------------------------------------------------------------------------------------

  async #start(member: Member): Promise<void> {
    await this.#world.answered(member.start(), `the start of ${member.machine}`);
  }

  /** A node ends, often the leader. */
  async #end(): Promise<void> {
    const how = this.#random.pick(['kill', 'crash'] as const);
    this.#count(how);
    this.#someone().end(how);
    if (how === 'kill') return;
    this.#world.scheduler.schedule(this.#random.float() * 3000, () => this.#world.clientHost.net.resetConnections());
  }

  async #restart(): Promise<void> {
    for (const member of this.#world.members) if (!member.isRunning) await this.#start(member);
  }

  /** A node that starts is ended at once. */
  async #replace(): Promise<void> {
    const member = this.#someone();
    if (member.isRunning) member.end('crash');
    void member.start().catch((error: unknown) => this.#world.violated(error as Error));
    await this.#world.sleep(this.#random.float() * 20);
    member.end(this.#random.pick(['kill', 'crash']));
    this.#count('interrupted starts');
    await this.#start(member);
  }

  /** One node is kept from the others, or from the clients too, or only in one direction. */
  async #isolate(): Promise<void> {
    const { network, members } = this.#world;
    const { machine } = this.#someone();
    const others = members.map(member => member.machine).filter(name => name !== machine);
    if (this.#random.chance(0.3)) others.push('clients');
    const way = this.#random.below(3);
    this.#note(`${machine} is isolated ${way}`);
    this.#count('isolated');
    for (const other of others) {
      if (way !== 0) network.block(machine, other);
      if (way !== 1) network.block(other, machine);
    }
  }

  /** Two nodes do not reach each other. */
  async #split(): Promise<void> {
    const [one, other] = [this.#someone(), this.#random.pick(this.#world.members)];
    if (one === other) return;
    this.#note(`${one.machine} and ${other.machine} are apart`);
    this.#count('splits');
    this.#world.network.partition([one.machine], [other.machine]);
  }

  /** Two groups of nodes. */
  async #halve(): Promise<void> {
    const machines = this.#world.members.map(({ machine }) => machine);
    const group = machines.filter(() => this.#random.chance(0.5));
    this.#note(`${group.join()} are apart`);
    this.#count('halves');
    this.#world.network.partition(
      group,
      machines.filter(machine => !group.includes(machine)),
    );
  }

  async #heal(): Promise<void> {
    this.#note('the network is well');
    this.#world.network.heal();
  }

  /** Another node is to lead. */
  async #transfer(): Promise<void> {
    const { cluster, members } = this.#world;
    const target = this.#random.chance(0.5) ? 0n : this.#random.pick(members).id;
    this.#note(`${target} is to lead`);
    this.#attempt(cluster.transfer(target, { timeoutMs: 2000 }), 'transfers');
    await this.#world.sleep(this.#random.below(200));
  }

  /** A follower loses its vote for a while. */
  async #assign(): Promise<void> {
    const { cluster, members } = this.#world;
    const { id } = this.#random.pick(members);
    const role = this.#random.pick(['standby', 'spare', 'voter', 'voter'] as const);
    this.#note(`${id} is to be ${role}`);
    this.#attempt(cluster.assign(id, role, { timeoutMs: 2000 }), 'roles');
    await this.#world.sleep(this.#random.below(500));
  }

  #attempt(work: Promise<void>, what: string): void {
    work.then(
      () => this.#count(what),
      (error: unknown) => {
        if (!(error instanceof DqliteError)) this.#world.violated(error as Error);
        this.#count(`refused ${what}`);
      },
    );
  }

  async #reset(): Promise<void> {
    const { members, clientHost } = this.#world;
    const host = this.#random.chance(0.5) ? clientHost : this.#random.pick(members).host;
    this.#note(`connections of ${host.machine} are reset`);
    this.#count('resets');
    host.net.resetConnections();
  }

  async #leave(): Promise<void> {
    this.#count('left');
    this.#random.pick(this.#workers).leave();
  }

  async #slow(): Promise<void> {
    this.#slowDisks = this.#random.pick([0, 1, 5, 30]);
    this.#slowNetwork = this.#random.pick([0.1, 1, 5, 30]);
    this.#note(`disks ${this.#slowDisks} times, network ${this.#slowNetwork} times slower`);
  }

  /** The disk of a node is full for a while. */
  async #fill(): Promise<void> {
    const member = this.#someone();
    const { files } = member.host;
    if (!member.isRunning) return;
    this.#note(`the disk of ${member.machine} fills`);
    this.#count('full');
    this.#hasFaults = true;
    member.hasFaults = true;
    files.disk.capacity = files.disk.usedBytes + this.#random.below(this.#random.pick([1, 5000, 500_000]));
    await this.#world.sleep(this.#random.float() * this.#random.pick([10, 500, 3000]));
    files.heal();
    this.#note(`there is space again on ${member.machine}`);
  }

  /** The disk of a node fails once, or for good; in the end the process is started again. */
  async #fault(): Promise<void> {
    const member = this.#someone();
    if (!member.isRunning) return;
    const code = this.#random.pick(['ENOSPC', 'EIO'] as const);
    this.#note(`${code} comes on ${member.machine}`);
    this.#count(code);
    this.#hasFaults = true;
    member.hasFaults = true;
    member.host.files.inject({ code, at: 1 + this.#random.below(30), repeat: this.#random.chance(0.3) });
  }

  #someone(): Member {
    const leader = this.#world.leader();
    return leader !== undefined && this.#random.chance(0.5) ? leader : this.#random.pick(this.#world.members);
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
