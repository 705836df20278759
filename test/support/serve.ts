/** A node of ours in a child process, started by the real command line. */

import { Child, run, type ChildOptions, type Exit, type Finished } from './child.ts';
import { MAIN } from './paths.ts';
import type { Scope } from './temporary.ts';

export interface ServeOptions extends ChildOptions {
  readonly directory: string;
  readonly id?: bigint;
  /** What the directory knows the node as. Tests that dial the bound address need none. */
  readonly address?: string;
  /** Default: any port of 127.0.0.1, unless `address` is given. */
  readonly bind?: string;
  readonly args?: readonly string[];
}

const DEADLINE_MS = 20_000;
const DEFAULT_ADDRESS = 'node.test:1';

export class ServedNode {
  readonly child: Child;
  /** Where it listens. */
  readonly address: string;
  /** From the start of the process to `ready`. */
  readonly startMs: number;

  constructor(child: Child, address: string, startMs: number) {
    this.child = child;
    this.address = address;
    this.startMs = startMs;
  }

  get port(): number {
    return Number(this.address.slice(this.address.lastIndexOf(':') + 1));
  }

  /** Ends it with a signal. Fails unless it ends as a stopped node does, with code 0. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.child.signal(signal);
    const { code, signal: by } = await this.child.end(DEADLINE_MS);
    if (code !== 0) throw new Error(`the node ended with ${code ?? by} after ${signal}:\n${this.child.stderr}`);
  }

  /** Ends it as a power failure of the process would: kill -9. */
  async kill(): Promise<Exit> {
    this.child.signal('SIGKILL');
    return this.child.end(DEADLINE_MS);
  }
}

/** What `dqlite-node` is given. */
export function serveArguments({ id = 1n, address, bind, directory, args = [] }: ServeOptions): string[] {
  const listen = bind ?? (address === undefined ? '127.0.0.1:0' : undefined);
  return [
    ...['serve', '--id', String(id), '--address', address ?? DEFAULT_ADDRESS, '--dir', directory],
    ...(listen === undefined ? [] : ['--bind', listen]),
    ...args,
  ];
}

/** Starts a node and waits until it is ready. */
export async function serve(scope: Scope, options: ServeOptions): Promise<ServedNode> {
  const startMs = performance.now();
  const child = new Child(scope, process.execPath, [MAIN, ...serveArguments(options)], options);
  const line = await child.line(/^ready /, DEADLINE_MS);
  return new ServedNode(child, line.slice('ready '.length), performance.now() - startMs);
}

/** Starts a node that is expected to end by itself. */
export function serveAndFail(scope: Scope, options: ServeOptions): Promise<Finished> {
  return run(scope, process.execPath, [MAIN, ...serveArguments(options)], options);
}

/** Runs the command line to its end. */
export function dqliteNode(scope: Scope, ...args: string[]): Promise<Finished> {
  return run(scope, process.execPath, [MAIN, ...args]);
}
