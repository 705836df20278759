/**
 * Crashes at every moment: the process or the machine ends at operations of a log's life, in several ways each,
 * and the directory is looked at. A failure names the operation and the seed. CRASH_TIMES multiplies the outcomes, and
 * then every operation is tried.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf } from '../lib/errors.ts';
import { SeededRandom } from '../lib/random.ts';
import { Scheduler, SimulatedClock, SimulatedFiles } from '../simulation/index.ts';
import {
  assertEntries,
  backgroundDone,
  entryOf,
  keepNothing,
  listDirectory,
  metaOf,
  newLog,
  openLog,
  readAll,
  snapshotOf,
} from './log.test.helpers.ts';
import { checkDirectory, ended, life, live, Model, randomLife, sample } from './scenario.test.helpers.ts';

const TIMES = Number(process.env['CRASH_TIMES'] ?? 1);
/** Operations whose effects can survive in many combinations are tried more often. */
const MANY_SEEDS = 3 * TIMES;
const FEW_SEEDS = TIMES;
const MANY_OUTCOMES = /^(?:create|rename|remove|syncDirectory)/;
/** Every how manieth operation is tried. */
const STRIDE = TIMES === 1 ? 3 : 1;
const RANDOM_TIMES = 40 * TIMES;
/** Of each operation of a short piece of work. */
const SWEEP_SEEDS = 4 * TIMES;

test(`a crash or kill at one of ${STRIDE} operations and one of each kind`, async () => {
  const isTried = await sample(STRIDE);
  let operation = 0;
  for (let over = false; !over;) {
    operation++;
    if (!isTried(operation)) continue;
    const files = new SimulatedFiles();
    const model = new Model();
    files.stopAt(operation);
    const finished = live(files, model).then(() => true);
    over = (await Promise.race([finished, files.stopped])) === true;
    const seeds = MANY_OUTCOMES.test(files.lastOperation) ? MANY_SEEDS : FEW_SEEDS;
    for (let i = 0; i < seeds; i++) {
      const seed = operation * 1000 + i;
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
    live(files, model, random.chance(0.3) ? life : randomLife(random), { clock }).catch((error: unknown) => {
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

/** Stops at every operation of some work on copies of a directory, each time with several outcomes. */
async function sweepWork(
  start: SimulatedFiles,
  work: (files: SimulatedFiles) => Promise<unknown>,
  check: (files: SimulatedFiles, what: string, random: SeededRandom) => Promise<void>,
  seeds = SWEEP_SEEDS,
): Promise<void> {
  for (let operation = 1, over = false; !over; operation++) {
    const files = start.snapshot();
    files.stopAt(operation);
    const finished = work(files).then(() => true);
    over = (await Promise.race([finished, files.stopped])) === true;
    for (let i = 0; i < seeds; i++) {
      const seed = operation * 1000 + i;
      const what = `operation ${operation} (${files.lastOperation}), seed ${seed}`;
      const random = new SeededRandom(seed);
      try {
        await check(ended(files, random), what, random);
      } catch (error) {
        throw new Error(`${what}: ${messageOf(error)}`, { cause: error });
      }
    }
  }
}

test('a crash while a start closes several open segments', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files, { segmentSize: 512 });
  files.inject({ code: 'EIO', at: 1, kinds: ['rename'] });
  for (let i = 2; i <= 5; i++) await log.append([entryOf(i, 400)]);
  await backgroundDone();
  const expected = await readAll(log);
  assert.deepEqual((await listDirectory(files)).slice(2), ['open-2', 'open-3', 'open-4', 'open-5', 'open-6']);
  await sweepWork(files, openLog, async (found, what) => {
    assertEntries(await readAll(await openLog(found)), expected, what);
  });
});

test('a crash while a snapshot lets all segments go that are closed', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files, { segmentSize: 512 });
  for (let i = 2; i <= 6; i++) await log.append([entryOf(i, 400)]);
  await log.close();
  const work = async (running: SimulatedFiles): Promise<void> => {
    const again = await openLog(running, { segmentSize: 512 });
    const taken = again.writeSnapshot(metaOf(6), snapshotOf(6, 1), keepNothing);
    await again.append([entryOf(7, 8)]);
    await taken;
  };
  await sweepWork(files, work, async (found, what) => {
    const after = await openLog(found);
    assert.ok(after.firstIndex <= (after.snapshot?.index ?? 0) + 1, what);
    assert.ok(after.lastIndex === 6 || after.lastIndex === 7, `${what}: ${after.lastIndex}`);
    if (after.lastIndex === 7) assertEntries(await after.readEntries(7, 7, 1), [entryOf(7, 8)], what);
  });
});

test('a crash while votes are stored: a vote that was seen is not taken back', async () => {
  const files = new SimulatedFiles();
  await (await newLog(files)).close();
  const work = async (running: SimulatedFiles): Promise<void> => {
    const log = await openLog(running);
    for (let term = 2; term < 5; term++) await log.storeTermAndVote(term, BigInt(term));
  };
  await sweepWork(
    files,
    work,
    async (found, what, random) => {
      const { term, votedFor } = await (await openLog(found)).loadState();
      const after = await (await openLog(found.crash(random))).loadState();
      assert.deepEqual([after.term, after.votedFor], [term, votedFor], what);
    },
    4 * SWEEP_SEEDS,
  );
});
