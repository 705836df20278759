/**
 * Seeded clusters of cores under faults. A failure prints its seed; `npm run stress` and
 * `node dist/test/raft/run-seeds.js <first> <count>` run more of them.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chaos } from './chaos.ts';
import { SafetyError } from './checker.ts';
import type { Mutation } from './cluster.ts';

const SEEDS = 200;
/** Within so many seeds a broken rule shows. */
const MUTATION_SEEDS = 400;

test('the properties of Raft hold under faults, and the cluster works again after them', () => {
  let committed = 0;
  let reads = 0;
  let changes = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = chaos({ seed });
    committed += result.committed;
    reads += result.reads;
    changes += result.finished;
  }
  // That something happened.
  assert.ok(committed > SEEDS * 50 && reads > SEEDS * 20 && changes > SEEDS, `${committed} ${reads} ${changes}`);
});

test('the same seed gives the same run', () => {
  for (const seed of [3, 4, 5]) assert.deepEqual(chaos({ seed }), chaos({ seed }));
  assert.notEqual(chaos({ seed: 8 }).digest, chaos({ seed: 13 }).digest);
});

const mutations: readonly [Mutation, string][] = [
  ['storedTooEarly', 'entries are acknowledged before they are durable'],
  ['readUnconfirmed', 'reads are answered without a barrier'],
];

for (const [mutation, what] of mutations) {
  test(`a host that breaks a rule is found out: ${what}`, () => {
    for (let seed = 1; seed <= MUTATION_SEEDS; seed++) {
      try {
        chaos({ seed, mutation });
      } catch (error) {
        if (error instanceof SafetyError) return;
      }
    }
    assert.fail(`${MUTATION_SEEDS} seeds did not show it`);
  });
}
