/** One node on a simulated machine, with what its clients and its operator see of it: starts, ends, log records. */

import { Node } from '../../src/node/index.ts';
import { DqliteError } from '../../src/lib/errors.ts';
import type { SeededRandom } from '../../src/lib/random.ts';
import { simulatedHost, type SimulatedFiles, type SimulatedHost } from '../../src/simulation/index.ts';
import { defaultEngineOptions } from '../../src/engine/index.ts';
import { Violation } from './history.ts';
import { SimulatedClient } from './simulated-client.ts';
import { SHORT_TIMEOUTS, World } from './world.ts';

export const ADDRESS = 'n1.example:9001';
export const DIRECTORY = '/data';

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

export class NodeWorld extends World {
  host: SimulatedHost;
  node: Node | undefined = undefined;
  /** The disk has failed where the node must not try again: the next start closes what is open. */
  #mayLeaveOpen = false;
  /** Errors with which a node gave up. */
  readonly failures: unknown[] = [];
  readonly #options: WorldOptions;

  constructor(options: WorldOptions, trace: (line: string) => void = () => {}) {
    const { seed, fileLatencyMs } = options;
    super(seed, trace);
    this.#options = options;
    const { scheduler, network } = this;
    const common = { seed, scheduler, network };
    this.host = simulatedHost({ ...common, machine: 'n1', ...(fileLatencyMs === undefined ? {} : { fileLatencyMs }) });
    options.sabotage?.(this.host.files);
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
      logger: this.logger('node', fields => {
        if ('triedAgain' in fields && fields.triedAgain === false) this.#mayLeaveOpen = true;
      }),
      engine: { ...defaultEngineOptions, ...SHORT_TIMEOUTS },
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
      this.trace(`start failed: ${String(error)}`);
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

  override connect(database: string): Promise<SimulatedClient> {
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
}

function isDiskError(error: unknown): void {
  const cause = error instanceof DqliteError ? error.cause : error;
  if (!(cause instanceof Error) || cause.name !== 'FileError') throw error;
}
