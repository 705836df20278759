/** Invariants 1 and 5: after kill -9 at any moment a node reopens, quickly, with every acknowledged write. */

import { test } from 'node:test';
import { testKills } from '../support/kill-report.ts';

test('5 kills under the load of 16 writers: nothing acknowledged is lost, nothing is there in part', t =>
  testKills(t, 5));
