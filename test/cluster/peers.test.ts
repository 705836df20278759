/** Whoever connects as a peer and floods, stalls or sends garbage harms that connection only. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { NumberedWrites, TestCluster, type Member } from '../support/cluster.ts';
import { Connection, words } from '../support/connection.ts';

/** A raft connection that says it is another member. */
async function impostor(to: Member, as: Member): Promise<Connection> {
  const connection = await Connection.connect(to.address);
  connection.send({ kind: 'connect', id: as.id, address: as.address });
  return connection;
}

test('garbage, floods and silence on raft connections while clients write', async t => {
  const cluster = await TestCluster.start(t, 3);
  const db = await cluster.client('x.db');
  const writes = await NumberedWrites.start(db, 4);
  await writes.more(20);
  const leader = await cluster.leader();
  for (const victim of cluster.members) {
    const as = cluster.members.find(member => member !== victim)!;
    const garbage = await impostor(victim, as);
    garbage.write(randomBytes(4096));
    await garbage.closed();
    // The header of a message of 2^40 bytes.
    const huge = await impostor(victim, as);
    huge.write(words(3n, 2 ** 40, 0));
    await huge.closed();
    // A message that never ends, and a peer that says nothing.
    const stalled = await impostor(victim, as);
    stalled.write(words(3n));
    const silent = await impostor(victim, as);
    // Results of a term long gone, as many as the connection takes.
    const flood = await impostor(victim, as);
    for (let i = 0; i < 2000; i++) flood.write(Buffer.concat([words(0x0302n, 24), words(1, 0, 0)]));
    await writes.more(20);
    for (const connection of [stalled, silent, flood]) connection.close();
  }
  assert.equal(await cluster.leader(), leader, 'the leader goes on');
  await writes.stop();
  await writes.verify();
  assert.equal(writes.doubtful, 0);
  await cluster.same('x.db');
});
