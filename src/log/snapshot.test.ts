/** Snapshots and what they let go: written, read, kept, and the segments before them removed. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeSnapshotMeta } from '../format/index.ts';
import { Scheduler, SimulatedClock, SimulatedFiles } from '../simulation/index.ts';
import type { Entry } from '../raft/index.ts';
import type { Log } from './index.ts';
import {
  assertDamaged,
  assertEntries,
  configuration,
  DIRECTORY,
  entryOf,
  keepNothing,
  listDirectory,
  metaOf,
  newLog,
  openLog,
  readAll,
  readFile,
  readSnapshotOf,
  RecordingLogger,
  snapshotOf,
  writeFile,
} from './log.test.helpers.ts';

async function appendMany(log: Log, count: number, size = 8): Promise<void> {
  for (let i = 0; i < count; i++) await log.append([entryOf(log.lastIndex + 1, size)]);
}

/** Names without times. */
async function namesOf(files: SimulatedFiles): Promise<string[]> {
  const names = await listDirectory(files);
  return names.map(name => name.replace(/^(snapshot-\d+-\d+)-\d+/, '$1').replaceAll(/0{5,}/g, ''));
}

test('a snapshot is read back after a restart', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await appendMany(log, 5);
  const content = snapshotOf(1, 300);
  const { snapshot: none } = log;
  assert.equal(none, undefined);
  await log.writeSnapshot(metaOf(4), content, { entries: 100, bytes: 1e9 });
  assert.deepEqual([log.snapshot?.index, log.snapshot?.term], [4, 1]);
  assert.deepEqual(await readSnapshotOf(log), { name: 'db-1', pages: content.pages });
  await log.close();

  const again = await openLog(files);
  const { term, index, configurationIndex, configuration: stored } = again.snapshot!;
  assert.deepEqual([term, index, configurationIndex, stored], [1, 4, 1, configuration]);
  assert.deepEqual(await readSnapshotOf(again), { name: 'db-1', pages: content.pages });
  const state = await again.loadState();
  assert.deepEqual([state.snapshotIndex, state.snapshotTerm], [4, 1]);
  assert.deepEqual([state.log.firstIndex, state.log.lastIndex], [1, 6]);
});

test('the files of a snapshot are those of raft and disk spec section 5.8', async () => {
  const files = new SimulatedFiles();
  const clock = new SimulatedClock(new Scheduler());
  const log = await newLog(files, { clock });
  await log.writeSnapshot(metaOf(1), snapshotOf(1), keepNothing);
  const name = `snapshot-1-1-${clock.wallMs()}`;
  const meta = await readFile(files, `${name}.meta`);
  assert.deepEqual(decodeSnapshotMeta(meta), { configuration, configurationIndex: 1 });
  const data = await readFile(files, name);
  assert.equal(data.subarray(0, 6).toString('hex'), '04224d186c40');
  assert.equal(data.readBigUInt64LE(6), BigInt(snapshotOf(1).size));
});

test('the two newest snapshots are kept', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  for (let round = 0; round < 4; round++) {
    await appendMany(log, 2);
    await log.writeSnapshot(metaOf(log.lastIndex), snapshotOf(round), keepNothing);
  }
  assert.deepEqual(await namesOf(files), [
    'metadata1',
    'open-6',
    'snapshot-1-7',
    'snapshot-1-7.meta',
    'snapshot-1-9',
    'snapshot-1-9.meta',
  ]);
  const again = await reopened(log, files);
  assert.deepEqual([again.snapshot?.index, again.firstIndex, again.lastIndex], [9, 10, 9]);
  assert.equal((await readSnapshotOf(again)).name, 'db-3');
});

async function reopened(log: Log, files: SimulatedFiles): Promise<Log> {
  await log.close();
  return openLog(files);
}

test('entries before a snapshot stay by number and by bytes, in whole segments', async () => {
  // Segments: 1-1, then four entries of 1000 bytes each: 2-5, 6-9, 10-13, 14-17, and 18-19 in the active one.
  const firstKept = async (entries: number, bytes: number, index = 17): Promise<[kept: number, after: number]> => {
    const files = new SimulatedFiles();
    const log = await newLog(files, { segmentSize: 4300 });
    await appendMany(log, 18, 1000);
    await log.writeSnapshot(metaOf(index), snapshotOf(1), { entries, bytes });
    const kept = log.firstIndex;
    assertEntries(await readAll(log), await expectedFrom(kept, 19));
    const again = await reopened(log, files);
    assertEntries(await readAll(again), await expectedFrom(kept, 19));
    return [kept, again.firstIndex];
  };
  const expectedFrom = async (first: number, last: number): Promise<Entry[]> => {
    const [start] = await readAll(await newLog());
    return Array.from({ length: last - first + 1 }, (_, i) => (first + i === 1 ? start! : entryOf(first + i, 1000)));
  };
  assert.deepEqual(await firstKept(0, 1e9), [18, 18]);
  assert.deepEqual(await firstKept(1, 1e9), [14, 14]);
  assert.deepEqual(await firstKept(4, 1e9), [14, 14]);
  assert.deepEqual(await firstKept(5, 1e9), [10, 10]);
  assert.deepEqual(await firstKept(15, 1e9), [2, 2]);
  assert.deepEqual(await firstKept(16, 1e9), [2, 2]);
  assert.deepEqual(await firstKept(17, 1e9), [1, 1]);
  assert.deepEqual(await firstKept(1e9, 1e9), [1, 1]);
  assert.deepEqual(await firstKept(1e9, 0), [18, 18]);
  assert.deepEqual(await firstKept(1e9, 999), [18, 18]);
  assert.deepEqual(await firstKept(1e9, 1000), [14, 14]);
  assert.deepEqual(await firstKept(1e9, 4999), [14, 14]);
  assert.deepEqual(await firstKept(1e9, 5000), [10, 10]);
  assert.deepEqual(await firstKept(1, 1e9, 12), [10, 10], 'entries after the snapshot always stay');
  assert.deepEqual(await firstKept(0, 0, 13), [14, 14]);
});

test('a segment is closed before a snapshot of its entries is taken, also while appending goes on', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await appendMany(log, 10);
  const appending = log.append([entryOf(12, 8)]);
  await Promise.all([appending, log.writeSnapshot(metaOf(11), snapshotOf(1), keepNothing)]);
  await appendMany(log, 1);
  // A kill here: C dqlite and this log count the entries of an open segment on from what comes before it.
  assert.deepEqual(await namesOf(files), ['2-12', 'metadata1', 'open-3', 'snapshot-1-11', 'snapshot-1-11.meta']);
  const again = await openLog(files.snapshot());
  assert.deepEqual([again.firstIndex, again.lastIndex], [2, 13]);
  assertEntries(await again.readEntries(12, 13, Infinity), [entryOf(12, 8), entryOf(13, 8)]);
});

test('a snapshot that cannot be written leaves the one before and its segments', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await appendMany(log, 3);
  await log.writeSnapshot(metaOf(2), snapshotOf(1), keepNothing);
  const before = await listDirectory(files);
  const failing = {
    size: snapshotOf(2).size,
    *pieces() {
      yield* [...snapshotOf(2).pieces()].slice(0, 2);
      throw new Error('no more');
    },
  };
  await assert.rejects(log.writeSnapshot(metaOf(4), failing, keepNothing), /no more/);
  assert.deepEqual(await listDirectory(files), before);
  assert.equal(log.snapshot?.index, 2);
  const again = await reopened(log, files);
  assert.deepEqual([again.snapshot?.index, again.lastIndex], [2, 4]);
  assert.equal((await readSnapshotOf(again)).name, 'db-1');
});

test('halves of snapshots that an interrupted write or removal left are removed', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await appendMany(log, 3);
  await log.writeSnapshot(metaOf(3), snapshotOf(1), keepNothing);
  await log.close();
  const complete = await namesOf(files);
  const logger = new RecordingLogger();
  await writeFile(files, 'snapshot-1-2-5', Buffer.from('being removed'));
  await writeFile(files, 'snapshot-1-1-5.meta', Buffer.from('being removed'));
  await writeFile(files, 'snapshot-1-4-5.meta', Buffer.from('never finished'));
  await writeFile(files, 'tmp-snapshot-1-4-5', Buffer.from('never finished'));
  await writeFile(files, 'tmp-', Buffer.from('never finished'));
  const again = await openLog(files, { logger });
  assert.deepEqual(await namesOf(files), complete);
  assert.equal(again.snapshot?.index, 3);
  await again.close();
});

test('a snapshot whose .meta file is missing is damage, because older state must not be used silently', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await appendMany(log, 3);
  await log.writeSnapshot(metaOf(2), snapshotOf(1), keepNothing);
  await log.writeSnapshot(metaOf(4), snapshotOf(2), keepNothing);
  await log.close();
  const names = await files.list(DIRECTORY);
  await files.remove(
    files.join(
      DIRECTORY,
      names.find(name => /^snapshot-1-4.*meta$/.test(name))!,
    ),
  );
  await assertDamaged(openLog(files), /snapshot-1-4-\d+: its .meta file is missing; the state up to entry 4/);
});

test('segments that a snapshot has replaced are gone before an open segment counts on from it', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await appendMany(log, 9);
  await log.close();
  // As an InstallSnapshot leaves it that was interrupted: the snapshot is there, the old log still is.
  const other = new SimulatedFiles();
  const source = await newLog(other);
  await appendMany(source, 29);
  await source.writeSnapshot(metaOf(30), snapshotOf(3), keepNothing);
  const [data, meta] = (await other.list(DIRECTORY)).filter(name => name.startsWith('snapshot')).sort();
  for (const name of [data!, meta!]) await writeFile(files, name, await readFile(other, name));
  const open = Buffer.alloc(1024);
  await writeFile(files, 'open-7', open);

  const again = await openLog(files);
  assert.deepEqual([again.firstIndex, again.lastIndex], [31, 30]);
  assert.deepEqual((await namesOf(files)).slice(0, 2), ['1-1', '2-10'], 'they stay as long as nothing is appended');
  await again.append([entryOf(31, 8)]);
  assert.deepEqual((await namesOf(files)).slice(0, 2), ['metadata1', 'open-1']);
  await again.close();
  const third = await openLog(files);
  assert.deepEqual([third.firstIndex, third.lastIndex], [31, 31]);
});

test('an open segment with entries between old segments and a newer snapshot is damage', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await appendMany(log, 4);
  await log.close();
  const other = await newLog(new SimulatedFiles({ disk: files.disk }), { directory: '/other' });
  await other.append([entryOf(2, 8)]);
  const open = await readFile(files, 'open-2', '/other');
  await writeFile(files, 'open-1', open);
  const name = 'snapshot-1-30-5';
  await writeFile(files, name, Buffer.from('not read here'));
  const source = new SimulatedFiles();
  const third = await newLog(source);
  await third.writeSnapshot(metaOf(1), snapshotOf(1), keepNothing);
  const meta = (await source.list(DIRECTORY)).find(other => other.endsWith('.meta'))!;
  await writeFile(files, `${name}.meta`, await readFile(source, meta));
  await assertDamaged(
    openLog(files),
    /open-1: a snapshot tells of entries up to 30, but what is before this segment ends at 5/,
  );
});

test('any sequence of appends, snapshots, restarts and kills', async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 6 }) },
    { weight: 2, arbitrary: fc.record({ back: fc.nat(10), entries: fc.nat(20), bytes: fc.nat(4000) }) },
    { weight: 1, arbitrary: fc.constantFrom('restart', 'kill') },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.integer({ min: 200, max: 2000 }), async (steps, size) => {
      let files = new SimulatedFiles();
      let log = await newLog(files, { segmentSize: size });
      const appended: (Entry | undefined)[] = [undefined, ...(await readAll(log))];
      let snapshotIndex = 0;
      for (const step of [...steps, 'kill', 'restart'] as const) {
        if (typeof step === 'number') {
          const batch = Array.from({ length: step }, (_, i) => entryOf(appended.length + i, 8 * step * step));
          await log.append(batch);
          appended.push(...batch);
        } else if (typeof step === 'object') {
          const index = Math.max(snapshotIndex, log.lastIndex - step.back, 1);
          const retention = { entries: step.entries, bytes: step.bytes };
          await log.writeSnapshot(metaOf(index), snapshotOf(index, 1), retention);
          snapshotIndex = index;
        } else {
          if (step === 'restart') await log.close();
          else files = files.snapshot();
          log = await openLog(files, { segmentSize: size });
        }
        assert.equal(log.lastIndex, appended.length - 1);
        assert.ok(log.firstIndex <= snapshotIndex + 1);
        assertEntries(await readAll(log), appended.slice(log.firstIndex) as Entry[]);
        if (snapshotIndex > 0) assert.equal((await readSnapshotOf(log)).name, `db-${snapshotIndex}`);
      }
    }),
    { numRuns: 100 },
  );
});
