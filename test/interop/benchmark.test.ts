/**
 * Debian's `dqlite-benchmark` against our node. The program insists on a node of its own, which does nothing here: it
 * is told that it belongs to a cluster whose only voter is ours, and so everything is sent to us.
 */

import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { run } from '../support/child.ts';
import { dataFolder, needPrograms } from '../support/peers.ts';
import { freePort } from '../support/ports.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

before(() => needPrograms('dqlite-benchmark'));

const SECONDS = 2;
const WORKERS = 4;

test('kvreadwrite with four workers: no error, and every row is there', async t => {
  const base = temporaryDirectory(t);
  const directory = temporaryDirectory(t);
  const address = `127.0.0.1:${await freePort()}`;
  const own = `127.0.0.1:${await freePort()}`;
  const node = await serve(t, { directory, address });

  const folder = dataFolder(base, own);
  for (const file of readdirSync(directory)) {
    if (file === 'metadata1' || /^\d/.test(file)) copyFileSync(path.join(directory, file), path.join(folder, file));
  }
  writeFileSync(path.join(folder, 'info.yaml'), `Address: ${own}\nID: 77\nRole: 2\n`);
  writeFileSync(path.join(folder, 'cluster.yaml'), `- Address: ${address}\n  ID: 1\n  Role: 0\n`);
  const { code, stdout, stderr } = await run(t, 'dqlite-benchmark', [
    ...['--db', own, '--driver', '--cluster', address, '--dir', base, '--cluster-timeout', '10'],
    ...['--duration', String(SECONDS), '--workers', String(WORKERS), '--workload', 'kvreadwrite'],
  ]);
  assert.equal(code, 0, stdout + stderr);

  const results = path.join(folder, 'results');
  const counts = { exec: 0, query: 0 };
  const errorsOf = new Map<string, number>();
  for (const file of readdirSync(results)) {
    const [worker, kind] = file.split('-') as [string, string];
    assert.ok(kind === 'exec' || kind === 'query', file);
    const [, count, errors] = /^n (\d+)\nn_err (\d+)\n/.exec(readFileSync(path.join(results, file), 'utf8')) ?? [];
    errorsOf.set(worker, (errorsOf.get(worker) ?? 0) + Number(errors));
    counts[kind] += Number(count);
  }
  // The end of the time cuts off what a worker is doing, which it counts as an error.
  for (const [worker, errors] of errorsOf) assert.ok(errors <= 1, `worker ${worker} had ${errors} errors`);
  t.diagnostic(`${counts.exec / SECONDS} writes and ${counts.query / SECONDS} reads per second, ${WORKERS} workers`);
  assert.ok(counts.exec > 100 && counts.query > 100);
  const client = await Connection.open(address, 'benchmark');
  const [[rows]] = (await client.values('SELECT count(*) FROM model')) as [[bigint]];
  // The last write of each worker may have been cut off by the end of its time.
  assert.ok(rows >= counts.exec && rows <= counts.exec + WORKERS, `${rows} rows, ${counts.exec} writes`);
  await node.stop();
});
