/** The sweeps of test/simulation/node-sweep.ts at every operation, with more outcomes of each crash. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { synchronousWasm } from '../../src/simulation/index.ts';
import { sweepCrashes, sweepFaults } from '../simulation/node-sweep.ts';

let wasm: Disposable;

before(() => {
  wasm = synchronousWasm();
});

after(() => wasm[Symbol.dispose]());

test('a crash at every operation of a node', async t => {
  const operations = await sweepCrashes({ stride: 1, outcomes: 6 });
  t.diagnostic(`${operations} operations`);
  assert.ok(operations > 60);
});

for (const code of ['ENOSPC', 'EIO'] as const) {
  for (const repeat of [false, true]) {
    test(`${code} at every write of a node${repeat ? ' and later ones' : ''}`, async t => {
      const operations = await sweepFaults(code, repeat, { stride: 1 });
      t.diagnostic(`${operations} operations`);
      assert.ok(operations > 20);
    });
  }
}
