/** Readers that stop reading, under a write load: they cost bounded memory and do not slow the writers down. */

import { test } from 'node:test';
import { watchSlowReaders } from '../support/slow-readers.ts';

test('clients that stop reading for three seconds', t => watchSlowReaders(t, { seconds: 3 }));
