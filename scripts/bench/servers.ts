/** What is measured, started and stopped: single nodes and clusters, of ours and of Debian's C nodes. */

import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { administer } from '../../src/client/index.ts';
import { freePort, NodeProcess, startCluster } from './cluster.ts';

const LOAD = fileURLToPath(new URL('load.js', import.meta.url));
const START_MS = 20_000;
const POLL_MS = 100;
export const CLUSTER_SIZE = 3;

const run = promisify(execFile);

/** One node or the leader of a cluster, with the processes behind it. */
export interface Server {
  readonly address: string;
  readonly children: readonly ChildProcess[];
}

export function newFolder(base: string, name: string): string {
  const folder = path.join(base, name);
  mkdirSync(folder);
  return folder;
}

export function hasProgram(name: string): boolean {
  try {
    execFileSync(name, ['--help'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

export async function startOurs(folder: string): Promise<Server> {
  const node = new NodeProcess(1n, `127.0.0.1:${await freePort()}`, folder, []);
  await node.start();
  return { address: node.address, children: [node.child!] };
}

/** Three voters; the first one leads. */
export async function startOurCluster(folder: string): Promise<Server> {
  const nodes = await startCluster(folder, CLUSTER_SIZE, []);
  return { address: nodes[0]!.address, children: nodes.map(({ child }) => child!) };
}

async function startPeerNode(folder: string, join: readonly string[]): Promise<Server> {
  const address = `127.0.0.1:${await freePort()}`;
  const api = ['--api', `127.0.0.1:${await freePort()}`];
  const joins = join.flatMap(member => ['--join', member]);
  const child = spawn('dqlite-demo', [...api, '--db', address, '--dir', folder, ...joins], { stdio: 'ignore' });
  return { address, children: [child] };
}

/** Debian's C node, as soon as it says that it leads: a statement of setup works. */
export async function startPeer(folder: string): Promise<Server> {
  const server = await startPeerNode(folder, []);
  await eventually(() => run(process.execPath, [LOAD, server.address, 'read', '1', '0.01']));
  return server;
}

/** Three C nodes, all voters; the first one leads. */
export async function startPeerCluster(folder: string): Promise<Server> {
  const first = await startPeer(newFolder(folder, '1'));
  const children = [...first.children];
  const admin = administer({ servers: [first.address] });
  for (let number = 2; number <= CLUSTER_SIZE; number++) {
    const { address, children: more } = await startPeerNode(newFolder(folder, String(number)), [first.address]);
    children.push(...more);
    // In a cluster of two it stays a spare by itself.
    await eventually(async () => {
      const server = (await admin.servers()).find(one => one.address === address);
      if (server === undefined) throw new Error(`${address} has not joined`);
      if (server.role !== 'voter') await admin.assign(server.id, 'voter');
    });
  }
  return { address: first.address, children };
}

export async function stop({ children }: Server): Promise<void> {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
}

/** Memory that each process holds now, in MiB; empty where the system does not say. */
export function memoryMib({ children }: Server): number[] {
  try {
    return children.map(({ pid }) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024);
    });
  } catch {
    return [];
  }
}

async function eventually(attempt: () => Promise<unknown>): Promise<void> {
  const endMs = performance.now() + START_MS;
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await new Promise(resolve => setTimeout(resolve, POLL_MS));
    }
  }
}
