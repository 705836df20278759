/** Part of the sweeps of `node-sweep.ts`; test/stress tries every operation. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { synchronousWasm } from '../../src/simulation/index.ts';
import { closeWhileFull, sweepCrashes, sweepFaults } from './node-sweep.ts';

let wasm: Disposable;

before(() => {
  wasm = synchronousWasm();
});

after(() => wasm[Symbol.dispose]());

test('a node that is killed or loses its power at any operation has all that was acknowledged', async () => {
  const operations = await sweepCrashes({ stride: 29 });
  assert.ok(operations > 60, `${operations} operations`);
});

for (const code of ['ENOSPC', 'EIO'] as const) {
  for (const repeat of [false, true]) {
    test(`${code} at any write${repeat ? ' and later ones' : ''}: as promised to clients`, async () => {
      const operations = await sweepFaults(code, repeat, { stride: 11 });
      assert.ok(operations > 20, `${operations} operations`);
    });
  }
}

test('a node that is closed while its disk is full leaves the directory alone', () => closeWhileFull());
