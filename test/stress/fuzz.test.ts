/** Hostile clients for minutes: FUZZ_SECONDS, SEED for the first round. */

import { test } from 'node:test';
import { describeRun, fuzz } from '../support/fuzz-run.ts';

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 180);
const FIRST = Number(process.env['SEED'] ?? Date.now() % 1_000_000_000);

test('hostile clients for a long time', { timeout: (SECONDS + 120) * 1000 }, async t => {
  t.diagnostic(`SEED=${FIRST} and following`);
  t.diagnostic(describeRun(await fuzz([], FIRST, SECONDS)));
});
