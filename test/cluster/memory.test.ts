/** What a leader keeps of its log in memory is bounded: the rest goes, whether followers are there or not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/wait.ts';

const MIB = 1024 * 1024;
/** Log data that each of two nodes may keep, with what their buffers have to spare, the databases, and some air. */
const LIMIT_BYTES = 200 * MIB;

test('the memory of a leader and its followers does not grow with what is written', async t => {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc') as () => void;
  const cluster = await TestCluster.start(t, 3);
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, bytes BLOB); INSERT INTO t VALUES (1, NULL)');
  await (await cluster.follower()).stop();
  for (let i = 0; i < 250; i++) await db.exec('UPDATE t SET bytes = randomblob(1000000) WHERE id = 1');
  await until(() => {
    collect();
    return process.memoryUsage().arrayBuffers < LIMIT_BYTES;
  }, `less than ${LIMIT_BYTES} bytes after 250 MB were written`);
  assert.ok((await db.sql`SELECT 1 AS x`).length === 1);
});
