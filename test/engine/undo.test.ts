/**
 * What becomes of clients when executed transactions are undone: because the log could not be written, or because this
 * node leads no more (design rules 1, 2, 8, 19, 28; invariants 1 and 2).
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteError } from '../../src/engine/index.ts';
import { EngineWorld, type EngineClient } from '../support/engine-world.ts';

const full = (): SqliteError => new SqliteError(13, 'database or disk is full');
const FULL = { kind: 'failure', code: 13, message: 'database or disk is full' };

/** The write on its way fails, and everything that came after it with it. */
function failWrite(world: EngineWorld): void {
  world.proposed.length = 0;
  world.canPropose = false;
  world.engine.writeFailed(full);
  world.turn();
}

function recover(world: EngineWorld): void {
  world.canPropose = true;
  world.engine.writeRecovered();
  world.settle();
}

test('who waits for the lock while everything is undone keeps nothing of what is undone', async () => {
  const world = await EngineWorld.create();
  const [waiter, owner, other] = world.connectMany('x', 3) as [EngineClient, EngineClient, EngineClient];
  world.exec(waiter, 'CREATE TABLE t (a)');
  other.exec('CREATE TABLE undone (a)');
  world.turn();
  owner.exec('BEGIN IMMEDIATE');
  waiter.exec('BEGIN IMMEDIATE');
  world.turn();
  assert.equal(owner.take().kind, 'result');
  assert.equal(world.database('x').lock.waiting, 1);
  failWrite(world);
  for (const client of [waiter, other]) assert.deepEqual(client.take(), FULL);
  recover(world);
  // With the schema of the undone version this would be written into another table: it has the same number of changes.
  world.exec(other, 'CREATE TABLE kept (a)');
  const answer = world.exec(waiter, 'BEGIN IMMEDIATE; INSERT INTO undone VALUES (1); COMMIT');
  assert.deepEqual(answer, { kind: 'failure', code: 1, message: 'no such table: undone' });
  world.exec(waiter, 'ROLLBACK');
  assert.deepEqual(world.query(other, 'SELECT count(*) FROM kept'), [[0]]);
  world.close();
});

test('transactions of other databases cannot commit while the disk is full, and can afterwards', async () => {
  const world = await EngineWorld.create();
  const [one, two] = [world.connect('one'), world.connect('two')];
  for (const client of [one, two]) world.exec(client, 'CREATE TABLE t (a)');
  world.exec(two, 'BEGIN IMMEDIATE; INSERT INTO t VALUES (1)');
  one.exec('INSERT INTO t VALUES (1)');
  world.turn();
  failWrite(world);
  assert.deepEqual(one.take(), FULL);
  for (const sql of ['COMMIT', 'END', 'INSERT INTO t VALUES (2)', 'COMMIT']) {
    two.exec(sql);
    world.turn();
    assert.deepEqual(two.take(), FULL, sql);
  }
  recover(world);
  assert.equal(world.exec(two, 'COMMIT').kind, 'result');
  assert.deepEqual(world.query(two, 'SELECT a FROM t'), [[1]]);
  world.close();
});

test('who gets the lock of another database while the disk is full is refused', async () => {
  const world = await EngineWorld.create();
  const [one, two, waiter] = [world.connect('one'), world.connect('two'), world.connect('two')];
  for (const client of [one, two]) world.exec(client, 'CREATE TABLE t (a)');
  world.exec(two, 'BEGIN IMMEDIATE');
  waiter.exec('INSERT INTO t VALUES (7)');
  one.exec('INSERT INTO t VALUES (1)');
  world.turn();
  failWrite(world);
  two.exec('ROLLBACK');
  world.turn();
  assert.deepEqual(waiter.take(), FULL);
  recover(world);
  two.take();
  assert.deepEqual(world.query(two, 'SELECT a FROM t'), []);
  world.close();
});

test('what was executed while nothing could be proposed is written as soon as it can be', async () => {
  const world = await EngineWorld.create();
  const client = world.connect('x');
  world.exec(client, 'CREATE TABLE t (a)');
  for (const end of ['writeRecovered', 'handoverEnded'] as const) {
    world.canPropose = false;
    client.exec('INSERT INTO t VALUES (1)');
    world.turn();
    assert.deepEqual(client.answers, []);
    world.canPropose = true;
    world.engine[end]();
    world.settle();
    assert.equal(client.take().kind, 'result', end);
  }
  world.close();
});

test('a script that lets others in goes on with nothing that was undone meanwhile', async () => {
  const world = await EngineWorld.create();
  const client = world.connect('x');
  world.exec(client, 'CREATE TABLE t (a)');
  world.clock.tickMs = 20;
  client.exec('INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT 1 WHERE 0');
  world.clock.tickMs = 0;
  // Its first statement has run.
  assert.ok(world.database('x').hasUncommitted);
  world.engine.writeFailed(full);
  world.engine.writeRecovered();
  world.settle();
  assert.equal(client.take().kind, 'failure');
  assert.deepEqual(world.query(client, 'SELECT a FROM t'), []);
  world.close();
});

test('a script of which a part may be kept does not say that nothing was done', async () => {
  for (const ending of ['waits', 'runs', 'executed'] as const) {
    const world = await EngineWorld.create();
    const [client, other] = world.connectMany('x', 2) as [EngineClient, EngineClient];
    world.exec(client, 'CREATE TABLE t (a)');
    world.clock.tickMs = 20;
    client.exec('INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)');
    world.clock.tickMs = 0;
    if (ending === 'waits') other.exec('BEGIN IMMEDIATE');
    if (ending === 'runs') {
      world.clock.tickMs = 20;
      client.exec('SELECT 1 WHERE 0');
    }
    world.turn();
    // The first insert was proposed, the second one, if it has run, was not.
    assert.equal(world.proposed.length, 1, ending);
    world.loseLeadership();
    const [answer] = client.answers;
    assert.ok(answer?.kind === 'failure' && answer.code === 10_506, `${ending}: ${String(answer?.kind)}`);
    world.close();
  }
});
