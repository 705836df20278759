/** Several nodes on simulated machines, which form a cluster. */

import { Cluster } from '../../src/client/cluster.ts';
import { clientChannels } from '../../src/client/events.ts';
import { LeaderFinder } from '../../src/client/leader.ts';
import { defaultEngineOptions } from '../../src/engine/index.ts';
import { DqliteError } from '../../src/lib/errors.ts';
import type { Logger } from '../../src/host/types.ts';
import type { SeededRandom } from '../../src/lib/random.ts';
import { Node } from '../../src/node/index.ts';
import { simulatedHost, type SimulatedFiles, type SimulatedHost } from '../../src/simulation/index.ts';
import { Violation } from './history.ts';
import { DIRECTORY } from './node-world.ts';
import { SimulatedClient } from './simulated-client.ts';
import { SHORT_TIMEOUTS, World } from './world.ts';

export interface ClusterWorldOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly snapshotThreshold: number;
  readonly snapshotTrailing: number;
  readonly logCacheBytes: number;
  readonly sabotage?: ((files: SimulatedFiles) => void) | undefined;
  readonly fileLatencyMs: (random: SeededRandom) => number;
  readonly latencyMs: (from: string, to: string) => number;
}

/** One-way latency that the nodes are told: the election timeout is 15 times as long. */
const LATENCY_MS = 20;
const CONNECT_MS = 1000;
/** How long a cluster whose nodes all run and reach each other may be without a leader. */
const ELECTION_MS = 30_000;
/** Records of what nodes of ours never do to each other. */
const NEVER = ['a peer broke the protocol', 'a peer sent what is no message'];

export class Member {
  readonly id: bigint;
  readonly address: string;
  readonly machine: string;
  readonly #world: ClusterWorld;
  readonly #options: ClusterWorldOptions;
  host: SimulatedHost;
  node: Node | undefined = undefined;
  #starting: Promise<unknown> | undefined = undefined;
  /** Errors of the disk were injected since the process was started. */
  hasFaults = false;
  /** The error with which the process gave up. */
  failure: unknown;

  constructor(world: ClusterWorld, options: ClusterWorldOptions, number: number) {
    this.#world = world;
    this.#options = options;
    this.id = BigInt(number);
    this.machine = `n${number}`;
    this.address = `${this.machine}.example:9001`;
    const { seed, fileLatencyMs } = options;
    const { scheduler, network } = world;
    this.host = simulatedHost({ seed, scheduler, network, machine: this.machine, fileLatencyMs });
    options.sabotage?.(this.host.files);
  }

  get isRunning(): boolean {
    return this.node !== undefined || this.#starting !== undefined;
  }

  /** Starts a process. Rejects with what it fails with, unless it is ended before. */
  async start(): Promise<void> {
    const { host } = this;
    this.hasFaults = false;
    this.failure = undefined;
    const { snapshotThreshold, snapshotTrailing, logCacheBytes } = this.#options;
    const starting = Node.start({
      id: this.id,
      address: this.address,
      directory: DIRECTORY,
      host,
      latencyMs: LATENCY_MS,
      snapshotThreshold,
      snapshotTrailing,
      logCacheBytes,
      logger: this.#logger(),
      engine: { ...defaultEngineOptions, ...SHORT_TIMEOUTS },
      onFailure: error => {
        this.failure = error;
        if (this.hasFaults) this.#world.trace(`${this.machine} gave up`);
        else this.#world.violated(new Violation(`${this.machine} gave up: ${String(error)}`, { cause: error }));
      },
    });
    this.#starting = starting;
    try {
      const node = await starting;
      // The process may have been ended meanwhile.
      if (this.host === host) this.node = node;
      this.#world.trace(`${this.machine} runs`);
    } finally {
      if (this.host === host) this.#starting = undefined;
    }
  }

  /** The process is killed, or the machine loses its power; another process can be started. */
  end(how: 'kill' | 'crash'): void {
    this.#world.trace(`${this.machine}: ${how}`);
    this.node = undefined;
    this.#starting = undefined;
    this.host = how === 'kill' ? this.host.kill() : this.host.crash().restart();
    this.host.files.heal();
    this.#options.sabotage?.(this.host.files);
  }

  async close(): Promise<void> {
    const { node } = this;
    if (node === undefined) return;
    this.node = undefined;
    await this.#world.answered(node.close(), `the clean end of ${this.machine}`);
    this.end('kill');
  }

  #logger(): Logger {
    const logger = this.#world.logger(this.machine);
    const warn: Logger['warn'] = (fields, message) => {
      logger.warn(fields, message);
      if (!NEVER.includes(message)) return;
      const { peer, reason, error } = fields as Record<string, unknown>;
      this.#world.violated(new Violation(`${this.machine}: ${message}: ${String(peer)} ${String(reason ?? error)}`));
    };
    return { ...logger, warn };
  }
}

export class ClusterWorld extends World {
  readonly members: readonly Member[];
  readonly cluster: Cluster;
  /** Rejects with what must not be. */
  readonly violation: Promise<never>;
  #violate: (error: Error) => void = () => {};

  constructor(options: ClusterWorldOptions, trace: (line: string) => void) {
    super(options.seed, trace, options.latencyMs);
    this.members = Array.from({ length: options.nodes }, (_, index) => new Member(this, options, index + 1));
    this.violation = new Promise((_resolve, reject) => (this.#violate = reject));
    this.violation.catch(() => {});
    const finder = new LeaderFinder(this.clientHost, this.addresses, CONNECT_MS, clientChannels());
    const settings = { connectTimeoutMs: CONNECT_MS, acquireTimeoutMs: ELECTION_MS };
    this.cluster = new Cluster(this.clientHost, finder, settings);
  }

  get addresses(): readonly string[] {
    return this.members.map(({ address }) => address);
  }

  violated(violation: Error): void {
    this.#violate(violation);
  }

  /** Starts all nodes; the first founds the cluster, the others become voters. */
  async found(): Promise<void> {
    const [first, ...others] = this.members;
    await this.answered(first!.start(), 'the start of the first node');
    for (const member of others) {
      await this.answered(member.start(), `the start of ${member.machine}`);
      const { id, address } = member;
      await this.answered(this.cluster.add({ id, address, role: 'voter' }), `${member.machine} becomes a voter`);
    }
  }

  /** The node that leads and knows it. */
  leader(): Member | undefined {
    return this.members.find(({ node }) => node?.isLeader === true);
  }

  /** A client of the leader, as soon as there is one. */
  override async connect(database: string): Promise<SimulatedClient> {
    return this.answered(this.#connect(database), 'a leader serves', ELECTION_MS);
  }

  async #connect(database: string): Promise<SimulatedClient> {
    for (;;) {
      for (const address of this.addresses) {
        try {
          return await SimulatedClient.open(this.clientHost.net, address, database);
        } catch (error) {
          if (!(error instanceof DqliteError)) throw error;
        }
      }
      await this.sleep(50);
    }
  }

  /** The main file of a database as one node has it; undefined: it has none, or cannot be asked. */
  async dump(member: Member, database: string): Promise<Uint8Array | undefined> {
    try {
      const files = await this.cluster.dump(database, member.address);
      return Buffer.concat(files.map(({ content }) => content));
    } catch (error) {
      if (!(error instanceof DqliteError)) throw error;
      return undefined;
    }
  }
}
