/** Three and five of our nodes: what is written is everywhere, and stays while nodes come and go. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NumberedWrites, TestCluster } from '../support/cluster.ts';
import { Connection, fails } from '../support/connection.ts';
import { until } from '../support/wait.ts';

const COUNT = 'SELECT count(*) AS count FROM t';

test('three nodes have the same databases, page by page, and say who leads', async t => {
  const cluster = await TestCluster.start(t, 3);
  const db = await cluster.client('first.db');
  await db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, bytes BLOB)');
  const writes = Array.from({ length: 200 }, (_, size) =>
    db.exec('INSERT INTO t (bytes) VALUES (randomblob(?))', [size * 20]),
  );
  await Promise.all(writes);
  await db.exec('DELETE FROM t WHERE id % 7 = 0; VACUUM');
  const other = await cluster.client('second.db');
  await other.exec("CREATE TABLE u (x); INSERT INTO u VALUES (datetime('now')), (random())");
  for (const name of ['first.db', 'second.db']) assert.ok((await cluster.same(name)).length >= 2 * 4096);
  const leader = await cluster.leader();
  await until(() => cluster.members.every(({ node }) => node.leader?.id === leader.id), 'all know the leader');
  for (const { address, node } of cluster.members) {
    assert.equal(node.role, 'voter');
    const asked = await Connection.connect(address);
    assert.deepEqual(await asked.call({ kind: 'leader' }), { kind: 'server', id: leader.id, address: leader.address });
    if (address !== leader.address) {
      await fails(
        asked.call({ kind: 'open', name: Buffer.from('first.db'), flags: 0n, vfs: Buffer.from('x') }),
        10250,
        'not leader',
      );
    }
    asked.close();
  }
  await cluster.caughtUp();
});

test('a follower that was away catches up, from the log and by a snapshot, while the others work', async t => {
  const cluster = await TestCluster.start(t, 3, { snapshotThreshold: 40, snapshotTrailing: 10 });
  const db = await cluster.client('x.db');
  const writes = await NumberedWrites.start(db, 4);
  await writes.more(20);
  const follower = await cluster.follower();
  await follower.stop();
  await writes.more(2);
  await follower.start();
  await writes.more(20);
  await follower.stop();
  await db.exec('CREATE TABLE large (bytes BLOB)');
  for (let i = 0; i < 4; i++) await db.exec('INSERT INTO large VALUES (randomblob(500000))');
  for (let i = 0; i < 120; i++) await db.exec('UPDATE large SET bytes = bytes WHERE rowid = 0');
  await writes.more(150);
  await follower.start();
  await writes.more(20);
  await writes.stop();
  await cluster.same('x.db');
  await writes.verify();
  assert.equal(writes.doubtful, 0);
  // Its log begins anew behind what it was given.
  assert.equal(cluster.members.flatMap(({ warnings }) => warnings).join('\n'), '');
  await follower.stop();
  await follower.start();
  await cluster.same('x.db');
});

test('five nodes work with two of them down, not with three, and go on when one is back', async t => {
  const cluster = await TestCluster.start(t, 5);
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (x)');
  const leader = await cluster.leader();
  const [a, b, c] = cluster.members.filter(member => member !== leader) as [
    typeof leader,
    typeof leader,
    typeof leader,
  ];
  await leader.stop();
  await a.stop();
  await db.exec('INSERT INTO t VALUES (1)');
  await b.stop();
  const late = db.exec('INSERT INTO t VALUES (2)', [], { timeoutMs: 1000 });
  const error: unknown = await late.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error, 'two of five commit nothing');
  await until(() => !c.node.isLeader, 'nobody leads two of five');
  for (const member of [leader, a, b]) await member.start();
  await db.exec('INSERT INTO t VALUES (3)');
  const [row] = await db.sql<{ count: number }>`SELECT count(*) AS count FROM t WHERE x <> 2`;
  assert.equal(row!.count, 2);
  await cluster.same('x.db');
});

test('a leader without followers steps down; what it could not commit is undone and answered, connections live on', async t => {
  const cluster = await TestCluster.start(t, 3);
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (x INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)');
  await cluster.same('x.db');
  const old = await cluster.leader();
  const writer = await Connection.open(old.address, 'x.db');
  const reader = await Connection.open(old.address, 'x.db');
  const { statement } = await reader.prepare(COUNT);
  const open = await Connection.open(old.address, 'x.db');
  await open.exec('BEGIN');
  assert.equal(await open.value(COUNT), 1);
  cluster.isolate(old);
  await fails(writer.exec('INSERT INTO t VALUES (2)'), 10506, 'leadership lost');
  await until(() => !old.node.isLeader, 'the old leader has stepped down');
  // Wire spec 5.8: the connections are there, what they had opened is not.
  await fails(reader.queryPrepared(statement), 10250, 'not leader');
  await fails(open.exec('COMMIT'), 10250, 'not leader');
  await cluster.leader(() => cluster.members.filter(member => member !== old));
  await db.exec('INSERT INTO t VALUES (3)');
  cluster.mend();
  await cluster.same('x.db');
  const [row] = await db.sql<{ all: string }>`SELECT group_concat(x) AS "all" FROM t`;
  assert.equal(row!.all, '1,3');
  await cluster.admin.transfer(old.id);
  await until(() => old.node.isLeader, 'the old leader leads again');
  await fails(reader.queryPrepared(statement), 12, /no database opened/);
  await reader.open('x.db');
  await fails(reader.queryPrepared(statement), 12, /no statement/);
  assert.equal(await reader.value(COUNT), 2);
  for (const connection of [writer, reader, open]) connection.close();
});

test('a follower that is stopped while it catches up from its disk ends at once', async t => {
  const cluster = await TestCluster.start(t, 3);
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (bytes)');
  for (let i = 0; i < 12; i++) await db.exec('INSERT INTO t VALUES (randomblob(1000000))');
  await cluster.same('x.db');
  const follower = await cluster.follower();
  await follower.stop();
  await follower.start();
  await until(() => follower.node.metrics().commitIndex > 0, 'it knows what is committed');
  await follower.stop();
  await follower.start();
  await cluster.same('x.db');
});
