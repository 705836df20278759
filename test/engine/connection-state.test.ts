/** What belongs to a client's connection, and what must not be left of it on those that all share. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineWorld, type EngineClient } from '../support/engine-world.ts';

const IDLE_MS = 31_000;

test('a transaction that the server ends takes nothing of the connection with it', async () => {
  const world = await EngineWorld.create();
  const [client, other] = world.connectMany('x', 2) as [EngineClient, EngineClient];
  world.exec(
    client,
    'CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE t (p REFERENCES p); INSERT INTO p VALUES (1)',
  );
  world.exec(client, 'PRAGMA foreign_keys = 0; CREATE TEMP TABLE mine (a); INSERT INTO mine VALUES (7)');
  for (const streams of [false, true]) {
    world.exec(client, 'BEGIN IMMEDIATE; INSERT INTO t VALUES (9); INSERT INTO mine VALUES (8)');
    if (streams) {
      // Too many rows for one piece: the client is given the first ones and asks for no more.
      world.exec(client, 'SELECT 1 WHERE 0');
    }
    world.clock.pass(IDLE_MS);
    assert.equal(world.exec(other, 'INSERT INTO p VALUES (NULL)').kind, 'result', 'the lock is free');
    const refused = world.exec(client, 'INSERT INTO t VALUES (9)');
    assert.ok(refused.kind === 'failure' && refused.code === 516, refused.kind);
    world.exec(client, 'ROLLBACK');
    assert.deepEqual(world.query(client, 'SELECT a FROM mine'), [[7]]);
    assert.deepEqual(world.query(client, 'SELECT count(*) FROM t'), [[0]]);
    assert.deepEqual(world.query(client, 'PRAGMA foreign_keys'), [[0]]);
  }
  world.close();
});

test('texts too long for a cache leave no statement behind', async () => {
  const world = await EngineWorld.create();
  const client = world.connect('x');
  world.exec(client, 'CREATE TABLE t (a)');
  world.query(client, 'SELECT a FROM t');
  const statements = (): number =>
    [...world.engine.sqlite.connections].reduce((sum, connection) => sum + connection.statements.size, 0);
  const long = `/*${'x'.repeat(20_000)}*/`;
  const run = (): void => {
    world.exec(client, `SELECT 1 WHERE 0 ${long}; INSERT INTO t VALUES (1)`);
    world.exec(client, `INSERT INTO t VALUES (1) ${long}`);
    world.exec(client, `INSERT INTO t VALUES (1) ${long}; SELECT 1 WHERE 0`);
    world.exec(client, `SELECT 1 ${long}`);
    for (const text of [
      `SELECT 1 ${long}; SELECT 2`,
      `SELECT 1 ${long}`,
      `SELECT absent ${long}`,
      `INSERT INTO t VALUES (?) ${long}`,
    ]) {
      client.query(text);
      world.settle();
      client.take();
    }
    client.query(`SELECT 1 ${long}`, 'more parameters than it has');
    world.settle();
    client.take();
  };
  run();
  const before = statements();
  run();
  assert.equal(statements(), before);
  world.close();
});

test('an R-Tree that refuses a row leaves nothing locked, on whichever connection', async () => {
  const world = await EngineWorld.create();
  const [client, other] = world.connectMany('x', 2) as [EngineClient, EngineClient];
  world.exec(client, 'CREATE VIRTUAL TABLE g USING rtree (id, low, high); INSERT INTO g VALUES (1, 0, 1)');
  world.exec(client, 'CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)');
  // Those for reads look at the newest version.
  const { store } = world.database('x');
  const isUnlocked = (): boolean =>
    [...world.engine.sqlite.connections].every(
      ({ file: { lock, pin }, role }) => lock === 0 || (role === 'shared' && pin!.version === store.newest),
    );
  const refused = 'INSERT INTO g VALUES (2, 0, 1), (1, 0, 1)';
  world.exec(client, 'CREATE TEMP TABLE mine (a); INSERT INTO mine VALUES (7)');
  assert.equal(world.exec(client, refused).kind, 'failure');
  assert.ok(isUnlocked());
  assert.deepEqual(world.query(client, 'SELECT a FROM mine'), [[7]]);
  // In a group that is taken apart.
  const third = world.connect('x');
  third.exec('INSERT INTO g VALUES (3, 0, 1)');
  other.exec('INSERT OR ROLLBACK INTO t VALUES (1)');
  world.settle();
  assert.equal(third.take().kind, 'result');
  assert.equal(other.take().kind, 'failure');
  assert.ok(isUnlocked());
  world.close();
});

test('PRAGMA data_version changes when others have written, and its number never comes again', async () => {
  const world = await EngineWorld.create();
  const [client, other, slow] = world.connectMany('x', 3) as [EngineClient, EngineClient, EngineClient];
  world.exec(client, 'CREATE TABLE t (a)');
  const numbers = new Set<number>();
  for (let round = 0; round < 4; round++) {
    // One of those for reads is busy with this, so that another one would be asked.
    slow.query('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT i FROM n');
    numbers.add(world.query(client, 'PRAGMA data_version')[0]![0] as number);
    assert.equal(numbers.size, round + 1);
    assert.ok(numbers.has(world.query(client, 'PRAGMA data_version')[0]![0] as number));
    slow.answers.length = 0;
    world.exec(other, 'INSERT INTO t VALUES (1)');
  }
  world.close();
});
