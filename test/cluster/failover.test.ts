/** The leader goes, with and without notice, under load: clients hardly notice, and nothing that they were told is wrong. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeEvent } from '../../src/node/index.ts';
import { NumberedWrites, ServedCluster, TestCluster } from '../support/cluster.ts';

const WRITERS = 8;

test('SIGKILL of the leader while clients write: what was acknowledged is there, and only what was under way is in doubt', async t => {
  const cluster = await ServedCluster.start(t, 3);
  const db = await cluster.client('x.db');
  const writes = await NumberedWrites.start(db, WRITERS);
  for (let round = 1; round <= 2; round++) {
    await writes.more(50);
    const leader = await cluster.leader();
    await leader.server.kill();
    await writes.more(50);
    assert.ok(writes.doubtful <= round * WRITERS, `${writes.doubtful} are in doubt after ${round} kills`);
    await cluster.restart(leader);
  }
  await writes.stop();
  await writes.verify();
  await cluster.same('x.db');
  for (const { server } of cluster.members) await server.stop();
});

test('leadership is handed over under load: nothing fails, nothing is in doubt', async t => {
  const cluster = await TestCluster.start(t, 3);
  const db = await cluster.client('x.db');
  const writes = await NumberedWrites.start(db, WRITERS);
  for (let round = 0; round < 4; round++) {
    await writes.more(50);
    const leader = await cluster.leader();
    const target = cluster.members.find(member => member !== leader)!;
    if (round % 2 === 0) await cluster.admin.transfer(target.id);
    else assert.equal(await leader.node.handover(), true);
    assert.equal(leader.node.isLeader, false);
    await writes.more(50);
  }
  await writes.stop();
  await writes.verify();
  assert.equal(writes.doubtful, 0);
  await cluster.same('x.db');
});

test('a write between two requests to hand over, neither of which succeeds, is carried out', async t => {
  const cluster = await TestCluster.start(t, 3);
  const db = await cluster.client('x.db');
  await db.exec('CREATE TABLE t (v)');
  const leader = await cluster.leader();
  const target = await cluster.follower();
  await cluster.caughtUp();
  await target.stop();
  const first = assert.rejects(cluster.admin.transfer(target.id));
  const second = assert.rejects(cluster.admin.transfer(target.id));
  await Promise.race([first, second]);
  await db.exec('INSERT INTO t VALUES (1)', [], { timeoutMs: 10_000 });
  await Promise.all([first, second]);
  assert.equal(leader.node.isLeader, true);
});

test('a node tells what happens to it, and does not hand over what it has not, or to nobody', async t => {
  const cluster = await TestCluster.start(t, 1);
  const [first] = cluster.members;
  const events: NodeEvent[] = [];
  const listening = (async (): Promise<void> => {
    for await (const event of first!.node.events()) events.push(event);
  })();
  assert.equal(await first!.node.handover(), false);
  const second = await cluster.join('voter');
  assert.equal(await second.node.handover(), false);
  assert.equal(await first!.node.handover(), true);
  const leader = await cluster.leader();
  assert.equal(leader, second);
  await first!.stop();
  await listening;
  const seen = events.map(event => {
    if (event.kind === 'role') return event.role;
    if (event.kind === 'leader') return `leader ${event.leader?.id ?? 'none'}`;
    return event.configuration.servers.map(({ role }) => role).join('+');
  });
  assert.deepEqual(seen.slice(0, 2), ['voter+spare', 'voter+voter']);
  assert.ok(seen.includes('follower'));
  assert.ok(seen.includes('leader 2'));
});
