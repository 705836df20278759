/** Hostile clients by seed (`../support/fuzzer.ts`): the same every time, and others each time. */

import { test } from 'node:test';
import { describeRun, fuzz } from '../support/fuzz-run.ts';

/** SEED repeats one round. */
const ONLY = process.env['SEED'];
const FIXED = [1, 2];
const SECONDS = 3;

test('hostile clients hinder nobody and leave nothing', { timeout: 120_000 }, async t => {
  const fresh = Date.now() % 1_000_000_000;
  if (ONLY === undefined) t.diagnostic(`SEED=${fresh} and following`);
  const report = ONLY === undefined ? await fuzz(FIXED, fresh, SECONDS) : await fuzz([Number(ONLY)], undefined, 0);
  t.diagnostic(describeRun(report));
});
