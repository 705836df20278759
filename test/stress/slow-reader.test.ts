/** The long version of test/durability/slow-reader.test.ts. */

import { test } from 'node:test';
import { watchSlowReaders } from '../support/slow-readers.ts';

test('clients that stop reading for a minute', t => watchSlowReaders(t, { seconds: 60 }));
