/** Invariant 9: a thousand clients that have scanned a table and then do nothing cost little memory. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Connection, requests } from '../support/connection.ts';

const CONNECTIONS = 1000;
const ROWS = 2000;
const CONCURRENCY = 4;
const MAX_RSS = 512 * 2 ** 20;

test(`${CONNECTIONS} idle connections after one scan each`, async t => {
  const node = await serve(t, { directory: temporaryDirectory(t) });
  const first = await Connection.open(node.address, 'x.db');
  await first.exec(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, amount REAL);
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
     INSERT INTO t SELECT i, 'row number ' || i, i * 1.5 FROM n`,
  );
  const before = node.child.memory().rss;
  const clients = [first];
  const connect = async (): Promise<void> => {
    while (clients.length < CONNECTIONS) {
      const position = clients.length;
      clients.push(first);
      const client = await Connection.open(node.address, 'x.db');
      clients[position] = client;
      // A third of them in a transaction that was read in, a third with a prepared statement.
      if (position % 3 === 0) await client.exec('BEGIN');
      if (position % 3 === 1) await client.prepare('SELECT count(*) FROM t WHERE name = ?');
      await client.ask(requests.querySql('SELECT * FROM t'), () => client.parts());
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, connect));
  const { rss, peak } = node.child.memory();
  const mib = (bytes: number): number => Math.round(bytes / 2 ** 20);
  t.diagnostic(`resident: ${mib(before)} MiB before, ${mib(rss)} MiB with all of them, ${mib(peak)} MiB at most`);
  assert.ok(peak < MAX_RSS, `${mib(peak)} MiB`);
  // They are all still served.
  for (const client of clients) assert.deepEqual(await client.values('SELECT count(*) FROM t'), [[BigInt(ROWS)]]);
  for (const client of clients) client.close();
  await node.stop();
});
