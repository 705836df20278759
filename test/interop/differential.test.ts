/** Random SQL on our node and in Debian's `sqlite3` program: `../support/differential.ts`. */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { runBatch } from '../support/differential.ts';
import { needPrograms } from '../support/peers.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';

before(() => needPrograms('sqlite3'));

/** DIFFERENTIAL_SECONDS makes it longer, SEED repeats one batch. */
const SECONDS = Number(process.env['DIFFERENTIAL_SECONDS'] ?? 10);
const ONLY = process.env['SEED'];

test('random statements have the same outcome as in stock SQLite', { timeout: (SECONDS + 60) * 1000 }, async t => {
  const folder = temporaryDirectory(t);
  const node = await serve(t, { directory: temporaryDirectory(t) });
  const first = ONLY === undefined ? Date.now() % 1_000_000_000 : Number(ONLY);
  t.diagnostic(`SEED=${first}`);
  const endMs = performance.now() + SECONDS * 1000;
  const counts = { batches: 0, statements: 0, failed: 0, rows: 0 };
  const excused = new Map<string, number>();
  for (let seed = first; counts.batches === 0 || (ONLY === undefined && performance.now() < endMs); seed++) {
    const batch = await runBatch(t, node.address, folder, seed);
    const { difference } = batch;
    if (difference !== undefined) {
      const { position, statement, ours, theirs } = difference;
      assert.equal(ours, theirs, `SEED=${seed}, statement ${position}: ${statement}\n(ours is the actual output)`);
    }
    counts.batches++;
    counts.statements += batch.statements;
    counts.failed += batch.failed;
    counts.rows += batch.rows;
    for (const why of batch.excused) excused.set(why, (excused.get(why) ?? 0) + 1);
  }
  t.diagnostic(
    `${counts.batches} batches, ${counts.statements} statements, ${counts.failed} of them failed, ${counts.rows} rows`,
  );
  for (const [why, count] of excused) t.diagnostic(`${count} times excused: ${why}`);
  assert.ok(counts.failed < counts.statements / 3, 'most statements succeed');
  await node.stop();
});
