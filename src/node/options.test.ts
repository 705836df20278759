/** Wrong options of `Node.start` are refused before anything is touched, by name. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultEngineOptions } from '../engine/index.ts';
import { DqliteError } from '../lib/errors.ts';
import { checkOptions, engineOptionsOf, type NodeOptions } from './options.ts';

const RIGHT = { id: 1n, address: '127.0.0.1:9001', directory: 'data' };

const WRONG: readonly (readonly [options: object, message: RegExp])[] = [
  [{ id: 1 }, /^id is 1, not a bigint/],
  [{ id: 0n }, /^id is 0, not a bigint from 1 to/],
  [{ id: 1n << 64n }, /^id is/],
  [{ id: undefined }, /^id is undefined/],
  [{ address: undefined }, /^address is an address/],
  [{ address: 'a:b:c' }, /^"a:b:c" is not an address/],
  [{ bind: 'a:b:c' }, /^"a:b:c" is not an address/],
  [{ directory: '' }, /^directory is the path/],
  [{ latency: 1 }, /^there is no option "latency"/],
  [{ latencyMs: 0 }, /^latencyMs is 0, not a whole number from 1 to 3600000/],
  [{ latencyMs: 1.5 }, /^latencyMs is 1\.5/],
  [{ snapshotTrailing: -1 }, /^snapshotTrailing is -1/],
  [{ maxConnections: '5' }, /^maxConnections is 5, not a whole number/],
  [{ failureDomain: 1 }, /^failureDomain is 1, not a bigint/],
  [{ logger: true }, /^logger is true, not an object/],
  [{ onFailure: {} }, /^onFailure is .*, not a function/],
  [{ engine: 5 }, /^engine is 5, not an object/],
  [{ engine: { maxStepMS: 5 } }, /^there is no option "engine\.maxStepMS"/],
  [{ engine: { maxStepMs: -1 } }, /^engine: maxStepMs is -1/],
  [{ engine: { sqlite: { heap: 1 } } }, /^there is no option "engine\.sqlite\.heap"/],
  [{ engine: { sqlite: { heapBytes: NaN } } }, /^engine: heapBytes is NaN/],
];

test('wrong options are named', () => {
  for (const [options, message] of WRONG) {
    assert.throws(
      () => checkOptions({ ...RIGHT, ...options }),
      (error: unknown) => error instanceof DqliteError && message.test(error.message),
      String(message),
    );
  }
  assert.throws(() => checkOptions(undefined as unknown as NodeOptions), DqliteError);
});

test('right options pass, undefined ones as if they were not there', () => {
  checkOptions(RIGHT);
  checkOptions({
    ...RIGHT,
    bind: '@',
    latencyMs: undefined,
    engine: { maxStepMs: 0, sqlite: { heapBytes: undefined } },
  });
  const { sqlite } = defaultEngineOptions;
  assert.deepEqual(engineOptionsOf(undefined), defaultEngineOptions);
  assert.deepEqual(engineOptionsOf({ maxStepMs: 1, sqlite: { heapBytes: 2, tempBytes: undefined } }), {
    ...defaultEngineOptions,
    maxStepMs: 1,
    sqlite: { ...sqlite, heapBytes: 2 },
  });
});
