/** Nodes are added, change their roles and are removed while clients write. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NumberedWrites, TestCluster } from '../support/cluster.ts';
import { until } from '../support/wait.ts';

test('standby and spare, promotion, removal of a follower and of the leader, a replacement', async t => {
  const cluster = await TestCluster.start(t, 3, { snapshotThreshold: 100, snapshotTrailing: 20 });
  const db = await cluster.client('x.db');
  const writes = await NumberedWrites.start(db, 4);
  await writes.more(150);
  const standby = await cluster.join('standby');
  const spare = await cluster.join('spare');
  assert.deepEqual(await cluster.roles(), { 1: 'voter', 2: 'voter', 3: 'voter', 4: 'standby', 5: 'spare' });
  await writes.more(20);
  // A standby has everything, a spare nothing.
  const target = (await cluster.leader()).node.metrics().commitIndex;
  await until(() => standby.node.metrics().commitIndex >= target, 'the standby follows');
  assert.equal(standby.node.role, 'standby');
  await assert.rejects(cluster.admin.dump('x.db', spare.address));

  const first = await cluster.leader();
  const follower = cluster.members.find(member => member !== first && member.node.role === 'voter')!;
  await cluster.admin.assign(standby.id, 'voter');
  await cluster.admin.remove(follower.id);
  await follower.stop();
  await writes.more(20);
  assert.equal((await cluster.leader()).id, first.id, 'the leader goes on');

  await cluster.admin.remove(first.id);
  await until(() => !first.node.isLeader, 'a removed leader does not lead');
  await first.stop();
  await writes.more(20);
  await cluster.admin.assign(spare.id, 'voter');
  const replacement = await cluster.join('voter');
  await writes.more(20);
  await writes.stop();
  await writes.verify();
  assert.equal(writes.doubtful, 0, 'nothing is in doubt');
  assert.equal(replacement.node.role, 'voter');
  const members = cluster.running;
  assert.equal(members.length, 4);
  await cluster.same('x.db', members);
});

test('a server that is to vote may come later; meanwhile the cluster works and nothing else is changed', async t => {
  const cluster = await TestCluster.start(t, 2);
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (x)');
  const missing = await cluster.prepare();
  await cluster.admin.add(missing);
  const assigned = cluster.admin.assign(missing.id, 'voter');
  await assert.rejects(
    async () => {
      for (;;) await cluster.admin.add({ id: 9n, address: '127.0.0.1:1' });
    },
    { code: 'SQLITE', message: /already in progress|duplicate/ },
  );
  await db.exec('INSERT INTO t VALUES (1)');
  await missing.start();
  await assigned;
  assert.equal((await cluster.roles())['3'], 'voter');
  await cluster.same('x.db');
});
