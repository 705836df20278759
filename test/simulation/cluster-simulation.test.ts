/** A few runs of `cluster-simulation.ts`, that they repeat, and that they find what is broken on purpose. `npm run sim` is longer. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { OpenOptions } from '../../src/host/types.ts';
import { synchronousWasm } from '../../src/simulation/index.ts';
import { simulateCluster } from './cluster-simulation.ts';

/** It has met two writes of term and vote at the same time. */
const SEEDS = [2];
const MAX_RUNS = 15;

let wasm: Disposable;

before(() => {
  wasm = synchronousWasm();
});

after(() => wasm[Symbol.dispose]());

test('whatever happens to nodes, network and disks, what was acknowledged is there, and all nodes agree', async () => {
  for (const seed of SEEDS) {
    const { failure, counts } = await simulateCluster({ seed });
    assert.equal(failure, undefined, `npm run sim -- --kind cluster --seed ${seed}: ${failure?.stack}`);
    assert.ok(counts['acknowledged']! > 50, JSON.stringify(counts));
  }
});

test('the same seed gives the same run', async () => {
  const { hash } = await simulateCluster({ seed: 5, steps: 3 });
  assert.equal((await simulateCluster({ seed: 5, steps: 3 })).hash, hash);
  assert.notEqual((await simulateCluster({ seed: 6, steps: 3 })).hash, hash);
});

test('it finds out that nodes promise what is not on their disks', async () => {
  for (let seed = 1; seed <= MAX_RUNS; seed++) {
    const { failure } = await simulateCluster({
      seed,
      sabotage: files => {
        const open = files.open.bind(files);
        files.open = (path: string, { mode, durable = false }: OpenOptions) =>
          open(path, { mode, durable: durable && !path.includes('open-') });
      },
    });
    if (failure !== undefined) return;
  }
  assert.fail('nothing was found');
});
