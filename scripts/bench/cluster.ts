/** Clusters of our nodes for measurements: one process each, on 127.0.0.1. */

import { spawn, type ChildProcess } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { administer } from '../../src/client/index.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** A port of 127.0.0.1 on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

export class NodeProcess {
  readonly id: bigint;
  readonly address: string;
  readonly #args: readonly string[];
  child: ChildProcess | undefined = undefined;

  constructor(id: bigint, address: string, folder: string, args: readonly string[]) {
    this.id = id;
    this.address = address;
    const identity = ['--id', String(id), '--address', address, '--dir', folder];
    this.#args = [MAIN, 'serve', ...identity, '--log-level', 'error', ...args];
  }

  /** Resolves when it accepts connections. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, this.#args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', code => reject(new Error(`node ${this.id} ended with ${code}`)));
    });
  }

  /** SIGKILL; resolves at once. */
  async kill(): Promise<void> {
    this.child?.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
}

/** Starts that many nodes, all voters. */
export async function startCluster(folder: string, count: number, args: readonly string[]): Promise<NodeProcess[]> {
  const nodes: NodeProcess[] = [];
  for (let number = 1; number <= count; number++) {
    const address = `127.0.0.1:${await freePort()}`;
    const node = new NodeProcess(BigInt(number), address, path.join(folder, String(number)), args);
    await node.start();
    nodes.push(node);
    if (number === 1) continue;
    await administer({ servers: [nodes[0]!.address] }).add({ id: node.id, address, role: 'voter' });
  }
  return nodes;
}
