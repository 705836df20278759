/** Transactions and the write lock, where what SQLite does by itself matters (design rule 11). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineWorld, type EngineClient } from '../support/engine-world.ts';

test('a transaction that has read nothing writes after those before it, whatever it had to compile', async () => {
  const world = await EngineWorld.create();
  const [client, owner] = world.connectMany('x', 2) as [EngineClient, EngineClient];
  world.exec(owner, 'CREATE TABLE t (a)');
  // BEGIN is known from now on, and the connection has looked at the committed version since.
  world.exec(client, 'BEGIN');
  world.exec(client, 'ROLLBACK');
  world.exec(owner, 'BEGIN IMMEDIATE');
  client.query('INSERT INTO t VALUES (1)');
  world.exec(owner, 'COMMIT');
  world.settle();
  assert.equal(client.take().kind, 'rows');

  world.exec(owner, 'BEGIN IMMEDIATE; INSERT INTO t VALUES (2)');
  world.exec(client, 'BEGIN');
  client.exec('INSERT INTO t VALUES (3)');
  world.exec(owner, 'COMMIT');
  world.settle();
  assert.deepEqual(client.take(), { kind: 'result', lastInsertId: 3n, changes: 1 });
  world.exec(client, 'COMMIT');
  assert.deepEqual(world.query(client, 'SELECT a FROM t'), [[1], [2], [3]]);
  world.close();
});
