/** `dqlite-node demo`: a node in a new folder, some data through the protocol, a few queries, and how to connect. */

import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { connect, type Client } from '../client/index.ts';
import { Node } from '../node/index.ts';
import { stderrLogger } from './logger.ts';
import { stopSignal } from './serve.ts';
import { numberOption, readOptions } from './usage.ts';

const USAGE = `dqlite-node demo [--port N] [--once]

  --port N   where to listen (default 9001)
  --once     end after the queries instead of serving until Ctrl-C`;

const OPTIONS = { port: { type: 'string' }, once: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;

const DEFAULT_PORT = 9001;
const DATABASE = 'demo.db';

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

const QUERIES = [
  'SELECT name, radius_km, moons FROM planet ORDER BY radius_km DESC LIMIT 3',
  'SELECT count(*) AS planets, sum(moons) AS moons, round(avg(radius_km)) AS mean_radius_km FROM planet',
  'SELECT name, discovered FROM planet WHERE discovered IS NOT NULL ORDER BY discovered',
] as const;

export async function demo(args: string[]): Promise<number> {
  const values = readOptions(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const port = numberOption('port', values.port, [1, 65535], USAGE) ?? DEFAULT_PORT;
  const address = `127.0.0.1:${port}`;
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dqlite-demo-'));
  const stopped = stopSignal();
  try {
    const node = await Node.start({ id: 1n, address, directory, logger: stderrLogger('warn') });
    try {
      console.log(`A node is running at ${address}, its data is in ${directory}\n`);
      const client = await connect({ servers: [address], database: DATABASE });
      await load(client);
      for (const sql of QUERIES) await show(client, sql);
      await client.close();
      if (values.once !== true) {
        console.log(suggestions(address));
        await stopped;
      }
    } finally {
      await node.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return 0;
}

function suggestions(address: string): string {
  return `It goes on serving. Try it, from another terminal:

  dqlite -s ${address} ${DATABASE} "SELECT * FROM planet"     (Debian: apt install go-dqlite)

or from a program:

  import { connect } from 'dqlite-node/client';
  const db = await connect({ servers: ['${address}'], database: '${DATABASE}' });
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
  console.log(`Loaded ${PLANETS.length} planets into ${DATABASE}, in one transaction.\n`);
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
