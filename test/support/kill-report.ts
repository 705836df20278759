/** What killing a node over and over must have shown. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { median } from './median.ts';
import { killOverAndOver } from './kill-cycle.ts';
import { temporaryDirectory } from './temporary.ts';

/** The goal for a start; on a machine that is busy with other things, so many times what empty directories take then. */
const TYPICAL_START_MS = 1000;
const TYPICAL_TIMES = 4;
/** How much longer a single one may take. */
const LONGEST_TIMES = 3;

export async function testKills(t: TestContext, kills: number): Promise<void> {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`SEED=${seed}`);
  const report = await killOverAndOver(t, { directory: temporaryDirectory(t), kills, seed });
  const { startMs, emptyStartMs, acknowledged, refused, doubtful, found, inSnapshot, rows } = report;
  const [, ...restartMs] = startMs;
  const emptyMs = median(emptyStartMs);
  const typicalMs = median(restartMs);
  t.diagnostic(
    `start to ready: median ${Math.round(typicalMs)} ms, longest ${Math.round(Math.max(...startMs))} ms; ` +
      `${acknowledged} transactions acknowledged, ${refused} refused, ${doubtful} in doubt, ${found} of them committed; ` +
      `${inSnapshot} kills in a snapshot; ${rows} rows`,
  );
  assert.ok(acknowledged >= kills * 200);
  assert.ok(doubtful > 0, 'the kills interrupted something');
  assert.ok(inSnapshot > 0, 'at least one kill fell into a snapshot');
  const all = `starts took ${startMs.map(Math.round).join(', ')} ms, empty ones ${Math.round(emptyMs)} ms`;
  const limitMs = Math.max(TYPICAL_START_MS, TYPICAL_TIMES * emptyMs);
  assert.ok(typicalMs < limitMs && Math.max(...restartMs) < LONGEST_TIMES * limitMs, all);
}
