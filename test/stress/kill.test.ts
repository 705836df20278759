/** The long version of test/durability/kill.test.ts. */

import { test } from 'node:test';
import { testKills } from '../support/kill-report.ts';

test('50 kills under the load of 16 writers', t => testKills(t, 50));
