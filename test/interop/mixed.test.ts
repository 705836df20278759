/** Clusters of C nodes and nodes of ours: whoever leads, whoever joins, all hold the same. */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Client } from '../../src/client/index.ts';
import { MixedCluster } from '../support/mixed-cluster.ts';
import { needPrograms } from '../support/peers.ts';
import { SteadyWriter } from '../support/steady-writer.ts';

before(() => needPrograms('dqlite', 'dqlite-demo', 'sqlite3'));

/** Adds a row that says who led. */
async function write(db: Client, note: string): Promise<void> {
  await db.exec('INSERT INTO note (text) VALUES (?)', [note]);
}

async function noted(db: Client): Promise<unknown[]> {
  return (await db.query<{ text: string }>('SELECT text FROM note ORDER BY id')).map(({ text }) => text);
}

const NOTE = 'CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)';

test('two C nodes and one of ours: leadership there and back, by transfer and by kill -9', async t => {
  const cluster = await MixedCluster.start(t, ['c', 'c', 'ours']);
  const [first, second, ours] = cluster.members;
  assert.ok(first !== undefined && second !== undefined && ours !== undefined);
  assert.equal(await cluster.leader(), first);
  const db = await cluster.client('x.db');
  await db.exec(NOTE);
  await write(db, 'C leads');
  await cluster.transfer(ours);
  await write(db, 'ours leads');
  await cluster.transfer(second);
  await write(db, 'the other C leads');
  await cluster.transfer(ours);
  await write(db, 'ours leads again');
  await cluster.sameEverywhere('x.db');
  await cluster.kill(ours);
  await write(db, 'ours is dead');
  assert.equal((await cluster.leader()).kind, 'c');
  assert.deepEqual(await noted(db), [
    'C leads',
    'ours leads',
    'the other C leads',
    'ours leads again',
    'ours is dead',
  ]);
  await cluster.sameEverywhere('x.db');
});

test('one C node and two of ours: leadership there and back, by transfer and by kill -9', async t => {
  const cluster = await MixedCluster.start(t, ['ours', 'c', 'ours']);
  const [first, c, second] = cluster.members;
  assert.ok(first !== undefined && c !== undefined && second !== undefined);
  const db = await cluster.client('x.db');
  await db.exec(NOTE);
  await write(db, 'ours leads');
  await cluster.transfer(c);
  await write(db, 'C leads');
  await cluster.sameEverywhere('x.db');
  await cluster.kill(c);
  await write(db, 'C is dead');
  assert.equal((await cluster.leader()).kind, 'ours');
  assert.deepEqual(await noted(db), ['ours leads', 'C leads', 'C is dead']);
  await cluster.sameEverywhere('x.db');
});

test('a C cluster is replaced by nodes of ours, one by one, while clients write', async t => {
  const cluster = await MixedCluster.start(t, ['c', 'c', 'c']);
  const old = [...cluster.members];
  const setup = await cluster.client('x.db');
  await setup.exec('CREATE TABLE row (writer INTEGER, number INTEGER, PRIMARY KEY (writer, number))');
  const writers: SteadyWriter[] = [];
  for (let writer = 0; writer < 4; writer++) {
    writers.push(new SteadyWriter(await cluster.client('x.db'), 'row', writer));
  }
  const progress = (): Promise<unknown> => Promise.all(writers.map(writer => writer.more(20)));
  await progress();
  // The leader goes last.
  for (const c of old.reverse()) {
    await cluster.join('ours');
    await progress();
    const leader = await cluster.leader();
    if (leader === c) await cluster.transfer(cluster.members[cluster.members.length - 1]!);
    await cluster.remove(c);
    await progress();
  }
  for (const writer of writers) await writer.stop();
  assert.deepEqual(
    cluster.members.map(({ kind }) => kind),
    ['ours', 'ours', 'ours'],
  );
  const db = await cluster.client('x.db');
  const rows = await db.query<{ writer: number; number: number }>('SELECT writer, number FROM row');
  for (const [position, writer] of writers.entries()) {
    writer.verify(new Set(rows.filter(row => row.writer === position).map(({ number }) => number)));
    for (const error of writer.errors) t.diagnostic(error);
    t.diagnostic(`${writer.acknowledged.length} rows, longest gap ${writer.longestGapMs.toFixed()} ms`);
  }
  await cluster.sameEverywhere('x.db');
});
