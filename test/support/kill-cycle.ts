/** Killing a node with kill -9 in the middle of a write load, over and over on one directory. */

import { readdirSync, watch } from 'node:fs';
import { SeededRandom } from '../../src/lib/random.ts';
import { within } from './wait.ts';
import { Ledger } from './ledger.ts';
import { serve } from './serve.ts';
import { temporaryDirectory, type Scope } from './temporary.ts';
import { Connection } from './connection.ts';

export interface KillOptions {
  readonly directory: string;
  readonly kills: number;
  readonly seed: number;
  readonly writers?: number;
}

export interface KillReport {
  /** Of every start, from the process' start to `ready`. */
  readonly startMs: number[];
  /** The same for empty directories, each measured beside some of them. */
  readonly emptyStartMs: number[];
  readonly acknowledged: number;
  readonly refused: number;
  readonly doubtful: number;
  readonly found: number;
  /** Kills that left an unfinished snapshot. */
  readonly inSnapshot: number;
  readonly rows: number;
}

const ACKNOWLEDGED_BEFORE_KILL_MS = 30_000;
/** Rounds with one start of an empty directory. */
const EMPTY_EVERY = 3;
/** A tiny threshold makes snapshots so frequent that one is always under way. */
const TINY_THRESHOLD = ['--snapshot-threshold', '16', '--snapshot-trailing', '4'];

/** Resolves when a file whose name begins so appears in a folder. */
function appearance(directory: string, prefix: string): Promise<void> {
  return new Promise(resolve => {
    const watcher = watch(directory, (_event, name) => {
      if (name?.startsWith(prefix) !== true) return;
      watcher.close();
      resolve();
    });
  });
}

/** Makes a snapshot take long enough to be met. */
async function addBallast(address: string, database: string): Promise<void> {
  const client = await Connection.open(address, database);
  await client.exec('CREATE TABLE ballast (bytes BLOB)');
  for (let piece = 0; piece < 4; piece++) await client.exec('INSERT INTO ballast VALUES (randomblob(3000000))');
  client.close();
}

/** Every second kill falls into a snapshot; the others after a random number of acknowledged transactions. */
export async function killOverAndOver(scope: Scope, options: KillOptions): Promise<KillReport> {
  const { directory, kills, seed, writers = 16 } = options;
  const random = new SeededRandom(seed);
  const ledger = new Ledger({ seed, writers, databases: ['first.db', 'second.db'] });
  const report = {
    startMs: [] as number[],
    emptyStartMs: [] as number[],
    doubtful: 0,
    found: 0,
    inSnapshot: 0,
    rows: 0,
  };
  for (let round = 0; round <= kills; round++) {
    const intoSnapshot = round % 2 === 1;
    const node = await serve(scope, { directory, args: intoSnapshot ? TINY_THRESHOLD : [] });
    report.startMs.push(node.startMs);
    if (round % EMPTY_EVERY === 0) {
      const empty = await serve(scope, { directory: temporaryDirectory(scope) });
      report.emptyStartMs.push(empty.startMs);
      await empty.kill();
    }
    if (round === 0) {
      await ledger.createTables(node.address);
      await addBallast(node.address, ledger.databases[0]!);
    }
    const { doubtful, found, rows } = await ledger.verify(node.address);
    report.doubtful += doubtful;
    report.found += found;
    report.rows = rows;
    if (round === kills) {
      await node.stop();
      break;
    }
    const load = await ledger.load(node.address);
    await ledger.acknowledgements(200 + random.below(600), ACKNOWLEDGED_BEFORE_KILL_MS);
    if (intoSnapshot) {
      await within(appearance(directory, 'tmp-snapshot-'), 'a snapshot being written', ACKNOWLEDGED_BEFORE_KILL_MS);
    }
    await node.kill();
    if (readdirSync(directory).some(name => name.startsWith('tmp-snapshot-'))) report.inSnapshot++;
    await within(load.finished, 'the end of the writers', ACKNOWLEDGED_BEFORE_KILL_MS);
  }
  return { ...report, acknowledged: ledger.acknowledged, refused: ledger.refused };
}
