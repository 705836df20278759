/** Clusters of C nodes and nodes of ours: whoever leads, whoever joins, all hold the same. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { before, test } from 'node:test';
import type { Client } from '../../src/client/index.ts';
import type { Request } from '../../src/wire/index.ts';
import { run } from '../support/child.ts';
import { Connection } from '../support/connection.ts';
import { freeAddress, MixedCluster } from '../support/mixed-cluster.ts';
import { dqliteShell, needPrograms } from '../support/peers.ts';
import type { ServedNode } from '../support/serve.ts';
import { SteadyWriter } from '../support/steady-writer.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { within } from '../support/wait.ts';

before(() => needPrograms('dqlite', 'dqlite-demo', 'sqlite3'));

/** Adds a row that says who led. */
async function write(db: Client, note: string): Promise<void> {
  await db.exec('INSERT INTO note (text) VALUES (?)', [note]);
}

async function noted(db: Client): Promise<unknown[]> {
  return (await db.query<{ text: string }>('SELECT text FROM note ORDER BY id')).map(({ text }) => text);
}

/** Small, so that members that come later need one. */
const SNAPSHOTS = ['--snapshot-threshold', '32', '--snapshot-trailing', '16'];
const NOTE = 'CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)';

test('two C nodes and one of ours: leadership there and back, by transfer and by kill -9', async t => {
  const cluster = await MixedCluster.start(t, ['c', 'c', 'ours']);
  const [first, second, ours] = cluster.members;
  assert.ok(first !== undefined && second !== undefined && ours !== undefined);
  assert.equal(await cluster.leader(), first);
  const db = await cluster.client('x.db');
  await db.exec(NOTE);
  await write(db, 'C leads');
  await cluster.transfer(ours);
  await write(db, 'ours leads');
  await cluster.transfer(second);
  await write(db, 'the other C leads');
  await cluster.transfer(ours);
  await write(db, 'ours leads again');
  await cluster.sameEverywhere('x.db');
  await cluster.kill(ours);
  await write(db, 'ours is dead');
  assert.equal((await cluster.leader()).kind, 'c');
  assert.deepEqual(await noted(db), ['C leads', 'ours leads', 'the other C leads', 'ours leads again', 'ours is dead']);
  await cluster.sameEverywhere('x.db');
});

test('one C node and two of ours: leadership there and back, by transfer and by kill -9', async t => {
  const cluster = await MixedCluster.start(t, ['ours', 'c', 'ours']);
  const [first, c, second] = cluster.members;
  assert.ok(first !== undefined && c !== undefined && second !== undefined);
  const db = await cluster.client('x.db');
  await db.exec(NOTE);
  await write(db, 'ours leads');
  await cluster.transfer(c);
  await write(db, 'C leads');
  await cluster.sameEverywhere('x.db');
  await cluster.kill(c);
  await write(db, 'C is dead');
  assert.equal((await cluster.leader()).kind, 'ours');
  assert.deepEqual(await noted(db), ['ours leads', 'C leads', 'C is dead']);
  await cluster.sameEverywhere('x.db');
});

test('a C cluster is replaced by nodes of ours, one by one, while clients write', async t => {
  const cluster = await MixedCluster.start(t, ['c', 'c', 'c']);
  const old = [...cluster.members];
  const addresses = [await freeAddress(), await freeAddress(), await freeAddress()];
  const databases = ['first.db', 'second.db'];
  const writers: SteadyWriter[] = [];
  for (const database of databases) {
    writers.push(await SteadyWriter.start(await cluster.client(database, [...cluster.addresses, ...addresses])));
  }
  const progress = (): Promise<unknown> => Promise.all(writers.map(writer => writer.more(20)));
  // The leader goes last.
  for (const [position, c] of old.reverse().entries()) {
    await progress();
    const ours = await cluster.join('ours', addresses[position]);
    await progress();
    if ((await cluster.leader()) === c) await cluster.handOver(c, ours);
    await cluster.remove(c);
  }
  await progress();
  assert.deepEqual(
    cluster.members.map(({ kind }) => kind),
    ['ours', 'ours', 'ours'],
  );
  for (const writer of writers) {
    await writer.stop();
    const { acknowledged, errors, longestGapMs } = writer;
    t.diagnostic(`${acknowledged.length} rows, ${errors.length} errors, longest gap ${longestGapMs.toFixed()} ms`);
    for (const error of new Set(errors.map(text => text.replace(/^\d+: /, '')))) t.diagnostic(error);
  }
  for (const database of databases) await cluster.sameEverywhere(database);
});

test('beside a C node nothing is made smaller, without it VACUUM does', async t => {
  const cluster = await MixedCluster.start(t, ['ours', 'c', 'ours']);
  const c = cluster.members[1]!;
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, bytes BLOB)');
  for (let row = 0; row < 20; row++) await db.exec('INSERT INTO t (bytes) VALUES (randomblob(10000))');
  await db.exec('DELETE FROM t WHERE id > 2');
  const size = async (): Promise<number> => {
    const [row] = await db.query<{ page_count: number }>('PRAGMA page_count');
    return row!.page_count;
  };
  const before = await size();
  await assert.rejects(db.exec('VACUUM'), /a member of the cluster runs a dqlite version that cannot shrink databases/);
  assert.equal(await size(), before);
  await db.exec("INSERT INTO t VALUES (100, 'after')");
  await cluster.sameEverywhere('x.db');
  await cluster.remove(c);
  await db.exec('VACUUM');
  assert.ok((await size()) < before);
  await cluster.sameEverywhere('x.db');
});

test('a C node that joins after databases were made smaller is whole, and goes on to take snapshots', async t => {
  const cluster = await MixedCluster.start(t, ['ours']);
  const leader = cluster.members[0]!;
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, bytes BLOB)');
  for (let row = 0; row < 20; row++) await db.exec('INSERT INTO t (bytes) VALUES (randomblob(10000))');
  await db.exec('DELETE FROM t WHERE id > 2');
  await db.exec('VACUUM');
  await db.exec('PRAGMA user_version = 7');
  // Once as the leader that did it, and once as one that finds it in its log.
  const first = await cluster.join('c');
  assert.match(leader.process.child.stderr, /a snapshot is being sent/);
  await cluster.sameEverywhere('x.db');
  await cluster.remove(first);
  await db.exec('DELETE FROM t WHERE id > 1');
  await db.exec('VACUUM');
  await cluster.restart(leader);
  const c = await cluster.join('c');
  assert.match(leader.process.child.stderr, /a snapshot is being sent/);
  await assert.rejects(
    db.transaction(tx => tx.exec('PRAGMA delete_database')),
    /cannot shrink databases/,
  );
  await cluster.sameEverywhere('x.db');
  // Its checkpoint comes, and its snapshot, which it would refuse if the file did not have the size that page 1 says.
  await cluster.transfer(c);
  for (let row = 0; row < 1100; row++) await db.exec('UPDATE t SET bytes = randomblob(5000) WHERE id = 1');
  const late = await cluster.join('ours');
  await cluster.sameEverywhere('x.db');
  assert.match(late.process.child.stderr, /the snapshot of another node is installed/);
});

test('a leader that was deposed without knowing it does not answer reads', async t => {
  const cluster = new MixedCluster(t);
  const { member: ours, proxy } = await cluster.foundBehindProxy();
  await cluster.join('c');
  const c = cluster.members[1]!;
  await cluster.join('c');
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (v)');
  await db.exec('INSERT INTO t VALUES (1)');
  await cluster.sameEverywhere('x.db');

  // Past the proxy: what follows is about the other members.
  const near = (ours.process as ServedNode).address;
  const reader = await Connection.open(near, 'x.db');
  assert.deepEqual(await reader.query('SELECT v FROM t'), [[1]]);
  const witness = await Connection.connect(near);
  const request: Request = { kind: 'transfer', id: await cluster.idOf(c) };

  // It asks C to take over, and hears nothing of what comes of it.
  proxy.hold();
  witness.send(request);
  const others = await cluster.client('x.db', [c.address]);
  await others.exec('UPDATE t SET v = 2');

  const outcome = reader.query('SELECT v FROM t').then(
    rows => `rows ${JSON.stringify(rows)}`,
    (error: unknown) => String(error),
  );
  const asked = await Connection.connect(near);
  const answer = await asked.call({ kind: 'leader' });
  assert.ok(answer.kind === 'server' && answer.address === ours.address, 'it believes that it leads');
  proxy.release();
  assert.match(await outcome, /not leader/);
  for (const client of [reader, witness, asked]) client.close();
  await cluster.sameEverywhere('x.db');
});

test('beside C nodes there are no leases: a leader that cannot reach them does not answer reads', async t => {
  const cluster = new MixedCluster(t);
  const { member: ours, proxy } = await cluster.foundBehindProxy();
  await cluster.join('c');
  await cluster.join('c');
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (v)');
  await cluster.sameEverywhere('x.db');
  const near = (ours.process as ServedNode).address;
  const reader = await Connection.open(near, 'x.db');
  const watcher = await Connection.connect(near);
  // A lease would still be fresh.
  for (let i = 0; i < 3; i++) assert.deepEqual(await reader.query('SELECT v FROM t'), []);
  proxy.hold();
  let isAnswered = false;
  const answered = reader.query('SELECT v FROM t').then(() => (isAnswered = true));
  for (let i = 0; i < 50; i++) await watcher.call({ kind: 'leader' });
  assert.equal(isAnswered, false);
  proxy.release();
  await within(answered, 'the read is answered once others confirm it');
  for (const client of [reader, watcher]) client.close();
});

test('snapshots are installed, C -> ours and ours -> C', async t => {
  const theirs = await MixedCluster.start(t, ['c']);
  const db = await theirs.client('x.db');
  await db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  // They take a snapshot every 1024 entries.
  for (let row = 0; row < 1100; row++) await db.exec('INSERT INTO t (v) VALUES (?)', [`row ${row}`]);
  const ours = await theirs.join('ours');
  await db.exec("INSERT INTO t (v) VALUES ('later')");
  assert.match(await theirs.sameEverywhere('x.db'), /'row 1099'[^]*'later'/);
  assert.match(ours.process.child.stderr, /the snapshot of another node is installed/);

  const cluster = await MixedCluster.start(t, ['ours'], SNAPSHOTS);
  const leader = cluster.members[0]!;
  const other = await cluster.client('x.db');
  await other.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  for (let row = 0; row < 200; row++) await other.exec('INSERT INTO t (v) VALUES (?)', [`row ${row}`]);
  await cluster.join('c');
  await other.exec("INSERT INTO t (v) VALUES ('later')");
  assert.match(await cluster.sameEverywhere('x.db'), /'row 199'[^]*'later'/);
  assert.match(leader.process.child.stderr, /a snapshot is being sent/);
});

test('in a cluster, a C node goes on with a directory of ours, and ours with one of C', async t => {
  const cluster = await MixedCluster.start(t, ['ours', 'c', 'ours'], SNAPSHOTS);
  const [, c, second] = cluster.members;
  const db = await cluster.client('x.db');
  await db.exec(NOTE);
  for (let row = 0; row < 40; row++) await write(db, `before ${row}`);
  const nowC = await cluster.exchange(second!);
  await write(db, 'between');
  await cluster.sameEverywhere('x.db');
  const nowOurs = await cluster.exchange(c!);
  await write(db, 'after');
  await cluster.sameEverywhere('x.db');
  // Both are whole members: they lead as well.
  await cluster.transfer(nowC);
  await write(db, 'C leads');
  await cluster.transfer(nowOurs);
  await write(db, 'ours leads');
  assert.equal((await noted(db)).length, 44);
  await cluster.sameEverywhere('x.db');
});

test("Debian's shell administrates a cluster of ours", async t => {
  const cluster = await MixedCluster.start(t, ['ours', 'ours', 'c']);
  const [first, second, c] = cluster.members;
  const db = await cluster.client('x.db');
  await db.exec(NOTE);
  await write(db, 'one');
  await cluster.sameEverywhere('x.db');
  const folder = temporaryDirectory(t);
  const shell = async (...commands: string[]): Promise<string> => {
    const input = commands.map(line => `${line}\n`).join('');
    const { code, stdout, stderr } = await dqliteShell(t, ['-s', cluster.addresses.join(','), 'x.db'], input, folder);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stdout, /Error/);
    return stdout.replaceAll('dqlite> ', '').trim();
  };
  assert.equal(await shell('.leader'), first!.address);
  const servers = await shell('.cluster');
  for (const { address } of cluster.members) assert.match(servers, new RegExp(`\\|${address}\\|voter`));
  await shell(`.weight ${second!.address} 7`);
  const { weight } = await cluster.admin.describe(second!.address);
  assert.equal(weight, 7n);
  assert.match(await shell(`.describe ${second!.address}`), /7/);
  await shell(`.dump ${second!.address} x.db`);
  const { stdout } = await run(t, 'sqlite3', [path.join(folder, 'x.db'), 'SELECT text FROM note']);
  assert.equal(stdout.trim(), 'one');
  await shell(`.remove ${c!.address}`);
  assert.deepEqual(
    (await cluster.admin.servers()).map(({ address }) => address).sort(),
    [first!.address, second!.address].sort(),
  );
  await cluster.kill(c!);
  await write(db, 'two');
  await cluster.sameEverywhere('x.db');
});
