/** One data directory, in turn in the hands of our node and of C dqlite: each finds what the other has written. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { before, test, type TestContext } from 'node:test';
import { CNode, dataFolder, FOUNDER_ID, needPrograms } from '../support/peers.ts';
import { fill, readAll, type Content } from '../support/content.ts';
import { freePort } from '../support/ports.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

before(() => needPrograms('dqlite-demo'));

type End = 'stop' | 'kill';

interface Place {
  readonly base: string;
  readonly address: string;
  readonly directory: string;
}

async function place(t: TestContext): Promise<Place> {
  const base = temporaryDirectory(t);
  const address = `127.0.0.1:${await freePort()}`;
  return { base, address, directory: dataFolder(base, address) };
}

/** One node's turn. Gives what the databases hold at its end. */
type Turn = (address: string) => Promise<void>;

async function ours(
  t: TestContext,
  { address, directory }: Place,
  end: End,
  args: string[],
  turn: Turn,
): Promise<void> {
  const node = await serve(t, { directory, id: FOUNDER_ID, address, args });
  await turn(address);
  await (end === 'stop' ? node.stop() : node.kill());
}

async function theirs(t: TestContext, { base, address }: Place, end: End, turn: Turn): Promise<void> {
  const node = await CNode.start(t, base, address);
  await turn(address);
  await (end === 'stop' ? node.stop() : node.kill());
}

const SNAPSHOTS = ['--snapshot-threshold', '64', '--snapshot-trailing', '32'];

for (const [name, args] of [
  ['with snapshots of ours', SNAPSHOTS],
  ['from the log alone', []],
] as const) {
  test(`there and back, four times, ${name}`, async t => {
    const where = await place(t);
    let contents: Map<string, Content> | undefined;
    let stage = 0;
    const turn: Turn = async address => {
      if (contents !== undefined) assert.deepEqual(await readAll(address), contents, `before stage ${stage}`);
      await fill(address, stage++);
      contents = await readAll(address);
    };
    for (const [endOfOurs, endOfTheirs] of [
      ['stop', 'stop'],
      ['kill', 'stop'],
      ['stop', 'kill'],
      ['kill', 'kill'],
    ] as const) {
      await ours(t, where, endOfOurs, [...args], turn);
      await theirs(t, where, endOfTheirs, turn);
    }
    await ours(t, where, 'stop', [], turn);
    const snapshots = readdirSync(where.directory).filter(file => /^snapshot-\d+-\d+-\d+$/.test(file));
    assert.equal(snapshots.length > 0, args.length > 0);
  });
}

test('a snapshot of theirs, with what came after', async t => {
  const where = await place(t);
  const rows = 1150; // they take a snapshot every 1024 entries
  await theirs(t, where, 'kill', async address => {
    await fill(address, 0);
    const client = await Connection.open(address, 'main.db');
    await client.exec('CREATE TABLE many (id INTEGER PRIMARY KEY, v TEXT)');
    const { statement } = await client.prepare('INSERT INTO many (v) VALUES (?)');
    for (let row = 0; row < rows; row++) await client.execPrepared(statement, `row ${row}`);
    await fill(address, 1);
  });
  const files = readdirSync(where.directory);
  assert.ok(
    files.some(file => /^snapshot-1-1024-\d+$/.test(file)),
    files.join(', '),
  );
  let contents: Map<string, Content> | undefined;
  await ours(t, where, 'kill', SNAPSHOTS, async address => {
    const client = await Connection.open(address, 'main.db');
    assert.deepEqual(await client.values('SELECT count(*), sum(id) FROM many'), [
      [BigInt(rows), BigInt((rows * (rows + 1)) / 2)],
    ]);
    client.close();
    await fill(address, 2);
    contents = await readAll(address);
  });
  await theirs(t, where, 'stop', async address => assert.deepEqual(await readAll(address), contents));
});

test('a database that VACUUM has made smaller', async t => {
  // C 1.11.1 keeps the larger file, and says so nowhere (raft and disk spec section 4.4): reading it must be right.
  const where = await place(t);
  let contents: Map<string, Content> | undefined;
  await ours(t, where, 'stop', [], async address => {
    await fill(address, 0);
    const client = await Connection.open(address, 'blobs.db');
    await client.exec('INSERT INTO blob (bytes) VALUES (zeroblob(400000))');
    await client.exec('DELETE FROM blob WHERE length(bytes) = 400000');
    await client.exec('VACUUM');
    client.close();
    contents = await readAll(address);
  });
  await theirs(t, where, 'stop', async address => {
    assert.deepEqual(await readAll(address), contents);
    await fill(address, 1);
    contents = await readAll(address);
  });
  await ours(t, where, 'stop', [], async address => assert.deepEqual(await readAll(address), contents));
});
