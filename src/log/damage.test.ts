/**
 * Damaged directories: whatever is flipped, cut off or added, either the log refuses to open, says which file it is
 * about and changes nothing; or all is there that was acknowledged, except what looks like a write that was under
 * way when the power failed: then it says so and keeps the bytes.
 */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { DqliteError } from '../lib/errors.ts';
import { SeededRandom } from '../lib/random.ts';
import type { Entry } from '../raft/index.ts';
import { SimulatedFiles } from '../simulation/index.ts';
import type { Log } from './index.ts';
import {
  assertDamaged,
  assertEntries,
  backgroundDone,
  contentsOf,
  DIRECTORY,
  entryOf,
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

/** A process that was killed: two snapshots, closed segments before and after them, an open one with three batches. */
interface Example {
  readonly files: SimulatedFiles;
  readonly first: number;
  readonly entries: readonly Entry[];
  /** Where the batches of the open segment begin, and where the last one ends. */
  readonly openBatches: readonly number[];
  readonly openName: string;
}

const SEGMENT_SIZE = 1024;
let example: Example;

before(async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files, { segmentSize: SEGMENT_SIZE });
  const append = async (...sizes: number[]): Promise<void> => {
    await log.append(sizes.map((size, i) => entryOf(log.lastIndex + 1 + i, size)));
  };
  for (let i = 0; i < 8; i++) await append(96);
  await log.writeSnapshot(metaOf(4), snapshotOf(1, 1), { entries: 3, bytes: 1e9 });
  await log.storeTermAndVote(2, 3n);
  await log.writeSnapshot(metaOf(8), snapshotOf(2, 1), { entries: 3, bytes: 1e9 });
  for (let i = 0; i < 14; i++) await append(96);
  await log.storeTermAndVote(3, undefined);
  await append(8, 24);
  await append(40);
  await backgroundDone();
  const openName = (await listDirectory(files)).find(name => name.startsWith('open-'))!;
  const { length } = await readFile(files, openName);
  assert.equal(length, SEGMENT_SIZE);
  const entries = await readAll(log);
  const batchEnd = { last: 32 + 40, middle: 48 + 8 + 24 };
  const bytes = await readFile(files, openName);
  const end = bytes.findLastIndex(byte => byte !== 0) + 1;
  const used = Math.ceil(end / 8) * 8;
  const openBatches = [used - batchEnd.last - batchEnd.middle, used - batchEnd.last, used];
  example = { files: killed(files), first: log.firstIndex, entries, openBatches, openName };
});

function killed(files: SimulatedFiles): SimulatedFiles {
  return files.snapshot();
}

type Outcome =
  | { readonly kind: 'refused'; readonly message: string }
  | {
      readonly kind: 'opened';
      readonly entries: Entry[];
      /** The database in the snapshot. */
      readonly database: string;
      readonly lines: readonly string[];
    };

/** Opens a copy of the example in which one file was changed. */
async function openWith(name: string, change: (bytes: Buffer) => Uint8Array | undefined): Promise<Outcome> {
  const files = killed(example.files);
  const changed = change(await readFile(files, name));
  if (changed === undefined) await files.remove(files.join(DIRECTORY, name));
  else await writeFile(files, name, changed);
  const before = await contentsOf(files);
  const logger = new RecordingLogger();
  let log: Log | undefined;
  try {
    log = await openLog(files, { segmentSize: SEGMENT_SIZE, logger });
    const { name: database } = await readSnapshotOf(log);
    const entries = await readAll(log);
    await log.close();
    return { kind: 'opened', entries, database, lines: logger.lines };
  } catch (error) {
    assert.ok(error instanceof DqliteError && error.code === 'DAMAGED', String(error));
    assert.ok(error.hint !== undefined);
    // The content of a snapshot is read after the log was opened.
    if (log === undefined) assert.deepEqual(await contentsOf(files), before, 'a refusal changes nothing');
    return { kind: 'refused', message: error.message };
  }
}

async function fileNames(pattern: RegExp): Promise<string[]> {
  const names = await listDirectory(example.files);
  return names.filter(name => pattern.test(name));
}

interface Change {
  readonly what: string;
  readonly apply: (bytes: Buffer) => Uint8Array | undefined;
}

/** Flips, cuts and overwritten ranges all over the file, and things added to it. */
function changesOf(size: number, positions: number, random: SeededRandom): Change[] {
  const changes: Change[] = [];
  const step = Math.max(1, Math.floor(size / positions));
  for (let offset = random.below(step); offset < size; offset += step) {
    const bit = 1 << random.below(8);
    changes.push({ what: `bit ${bit} of byte ${offset} flipped`, apply: bytes => flipped(bytes, offset, bit) });
    changes.push({ what: `cut at ${offset}`, apply: bytes => bytes.subarray(0, offset) });
    if (offset % 3 === 0) {
      const end = Math.min(size, offset + 1 + random.below(100));
      changes.push({ what: `zeros from ${offset} to ${end}`, apply: bytes => filled(bytes, offset, end, 0) });
      changes.push({ what: `ones from ${offset} to ${end}`, apply: bytes => filled(bytes, offset, end, 0xff) });
    }
  }
  for (const count of [1, 8, 15, 16, 17, 512]) {
    const garbage = Buffer.alloc(count);
    random.fill(garbage);
    garbage[0]! |= 1;
    changes.push({ what: `${count} zeros added`, apply: bytes => Buffer.concat([bytes, new Uint8Array(count)]) });
    changes.push({ what: `${count} bytes added`, apply: bytes => Buffer.concat([bytes, garbage]) });
  }
  return changes;
}

function flipped(bytes: Buffer, offset: number, bit: number): Buffer {
  bytes[offset]! ^= bit;
  return bytes;
}

function filled(bytes: Buffer, start: number, end: number, byte: number): Buffer {
  return bytes.fill(byte, start, end);
}

async function forEachChange(
  pattern: RegExp,
  positions: number,
  check: (name: string, outcome: Outcome, unchanged: boolean, what: string) => void,
): Promise<void> {
  const names = await fileNames(pattern);
  assert.ok(names.length > 0);
  for (const [position, name] of names.entries()) {
    const original = await readFile(example.files, name);
    for (const { what, apply } of changesOf(original.length, positions, new SeededRandom(position))) {
      const changed = apply(Buffer.from(original));
      const outcome = await openWith(name, () => changed);
      check(name, outcome, changed !== undefined && original.equals(changed), `${name}: ${what}`);
    }
  }
}

function assertAllThere(outcome: Outcome, what: string): void {
  assert.equal(outcome.kind, 'opened', `${what}: ${outcome.kind === 'refused' ? outcome.message : ''}`);
  const { entries, database } = outcome as Outcome & { kind: 'opened' };
  assertEntries(entries, example.entries, what);
  assert.equal(database, 'db-2', what);
}

test('the example opens', async () => {
  assertAllThere(await openWith('metadata1', bytes => bytes), 'unchanged');
  assert.equal((await fileNames(/^\d/)).length, 4);
});

test('closed segments: any damage is refused, with file, offset and entries', async () => {
  await forEachChange(/^\d/, 50, (name, outcome, unchanged, what) => {
    if (unchanged) return assertAllThere(outcome, what);
    assert.equal(outcome.kind, 'refused', what);
    assert.match(
      (outcome as { message: string }).message,
      new RegExp(`/data: ${name} at offset \\d+: .*entries \\d+ to`),
    );
  });
});

test('the newest snapshot: any damage is refused', async () => {
  await forEachChange(/^snapshot-1-8/, 50, (name, outcome, unchanged, what) => {
    if (unchanged) return assertAllThere(outcome, what);
    assert.equal(outcome.kind, 'refused', what);
    const { message } = outcome as { message: string };
    assert.ok(message.includes(`/data: ${name}`) && /the state up to entry 8/.test(message), message);
  });
});

test('the older snapshot does not matter', async () => {
  await forEachChange(/^snapshot-1-4/, 10, (_name, outcome, _unchanged, what) => assertAllThere(outcome, what));
});

test('an open segment: refused, or what is missing looks like a torn write', async () => {
  const { openName, openBatches, entries } = example;
  const [, lastBatch, used] = openBatches as [number, number, number];
  await forEachChange(/^open-/, 150, (_name, outcome, unchanged, what) => {
    if (unchanged) return assertAllThere(outcome, what);
    if (outcome.kind === 'refused') {
      assert.match(outcome.message, new RegExp(`${openName} at offset \\d+: .*entries from \\d+ on`), what);
      return;
    }
    const missing = entries.length - outcome.entries.length;
    assertEntries(outcome.entries, entries.slice(0, entries.length - missing), what);
    if (missing === 0) return;
    const cut = Number(/cut at (\d+)/.exec(what)?.[1] ?? NaN);
    if (Number.isNaN(cut)) {
      // Damage that reaches into the last batch cannot be told from a write that did not get to its end.
      const end = Number(/to (\d+)/.exec(what)?.[1] ?? Number(/byte (\d+)/.exec(what)?.[1]) + 1);
      assert.ok(end > lastBatch, what);
      assert.match(outcome.lines.join(), /a torn write/, what);
    } else {
      assert.ok(cut < used, what);
      // A file that ends where a batch ends, or is empty, looks whole.
      if (cut > 0 && !openBatches.includes(cut)) assert.match(outcome.lines.join(), /a torn write/, what);
    }
  });
});

test('torn bytes are kept beside until a start finds none', async () => {
  const files = killed(example.files);
  const { openName, openBatches } = example;
  const bytes = await readFile(files, openName);
  const lastBatch = openBatches[1]!;
  bytes[lastBatch + 40]! ^= 0xff;
  await writeFile(files, openName, bytes);
  const torn = `torn-${openName}`;
  await writeFile(files, torn, Buffer.from('of an earlier start'));
  const logger = new RecordingLogger();
  const log = await openLog(files, { logger });
  assert.equal(logger.lines.length, 1);
  assert.match(logger.lines[0]!, new RegExp(`torn write.*"file":"${openName}","offset":${lastBatch}`));
  const kept = await readFile(files, torn);
  assert.ok(kept.equals(bytes.subarray(lastBatch)));
  assert.equal(log.lastIndex, example.first + example.entries.length - 2);
  await log.append([entryOf(log.lastIndex + 1, 8)]);
  await log.close();
  assert.ok((await files.list(DIRECTORY)).includes(torn));
  await (await openLog(files)).close();
  assert.ok(!(await files.list(DIRECTORY)).includes(torn));
});

test('a torn first write whose first sector is missing', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  await log.append([entryOf(2, 2000)]);
  const bytes = await readFile(files, 'open-2');
  bytes.fill(0, 0, 512);
  const after = killed(files);
  await writeFile(after, 'open-2', bytes);
  const again = await openLog(after);
  assert.equal(again.lastIndex, 1);
  assert.ok((await after.list(DIRECTORY)).includes('torn-open-2'));
});

test('an unacknowledged batch is the last: more after a damaged one is damage', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files, { segmentSize: 4096 });
  for (let i = 2; i < 5; i++) await log.append([entryOf(i, 600)]);
  const inOne = killed(files);
  for (let i = 5; i < 12; i++) await log.append([entryOf(i, 600)]);
  await backgroundDone();
  // As if closing the first segment had failed.
  const closed = await readFile(files, '0000000000000002-0000000000000007');
  const inTwo = new SimulatedFiles();
  await (await newLog(inTwo)).close();
  await writeFile(inTwo, 'open-1', closed);
  await writeFile(inTwo, 'open-2', await readFile(files, 'open-3'));
  const whole = await openLog(killed(inTwo));
  assert.equal(whole.lastIndex, 11);

  const damage = async (target: SimulatedFiles, name: string, offset: number): Promise<SimulatedFiles> => {
    const copy = killed(target);
    const bytes = await readFile(copy, name);
    bytes[offset]! ^= 1;
    await writeFile(copy, name, bytes);
    return copy;
  };
  await assertDamaged(
    openLog(await damage(inOne, 'open-2', 8 + 40)),
    /open-2 at offset 8: .*valid one follows at offset 640/,
  );
  await assertDamaged(openLog(await damage(inOne, 'open-2', 8)), /open-2 at offset 8: .*follows at offset 640/);
  await assertDamaged(
    openLog(await damage(inTwo, 'open-1', closed.length - 1)),
    /open-1 at offset 3168: the batch there is damaged, but open-2 holds later ones; entries from 7 on/,
  );
});

test('metadata: damage that can be seen is refused', async () => {
  let refused = 0;
  let count = 0;
  await forEachChange(/^metadata/, 32, (name, outcome, unchanged, what) => {
    if (unchanged) return assertAllThere(outcome, what);
    count++;
    if (outcome.kind === 'refused') {
      refused++;
      assert.match(outcome.message, /\/data: metadata.*: .*the current term and vote are in doubt/);
      return;
    }
    // There is no checksum: vote, a higher term and the gap between versions cannot be checked.
    assertEntries(outcome.entries, example.entries, what);
    const offset = Number(/byte (\d+)/.exec(what)?.[1] ?? /from (\d+)/.exec(what)?.[1] ?? -1);
    assert.ok(offset >= 8, `${name} ${what}`);
  });
  assert.ok(refused > count * 0.6, `${refused} of ${count}`);
});

test('metadata older than the log, or missing, is refused', async () => {
  const files = killed(example.files);
  for (const name of ['metadata1', 'metadata2']) await files.remove(files.join(DIRECTORY, name));
  await assertDamaged(
    openLog(files),
    /metadata1 and metadata2: they tell of term 0, but the log has entries of term 1/,
  );
});

test('missing files', async () => {
  const closed = await fileNames(/^\d/);
  for (const name of closed.slice(1, -1)) {
    const outcome = await openWith(name, () => undefined);
    assert.equal(outcome.kind, 'refused', name);
  }
  // Everything in the first one is in the snapshot.
  const first = await openWith(closed[0]!, () => undefined);
  const later = example.entries.slice(-(first as { entries: Entry[] }).entries.length);
  assertEntries((first as { entries: Entry[] }).entries, later);
  const [data, meta] = await fileNames(/^snapshot-1-8/);
  assert.equal((await openWith(meta!, () => undefined)).kind, 'refused');
  // It looks like a snapshot that was not finished; the log reaches back to the one before.
  const older = await openWith(data!, () => undefined);
  assert.equal(older.kind, 'opened');
  const { entries, database, lines } = older as Outcome & { kind: 'opened' };
  assertEntries(entries, example.entries);
  assert.equal(database, 'db-1');
  assert.match(lines.join(), /warn: a snapshot was not finished: the one before it is used.*snapshot-1-8/);
});

test('an open segment after a snapshot that is gone is not taken for what follows an older one', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files);
  for (let i = 2; i < 10; i++) await log.append([entryOf(i, 8)]);
  await log.writeSnapshot(metaOf(9), snapshotOf(1, 1), { entries: 0, bytes: 0 });
  await log.append([entryOf(10, 8)]);
  const whole = await openLog(killed(files));
  assert.deepEqual([whole.firstIndex, whole.lastIndex], [10, 10]);
  const names = (await files.list(DIRECTORY)).filter(name => name.startsWith('snapshot')).sort();
  const withoutData = killed(files);
  await withoutData.remove(withoutData.join(DIRECTORY, names[0]!));
  await assertDamaged(openLog(withoutData), /open-3: a snapshot tells of entries up to 9/);
  const withoutBoth = killed(files);
  for (const name of names) await withoutBoth.remove(withoutBoth.join(DIRECTORY, name));
  await assertDamaged(openLog(withoutBoth), /open-3: it begins the log, but not with a configuration/);
});

test('segments that overlap or leave a gap', async () => {
  const files = new SimulatedFiles();
  const log = await newLog(files, { segmentSize: 100 });
  for (let i = 2; i < 6; i++) await log.append([entryOf(i, 80)]);
  await log.close();
  const names = await fileNamesIn(files);
  assert.equal(names.length, 5);
  const gap = killed(files);
  await gap.remove(gap.join(DIRECTORY, names[2]!));
  await assertDamaged(openLog(gap), /0000000000000004-0000000000000004: entry 3 is in no file/);
  const late = killed(files);
  await late.remove(late.join(DIRECTORY, names[0]!));
  await assertDamaged(openLog(late), /the log does not begin at entry 1/);
  const overlap = killed(files);
  await writeFile(overlap, '0000000000000003-0000000000000004', Buffer.alloc(8));
  await assertDamaged(openLog(overlap), /0000000000000003-0000000000000004: it overlaps/);
});

async function fileNamesIn(files: SimulatedFiles): Promise<string[]> {
  return (await listDirectory(files)).filter(name => /^\d/.test(name));
}
