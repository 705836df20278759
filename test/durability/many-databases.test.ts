/**
 * Many databases, written once each: all of them are there after a crash, from the log and from a snapshot.
 * DATABASES is their number.
 */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

const DATABASES = Number(process.env['DATABASES'] ?? 150);
/** The snapshot is written before all are there. */
const THRESHOLD = Math.floor(DATABASES * 0.5);
const CONCURRENCY = 8;

const nameOf = (number: number): string => `tenant-${number}/data.db`;

/** Runs a piece of work for every number below `count`, some at a time. */
async function forAll(count: number, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

async function writeAll(address: string): Promise<void> {
  await forAll(DATABASES, async number => {
    const client = await Connection.open(address, nameOf(number));
    await client.exec(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (${number}, 'tenant ${number}')`,
    );
    client.close();
  });
}

async function readAll(address: string): Promise<void> {
  await forAll(DATABASES, async number => {
    const client = await Connection.open(address, nameOf(number));
    assert.deepEqual(await client.values('SELECT * FROM t'), [[BigInt(number), `tenant ${number}`]]);
    client.close();
  });
}

async function restart(t: TestContext, directory: string): Promise<void> {
  const node = await serve(t, { directory });
  const { rss } = node.child.memory();
  t.diagnostic(`ready after ${Math.round(node.startMs)} ms, ${Math.round(rss / 2 ** 20)} MiB resident`);
  await readAll(node.address);
  await node.stop();
}

test(`${DATABASES} databases`, async t => {
  const directory = temporaryDirectory(t);
  const first = await serve(t, {
    directory,
    args: ['--snapshot-threshold', String(THRESHOLD), '--snapshot-trailing', '4'],
  });
  await writeAll(first.address);
  await first.kill();
  assert.ok(
    readdirSync(directory).some(name => /^snapshot-\d+-\d+-\d+$/.test(name)),
    'a part of it is in a snapshot',
  );
  await restart(t, directory);
});

test(`${DATABASES} databases, all in the log`, async t => {
  const directory = temporaryDirectory(t);
  const first = await serve(t, { directory });
  await writeAll(first.address);
  await first.kill();
  assert.deepEqual(
    readdirSync(directory).filter(name => name.startsWith('snapshot')),
    [],
  );
  await restart(t, directory);
});
