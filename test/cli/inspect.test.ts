/** `dqlite-node inspect`: what it shows of whole and of damaged directories, and that it changes nothing. */

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { inspect as command } from '../../src/cli/inspect.ts';
import { CommandLine } from '../support/command-line.ts';
import { copyOf } from '../support/copies.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { playTranscript } from '../support/transcript.ts';
import { Connection } from '../support/connection.ts';

const { dqliteNode } = new CommandLine({ after });

/** Every file of a folder, with what changes when it is written to. */
function contents(directory: string): Map<string, string> {
  const state = (name: string): string => {
    const { size, mtimeNs, ino, mode } = statSync(path.join(directory, name), { bigint: true });
    return `${size} ${mtimeNs} ${ino} ${mode}`;
  };
  return new Map(readdirSync(directory).map(name => [name, state(name)]));
}

/** Runs a command on a directory, which must stay as it is. */
async function inspect(
  t: TestContext,
  directory: string,
  shownAs: string,
  options: readonly string[],
): Promise<string> {
  const before = contents(directory);
  const log = t.mock.method(console, 'log', () => {});
  const code = await command([directory, ...options]);
  const printed = log.mock.calls.map(call => String(call.arguments[0])).join('\n');
  log.mock.restore();
  assert.deepEqual(contents(directory), before, `${directory} was changed`);
  return `exit ${code}\n${printed}`.replaceAll(directory, shownAs);
}

test('what it shows of directories that C dqlite wrote, whole and damaged', async t => {
  await playTranscript('test/cli/inspect.txt', async ([line]) => {
    const [word, fixture = '', ...rest] = line!.split(' ');
    if (word === 'empty') {
      const directory = temporaryDirectory(t);
      writeFileSync(path.join(directory, 'notes'), '');
      return inspect(t, directory, word, []);
    }
    if (word === 'missing') {
      const directory = path.join(temporaryDirectory(t), 'missing');
      const { code, stdout, stderr } = await dqliteNode('inspect', directory);
      return `exit ${code}\n${stdout}${stderr}`.replaceAll(directory, word);
    }
    const directory = copyOf(t, fixture);
    if (word === 'inspect') return inspect(t, directory, fixture, rest);
    const file = path.join(directory, rest[0]!);
    if (word === 'remove') {
      rmSync(file);
    } else if (word === 'cut') {
      truncateSync(file, Number(rest[1]));
    } else {
      assert.equal(word, 'damage');
      const bytes = readFileSync(file);
      bytes[Number(rest[1])]! ^= 0x40;
      writeFileSync(file, bytes);
    }
    return inspect(t, directory, fixture, []);
  });
});

test('a damaged snapshot that an older one and the log make up for: moved away as advised, the directory opens', async t => {
  const directory = copyOf(t, 'leader-killed-two-snapshots.tar.gz');
  const file = path.join(directory, 'snapshot-1-96-1048063');
  truncateSync(file, 3000);
  const { stdout } = await dqliteNode('inspect', directory);
  assert.match(stdout, /or move snapshot-1-96-1048063 and snapshot-1-96-1048063\.meta away: what is older has all/);
  rmSync(file);
  rmSync(`${file}.meta`);
  const again = await dqliteNode('inspect', directory);
  assert.equal(again.code, 0);
  assert.match(again.stdout, /a snapshot of entry 64, entries 65 to 104/);
});

test('--json says the same', async t => {
  const directory = copyOf(t, 'installed-snapshot-node');
  const { code, stdout } = await dqliteNode('inspect', directory, '--json', '--entries');
  assert.equal(code, 0);
  const report = JSON.parse(stdout) as {
    state: unknown;
    metadata: unknown;
    entries: { index: number; database?: string; pageNumbers?: number[]; configuration?: unknown }[];
    snapshots: { databases: unknown }[];
  };
  assert.deepEqual(report.state, { kind: 'opens', term: 1, firstIndex: 97, lastIndex: 104, snapshotIndex: 96 });
  assert.deepEqual(report.metadata, [{ file: 'metadata1', version: 1, term: 1, vote: '0' }]);
  assert.deepEqual(report.snapshots[0]!.databases, [{ name: 'test.db', pages: 2 }]);
  assert.deepEqual(
    report.entries.map(({ index }) => index),
    [97, 98, 99, 100, 101, 102, 103, 104],
  );
  assert.deepEqual(report.entries[0]!.pageNumbers, [2]);
  assert.equal(report.entries[0]!.database, 'test.db');
  assert.deepEqual(report.entries[7]!.configuration, {
    servers: [
      { id: '1', address: '127.0.0.1:29004', role: 'voter' },
      { id: '2', address: '127.0.0.1:29005', role: 'voter' },
    ],
  });
  const { code: damaged, stdout: text } = await dqliteNode(
    'inspect',
    '--json',
    removed(t, 'installed-snapshot-node', 'metadata1'),
  );
  assert.equal(damaged, 1);
  assert.equal((JSON.parse(text) as { state: { kind: string } }).state.kind, 'damaged');
});

function removed(t: TestContext, fixture: string, file: string): string {
  const directory = copyOf(t, fixture);
  rmSync(path.join(directory, file));
  return directory;
}

/** The main file of a database, as a node sends it. */
async function dumpOf(address: string, database: string): Promise<Buffer> {
  const client = await Connection.connect(address);
  const response = await client.call({ kind: 'dump', name: Buffer.from(database) });
  client.close();
  assert.ok(response.kind === 'files');
  return Buffer.from(response.files[0]!.content);
}

/** A database file, with the two bytes set that say in which mode it is. */
function inRollbackMode(file: Buffer): Buffer {
  file.fill(1, 18, 20);
  return file;
}

test('a directory in use: it can be looked at and dumped while 4 clients write', async t => {
  const directory = temporaryDirectory(t);
  const node = await serve(t, { directory, args: ['--snapshot-threshold', '300', '--snapshot-trailing', '20'] });
  const first = await Connection.open(node.address, 'x.db');
  await first.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)');
  let isOver = false;
  let acknowledged = 0;
  const writers = Array.from({ length: 4 }, async () => {
    const client = await Connection.open(node.address, 'x.db');
    while (!isOver) {
      await client.exec('INSERT INTO t (v) VALUES (randomblob(20000))');
      acknowledged++;
    }
    client.close();
  });
  const target = temporaryDirectory(t);
  for (let round = 0; round < 2; round++) {
    const before = acknowledged;
    const { code, stdout, stderr } = await dqliteNode('inspect', directory);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /a node can start from it/);
    const dump = await dqliteNode('inspect', '--dump', directory, 'x.db', path.join(target, `${round}.db`));
    assert.equal(dump.code, 0, dump.stderr);
    const pages = Number(/: (\d+) pages written/.exec(dump.stdout)?.[1]);
    assert.ok(pages >= before * 4, `${pages} pages hold ${before} rows of 20 kB`);
  }
  isOver = true;
  await Promise.all(writers);
  const file = path.join(target, 'x.db');
  const { code, stderr } = await dqliteNode('inspect', '--dump', directory, 'x.db', file);
  assert.equal(code, 0, stderr);
  assert.ok(readFileSync(file).equals(inRollbackMode(await dumpOf(node.address, 'x.db'))));
  await node.stop();
});

test('--dump: what it refuses, and --salvage', async t => {
  const directory = copyOf(t, 'three-node-clean/node2');
  const target = temporaryDirectory(t);
  const file = path.join(target, 'out.db');
  const dump = (...args: string[]): ReturnType<typeof dqliteNode> => dqliteNode('inspect', '--dump', ...args);

  const unknown = await dump(directory, 'nothing', file);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /has no database "nothing"\n {2}hint: it has "demo"\n$/);
  writeFileSync(file, 'precious');
  const existing = await dump(directory, 'demo', file);
  assert.equal(existing.code, 1);
  assert.match(existing.stderr, /out\.db exists already\n {2}hint: choose another name, or add --force/);
  assert.equal(readFileSync(file, 'utf8'), 'precious');
  const forced = await dump(directory, 'demo', file, '--force');
  assert.match(forced.stdout, /^demo as of entry 68: \d+ pages written to /);
  const whole = readFileSync(file);
  assert.equal(whole.toString('latin1', 0, 15), 'SQLite format 3');
  writeFileSync(`${file}-wal`, 'of another database');
  assert.match((await dump(directory, 'demo', file, '--force')).stderr, /out\.db-wal exists: SQLite would take it/);
  rmSync(`${file}-wal`);
  mkdirSync(path.join(target, 'folder'));
  assert.equal((await dump(directory, 'demo', path.join(target, 'folder'), '--force')).code, 1);

  const segment = path.join(directory, '0000000000000066-0000000000000068');
  const bytes = readFileSync(segment);
  bytes[20_000]! ^= 1;
  writeFileSync(segment, bytes);
  const refused = await dump(directory, 'demo', file, '--force');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /0000000000000066-0000000000000068 at offset \d+: wrong data checksum/);
  assert.ok(readFileSync(file).equals(whole));
  const salvaged = await dump(directory, 'demo', file, '--force', '--salvage');
  assert.equal(salvaged.code, 0, salvaged.stderr);
  assert.match(salvaged.stdout, /^demo as of entry 6[567]: /);
  assert.deepEqual(readdirSync(target).sort(), ['folder', 'out.db'], 'nothing else is left');
});
