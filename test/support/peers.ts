/** The real dqlite, as Debian packages it: a C node, and the shell. */

import { accessSync, constants, mkdirSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { Child, run, type Exit, type Finished } from './child.ts';
import { until } from './wait.ts';
import { freePort } from './ports.ts';
import type { Scope } from './temporary.ts';
import { Connection } from './connection.ts';

/** The id of a node that founds a cluster by itself. */
export const FOUNDER_ID = 0x2dc171858c3155ben;

const START_MS = 15_000;
const STOP_MS = 20_000;

/** Throws unless all programs are installed: a suite that is run to meet them must not pass without. */
export function needPrograms(...programs: readonly string[]): void {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  const isInstalled = (program: string): boolean =>
    folders.some(folder => {
      try {
        accessSync(path.join(folder, program), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
  const missing = programs.filter(program => !isInstalled(program));
  if (missing.length === 0) return;
  throw new Error(`${missing.join(', ')} not found: on Debian, apt-get install go-dqlite libdqlite0 sqlite3`);
}

/** The folder below `base` in which the demo's node of an address keeps its data. */
export function dataFolder(base: string, address: string): string {
  const folder = path.join(base, address);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** A C dqlite 1.11.1 in Go's application layer: `dqlite-demo`. */
export class CNode {
  readonly child: Child;
  readonly address: string;
  /** Where its HTTP server listens. */
  readonly api: string;

  private constructor(child: Child, address: string, api: string) {
    this.child = child;
    this.address = address;
    this.api = api;
  }

  /** Starts it and waits until it leads. Its data is in `dataFolder(base, address)`. */
  static async start(scope: Scope, base: string, address: string): Promise<CNode> {
    const api = `127.0.0.1:${await freePort()}`;
    const child = new Child(scope, 'dqlite-demo', ['--api', api, '--db', address, '--dir', base]);
    const node = new CNode(child, address, api);
    // Its HTTP server comes last: only then does it know what to do with a signal.
    await node.#until(async () => (await node.#leads()) && (await answers(api)), 'leads');
    return node;
  }

  /**
   * Starts one that belongs to a cluster, or is to join it: it adds itself, and makes itself a voter as long as there
   * are fewer than three. Waits until it has found the leader.
   */
  static async join(scope: Scope, base: string, address: string, cluster: readonly string[] = []): Promise<CNode> {
    const api = `127.0.0.1:${await freePort()}`;
    const join = cluster.flatMap(server => ['--join', server]);
    const child = new Child(scope, 'dqlite-demo', ['--api', api, '--db', address, '--dir', base, ...join]);
    const node = new CNode(child, address, api);
    await node.#until(() => answers(api), 'has joined');
    return node;
  }

  async #until(isSo: () => Promise<boolean>, what: string): Promise<void> {
    const { child } = this;
    await until(
      () => {
        if (child.hasExited) throw new Error(`dqlite-demo ended:\n${child.stdout}${child.stderr}`);
        return isSo();
      },
      `dqlite-demo at ${this.address} ${what}\n${child.stdout}${child.stderr}`,
      START_MS,
    );
  }

  async #leads(): Promise<boolean> {
    let client: Connection | undefined;
    try {
      client = await Connection.connect(this.address);
      const answer = await client.call({ kind: 'leader' });
      return answer.kind === 'server' && answer.address === this.address;
    } catch {
      return false;
    } finally {
      client?.close();
    }
  }

  /** Stops it as its service manager does. */
  async stop(): Promise<void> {
    this.child.signal('SIGTERM');
    const { code, signal } = await this.child.end(STOP_MS);
    if (code !== 0) throw new Error(`dqlite-demo ended with ${code ?? signal}:\n${this.child.stderr}`);
  }

  async kill(): Promise<Exit> {
    this.child.signal('SIGKILL');
    return this.child.end(STOP_MS);
  }
}

/** Whether an HTTP server answers, whatever. */
function answers(address: string): Promise<boolean> {
  return new Promise(resolve => {
    http
      .get(`http://${address}/key`, response => {
        response.resume();
        resolve(true);
      })
      .once('error', () => resolve(false));
  });
}

/** Debian's shell: `dqlite -s address database`, with its input. */
export function dqliteShell(scope: Scope, args: readonly string[], input = '', cwd?: string): Promise<Finished> {
  return run(scope, 'dqlite', args, { input, ...(cwd === undefined ? {} : { cwd }) });
}
