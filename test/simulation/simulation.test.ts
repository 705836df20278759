/** A few runs of `simulation.ts`, that they repeat, and that they find what is broken on purpose. `npm run sim` is longer. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { OpenOptions } from '../../src/host/types.ts';
import { synchronousWasm, type SimulatedFiles } from '../../src/simulation/index.ts';
import { History, Violation } from './history.ts';
import { simulate } from './simulation.ts';
import { SeededRandom } from '../../src/lib/random.ts';

const FIRST_SEED = 1;
/** By then everything that can happen has happened. */
const MAX_SEEDS = 8;
const KINDS = ['crash', 'kill', 'close', 'acknowledged', 'found', 'reads', 'full', 'ENOSPC', 'EIO', 'resets'];
/** What is broken on purpose is found within so many runs. */
const MAX_RUNS = 12;

let wasm: Disposable;

before(() => {
  wasm = synchronousWasm();
});

after(() => wasm[Symbol.dispose]());

test('whatever happens to node, disk and clients, all that was acknowledged is there, whole and in order', async () => {
  const total: Record<string, number> = {};
  const isMissing = (kind: string): boolean => (total[kind] ?? 0) === 0;
  for (let seed = FIRST_SEED; KINDS.some(isMissing); seed++) {
    assert.ok(seed < FIRST_SEED + MAX_SEEDS, `never seen: ${KINDS.filter(isMissing).join(', ')}`);
    const { failure, counts } = await simulate({ seed, steps: 4 });
    assert.equal(failure, undefined, `npm run sim -- --seed ${seed} --steps 4: ${failure?.stack}`);
    for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + count;
  }
});

test('the same seed gives the same run', async () => {
  const { hash } = await simulate({ seed: 5, steps: 2 });
  assert.equal((await simulate({ seed: 5, steps: 2 })).hash, hash);
  assert.notEqual((await simulate({ seed: 6, steps: 2 })).hash, hash);
});

/** The first violation that runs with a defect meet. */
async function foundWith(sabotage: (files: SimulatedFiles) => void): Promise<string> {
  for (let seed = 1; seed <= MAX_RUNS; seed++) {
    const { failure } = await simulate({ seed, sabotage });
    if (failure !== undefined) return failure.message;
  }
  return 'nothing';
}

test('it finds out that writes are acknowledged before they are durable', async () => {
  const found = await foundWith(files => {
    const open = files.open.bind(files);
    files.open = (path: string, { mode, durable = false }: OpenOptions) =>
      open(path, { mode, durable: durable && !path.includes('open-') });
  });
  assert.match(found, /was seen before|after \d+ was seen|is at \d+ and was at|where \d+ was|is empty|no such table/);
});

test('it finds out that files are not durably in their folder', async () => {
  const found = await foundWith(files => {
    files.syncDirectory = () => Promise.resolve();
  });
  assert.notEqual(found, 'nothing');
});

test('it finds out that an error of the disk is passed over', async () => {
  const found = await foundWith(files => {
    const open = files.open.bind(files);
    files.open = async (path: string, options: OpenOptions) => {
      const file = await open(path, options);
      const write = file.write.bind(file);
      file.write = (pieces, offset) => write(pieces, offset).catch(() => {});
      return file;
    };
  });
  assert.notEqual(found, 'nothing');
});

test('a history knows what cannot be', () => {
  const random = new SeededRandom(1);
  const violated = (what: RegExp, act: (history: History) => void): void => {
    const history = new History('x');
    history.acknowledge(history.begin(random, 10), 1);
    assert.throws(
      () => act(history),
      (error: unknown) => error instanceof Violation && what.test(error.message),
    );
  };
  violated(/after 1 was seen/, history => history.acknowledge(history.begin(random, 10), 1));
  violated(/sees up to 0, and 1 was seen/, history => history.sawSummary([[0n, 0n, 0n, 0n, 0n]], history.newest));
  violated(/in part/, history => history.sawSummary([[1n, 1n, 3n, 2n, 0n]], 1));
  violated(/in part/, history => history.sawSummary([[1n, 1n, 3n, 3n, 7n]], 1));
  violated(/was refused/, history => {
    const transaction = history.begin(random, 10);
    history.refuse(transaction);
    history.acknowledge(transaction, 2);
  });
  violated(/never sent/, history => history.sawTransactions([[1n, 77n, new Uint8Array()]], 1));
  violated(/another payload/, history => history.sawTransactions([[1n, 0n, new Uint8Array(99)]], 1));
  violated(/where 0 was/, history => {
    const transaction = history.begin(random, 10);
    history.sawTransactions([[1n, BigInt(transaction.id), transaction.payload]], 1);
  });
});
