/** The long version of the client's suite: a thousand calls cancelled, and rows without end in little memory. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { connect } from '../../src/client/index.ts';
import { clientSuite, type SuiteServer } from '../support/client-suite.ts';
import { FOUNDER_ID } from '../support/peers.ts';
import { freePort } from '../support/ports.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';

/** In a process of its own, so that this one's memory is the client's. */
async function ownServer(scope: Scope, directory: string): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`;
  await serve(scope, { directory, id: FOUNDER_ID, address });
  return address;
}

clientSuite(
  'our node',
  async (): Promise<SuiteServer> => {
    const atEnd: (() => void | Promise<void>)[] = [];
    const directory = await mkdtemp(path.join(os.tmpdir(), 'dqlite-client-'));
    const address = await ownServer({ after: work => void atEnd.push(work) }, directory);
    const stop = async (): Promise<void> => {
      for (const work of atEnd.reverse()) await work();
      await rm(directory, { recursive: true, force: true });
    };
    return { address, stop };
  },
  1000,
);

const ROWS = 1_000_000;
const MIB = 1024 * 1024;

test('a million rows in flat memory', async t => {
  const address = await ownServer(t, temporaryDirectory(t));
  await using db = await connect({ servers: [address], database: 'x' });
  const rows = db.query<{ x: number; name: string }>(
    `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) SELECT x, 'row number ' || x AS name FROM c`,
    [ROWS],
  );
  let count = 0;
  let largest = 0;
  const before = process.memoryUsage.rss();
  for await (const { x, name } of rows) {
    count++;
    if (count !== x || !name.endsWith(String(x))) throw new Error(`row ${count} is ${x}, ${name}`);
    if (count % 10_000 === 0) largest = Math.max(largest, process.memoryUsage.rss() - before);
    // Now and then the reader does something else.
    if (count % 100_000 === 0) await db.sql`SELECT 1`;
  }
  assert.equal(count, ROWS);
  t.diagnostic(`${Math.round(largest / MIB)} MiB more than before`);
  assert.ok(largest < 96 * MIB, `${Math.round(largest / MIB)} MiB more than before`);
});
