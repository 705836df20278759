/**
 * Faults of the disk at every operation of a log's life: full, or failing, once or from then on. Nothing that was
 * acknowledged is lost, a full disk is got over once there is space, and whatever fails leaves a directory that can
 * be used. A failure names the operation, which is the seed too. Every FAULT_STRIDEth operation is tried, beginning
 * somewhere else each time, and the first of each kind.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileError, type Logger } from '../host/types.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import { SeededRandom } from '../lib/random.ts';
import { needsSpace, SimulatedFiles, type Fault } from '../simulation/index.ts';
import type { Log } from './index.ts';
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
  RecordingLogger,
  snapshotOf,
} from './log.test.helpers.ts';
import { checkAgain, checkDirectory, ended, life, Model, sample, SEGMENT_SIZE } from './scenario.test.helpers.ts';

type Code = Fault['code'];

const STRIDE = Number(process.env['FAULT_STRIDE'] ?? 4);
/** A fault that stays shows much the same at one operation as at the next. */
const REPEATED_STRIDE = 2 * STRIDE;

/** The code of an error that a fault caused; any other error is a defect. */
function codeOf(error: unknown): Code {
  const cause = error instanceof DqliteError && error.code === 'IO' ? error.cause : error;
  if (cause instanceof FileError && (cause.code === 'ENOSPC' || cause.code === 'EIO')) return cause.code;
  if (cause === undefined && error instanceof DqliteError) return 'EIO';
  throw error;
}

/** Opens a log; a failure must leave the directory such that the next attempt succeeds. */
async function openHealed(files: SimulatedFiles, model: Model, logger: Logger): Promise<Log> {
  try {
    return await openLog(files, { segmentSize: SEGMENT_SIZE, logger });
  } catch (error) {
    assert.ok(error instanceof DqliteError && error.code === 'IO', String(error));
    codeOf(error);
    files.heal();
    const log = await openLog(files, { segmentSize: SEGMENT_SIZE, logger });
    if (model.acknowledged > 0) await model.check(log, 'after an open that failed');
    return log;
  }
}

/** As the owner of a log lives with faults. Gives the log, or undefined if nothing can be written any more. */
async function liveWithFaults(
  files: SimulatedFiles,
  model: Model,
  logger: Logger = new RecordingLogger(),
): Promise<Log | undefined> {
  let log = await openHealed(files, model, logger);
  for (let position = 0; position < life.length; position++) {
    try {
      await life[position]!(log, model);
    } catch (error) {
      const code = codeOf(error);
      if (position === 0) {
        // A node that cannot found its cluster does not start.
        await log.close().catch(codeOf);
        files.heal();
        model.appendFailed = false;
        log = await openLog(files, { segmentSize: SEGMENT_SIZE, logger });
        await model.check(log, 'after a bootstrap that failed');
        if (!log.isNew) continue;
      } else if (code === 'ENOSPC') {
        files.heal();
        await model.recover(log);
      } else {
        if (model.appendFailed || model.stored !== model.storing) {
          await log.close().catch(codeOf);
          return undefined;
        }
        // A snapshot that failed is left out.
        continue;
      }
      position--;
    }
  }
  return log;
}

async function sweep(code: Code, repeat: boolean): Promise<void> {
  const stride = repeat ? REPEATED_STRIDE : STRIDE;
  const isTried = await sample(stride, kind => code !== 'ENOSPC' || needsSpace(kind));
  let operation = 0;
  let stopped = 0;
  for (let reached = true; reached;) {
    operation++;
    if (!isTried(operation)) continue;
    const files = new SimulatedFiles({ random: new SeededRandom(operation) });
    const model = new Model();
    files.inject({ code, at: operation, repeat });
    const what = `${code} at operation ${operation}${repeat ? ' and later' : ''}`;
    try {
      const logger = new RecordingLogger();
      const log = await liveWithFaults(files, model, logger);
      reached = files.failureCount > 0;
      // A segment whose sync has failed stays as it is until the next start, and a truncation needs it closed.
      if (log === undefined && !logger.lines.some(line => line.includes('could not be closed'))) stopped++;
      const random = new SeededRandom(operation);
      await checkDirectory(ended(files.snapshot(), random), model.clone(), random, what);
      await log?.close().catch(codeOf);
      if (code === 'ENOSPC' && logger.lines.length === 0) {
        const names = await listDirectory(files);
        assert.ok(!names.some(name => name.startsWith('open-')), `left by a clean close: ${names.join()}`);
      }
      files.heal();
      await checkAgain(files, model, `${what}, no crash`);
    } catch (error) {
      throw new Error(`${what}: ${messageOf(error)}`, { cause: error });
    }
  }
  assert.ok(operation > 60, `${operation} operations`);
  if (code === 'ENOSPC') assert.equal(stopped, 0, 'a full disk is got over');
}

for (const code of ['ENOSPC', 'EIO'] as const) {
  test(`${code} once, at one of ${STRIDE} operations and one of each kind`, () => sweep(code, false));
  test(`${code} from one of ${REPEATED_STRIDE} operations on`, () => sweep(code, true));
}

test('a disk of any capacity: what was acknowledged is there', async () => {
  for (let capacity = 0; capacity < 20_000; capacity += 700) {
    const files = new SimulatedFiles();
    files.disk.capacity = capacity;
    const model = new Model();
    const log = await liveWithFaults(files, model);
    assert.ok(log !== undefined);
    await log.close();
    await checkAgain(files, model, `capacity ${capacity}`);
  }
});

test('a batch whose sync failed is written again by the next process that finds it', async () => {
  let found = 0;
  for (let seed = 0; seed < 40; seed++) {
    const files = new SimulatedFiles({ random: new SeededRandom(seed) });
    const log = await newLog(files);
    await log.append([entryOf(2, 40)]);
    files.inject({ code: 'EIO', at: 1, kinds: ['write'] });
    await assert.rejects(log.append([entryOf(3, 40)]), FileError);
    const second = files.kill(new SeededRandom(seed));
    const again = await openLog(second);
    if (again.lastIndex === 2) continue;
    found++;
    const third = await openLog(second.crash(new SeededRandom(seed)));
    assertEntries(await third.readEntries(3, 3, 1), [entryOf(3, 40)], `seed ${seed}`);
  }
  assert.ok(found > 5, `${found}`);
});

test('a batch that a full disk refused does not come back, also if only the zeros after it did not fit', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const files = new SimulatedFiles({ random: new SeededRandom(seed) });
    const log = await newLog(files);
    await log.append([entryOf(2, 40)]);
    // Nearly fills what is allocated: the next one brings zeros along.
    await log.append([entryOf(3, 261_000)]);
    files.disk.capacity = files.disk.usedBytes + 200_000;
    await assert.rejects(log.append([entryOf(4, 2000)]), FileError);
    assert.ok(log.isRepaired);
    const again = await openLog(ended(files, new SeededRandom(seed)));
    assert.equal(again.lastIndex, 3, `seed ${seed}`);
  }
});

test('what cannot be repaired is not gone on with', async () => {
  const files = new SimulatedFiles({ random: new SeededRandom(3) });
  const log = await newLog(files);
  files.inject({ code: 'ENOSPC', at: 2, kinds: ['write'] });
  await assert.rejects(log.append([entryOf(2, 2000)]), FileError);
  assert.ok(log.isRepaired);
  assert.throws(() => log.append([entryOf(2, 8)]), /an append has failed/);
  await assert.rejects(log.writeSnapshot(metaOf(2), snapshotOf(1), keepNothing), /entries that are on disk/);
  files.inject({ code: 'EIO', at: 1, kinds: ['truncate'] });
  await assert.rejects(log.recover(), FileError);
  assert.throws(() => log.append([entryOf(2, 8)]), /an append has failed/);
  await log.recover();
  await log.append([entryOf(2, 8)]);
  await log.close();
  assertEntries((await readAll(await openLog(files))).slice(1), [entryOf(2, 8)]);
});

test('a segment whose sync failed stays open, and so do those after it, until the next start', async () => {
  const files = new SimulatedFiles();
  const logger = new RecordingLogger();
  const log = await newLog(files, { segmentSize: 512, logger });
  await log.append([entryOf(2, 400)]);
  files.inject({ code: 'EIO', at: 1, kinds: ['sync'] });
  for (let i = 3; i <= 6; i++) await log.append([entryOf(i, 400)]);
  await backgroundDone();
  // The last one is prepared only.
  const open = ['open-2', 'open-3', 'open-4', 'open-5', 'open-6', 'open-7'];
  assert.deepEqual((await listDirectory(files)).slice(2), open);
  assert.equal(logger.lines.length, 1);
  const snapshot = log.writeSnapshot(metaOf(5), snapshotOf(1), keepNothing);
  await assert.rejects(snapshot, /open-2 could not be closed/);
  assertEntries(
    (await readAll(log)).slice(1),
    [2, 3, 4, 5, 6].map(i => entryOf(i, 400)),
  );
  await log.close();
  const again = await openLog(files);
  await again.writeSnapshot(metaOf(5), snapshotOf(1), keepNothing);
  assertEntries(await readAll(again), [entryOf(6, 400)]);
});

test('a segment that could not be closed on a full disk is closed once there is space', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files, { segmentSize: 512 });
  files.inject({ code: 'ENOSPC', at: 1, kinds: ['rename'] });
  for (let i = 2; i <= 3; i++) await log.append([entryOf(i, 400)]);
  await backgroundDone();
  assert.ok((await listDirectory(files)).includes('open-2'));
  await log.writeSnapshot(metaOf(3), snapshotOf(1), { entries: 100, bytes: 1e9 });
  assert.ok(!(await listDirectory(files)).includes('open-2'));
  await log.close();
});

test('old files that cannot be removed do no harm', async () => {
  const files = new SimulatedFiles();
  const logger = new RecordingLogger();
  const log = await newLog(files, { segmentSize: 512, logger });
  for (let i = 2; i <= 5; i++) await log.append([entryOf(i, 400)]);
  files.inject({ code: 'EIO', at: 1, kinds: ['remove'], repeat: true });
  for (const index of [2, 4, 5]) await log.writeSnapshot(metaOf(index), snapshotOf(index), keepNothing);
  assert.ok(logger.lines.length > 0 && logger.lines.every(line => line.startsWith('warn')), logger.lines.join());
  await log.append([entryOf(6, 8)]);
  files.heal();
  const again = await openLog(files.snapshot());
  assert.equal(again.snapshot?.index, 5);
  assertEntries(await again.readEntries(6, 6, 1), [entryOf(6, 8)]);
  await log.writeSnapshot(metaOf(6), snapshotOf(6), keepNothing);
  await log.close();
  const names = await listDirectory(files);
  assert.equal(names.filter(name => name.startsWith('snapshot')).length, 4, names.join());
  assert.equal(names.filter(name => /^\d/.test(name)).length, 0, names.join());
});

test('an open that fails says why and leaves the directory free', async () => {
  const files = new SimulatedFiles();
  await (await newLog(files)).close();
  files.inject({ code: 'EIO', at: 1, kinds: ['read'] });
  await assert.rejects(openLog(files), (error: unknown) => {
    assert.ok(error instanceof DqliteError && error.code === 'IO', String(error));
    assert.match(error.message, /^\/data cannot be opened: \/data\/.*input\/output error/);
    return true;
  });
  await (await openLog(files)).close();
});
