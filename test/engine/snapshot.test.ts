/** Whole databases between engines: snapshots, deletions, and what followers make of them (design rules 13, 16). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Database } from '../../src/engine/index.ts';
import { SnapshotRestorer } from '../../src/engine/snapshot.ts';
import { SnapshotContentReader, type SnapshotSink } from '../../src/format/index.ts';
import { LOCK_BYTE_PAGE, PAGE_SIZE, PageSlabs, PageStore, type WriteSet } from '../../src/pages/index.ts';
import { EngineWorld } from '../support/engine-world.ts';

function copySnapshot(from: EngineWorld, sink: SnapshotSink): void {
  const snapshot = from.engine.snapshot();
  const reader = new SnapshotContentReader(sink);
  for (const piece of snapshot.pieces()) reader.push(piece);
  reader.finish();
  snapshot.release();
}

const names = ({ engine }: EngineWorld): string[] => [...engine.databases.keys()].sort();

function pagesOf(world: EngineWorld, name: string): Uint8Array {
  const image = world.engine.image(name)!;
  const pages = Buffer.concat([...image.pages()]);
  image.release();
  return pages;
}

test('a snapshot replaces everything: what is not in it was deleted', async () => {
  const [leader, follower] = [await EngineWorld.create(), await EngineWorld.following()];
  for (const name of ['gone', 'kept', 'emptied']) {
    const client = leader.connect(name);
    leader.exec(client, 'CREATE TABLE t (a); INSERT INTO t VALUES (1)');
    if (name !== 'emptied') client.close();
  }
  follower.follow(leader);
  assert.deepEqual(names(follower), ['emptied', 'gone', 'kept']);
  for (const name of ['gone', 'emptied']) {
    const client = leader.connect(name);
    assert.equal(leader.exec(client, 'BEGIN IMMEDIATE; PRAGMA delete_database; COMMIT').kind, 'result');
    client.close();
  }
  const client = leader.connect('new');
  leader.exec(client, 'CREATE TABLE u (a)');
  // The follower has heard nothing of all that when it gets the snapshot.
  const installer = follower.engine.installer();
  copySnapshot(leader, installer);
  follower.engine.installed(installer);
  assert.deepEqual(names(follower), ['emptied', 'kept', 'new']);
  for (const name of ['kept', 'new']) assert.deepEqual(pagesOf(follower, name), pagesOf(leader, name), name);

  // It may lead next.
  follower.lead();
  const heir = follower.connect('gone');
  assert.deepEqual(follower.query(heir, 'SELECT count(*) FROM sqlite_schema'), [[0]]);
  assert.deepEqual(follower.query(follower.connect('emptied'), 'SELECT count(*) FROM sqlite_schema'), [[0]]);
  assert.equal(follower.exec(heir, 'CREATE TABLE other (a)').kind, 'result');
  assert.deepEqual(follower.query(heir, 'PRAGMA integrity_check'), [['ok']]);
  for (const world of [leader, follower]) world.close();
});

test('followers drop a database that is deleted, and can have it again', async () => {
  const [leader, follower] = [await EngineWorld.create(), await EngineWorld.following()];
  const client = leader.connect('x');
  leader.exec(client, 'CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  follower.follow(leader);
  leader.exec(client, 'BEGIN IMMEDIATE; PRAGMA delete_database; COMMIT');
  follower.follow(leader);
  assert.deepEqual(names(follower), []);
  // The leader has it still: a client uses it. What comes next is applied to nothing, with the same result.
  leader.exec(client, 'CREATE TABLE u (a PRIMARY KEY); INSERT INTO u VALUES (randomblob(9000))');
  follower.follow(leader);
  assert.deepEqual(pagesOf(follower, 'x'), pagesOf(leader, 'x'));
  for (const world of [leader, follower]) world.close();
});

test('a database is not deleted while a member cannot follow, whenever that is found out', async () => {
  const world = await EngineWorld.create();
  const client = world.connect('x');
  world.exec(client, 'CREATE TABLE t (a)');
  const refusal = /cannot shrink databases/;
  world.engine.mayShrink = false;
  for (const sql of ['BEGIN IMMEDIATE', 'PRAGMA delete_database', 'COMMIT']) {
    const answer = world.exec(client, sql);
    if (sql.startsWith('PRAGMA')) assert.ok(answer.kind === 'failure' && refusal.test(answer.message), sql);
    else assert.equal(answer.kind, 'result', sql);
  }
  world.engine.mayShrink = true;
  world.exec(client, 'BEGIN IMMEDIATE; PRAGMA delete_database');
  world.engine.mayShrink = false;
  const answer = world.exec(client, 'COMMIT');
  assert.ok(answer.kind === 'failure' && refusal.test(answer.message));
  world.exec(client, 'ROLLBACK');
  assert.deepEqual(world.query(client, 'SELECT count(*) FROM t'), [[0]]);
  world.close();
});

test('a snapshot of more than a gibibyte holds the lock-byte page, which is not written', () => {
  const store = new PageStore(new PageSlabs());
  let replaced: WriteSet | undefined;
  const database = { store, replace: (set: WriteSet) => void (replaced = set) };
  const restorer = new SnapshotRestorer(() => database as unknown as Database);
  const page = new Uint8Array(PAGE_SIZE);
  restorer.beginDatabase(new Uint8Array([0x78]), LOCK_BYTE_PAGE + 1);
  for (const number of [1, LOCK_BYTE_PAGE - 1, LOCK_BYTE_PAGE, LOCK_BYTE_PAGE + 1]) restorer.page(number, page);
  restorer.endDatabase(LOCK_BYTE_PAGE + 1);
  assert.deepEqual([...replaced!.images.keys()], [1, LOCK_BYTE_PAGE - 1, LOCK_BYTE_PAGE + 1]);
  assert.equal(replaced!.size, LOCK_BYTE_PAGE + 1);
});
