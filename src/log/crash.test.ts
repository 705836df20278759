/**
 * Crashes at every moment: the process or the machine ends at each operation of a log's life, in several ways each,
 * and the directory is looked at. A failure names the operation and the seed.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf } from '../lib/errors.ts';
import { SeededRandom } from '../lib/random.ts';
import { Scheduler, SimulatedClock, SimulatedFiles } from '../simulation/index.ts';
import { checkDirectory, ended, live, Model } from './scenario.test.helpers.ts';

const SEEDS_PER_OPERATION = 6;
const RANDOM_TIMES = 150;

test('a crash or kill at every operation', async () => {
  let operation = 0;
  for (let over = false; !over;) {
    operation++;
    const files = new SimulatedFiles();
    const model = new Model();
    files.stopAt(operation);
    const finished = live(files, model).then(() => true);
    over = (await Promise.race([finished, files.stopped])) === true;
    for (let i = 0; i < SEEDS_PER_OPERATION; i++) {
      const seed = operation * 100 + i;
      const what = `operation ${operation} (${files.lastOperation}), seed ${seed}`;
      const random = new SeededRandom(seed);
      try {
        await checkDirectory(ended(files, random), model.clone(), random, what);
      } catch (error) {
        throw new Error(`${what}: ${messageOf(error)}`, { cause: error });
      }
    }
  }
  assert.ok(operation > 100, `${operation} operations`);
});

test('a crash or kill at any time, with operations that take their time', async () => {
  let latest = 0;
  for (let seed = 1; seed <= RANDOM_TIMES; seed++) {
    const random = new SeededRandom(seed);
    const scheduler = new Scheduler();
    const clock = new SimulatedClock(scheduler);
    const slow = random.chance(0.5);
    const latencyMs = (): number => (slow && random.chance(0.1) ? 20 : 0.1 + random.float());
    const files = new SimulatedFiles({ scheduler, random, latencyMs });
    const model = new Model();
    let failure: unknown;
    live(files, model, { clock }).catch((error: unknown) => {
      failure = error;
    });
    await scheduler.runFor(random.below(random.pick([50, 200, 600])));
    const what = `seed ${seed}, after ${scheduler.nowMs} ms (${files.lastOperation})`;
    assert.equal(failure, undefined, what);
    latest = Math.max(latest, model.acknowledged);
    try {
      const found = new SimulatedFiles({ disk: ended(files, random).disk });
      await checkDirectory(found, model, random, what);
    } catch (error) {
      throw new Error(`${what}: ${messageOf(error)}`, { cause: error });
    }
  }
  assert.ok(latest > 10, `${latest} entries at most`);
});
