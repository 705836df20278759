import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { electionTimeoutOf, encodeFeatures } from './features.ts';
import { Configurations } from './membership.ts';
import { Progress } from './progress.ts';
import { majorityOf, reachedByMajority } from './quorum.ts';

test('more than half', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(majorityOf), [1, 2, 2, 3, 3, 4, 4]);
});

test('what a majority has reached: so many have it, and no more could', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 9 }), values => {
      const reached = reachedByMajority(values);
      const countFrom = (limit: number): number => values.filter(value => value >= limit).length;
      assert.ok(countFrom(reached) >= majorityOf(values.length));
      assert.ok(countFrom(reached + 1) < majorityOf(values.length));
    }),
  );
  assert.equal(reachedByMajority([]), 0);
});

test('majorities of configurations that differ by one voter overlap', () => {
  for (let count = 1; count < 20; count++) assert.ok(majorityOf(count) + majorityOf(count + 1) > count + 1);
});

test('the feature word tells our members and their election timeout', () => {
  assert.equal(electionTimeoutOf(encodeFeatures(3000)), 3000);
  assert.equal(electionTimeoutOf(0n), undefined);
  assert.equal(electionTimeoutOf(undefined), undefined);
  assert.equal(electionTimeoutOf(2n ** 64n - 1n), undefined);
});

test('configurations: the newest counts, commits and truncations from either end', () => {
  const of = (count: number): { servers: { id: bigint; address: string; role: 'voter' }[] } => ({
    servers: Array.from({ length: count }, (_, i) => ({ id: BigInt(i + 1), address: `n${i}`, role: 'voter' })),
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('append', 'commit', 'truncate'), fc.nat(10)), { maxLength: 30 }),
      steps => {
        const configurations = new Configurations(1n, of(1), 1);
        const log = [{ index: 1, count: 1 }];
        let committed = 1;
        let last = 1;
        for (const [kind, n] of steps) {
          if (kind === 'append') {
            last++;
            log.push({ index: last, count: n + 1 });
            configurations.append(last, of(n + 1));
          } else if (kind === 'commit') {
            committed = Math.min(last, committed + n);
            configurations.commit(committed);
          } else if (committed + 1 + n <= last) {
            last = committed + n;
            while (log.at(-1)!.index > last) log.pop();
            configurations.truncate(last + 1);
          }
          assert.equal(configurations.current.servers.length, log.at(-1)!.count);
          assert.equal(configurations.currentIndex, log.at(-1)!.index);
          assert.equal(configurations.committedIndex, log.filter(({ index }) => index <= committed).at(-1)!.index);
          assert.equal(configurations.isOnlyVoter, log.at(-1)!.count === 1);
        }
      },
    ),
  );
});

test('an acknowledgement of a C member counts for the least of what it may answer', () => {
  const progress = new Progress({ id: 2n, address: 'n2' }, 1);
  const firstOwn = 100;
  progress.sent(40, 10, 80, firstOwn);
  progress.sent(40, 10, 80, firstOwn);
  assert.equal(progress.trusted(90, firstOwn), 50);
  progress.acknowledged(50);
  progress.sent(50, 10, 80, firstOwn);
  assert.equal(progress.trusted(90, firstOwn), 50, 'perhaps the second answer to what was sent twice');
  assert.equal(progress.trusted(90, firstOwn), 60);
  assert.equal(progress.trusted(90, firstOwn), 50, 'nothing is left to answer: it shows nothing new');
  progress.acknowledged(100);
  assert.equal(progress.trusted(120, firstOwn), 120, 'it has an entry of this leadership');
});
