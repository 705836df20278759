/** What killing a node over and over must have shown. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { median } from './deadline.ts';
import { killOverAndOver } from './kill-cycle.ts';
import { temporaryDirectory } from './temporary.ts';

/** The goal is a second; a noisy machine may take longer. */
const MAX_START_MS = 3000;

export async function testKills(t: TestContext, kills: number): Promise<void> {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`SEED=${seed}`);
  const report = await killOverAndOver(t, { directory: temporaryDirectory(t), kills, seed });
  const { startMs, acknowledged, refused, doubtful, found, inSnapshot, rows } = report;
  t.diagnostic(
    `start to ready: median ${Math.round(median(startMs))} ms, longest ${Math.round(Math.max(...startMs))} ms; ` +
      `${acknowledged} transactions acknowledged, ${refused} refused, ${doubtful} in doubt, ${found} of them committed; ` +
      `${inSnapshot} kills in a snapshot; ${rows} rows`,
  );
  assert.ok(acknowledged >= kills * 200);
  assert.ok(doubtful > 0, 'the kills interrupted something');
  assert.ok(inSnapshot > 0, 'at least one kill fell into a snapshot');
  assert.ok(Math.max(...startMs) < MAX_START_MS, `starts took ${startMs.map(Math.round).join(', ')} ms`);
}
