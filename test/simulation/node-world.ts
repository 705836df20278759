/** One node on a simulated machine, with what its clients and its operator see of it: starts, ends, log records. */

import { Node } from '../../src/node/index.ts';
import { DqliteError } from '../../src/lib/errors.ts';
import type { SeededRandom } from '../../src/lib/random.ts';
import type { Logger } from '../../src/host/types.ts';
import {
  Scheduler,
  simulatedHost,
  SimulatedNetwork,
  streamOf,
  type SimulatedFiles,
  type SimulatedHost,
} from '../../src/simulation/index.ts';
import { defaultEngineOptions } from '../../src/engine/index.ts';
import { SCHEMA, Violation, type History } from './history.ts';
import { SimulatedClient } from './simulated-client.ts';

export const ADDRESS = 'n1.example:9001';
export const DIRECTORY = '/data';

/** Nothing takes longer than this, whatever the disk does: what does is stuck. */
const ANSWER_MS = 60_000;

export interface WorldOptions {
  readonly seed: number;
  readonly snapshotThreshold?: number;
  readonly snapshotTrailing?: number;
  /** Breaks something on purpose, in the files of every new process, to see that it is found. */
  readonly sabotage?: ((files: SimulatedFiles) => void) | undefined;
  readonly fileLatencyMs?: (random: SeededRandom) => number;
}

/** A node that waited for space would try again within this time. */
const CLOSED_MS = 1100;

/** Short, so that runs meet them. */
const engine = { busyTimeoutMs: 400, transactionIdleTimeoutMs: 500 };

export class NodeWorld {
  readonly scheduler: Scheduler = new Scheduler();
  readonly network: SimulatedNetwork;
  readonly clientHost: SimulatedHost;
  host: SimulatedHost;
  node: Node | undefined = undefined;
  /** The disk has failed where the node must not try again: the next start closes what is open. */
  #mayLeaveOpen = false;
  /** Errors with which a node gave up. */
  readonly failures: unknown[] = [];
  readonly #options: WorldOptions;
  readonly #trace: (line: string) => void;

  constructor(options: WorldOptions, trace: (line: string) => void = () => {}) {
    this.#options = options;
    this.#trace = trace;
    const { seed, fileLatencyMs } = options;
    const { scheduler } = this;
    this.network = new SimulatedNetwork({ scheduler, random: streamOf(seed, 'network') });
    const common = { seed, scheduler, network: this.network };
    this.host = simulatedHost({ ...common, machine: 'n1', ...(fileLatencyMs === undefined ? {} : { fileLatencyMs }) });
    this.clientHost = simulatedHost({ ...common, machine: 'clients' });
    options.sabotage?.(this.host.files);
  }

  sleep(ms: number): Promise<void> {
    return new Promise(resolve => void this.scheduler.schedule(ms, resolve));
  }

  /** The outcome of what must come to an end. */
  async answered<Result>(work: Promise<Result>, what: string, limitMs: number = ANSWER_MS): Promise<Result> {
    let timer: { cancel(): void } | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = this.scheduler.schedule(limitMs, () =>
        reject(new Violation(`stuck: no end within ${limitMs} ms of simulated time: ${what}`)),
      );
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      timer?.cancel();
    }
  }

  /** Starts a node on the present host. Rejects with DqliteError. */
  async start(): Promise<Node> {
    this.#mayLeaveOpen = false;
    const { seed: _seed, sabotage: _sabotage, fileLatencyMs: _latency, ...options } = this.#options;
    const starting = Node.start({
      ...options,
      id: 1n,
      address: ADDRESS,
      directory: DIRECTORY,
      host: this.host,
      logger: this.#logger(),
      engine: { ...defaultEngineOptions, ...engine },
      onFailure: error => this.failures.push(error),
    });
    this.node = await this.answered(starting, 'the start of the node');
    return this.node;
  }

  /** Starts a node whose disk may fail meanwhile: then it is mended, and the node started again. */
  async startHealing(): Promise<Node> {
    try {
      return await this.start();
    } catch (error) {
      this.#trace(`start failed: ${String(error)}`);
      if (!(error instanceof DqliteError) || error.code !== 'IO') throw error;
      this.host.files.heal();
      return this.start();
    }
  }

  /** The process is killed, or the machine loses its power; another process can be started at once. */
  end(how: 'kill' | 'crash'): void {
    this.node = undefined;
    this.host = how === 'kill' ? this.host.kill() : this.host.crash().restart();
    this.#options.sabotage?.(this.host.files);
  }

  connect(database: string): Promise<SimulatedClient> {
    return this.answered(SimulatedClient.open(this.clientHost.net, ADDRESS, database), 'OPEN');
  }

  /**
   * A clean end, after which the directory has no open segments and is left alone. With `broken` the disk has failed:
   * the node ends all the same.
   */
  async close(broken = false): Promise<void> {
    const closing = this.answered(this.node!.close(), 'the clean end of the node');
    await (broken ? closing.catch(isDiskError) : closing);
    this.node = undefined;
    const { files } = this.host;
    const { operationCount } = files;
    if (broken) await this.sleep(CLOSED_MS);
    if (files.operationCount !== operationCount) throw new Violation(`a closed node did: ${files.lastOperation}`);
    const names = await files.list(DIRECTORY);
    const left = names.filter(name => name.startsWith('tmp-') || (name.startsWith('open-') && !this.#mayLeaveOpen));
    if (left.length > 0 && !broken) throw new Violation(`left by a clean end: ${left.join(', ')}`);
    this.end('kill');
  }

  #logger(): Logger {
    const at =
      (level: string) =>
      (fields: object, message: string): void => {
        if ('triedAgain' in fields && fields.triedAgain === false) this.#mayLeaveOpen = true;
        this.#trace(`node ${level}: ${message}`);
      };
    return { debug() {}, info: at('info'), warn: at('warn'), error: at('error'), fatal: at('fatal') };
  }
}

/** A node that has just started has what the history says. Makes the tables if that was not done yet. */
export async function verifyHistory(world: NodeWorld, history: History): Promise<void> {
  const client = await world.connect(history.name);
  const [[tables]] = (await world.answered(client.query('SELECT count(*) FROM sqlite_schema'), 'SELECT')) as [[bigint]];
  if (tables === 0n) {
    if (history.newest > 0) throw new Violation(`${history.name} is empty`);
    await world.answered(client.exec(`BEGIN; ${SCHEMA} COMMIT`), 'the schema');
  }
  await world.answered(history.verify(client), `verification of ${history.name}`);
  client.close();
}

function isDiskError(error: unknown): void {
  const cause = error instanceof DqliteError ? error.cause : error;
  if (!(cause instanceof Error) || cause.name !== 'FileError') throw error;
}
