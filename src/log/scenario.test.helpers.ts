/**
 * The life of a log for the crash and fault sweeps, and what must be true of the directory afterwards, however it
 * ended:
 *
 * 1. Every entry whose append resolved is there; all entries are a prefix of those that were given to `append`.
 * 2. Term and vote are the last stored, or those that were being stored.
 * 3. The snapshot is the last written, or the one that was being written, and the log reaches back to it.
 * 4. The directory can be used again, and what is added then is there at the next start.
 */

import assert from 'node:assert/strict';
import type { SeededRandom } from '../lib/random.ts';
import { encodeConfiguration, type Entry, type Index, type ServerId, type Term } from '../raft/index.ts';
import { SimulatedFiles, type OperationKind } from '../simulation/index.ts';
import type { Log, Retention } from './index.ts';
import {
  assertEntries,
  configuration,
  entryOf,
  listDirectory,
  metaOf,
  openLog,
  readAll,
  readSnapshotOf,
  snapshotOf,
  type Opening,
} from './log.test.helpers.ts';

export const SEGMENT_SIZE = 2048;

interface TermAndVote {
  readonly term: Term;
  readonly vote: ServerId | undefined;
}

/** What the owner of a log knows. */
export class Model {
  /** Given to `append`, from index 1 on. */
  readonly given: Entry[] = [{ term: 1, type: 'change', data: encodeConfiguration(configuration) }];
  /** How many of them were acknowledged. */
  acknowledged: Index = 0;
  stored: TermAndVote = { term: 0, vote: undefined };
  /** Being stored. */
  storing: TermAndVote = { term: 0, vote: undefined };
  snapshot: Index = 0;
  /** Being written. */
  writing: Index = 0;
  /** Being installed. */
  installing: Index = 0;
  /** The last append was refused: nothing goes on before `recover`. */
  appendFailed = false;

  async bootstrap(log: Log): Promise<void> {
    this.storing = { term: 1, vote: undefined };
    await log.bootstrap(configuration);
    this.stored = this.storing;
    this.acknowledged = 1;
  }

  /** Entries of the current term. */
  async append(log: Log, ...sizes: number[]): Promise<void> {
    const first = this.given.length + 1;
    const batch = sizes.map((size, i) => entryOf(first + i, size, this.stored.term));
    this.given.push(...batch);
    this.appendFailed = true;
    await log.append(batch);
    this.appendFailed = false;
    this.acknowledged = this.given.length;
  }

  /** After an append that failed: makes the log usable again; the entries are not in it. */
  async recover(log: Log): Promise<void> {
    if (!this.appendFailed) return;
    await log.recover();
    this.appendFailed = false;
    if (this.isInstalled(log)) this.installed(this.installing);
    else this.given.length = this.acknowledged;
  }

  private isInstalled(log: Log): boolean {
    return this.installing > this.snapshot && log.snapshot?.index === this.installing;
  }

  /** Takes back entries from an index on. */
  async truncate(log: Log, from: Index): Promise<void> {
    this.acknowledged = Math.min(this.acknowledged, from - 1);
    this.appendFailed = true;
    await log.truncate(from);
    this.appendFailed = false;
    this.given.length = this.acknowledged;
  }

  /** Installs the snapshot of another node, which replaces all entries. */
  async install(log: Log, index: Index): Promise<void> {
    if (log.snapshot?.index === index) return; // at the second attempt
    if (log.lastIndex >= index) await this.truncate(log, index);
    const content = snapshotOf(index, 2);
    const received = await log.receiveSnapshot(metaOf(index), content.size);
    try {
      for (const piece of content.pieces()) await received.push(piece);
      await received.finish();
    } catch (error) {
      await received.discard();
      throw error;
    }
    this.installing = index;
    this.appendFailed = true;
    await log.installSnapshot(received);
    this.appendFailed = false;
    this.installed(index);
  }

  private installed(index: Index): void {
    while (this.given.length < index) this.given.push(entryOf(0, 0)); // what was in the snapshot
    this.given.length = index;
    this.acknowledged = index;
    this.snapshot = index;
    this.writing = index;
  }

  async store(log: Log, term: Term, vote: ServerId | undefined): Promise<void> {
    this.storing = { term, vote };
    await log.storeTermAndVote(term, vote);
    this.stored = this.storing;
  }

  async takeSnapshot(log: Log, index: Index, retention: Retention): Promise<void> {
    this.writing = index;
    await log.writeSnapshot(metaOf(index), snapshotOf(index, 2), retention);
    this.snapshot = index;
  }

  /** Checks an open log; then what it has counts as acknowledged. */
  async check(log: Log, what: string): Promise<void> {
    if (log.isNew) {
      assert.ok(this.acknowledged === 0 && this.stored.term === 0, `${what}: the log is new`);
      return;
    }
    const { lastIndex, firstIndex } = log;
    if (this.isInstalled(log)) this.installed(this.installing);
    assert.ok(lastIndex >= this.acknowledged, `${what}: ${lastIndex} of ${this.acknowledged} acknowledged`);
    assert.ok(lastIndex <= this.given.length, `${what}: ${lastIndex} of ${this.given.length}`);
    const state = await log.loadState();
    const { term, votedFor: vote } = state;
    const expected = [this.stored, this.storing];
    assert.ok(
      expected.some(known => known.term === term && known.vote === vote),
      `${what}: term ${term}, vote ${vote}`,
    );
    const { index: snapshot = 0 } = log.snapshot ?? {};
    assert.ok([this.snapshot, this.writing].includes(snapshot), `${what}: snapshot ${snapshot}`);
    if (snapshot > 0) assert.equal((await readSnapshotOf(log)).name, `db-${snapshot}`, what);
    assert.ok(firstIndex <= snapshot + 1, `${what}: the log begins at ${firstIndex}, the snapshot is at ${snapshot}`);
    assert.ok(lastIndex >= snapshot, what);
    assertEntries(await readAll(log), this.given.slice(firstIndex - 1, lastIndex), what);
    this.given.length = lastIndex;
    this.acknowledged = lastIndex;
    this.stored = { term, vote };
    this.storing = this.stored;
    this.snapshot = snapshot;
    this.writing = snapshot;
  }

  clone(): Model {
    const copy = new Model();
    copy.given.splice(0, Infinity, ...this.given);
    const { acknowledged, stored, storing, snapshot, writing, installing, appendFailed } = this;
    return Object.assign(copy, { acknowledged, stored, storing, snapshot, writing, installing, appendFailed });
  }
}

export type Step = (log: Log, model: Model) => Promise<void>;

/**
 * Appends of all sizes with full segments, votes, snapshots that let segments go, also at the same time; then entries
 * that are taken back, and snapshots of others.
 */
export const life: readonly Step[] = [
  (log, model) => model.bootstrap(log),
  (log, model) => model.append(log, 8),
  (log, model) => model.append(log, 40, 0, 600),
  (log, model) => model.store(log, 2, undefined),
  (log, model) => model.store(log, 2, 1n),
  (log, model) => model.append(log, 1200),
  (log, model) => model.append(log, 800),
  (log, model) => model.append(log, 5000),
  (log, model) => model.takeSnapshot(log, 5, { entries: 2, bytes: 1e9 }),
  (log, model) => model.append(log, 16),
  (log, model) => model.store(log, 3, undefined),
  async (log, model) => {
    const appended = model.append(log, 1904, 80);
    await both(appended, model.takeSnapshot(log, 9, { entries: 0, bytes: 0 }));
  },
  (log, model) => model.append(log, 8),
  (log, model) => model.takeSnapshot(log, 12, { entries: 3, bytes: 3000 }),
  (log, model) => model.append(log, 24, 24),
  // Another leader: what this one added was never committed.
  (log, model) => model.append(log, 400, 400, 16),
  (log, model) => model.store(log, 4, undefined),
  (log, model) => model.truncate(log, 16),
  (log, model) => model.append(log, 32),
  (log, model) => model.append(log, 3000, 8),
  (log, model) => model.append(log, 904),
  (log, model) => model.truncate(log, 17),
  (log, model) => model.append(log, 24),
  (log, model) => model.install(log, 40),
  (log, model) => model.append(log, 8, 704),
  (log, model) => model.append(log, 1800),
  (log, model) => model.install(log, 42),
  (log, model) => model.append(log, 48),
];

/** Waits for both, whatever becomes of them. */
async function both(first: Promise<void>, second: Promise<void>): Promise<void> {
  const results = await Promise.allSettled([first, second]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Anything, in any order. */
export function randomLife(random: SeededRandom): Step[] {
  const steps = life.slice(0, 2);
  for (let count = random.below(25); count > 0; count--) {
    const kind = random.below(13);
    const sizes = Array.from({ length: 1 + random.below(4) }, () => 8 * random.below(random.pick([3, 30, 300])));
    const retention = { entries: random.below(random.pick([1, 10])), bytes: random.below(random.pick([1, 4000])) };
    const back = random.below(random.pick([1, 8]));
    const ahead = 1 + random.below(5);
    const snapshot: Step = (log, model) => {
      const index = Math.max(log.lastIndex - back, model.snapshot, 1);
      return model.takeSnapshot(log, index, retention);
    };
    if (kind < 6) steps.push((log, model) => model.append(log, ...sizes));
    else if (kind < 7) steps.push((log, model) => model.store(log, model.stored.term + 1, BigInt(count)));
    else if (kind < 9) steps.push(snapshot);
    else if (kind === 10)
      steps.push((log, model) => model.truncate(log, Math.max(log.lastIndex - back, model.snapshot + 1, 2)));
    else if (kind === 11) steps.push((log, model) => model.install(log, log.lastIndex + ahead));
    else if (kind === 12)
      steps.push((log, model) => model.install(log, Math.max(log.lastIndex - back, model.snapshot + 1, 2)));
    else steps.push((log, model) => both(model.append(log, ...sizes), snapshot(log, model)));
  }
  return steps;
}

export async function live(
  files: SimulatedFiles,
  model: Model,
  steps: readonly Step[] = life,
  options: Opening = {},
): Promise<void> {
  const log = await openLog(files, { segmentSize: SEGMENT_SIZE, ...options });
  for (const step of steps) await step(log, model);
  await log.close();
}

/**
 * Which operations of `life`, of those that count, a sweep tries: one of `stride`, others each time, and the first of each
 * kind. Files whose names differ by a number only are of one kind.
 */
export async function sample(
  stride: number,
  counts: (kind: OperationKind) => boolean = () => true,
): Promise<(operation: number) => boolean> {
  const kinds: string[] = [];
  const files = new SimulatedFiles({
    latencyMs: kind => {
      if (counts(kind)) kinds.push(files.lastOperation.replaceAll(/, \d+ bytes$|\d+/g, ''));
      return 0;
    },
  });
  await live(files, new Model());
  const firsts = new Set([...new Set(kinds)].map(kind => kinds.indexOf(kind) + 1));
  const offset = Date.now() % stride;
  return operation => operation % stride === offset || firsts.has(operation);
}

/** How a process or machine may end; gives what the next process finds. */
export function ended(files: SimulatedFiles, random: SeededRandom): SimulatedFiles {
  return random.chance(0.3) ? files.kill(random) : files.crash(random);
}

/** The directory is right and can be used: by one process that ends in any way, and by another after that. */
export async function checkDirectory(
  found: SimulatedFiles,
  model: Model,
  random: SeededRandom,
  what: string,
  options: Opening = {},
): Promise<void> {
  let files = found;
  const opening = { segmentSize: SEGMENT_SIZE, ...options };
  if (random.chance(0.3)) {
    // A start that is itself interrupted.
    files.stopAt(1 + random.below(25));
    await Promise.race([openLog(files, opening), files.stopped]);
    files = ended(files, random);
  }
  let log = await openLog(files, opening);
  await model.check(log, what);
  if (random.chance(0.3)) {
    // What one process has seen the next one sees too.
    files = files.crash(random);
    log = await openLog(files, opening);
    await model.check(log, `${what}, seen before`);
  }
  if (log.isNew) await model.bootstrap(log);
  await model.append(log, 8 * random.below(200), 8);
  await model.store(log, model.stored.term + 1, 9n);
  if (random.chance(0.3)) await model.takeSnapshot(log, log.lastIndex, { entries: random.below(5), bytes: 1e9 });
  await model.append(log, 8 * random.below(200));
  if (random.chance(0.5)) await log.close();

  await checkAgain(ended(files, random), model, `${what}, again`, opening);
}

/** The same without any more crashes. */
export async function checkAgain(
  files: SimulatedFiles,
  model: Model,
  what: string,
  options: Opening = {},
): Promise<void> {
  const opening = { segmentSize: SEGMENT_SIZE, ...options };
  const log = await openLog(files, opening);
  await model.check(log, what);
  if (log.isNew) await model.bootstrap(log);
  await model.append(log, 8);
  await log.close();
  const names = await listDirectory(files);
  const leftovers = names.filter(name => name.startsWith('open-') || name.startsWith('tmp-'));
  assert.deepEqual(leftovers, [], `${what}: left by a clean close`);
  const last = await openLog(files, opening);
  await model.check(last, what);
  await last.close();
}
