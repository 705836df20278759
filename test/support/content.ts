/** Databases as their users see them: filling them in stages, and reading all of it, from any dqlite node. */

import assert from 'node:assert/strict';
import { SeededRandom } from '../../src/lib/random.ts';
import type { WireValue } from '../../src/wire/index.ts';
import { Connection, type Bound } from './connection.ts';

/** Everything in one database. */
export interface Content {
  readonly schema: readonly WireValue['value'][][];
  readonly tables: ReadonlyMap<string, readonly WireValue[][]>;
  readonly pragmas: readonly WireValue['value'][];
}

const PRAGMAS = ['user_version', 'application_id', 'auto_vacuum', 'page_size'];

/** Reads a database to the last value, and checks its integrity. */
export async function readContent(address: string, database: string): Promise<Content> {
  const client = await Connection.open(address, database);
  assert.deepEqual(await client.values('PRAGMA integrity_check'), [['ok']], `${database} is whole`);
  const schema = await client.values('SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY 1, 2');
  const tables = new Map<string, WireValue[][]>();
  for (const [type, name] of schema) {
    if (type !== 'table' && type !== 'view') continue;
    // In the order of the table's b-tree, which is the same everywhere.
    const { rows } = await client.queryTyped(`SELECT * FROM "${String(name)}"`);
    tables.set(String(name), rows);
  }
  const pragmas: WireValue['value'][] = [];
  for (const pragma of PRAGMAS) pragmas.push((await client.values(`PRAGMA ${pragma}`))[0]?.[0] ?? null);
  client.close();
  return { schema, tables, pragmas };
}

/** All databases of a node that are written by `fill`. */
export const DATABASES = ['main.db', 'blobs.db', 'search.db', 'emptied.db'] as const;

export async function readAll(address: string): Promise<Map<string, Content>> {
  const contents = new Map<string, Content>();
  for (const database of DATABASES) contents.set(database, await readContent(address, database));
  return contents;
}

const STAGE_0: Readonly<Record<(typeof DATABASES)[number], readonly string[]>> = {
  'main.db': [
    `CREATE TABLE account (
       id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL COLLATE NOCASE UNIQUE, balance REAL CHECK (balance >= 0),
       note, doubled REAL AS (balance * 2) VIRTUAL, initial TEXT AS (substr(name, 1, 1)) STORED, since DATETIME, active BOOLEAN
     )`,
    `CREATE TABLE transfer (
       source INTEGER REFERENCES account ON DELETE CASCADE, number INTEGER, amount REAL, PRIMARY KEY (source, number)
     ) WITHOUT ROWID`,
    'CREATE INDEX account_balance ON account (balance DESC, name) WHERE balance > 100',
    'CREATE INDEX account_lower ON account (lower(name))',
    'CREATE TABLE audit (at INTEGER PRIMARY KEY, what TEXT)',
    `CREATE TRIGGER account_deleted AFTER DELETE ON account BEGIN
       INSERT INTO audit (what) VALUES ('deleted ' || old.name);
     END`,
    'CREATE VIEW rich AS SELECT id, name, balance FROM account WHERE balance > 500 ORDER BY id',
    'PRAGMA user_version = 7',
  ],
  'blobs.db': ['CREATE TABLE blob (id INTEGER PRIMARY KEY, bytes BLOB, checksum INTEGER)'],
  'search.db': [
    'CREATE VIRTUAL TABLE text USING fts5(body)',
    'CREATE VIRTUAL TABLE place USING rtree(id, left, right, top, bottom)',
  ],
  'emptied.db': ['CREATE TABLE gone (v)', "INSERT INTO gone VALUES ('x')", 'DROP TABLE gone'],
};

const EXTREMES: readonly Bound[] = [
  null,
  0n,
  -1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
  1.5,
  -0.0,
  1e308,
  5e-324,
  Infinity,
  '',
  'ä€𝄞\n"\'',
  'x'.repeat(5000),
  new Uint8Array(0),
  new Uint8Array([0, 255, 0]),
];

const ACCOUNTS_PER_STAGE = 60;
const BLOB_SIZES = [0, 1, 4000, 4096, 70_000];

/** Adds, changes and deletes something in all databases; every stage differs. Runs on any dqlite node. */
export async function fill(address: string, stage: number): Promise<void> {
  const random = new SeededRandom(stage + 1);
  const clients = new Map<string, Connection>();
  for (const database of DATABASES) clients.set(database, await Connection.open(address, database));
  if (stage === 0) {
    for (const database of DATABASES) {
      for (const sql of STAGE_0[database]) await clients.get(database)!.exec(sql);
    }
  }
  await fillMain(clients.get('main.db')!, stage, random);
  await fillBlobs(clients.get('blobs.db')!, stage, random);
  await fillSearch(clients.get('search.db')!, stage);
  for (const client of clients.values()) client.close();
}

async function fillMain(client: Connection, stage: number, random: SeededRandom): Promise<void> {
  for (let position = 0; position < ACCOUNTS_PER_STAGE; position++) {
    const name = `Account ${stage}-${position}`;
    const note = EXTREMES[position % EXTREMES.length]!;
    const since = position % 3 === 0 ? null : '2024-02-29 12:00:00';
    await client.exec(
      'INSERT INTO account (name, balance, note, since, active) VALUES (?, ?, ?, ?, ?)',
      ...[name, random.below(100_000) / 100, note, since, position % 2 === 0],
    );
  }
  await client.exec('BEGIN');
  await client.exec(
    `INSERT OR IGNORE INTO transfer SELECT id, ${stage}, balance / 2 FROM account WHERE id % 3 = ${stage % 3}`,
  );
  await client.exec('UPDATE account SET balance = balance + 1 WHERE id % 2 = ?', BigInt(stage % 2));
  await client.exec('COMMIT');
  await client.exec('BEGIN');
  await client.exec('DELETE FROM account');
  await client.exec('ROLLBACK');
  await client.exec('DELETE FROM account WHERE id % 7 = ?', BigInt(stage % 7));
  await client.exec(
    "INSERT INTO account (name, balance) VALUES ('The Bank', 1) ON CONFLICT (name) DO UPDATE SET balance = balance + 1000",
  );
}

async function fillBlobs(client: Connection, stage: number, random: SeededRandom): Promise<void> {
  for (const size of BLOB_SIZES) {
    const bytes = new Uint8Array(size);
    random.fill(bytes);
    await client.exec('INSERT INTO blob (bytes, checksum) VALUES (?, ?)', bytes, BigInt(random.uint32()));
  }
  if (stage % 2 === 1) await client.exec('DELETE FROM blob WHERE length(bytes) > 4000');
  if (stage % 3 === 2) await client.exec('UPDATE blob SET bytes = zeroblob(length(bytes) + 5000)');
}

async function fillSearch(client: Connection, stage: number): Promise<void> {
  await client.exec(
    'INSERT INTO text (body) VALUES (?)',
    `stage ${stage}: the quick brown fox jumps over the lazy dog`,
  );
  await client.exec(
    'INSERT INTO place VALUES (?, ?, ?, ?, ?)',
    BigInt(stage + 1),
    0.5,
    1.5,
    stage * 1.5,
    stage * 2.5 + 1,
  );
}
