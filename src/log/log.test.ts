/** The durable log on a healthy disk. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { encodeBatchHeader, encodeSegmentHeader, OPEN_SEGMENT_SIZE } from '../format/index.ts';
import { DqliteError } from '../lib/errors.ts';
import { encodeConfiguration, type Configuration, type Entry } from '../raft/index.ts';
import { Scheduler, SimulatedClock, SimulatedFiles } from '../simulation/index.ts';
import {
  assertDamaged,
  assertEntries,
  configuration,
  DIRECTORY,
  entriesOf,
  entryOf,
  listDirectory,
  newLog,
  openLog,
  readAll,
  readFile,
  writeFile,
} from './log.test.helpers.ts';

const MIB = 1024 * 1024;
const firstEntry: Entry = { term: 1, type: 'change', data: encodeConfiguration(configuration) };

function segmentBytes(batches: readonly (readonly Entry[])[]): Buffer {
  const pieces: Uint8Array[] = [encodeSegmentHeader()];
  for (const batch of batches) pieces.push(encodeBatchHeader(batch), ...batch.map(entry => entry.data));
  return Buffer.concat(pieces);
}

function closedName(first: number, last: number): string {
  return `${String(first).padStart(16, '0')}-${String(last).padStart(16, '0')}`;
}

test('bootstrap writes the bytes of raft and disk spec sections 5.5 and 8.11', async () => {
  const files = new SimulatedFiles();
  const log = await openLog(files);
  assert.ok(log.isNew);
  assert.deepEqual([log.firstIndex, log.lastIndex, log.term], [1, 0, 0]);
  const server = { id: 0x2dc171858c3155ben, address: '127.0.0.1:29001', role: 'voter' } as const;
  await log.bootstrap({ servers: [server] });
  assert.ok(!log.isNew);
  assert.deepEqual([log.firstIndex, log.lastIndex, log.term], [1, 1, 1]);
  await log.close();
  assert.deepEqual(await listDirectory(files), [closedName(1, 1), 'metadata1']);
  const words = ['0100000000000000', '0100000000000000', '0100000000000000', '0000000000000000'];
  assert.equal((await readFile(files, 'metadata1')).toString('hex'), words.join(''));
  const segment = await readFile(files, closedName(1, 1));
  assert.equal(segment.length, 80);
  // C's padding holds garbage (31), ours zeros; hence other checksums.
  assert.equal(
    segment.subarray(16).toString('hex'),
    '0100000000000000' +
      '01000000000000000300000028000000' +
      '010100000000000000be55318c8571c12d3132372e302e302e313a3239303031000100' +
      '0000000000',
  );
  assert.deepEqual(segment, segmentBytes([[{ ...firstEntry, data: encodeConfiguration({ servers: [server] }) }]]));
});

test('bootstrap needs a directory in which nothing was stored', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await assert.rejects(log.bootstrap(configuration), /only a new directory/);
  await log.close();
  const voted = await openLog(new SimulatedFiles());
  await voted.storeTermAndVote(1, 2n);
  assert.ok(!voted.isNew);
});

test('an interrupted bootstrap can be done again', async () => {
  const files = new SimulatedFiles();
  const first = await openLog(files);
  await first.storeTermAndVote(1, undefined);
  await first.close();
  const log = await openLog(files);
  assert.ok(log.isNew);
  await log.bootstrap(configuration);
  assertEntries(await readAll(log), [firstEntry]);
});

test('entries are there after a clean close, and no open segment', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  const entries = entriesOf(2, [8, 0, 4096, 24]);
  await log.append(entries.slice(0, 1));
  await log.append(entries.slice(1));
  assert.equal(log.lastIndex, 5);
  assertEntries(await readAll(log), [firstEntry, ...entries]);
  await log.close();
  assert.deepEqual(await listDirectory(files), [closedName(1, 1), closedName(2, 5), 'metadata1']);
  const bytes = await readFile(files, closedName(2, 5));
  assert.deepEqual(bytes, segmentBytes([entries.slice(0, 1), entries.slice(1)]), 'it ends at its last batch');

  const again = await openLog(files);
  assert.equal(again.lastIndex, 5);
  assertEntries(await readAll(again), [firstEntry, ...entries]);
  await again.append([entryOf(6, 16)]);
  assertEntries(await again.readEntries(5, 6, Infinity), [entries[3]!, entryOf(6, 16)]);
  await again.close();
});

test('a log that nothing was appended to leaves nothing behind', async () => {
  const files = new SimulatedFiles();
  await (await newLog(files)).close();
  for (let round = 0; round < 3; round++) await (await openLog(files)).close();
  assert.deepEqual(await listDirectory(files), [closedName(1, 1), 'metadata1']);
});

test('an append begins after the turn of its caller, and asks whether it may block when there is something to write', async () => {
  const log = await newLog(new SimulatedFiles());
  const { term, type, data } = entryOf(2, 8);
  const events: string[] = [];
  const entry: Entry = {
    term,
    type,
    get data() {
      events.push('read');
      return data;
    },
  };
  const done = log.append([entry], () => events.push('asked') > 0);
  assert.deepEqual(events, [], 'the caller sends the entry first');
  await done;
  assert.equal(events[0], 'read');
  assert.equal(events.filter(event => event === 'asked').length, 1);
  await log.close();
});

test('zeros follow the last batch of an open segment, at least 16 bytes', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  const step = 256 * 1024;
  // The second batch ends 8 bytes before the end of the allocated part, the third begins beyond it.
  const sizes = [1000, step - 8 - (32 + 1000) - 32 - 8, 40];
  const batches: Entry[][] = [];
  for (const [position, size] of sizes.entries()) {
    batches.push([entryOf(position, size)]);
    await log.append(batches[position]!);
    const bytes = await readFile(files, 'open-2');
    const used = segmentBytes(batches);
    assert.deepEqual(bytes.subarray(0, used.length), used);
    assert.ok(bytes.length >= used.length + 16, 'C dqlite can look for another batch');
    assert.ok(bytes.length < used.length + 16 + step);
    assert.ok(
      bytes.subarray(used.length).every(byte => byte === 0),
      'only zeros follow',
    );
  }
});

test('the segment after one that is being filled is allocated as a whole before it is needed', async () => {
  const files = new SimulatedFiles();
  const scheduler = new Scheduler();
  const log = await newLog(files, { clock: new SimulatedClock(scheduler) });
  await log.append([entryOf(2, 4 * MIB)]);
  const isWhole = async (): Promise<boolean> => (await readFile(files, 'open-3')).length === OPEN_SEGMENT_SIZE + 16;
  for (let turn = 0; turn < 1000 && !(await isWhole()); turn++) await setImmediate();
  // Fills the rest of the first one exactly, and the second one as well.
  await log.append([entryOf(3, 4 * MIB - 8 - 2 * 32)]);
  await scheduler.run(log.append([entryOf(4, OPEN_SEGMENT_SIZE - 8 - 32)]));
  assert.ok(await isWhole(), 'a batch needed no more space');
  await log.close();
  const names = [closedName(1, 1), closedName(2, 3), closedName(4, 4), 'metadata1'];
  assert.deepEqual(await listDirectory(files), names);
});

test('segments are filled up to 8 MiB and closed at their last batch', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  const entries: Entry[] = [firstEntry];
  const append = async (size: number): Promise<void> => {
    entries.push(entryOf(entries.length, size));
    await log.append(entries.slice(-1));
  };
  // The third batch of the first segment ends at 8 MiB exactly.
  await append(4 * MIB - 32 - 8);
  await append(2 * MIB - 32);
  await append(2 * MIB - 32);
  await append(8);
  await log.close();
  assert.deepEqual(await listDirectory(files), [closedName(1, 1), closedName(2, 4), closedName(5, 5), 'metadata1']);
  assert.equal((await readFile(files, closedName(2, 4))).length, OPEN_SEGMENT_SIZE);
  assertEntries(await readAll(await openLog(files)), entries);
});

test('a batch that is too large for a segment gets one of its own', async () => {
  const files = new SimulatedFiles();
  const scheduler = new Scheduler();
  const log = await newLog(files, { clock: new SimulatedClock(scheduler) });
  const entries = [firstEntry, ...entriesOf(2, [8, 5 * MIB, 4 * MIB, 8])];
  await log.append(entries.slice(1, 2));
  // Its checksum is computed in slices, which leave time for other work.
  await scheduler.run(log.append(entries.slice(2, 4)));
  assert.ok(scheduler.eventCount >= 2, 'the log has yielded');
  await log.append(entries.slice(4));
  assertEntries(await readAll(log), entries);
  await log.close();
  const names = [closedName(1, 1), closedName(2, 2), closedName(3, 4), closedName(5, 5), 'metadata1'];
  assert.deepEqual(await listDirectory(files), names);
  assertEntries(await readAll(await openLog(files)), entries);
});

test('entries are read across segments, at least one and at most as many as fit', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files, { segmentSize: 4096 });
  const entries = entriesOf(2, [1000, 1000, 1000, 1000, 1000, 3000, 2000, 1000]);
  for (const entry of entries) await log.append([entry]);
  for (const opened of [log, await reopened(log, files)]) {
    assertEntries(await opened.readEntries(2, 9, Infinity), entries);
    assertEntries(await opened.readEntries(4, 8, 3000), entries.slice(2, 5));
    assertEntries(await opened.readEntries(4, 8, 3999), entries.slice(2, 5), 'not more than fit');
    assertEntries(await opened.readEntries(7, 9, 10), entries.slice(5, 6), 'one however large');
    assertEntries(await opened.readEntries(7, 7, 1e9), entries.slice(5, 6));
    assert.deepEqual(await opened.readEntries(8, 7, 1e9), []);
  }
});

async function reopened(log: { close(): Promise<void> }, files: SimulatedFiles): ReturnType<typeof openLog> {
  await log.close();
  return openLog(files, { segmentSize: 4096 });
}

test('several reads and appends at once', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files, { segmentSize: 2048 });
  const entries: Entry[] = [];
  const reads: Promise<void>[] = [];
  for (let number = 0; number < 40; number++) {
    entries.push(entryOf(number, 8 * (number % 60)));
    await log.append(entries.slice(-1));
    const first = (number * 7) % (number + 1);
    const expected = entries.slice(first);
    reads.push(
      log.readEntries(2 + first, log.lastIndex, Infinity).then(actual => {
        assertEntries(actual, expected);
      }),
    );
  }
  await Promise.all(reads);
});

test('entries read back are checked', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await log.append(entriesOf(2, [100 * 8]));
  await log.append(entriesOf(3, [100 * 8, 8]));
  await log.close();
  const again = await openLog(files);
  const name = closedName(2, 4);
  const bytes = await readFile(files, name);
  bytes[8 + 32 + 800 + 48 + 400]! ^= 1;
  await writeFile(files, name, bytes);
  assertEntries(await again.readEntries(2, 2, 1), entriesOf(2, [800]), 'another batch');
  await assertDamaged(again.readEntries(3, 3, 1), /0000000000000002-0000000000000004 at offset 840: .*entries 3 to 4/);
  await assertDamaged(again.readEntries(4, 4, 1), /offset 840/);
  await again.close();
  await assertDamaged(
    openLog(files),
    /0000000000000002-0000000000000004 at offset 840: wrong data checksum; entries 3 to 4/,
  );
});

test('a segment that was removed under a running log is damage', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await files.remove(files.join(DIRECTORY, closedName(1, 1)));
  await assertDamaged(log.readEntries(1, 1, 1), /0000000000000001-0000000000000001 at offset 0: the file is gone/);
});

test('terms and votes that come while another is being written follow it', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await Promise.all([3, 4, 5].map(term => log.storeTermAndVote(term, BigInt(term))));
  void log.storeTermAndVote(6, undefined);
  await log.close();
  assert.equal((await openLog(files)).term, 6);
});

test('term and vote alternate between two files', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await log.storeTermAndVote(2, undefined);
  await log.storeTermAndVote(2, 0xffff_ffff_ffff_ffffn);
  assert.equal(log.term, 2);
  await log.close();
  const words = async (name: string): Promise<bigint[]> => [
    ...new BigUint64Array(Uint8Array.from(await readFile(files, name)).buffer),
  ];
  assert.deepEqual(await words('metadata1'), [1n, 3n, 2n, 0xffff_ffff_ffff_ffffn]);
  assert.deepEqual(await words('metadata2'), [1n, 2n, 2n, 0n]);
  const again = await openLog(files);
  const state = await again.loadState();
  assert.deepEqual([state.term, state.votedFor], [2, 0xffff_ffff_ffff_ffffn]);
  await again.storeTermAndVote(3, undefined);
  await again.close();
  const third = await (await openLog(files)).loadState();
  assert.deepEqual([third.term, third.votedFor], [3, undefined]);
});

test('the state to start from: terms, and the last two configurations', async () => {
  const files = new SimulatedFiles();
  let log = await newLog(files);
  const two: Configuration = { servers: [...configuration.servers, { id: 2n, address: 'b:1', role: 'spare' }] };
  const three: Configuration = { servers: [...two.servers, { id: 3n, address: 'c:1', role: 'standby' }] };
  const state = async (): Promise<unknown> => {
    log = await reopened(log, files);
    const loaded = await log.loadState();
    return [
      [loaded.committedConfiguration, loaded.committedConfigurationIndex],
      [loaded.uncommittedConfiguration, loaded.uncommittedConfigurationIndex],
    ];
  };
  const change = ({ servers }: Configuration): Entry => ({
    term: 3,
    type: 'change',
    data: encodeConfiguration({ servers }),
  });
  assert.deepEqual(await state(), [
    [configuration, 1],
    [undefined, 0],
  ]);
  await log.storeTermAndVote(3, 1n);
  await log.append([entryOf(2, 8, 2, 'barrier'), change(two)]);
  assert.deepEqual(await state(), [
    [configuration, 1],
    [two, 3],
  ]);
  await log.append([change(three), entryOf(5, 8, 3)]);
  assert.deepEqual(await state(), [
    [two, 3],
    [three, 4],
  ]);
  const { log: terms, snapshotIndex, snapshotTerm } = await log.loadState();
  assert.deepEqual([terms.firstIndex, terms.lastIndex, snapshotIndex, snapshotTerm], [1, 5, 0, 0]);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6].map(index => terms.termAt(index)),
    [0, 1, 2, 3, 3, 3, undefined],
  );
});

test('a configuration that cannot be decoded is damage', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await log.append([entryOf(7, 40, 1, 'change')]);
  await log.close();
  const again = await openLog(files);
  await assertDamaged(again.loadState(), /0000000000000002-0000000000000002 at offset 40: .*entry 2, a cluster/);
});

test('one process at a time', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  const isLocked = (error: unknown): boolean => error instanceof DqliteError && error.code === 'LOCKED';
  await assert.rejects(openLog(files), isLocked);
  await log.close();
  await (await openLog(files)).close();
});

test('one append at a time', async () => {
  const log = await newLog();
  const first = log.append([entryOf(2, 8)]);
  assert.throws(() => log.append([entryOf(3, 8)]), /one append at a time/);
  await first;
  await log.append([entryOf(3, 8)]);
});

test('a close during an append waits for it', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  const appending = log.append([entryOf(2, 8)]);
  await log.close();
  await appending;
  assert.deepEqual(await listDirectory(files), [closedName(1, 1), closedName(2, 2), 'metadata1']);
});

test('any sequence of batches, restarts and sizes gives the same log', async () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.array(fc.nat(700), { minLength: 1, maxLength: 5 }) },
    { weight: 1, arbitrary: fc.constant('restart' as const) },
    { weight: 1, arbitrary: fc.constant('read' as const) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 30 }),
      fc.integer({ min: 100, max: 5000 }),
      async (steps, segmentSize) => {
        const files = new SimulatedFiles();
        let log = await newLog(files, { segmentSize });
        const expected: Entry[] = [firstEntry];
        for (const step of [...steps, 'restart', 'read'] as const) {
          if (step === 'restart') {
            await log.close();
            log = await openLog(files, { segmentSize });
          } else if (step === 'read') {
            assertEntries(await readAll(log), expected);
          } else {
            const batch = entriesOf(
              expected.length,
              step.map(words => words * 8),
            );
            await log.append(batch);
            expected.push(...batch);
          }
        }
        await log.close();
        const names = await listDirectory(files);
        assert.ok(
          names.every(name => !name.startsWith('open-')),
          'no open segment remains',
        );
      },
    ),
    { numRuns: 60 },
  );
});
