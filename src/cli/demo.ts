/**
 * `dqlite-node demo`: three nodes in three processes, some data through the protocol, the leader killed while a client
 * writes, and how to connect.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, DqliteError, type Client } from '../client/index.ts';
import { FailoverWatch } from './demo-failover.ts';
import { stopSignal } from './serve.ts';
import { numberOption, readOptions } from './usage.ts';

const USAGE = `dqlite-node demo [--port N] [--once]

  --port N   where the first of three nodes listens; the others take the two ports after it (default 9001)
  --once     end after the failover instead of serving until Ctrl-C`;

const OPTIONS = { port: { type: 'string' }, once: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;

const DEFAULT_PORT = 9001;
const NODES = 3;
const DATABASE = 'demo.db';
const MAIN = fileURLToPath(new URL('main.js', import.meta.url));
const START_MS = 20_000;
const POLL_MS = 50;

/** Planets with the year of their discovery, where one is known, and their moons. */
const PLANETS: readonly (readonly [name: string, discovered: number | null, radiusKm: number, moons: number])[] = [
  ['Mercury', null, 2439.7, 0],
  ['Venus', null, 6051.8, 0],
  ['Earth', null, 6371.0, 1],
  ['Mars', null, 3389.5, 2],
  ['Jupiter', null, 69911, 97],
  ['Saturn', null, 58232, 274],
  ['Uranus', 1781, 25362, 28],
  ['Neptune', 1846, 24622, 16],
];

const QUERY = 'SELECT name, radius_km, moons FROM planet ORDER BY radius_km DESC LIMIT 3';

/** One of the nodes, in a process of its own. */
class DemoNode {
  readonly number: number;
  readonly address: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined = undefined;

  constructor(number: number, address: string, directory: string, join: string | undefined) {
    this.number = number;
    this.address = address;
    this.#args = [
      ...['serve', '--id', String(number), '--address', address, '--dir', path.join(directory, `node${number}`)],
      ...['--latency-ms', '20', '--log-level', 'error'],
      ...(join === undefined ? [] : ['--join', join]),
    ];
  }

  /** Resolves when it accepts connections. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [MAIN, ...this.#args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let errors = '';
    child.stderr.on('data', (text: Buffer) => (errors += text.toString()));
    const ready = once(child.stdout, 'data').then(() => undefined);
    const ended = once(child, 'exit').then(() => {
      const message = errors.replace(/^dqlite-node: /, '').trim();
      return new DqliteError('IO', message === '' ? `node ${this.number} has ended` : message);
    });
    const failure = await Promise.race([ready, ended]);
    if (failure !== undefined) throw failure;
  }

  /** kill -9: as if the machine had gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }
}

export async function demo(args: string[]): Promise<number> {
  const values = readOptions(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const port = numberOption('port', values.port, [1, 65535 - NODES + 1], USAGE) ?? DEFAULT_PORT;
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dqlite-demo-'));
  const addresses = Array.from({ length: NODES }, (_, i) => `127.0.0.1:${port + i}`);
  const nodes = addresses.map(
    (address, i) => new DemoNode(i + 1, address, directory, i > 0 ? addresses[0] : undefined),
  );
  const stopped = stopSignal();
  try {
    const ended = play(nodes, directory, values.once === true).then(() => (values.once === true ? undefined : stopped));
    await Promise.race([ended, stopped]);
  } finally {
    // The leader last: nobody has to take over from it.
    for (const node of nodes.toReversed()) await node.stop();
    await rm(directory, { recursive: true, force: true });
  }
  return 0;
}

async function play(nodes: readonly DemoNode[], directory: string, isOnce: boolean): Promise<void> {
  const servers = nodes.map(({ address }) => address);
  for (const node of nodes) await node.start();
  const client = await connect({ servers, database: DATABASE });
  try {
    await votersBecome(client, nodes.length);
    console.log(`Three nodes are running, each in a process of its own, with their data in ${directory}:`);
    const leader = await client.cluster.leader();
    for (const { number, address } of nodes) {
      console.log(`  node ${number} at ${address}${address === leader.address ? ', which leads' : ''}`);
    }
    await load(client);
    await show(client, QUERY);
    await failOver(client, nodes);
  } finally {
    await client.close();
  }
  if (!isOnce) console.log(suggestions(servers));
}

async function votersBecome(client: Client, count: number): Promise<void> {
  const endMs = performance.now() + START_MS;
  for (;;) {
    const voters = (await client.cluster.servers()).filter(({ role }) => role === 'voter');
    if (voters.length === count) return;
    if (performance.now() > endMs) throw new DqliteError('TIMEOUT', `${voters.length} of ${count} nodes are voters`);
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
}

/** Kills the leader under a client that writes, and tells what that client saw. */
async function failOver(client: Client, nodes: readonly DemoNode[]): Promise<void> {
  const byAddress = (address: string): DemoNode => nodes.find(node => node.address === address)!;
  const watch = await FailoverWatch.start(client);
  await watch.writes(200);
  const victim = byAddress((await client.cluster.leader()).address);
  console.log(`A client writes one row after the other. Killing node ${victim.number}, the leader, with SIGKILL ...`);
  const before = watch.acknowledged;
  await victim.kill();
  await watch.writes(before + 200);
  const successor = byAddress((await client.cluster.leader()).address);
  console.log(
    `Node ${successor.number} leads now. The longest time between two acknowledged rows: ${watch.longestGapMs} ms.`,
  );
  await victim.start();
  console.log(`Node ${victim.number} is back and follows.`);
  await watch.writes(watch.acknowledged + 100);
  const { acknowledged, doubtful, found, lost } = await watch.end();
  console.log(
    `Rows acknowledged: ${acknowledged}; found: ${found}; lost: ${lost}.` +
      (doubtful === 0 ? '' : ` In doubt when the leader died, and so perhaps among those found: ${doubtful}.`),
  );
  console.log('');
}

function suggestions(servers: readonly string[]): string {
  const [first] = servers;
  const list = servers.join(',');
  return `The nodes go on serving. Try it, from another terminal:

  npx dqlite-node sql -s ${list} ${DATABASE}
  npx dqlite-node cluster -s ${list} list
  dqlite -s ${first} ${DATABASE} "SELECT * FROM planet"     (Debian: apt install go-dqlite)

or from a program:

  import { connect } from 'dqlite-node/client';
  const db = await connect({ servers: ['${first}'], database: '${DATABASE}' });
  console.log(await db.sql\`SELECT * FROM planet WHERE moons > \${1}\`);
  await db.close();

Ctrl-C ends it and removes the data.`;
}

async function load(client: Client): Promise<void> {
  await client.exec(
    `CREATE TABLE planet (
       id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, discovered INTEGER, radius_km REAL, moons INTEGER
     )`,
  );
  await client.transaction(async transaction => {
    const insert = 'INSERT INTO planet (name, discovered, radius_km, moons) VALUES (?, ?, ?, ?)';
    for (const planet of PLANETS) await transaction.exec(insert, planet);
  });
  console.log(`\nLoaded ${PLANETS.length} planets into ${DATABASE}, in one transaction.\n`);
}

async function show(client: Client, sql: string): Promise<void> {
  const { columns, rows } = await client.query(sql).result();
  const names = columns.map(({ name }) => name);
  console.log(`> ${sql}`);
  console.log(
    table(
      names,
      rows.map(row => names.map(name => String(row[name]))),
    ),
  );
  console.log('');
}

/** Columns under their names, as wide as they need to be. */
function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [columns, ...rows];
  const widths = columns.map((_, i) => Math.max(...lines.map(line => line[i]!.length)));
  return lines
    .map(line =>
      line
        .map((text, i) => text.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
