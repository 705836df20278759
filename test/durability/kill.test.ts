/** Invariants 1 and 5: after kill -9 at any moment a node reopens, quickly, with every acknowledged write. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median } from '../support/median.ts';
import { killOverAndOver } from '../support/kill-cycle.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const KILLS = 5;
/** The goal is a second; a noisy machine may take longer now and then. */
const MAX_START_MS = 3000;

test(`${KILLS} kills under the load of 16 writers: nothing acknowledged is lost, nothing is there in part`, async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`SEED=${seed}`);
  const report = await killOverAndOver(t, { directory: temporaryDirectory(t), kills: KILLS, seed });
  const { startMs, acknowledged, refused, doubtful, found, inSnapshot, rows } = report;
  t.diagnostic(
    `start to ready: median ${Math.round(median(startMs))} ms, longest ${Math.round(Math.max(...startMs))} ms; ` +
      `${acknowledged} transactions acknowledged, ${refused} refused, ${doubtful} in doubt, ${found} of them committed; ` +
      `${inSnapshot} kills in a snapshot; ${rows} rows`,
  );
  assert.ok(acknowledged >= KILLS * 200);
  assert.ok(doubtful > 0, 'the kills interrupted something');
  assert.ok(inSnapshot > 0, 'at least one kill fell into a snapshot');
  assert.ok(Math.max(...startMs) < MAX_START_MS, `starts took ${startMs.map(Math.round).join(', ')} ms`);
});
