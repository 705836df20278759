/**
 * When an answer may leave (design rules 1, 4 and 5), looked at from both sides: the log that commits, and whether this
 * node is known to lead.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineWorld, type EngineClient } from '../support/engine-world.ts';

/** A world without a lease, in which a table is there. */
async function withoutLease(): Promise<[EngineWorld, EngineClient, EngineClient]> {
  const world = await EngineWorld.create();
  const [one, two] = world.connectMany('x', 2) as [EngineClient, EngineClient];
  world.exec(one, 'CREATE TABLE t (a UNIQUE)');
  world.lease = false;
  return [world, one, two];
}

test('a write is answered when it is committed: an entry of its own confirms the leadership', async () => {
  const [world, one, two] = await withoutLease();
  one.exec('INSERT INTO t VALUES (1)');
  two.query('INSERT INTO t VALUES (2) RETURNING a');
  world.turn();
  assert.deepEqual([one.answers, two.answers], [[], []]);
  world.settle();
  assert.equal(one.take().kind, 'result');
  assert.equal(two.take().kind, 'rows');
  world.close();
});

test('what changes nothing waits for both', async () => {
  const texts = [
    'UPDATE t SET a = 1 WHERE 0',
    'INSERT INTO t VALUES (7)',
    'SELECT 1 WHERE 0',
    'BEGIN; SELECT 1 WHERE 0; COMMIT',
    'CREATE TABLE t (a)',
    'BEGIN IMMEDIATE; COMMIT',
  ];
  for (const sql of texts) {
    const [world, one, two] = await withoutLease();
    one.exec('INSERT INTO t VALUES (7)');
    world.turn();
    two.exec(sql);
    world.turn();
    world.confirm(true);
    const isRead = sql.startsWith('SELECT');
    assert.equal(two.answers.length, isRead ? 1 : 0, `${sql}: only reads look at what is committed`);
    world.commit();
    world.turn();
    assert.equal(two.answers.length, isRead ? 1 : 0, `${sql}: the entry was proposed before it ran`);
    // Once more for what was compiled again.
    world.confirm(true);
    world.confirm(true);
    assert.equal(two.answers.length, 1, sql);
    world.close();
  }
});

test('the last statement of a script may need a confirmation that the entry of an earlier one is not', async () => {
  for (const sql of ['SELECT 1 WHERE 0', 'UPDATE t SET a = 1 WHERE 0', 'DROP TABLE IF EXISTS absent']) {
    const [world, one] = await withoutLease();
    world.clock.tickMs = 20;
    one.exec(`INSERT INTO t VALUES (1); ${sql}`);
    world.clock.tickMs = 0;
    // The insert is proposed, then the rest runs.
    world.turn();
    assert.equal(world.proposed.length, 1);
    world.commit();
    world.turn();
    assert.deepEqual(one.answers, [], sql);
    world.confirm(true);
    assert.equal(one.take().kind, 'result', sql);
    world.close();
  }
});

test('who does not lead any more says so, whatever was found', async () => {
  const [world, one, two] = await withoutLease();
  one.query('SELECT * FROM t');
  two.exec('INSERT INTO t VALUES (abs(-9223372036854775808))');
  world.turn();
  world.confirm(false);
  for (const client of [one, two]) {
    const answer = client.take();
    assert.ok(answer.kind === 'failure' && answer.code === 10_250, answer.kind);
  }
  world.close();
});

test('a proposal says whether everybody who was served waits for it', async () => {
  const world = await EngineWorld.create();
  const [one, two, three] = world.connectMany('x', 3) as [EngineClient, EngineClient, EngineClient];
  world.exec(one, 'CREATE TABLE t (a)');
  const proposing = (...work: (() => void)[]): boolean | undefined => {
    world.allWait = undefined;
    for (const client of [one, two, three]) client.answers.length = 0;
    for (const step of work) step();
    world.settle();
    return world.allWait;
  };
  const insert = (client: EngineClient) => (): void => client.exec('INSERT INTO t VALUES (1)');
  assert.equal(proposing(insert(one)), true, 'a lone writer');
  assert.equal(proposing(insert(one), insert(two), insert(three)), true, 'writers only');
  assert.equal(
    proposing(insert(one), () => two.query('SELECT a FROM t')),
    false,
    'somebody reads',
  );
  assert.equal(proposing(insert(one), insert(two)), true, 'nobody reads any more');
  assert.equal(
    proposing(insert(one), () => two.exec('this is not SQL')),
    true,
    'an error may come of what is not committed: it waits too',
  );
  assert.equal(
    proposing(insert(one), () => two.exec('BEGIN')),
    false,
    'somebody began a transaction',
  );
  world.close();
});
