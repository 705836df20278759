/**
 * Which callbacks SQLite makes, in which order. The page store relies on it (`vfs.ts`): a version of SQLite that does
 * something else is to be looked at before it is used.
 */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { PAGE_SIZE } from '../pages/index.ts';
import type { Connection } from './index.ts';
import { attempt, commitAll, run, World } from './sqlite.test.helpers.ts';
import type { Fault } from './vfs.ts';

let world: World;
let connection: Connection;
let sequence: string[] = [];

const LOCKS = ['NONE', 'SHARED', 'RESERVED', 'PENDING', 'EXCLUSIVE'];
const CONTROLS: Readonly<Record<number, string>> = {
  5: 'SIZE_HINT',
  11: 'OVERWRITE',
  14: 'PRAGMA',
  21: 'SYNC',
  22: 'COMMIT_PHASETWO',
};

const record: Fault = (callback, argument, isMain) => {
  const place = argument % PAGE_SIZE === 0 ? `page ${argument / PAGE_SIZE + 1}` : `byte ${argument}`;
  const name = isMain ? callback : `temporary ${callback}`;
  if (callback === 'lock' || callback === 'unlock') sequence.push(`${name} ${LOCKS[argument]}`);
  else if (callback === 'control') sequence.push(`${name} ${CONTROLS[argument] ?? argument}`);
  else if (callback === 'read' || callback === 'write') sequence.push(`${name} ${place}`);
  else if (callback === 'truncate') sequence.push(`${name} to ${argument / PAGE_SIZE}`);
  else sequence.push(name);
  return undefined;
};

/** The callbacks of a text. */
function callbacks(sql: string): string[] {
  sequence = [];
  world.sqlite.vfs.fault = record;
  attempt(connection, sql);
  world.sqlite.vfs.fault = undefined;
  return sequence;
}

const ENTER = ['lock SHARED', 'access', 'read byte 24', 'access', 'size'];
const COMMIT = ['control SYNC', 'control COMMIT_PHASETWO', 'unlock SHARED', 'unlock NONE'];

before(async () => {
  world = await World.create();
  connection = world.connect();
  run(connection, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE); INSERT INTO t VALUES (1, 1)');
});

test('an autocommit INSERT on a warm connection', () => {
  const expected = [
    'control PRAGMA',
    ...ENTER,
    'lock RESERVED',
    'lock EXCLUSIVE',
    'write page 1',
    'write page 2',
    'write page 3',
    ...COMMIT,
  ];
  assert.deepEqual(callbacks('INSERT INTO t VALUES (2, 2)'), expected);
  assert.deepEqual(callbacks('INSERT INTO t VALUES (3, 3)'), expected);
});

test('a SELECT', () => {
  assert.deepEqual(callbacks('SELECT sum(a) FROM t'), [...ENTER, 'unlock NONE']);
});

test('a SELECT after another connection has written', () => {
  const other = world.connect();
  run(other, 'UPDATE t SET b = b + 10');
  assert.deepEqual(callbacks('SELECT sum(b) FROM t NOT INDEXED'), [
    ...ENTER,
    'read page 1',
    'read page 2',
    'unlock NONE',
  ]);
  other.close();
});

test('BEGIN IMMEDIATE to COMMIT', () => {
  run(connection, 'PRAGMA integrity_check'); // all pages are in the cache
  assert.deepEqual(callbacks('BEGIN IMMEDIATE'), ['control PRAGMA', ...ENTER, 'lock RESERVED']);
  assert.deepEqual(callbacks('INSERT INTO t VALUES (4, 4)'), []);
  assert.deepEqual(callbacks('SELECT b FROM t WHERE a = 4'), []);
  const write = ['lock EXCLUSIVE', 'write page 1', 'write page 2', 'write page 3'];
  assert.deepEqual(callbacks('COMMIT'), [...write, ...COMMIT]);
});

test('a deferred transaction that reads and then writes', () => {
  assert.deepEqual(callbacks('BEGIN'), []);
  assert.deepEqual(callbacks('SELECT b FROM t WHERE a = 4'), ENTER);
  assert.deepEqual(callbacks('INSERT INTO t VALUES (5, 5)'), ['lock RESERVED']);
  const write = ['lock EXCLUSIVE', 'write page 1', 'write page 2', 'write page 3'];
  assert.deepEqual(callbacks('COMMIT'), [...write, ...COMMIT]);
});

test('an INSERT that fails, and a ROLLBACK, write nothing', () => {
  const enter = ['control PRAGMA', ...ENTER, 'lock RESERVED'];
  assert.deepEqual(callbacks('INSERT INTO t VALUES (9, 5)'), [...enter, 'unlock SHARED', 'unlock NONE']);
  callbacks('BEGIN IMMEDIATE; INSERT INTO t VALUES (9, 9)');
  assert.deepEqual(callbacks('ROLLBACK'), ['unlock SHARED', 'unlock NONE']);
});

test('a write without the ticket', () => {
  connection.file.ticket = false;
  assert.deepEqual(callbacks('INSERT INTO t VALUES (9, 9)'), [
    'control PRAGMA',
    ...ENTER,
    'lock RESERVED',
    'unlock NONE',
  ]);
  connection.file.ticket = true;
});

test('a DELETE that makes the database smaller: truncation after the journal is final', () => {
  world.renew();
  connection = world.connect();
  run(connection, 'PRAGMA auto_vacuum = 1; VACUUM; CREATE TABLE t(a INTEGER PRIMARY KEY, b)');
  run(connection, 'INSERT INTO t VALUES (1, zeroblob(9000))');
  commitAll(world.store);
  assert.equal(world.store.size, 5);
  assert.deepEqual(callbacks('DELETE FROM t'), [
    'control PRAGMA',
    ...ENTER,
    'lock RESERVED',
    'lock EXCLUSIVE',
    'write page 1',
    'write page 2',
    'write page 3',
    'control SYNC',
    'size',
    'truncate to 3',
    'control COMMIT_PHASETWO',
    'unlock SHARED',
    'unlock NONE',
  ]);
});
