/** Whole data directories that C dqlite 1.11.1 wrote (their README says how), opened on the real file system. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeHost } from '../host/index.ts';
import type { LoadedState, Server } from '../raft/index.ts';
import type { Log } from './index.ts';
import { assertEntries, entryOf, openLog, readAll, readSnapshotOf, RecordingLogger } from './log.test.helpers.ts';

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/c-dqlite-1.11.1/', import.meta.url));
const { files } = nodeHost();

let temporary = '';

before(() => {
  temporary = mkdtempSync(path.join(tmpdir(), 'dqlite-node-log-'));
});

after(() => {
  rmSync(temporary, { recursive: true });
});

function copyOf(fixture: string): string {
  const directory = mkdtempSync(path.join(temporary, 'x'));
  if (fixture.endsWith('.tar.gz')) execFileSync('tar', ['-xzf', path.join(FIXTURES, fixture), '-C', directory]);
  else cpSync(path.join(FIXTURES, fixture), directory, { recursive: true });
  return directory;
}

function segmentsIn(directory: string): string[] {
  const names = readdirSync(directory).filter(name => /^(?:\d+-\d+|open-\d+|torn-.*)$/.test(name));
  return names.sort().map(name => name.replaceAll(/\b0+/g, ''));
}

/** Neighbouring entries of one term, as [first index, term]. */
function termRuns({ log }: LoadedState): [number, number][] {
  const runs: [number, number][] = [];
  for (let index = log.firstIndex; index <= log.lastIndex; index++) {
    const term = log.termAt(index)!;
    if (runs[runs.length - 1]?.[1] !== term) runs.push([index, term]);
  }
  return runs;
}

function members(servers: readonly Server[] | undefined): string[] | undefined {
  return servers?.map(({ id, address, role }) => `${id} ${address} ${role}`);
}

interface Expected {
  readonly fixture: string;
  readonly term: number;
  readonly vote: bigint | undefined;
  readonly first: number;
  readonly last: number;
  readonly runs: [number, number][];
  readonly segments: string[];
  readonly snapshot?: { index: number; name: string; pages: number };
  readonly committed: readonly [string[], number];
  readonly uncommitted?: readonly [string[], number];
}

const N1 = 3297041220608546238n;
const N2 = 3287592638544079449n;
const N3 = 13186195581393062085n;

async function check(log: Log, expected: Expected): Promise<void> {
  const state = await log.loadState();
  assert.ok(!log.isNew);
  assert.deepEqual([log.firstIndex, log.lastIndex], [expected.first, expected.last]);
  assert.deepEqual([state.term, state.votedFor], [expected.term, expected.vote]);
  assert.deepEqual(termRuns(state), expected.runs);
  assert.deepEqual(
    [members(state.committedConfiguration?.servers), state.committedConfigurationIndex],
    expected.committed,
  );
  assert.deepEqual(
    [members(state.uncommittedConfiguration?.servers), state.uncommittedConfigurationIndex],
    expected.uncommitted ?? [undefined, 0],
  );
  assert.equal(log.snapshot?.index, expected.snapshot?.index);
  if (expected.snapshot !== undefined) {
    const { name, pages } = await readSnapshotOf(log);
    assert.deepEqual([name, pages.length], [expected.snapshot.name, expected.snapshot.pages]);
  }
  assert.equal((await readAll(log)).length, expected.last - expected.first + 1);
}

const threeVoters = [`${N1} 127.0.0.1:29001 voter`, `${N2} 127.0.0.1:29002 voter`, `${N3} 127.0.0.1:29003 voter`];

const directories: readonly Expected[] = [
  ...(['node1', 'node2', 'node3'] as const).map((node): Expected => ({
    fixture: `three-node-clean/${node}`,
    term: 4,
    vote: node === 'node2' ? undefined : N1,
    first: 1,
    last: 68,
    runs: [
      [1, 1],
      [59, 2],
      [66, 3],
    ],
    segments: { node1: ['1-1', '2-68'], node2: ['1-65', '66-68'], node3: ['1-68'] }[node],
    committed: [threeVoters.with(2, `${N3} 127.0.0.1:29003 standby`), 57],
    uncommitted: [threeVoters, 58],
  })),
  {
    fixture: 'installed-snapshot-node',
    term: 1,
    vote: undefined,
    first: 97,
    last: 104,
    runs: [[97, 1]],
    segments: ['97-104'],
    snapshot: { index: 96, name: 'test.db', pages: 1 + 96 },
    committed: [['1 127.0.0.1:29004 voter', '2 127.0.0.1:29005 spare'], 103],
    uncommitted: [['1 127.0.0.1:29004 voter', '2 127.0.0.1:29005 voter'], 104],
  },
  {
    fixture: 'follower-killed-no-snapshot.tar.gz',
    term: 2,
    vote: N2,
    first: 1,
    last: 65,
    runs: [
      [1, 1],
      [59, 2],
    ],
    segments: ['1-65'],
    committed: [threeVoters.with(2, `${N3} 127.0.0.1:29003 standby`), 57],
    uncommitted: [threeVoters, 58],
  },
  {
    fixture: 'leader-killed-two-snapshots.tar.gz',
    term: 1,
    vote: undefined,
    first: 65,
    last: 104,
    runs: [[65, 1]],
    segments: ['65-96', '97-104'],
    snapshot: { index: 96, name: 'test.db', pages: 1 + 96 },
    committed: [['1 127.0.0.1:29004 voter', '2 127.0.0.1:29005 spare'], 103],
    uncommitted: [['1 127.0.0.1:29004 voter', '2 127.0.0.1:29005 voter'], 104],
  },
  {
    fixture: 'snapshot-1203-clean.tar.gz',
    term: 1,
    vote: undefined,
    first: 1,
    last: 1207,
    runs: [[1, 1]],
    segments: ['1-1', '2-985', '986-1024', '1025-1204', '1205-1207'],
    snapshot: { index: 1024, name: 'demo', pages: 13 + 103 },
    committed: [[`${N1} 127.0.0.1:29007 voter`], 1],
  },
  {
    fixture: 'snapshot-1200-crash.tar.gz',
    term: 1,
    vote: undefined,
    first: 1,
    last: 1204,
    runs: [[1, 1]],
    segments: ['1-1', '2-985', '986-1024', '1025-1204'],
    snapshot: { index: 1024, name: 'demo', pages: 13 + 103 },
    committed: [[`${N1} 127.0.0.1:29007 voter`], 1],
  },
];

for (const expected of directories) {
  test(`${expected.fixture} opens, goes on and opens again`, async () => {
    const directory = copyOf(expected.fixture);
    const logger = new RecordingLogger();
    const log = await openLog(files, { directory, logger });
    await check(log, expected);
    assert.deepEqual(segmentsIn(directory), expected.segments, 'open segments are closed');
    const next = expected.last + 1;
    await log.storeTermAndVote(expected.term + 1, 7n);
    await log.append([entryOf(next, 80, expected.term + 1)]);
    await log.close();

    const again = await openLog(files, { directory, logger });
    const { term, votedFor } = await again.loadState();
    assert.deepEqual([term, votedFor, again.lastIndex], [expected.term + 1, 7n, next]);
    assertEntries(await again.readEntries(next, next, 1), [entryOf(next, 80, expected.term + 1)]);
    await again.close();
    assert.deepEqual(segmentsIn(directory), [...expected.segments, `${next}-${next}`]);
    assert.deepEqual(logger.lines, []);
  });
}

test('an open segment of C dqlite becomes the closed one of raft and disk spec section 8.13', async () => {
  const directory = copyOf('leader-killed-two-snapshots.tar.gz');
  await (await openLog(files, { directory })).close();
  assert.equal(statSync(path.join(directory, '0000000000000097-0000000000000104')).size, 25_256);
});
