/** Thousands of seeds of the simulated cluster. SEED sets the first, to continue where another run has stopped. */

import { test } from 'node:test';
import { chaos } from '../raft/chaos.ts';

const FIRST = Number(process.env['SEED'] ?? 1000);
const COUNT = 20_000;

test(`${COUNT} seeds of a cluster of cores`, () => {
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) chaos({ seed });
});
