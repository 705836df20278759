/**
 * Fault sweeps: for each script, each callback and each N, the Nth such callback of the script fails, until the script
 * gets by without. Afterwards the database is exactly what it was before the script or what it is after it, by all
 * pages and by what SQL reads, and the connection goes on (or says that it must not be used).
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  SQLITE_BUSY_SNAPSHOT,
  SQLITE_CANTOPEN,
  SQLITE_FULL,
  SQLITE_IOERR,
  SqliteError,
  type Connection,
} from './index.ts';
import { checkIntegrity, commitAll, isClean, numbers, run, stateOf, value, World } from './sqlite.test.helpers.ts';
import type { CallbackName } from './vfs.ts';

interface Script {
  readonly base: string;
  /** Executed as one text: one transaction, or one statement. */
  readonly sql: string;
  readonly cachePages: number;
}

const BASE = `CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v BLOB); CREATE INDEX tk ON t(k);
  INSERT INTO t SELECT value, 'k' || value % 7, zeroblob(600) FROM ${numbers(40)}`;

const scripts: Readonly<Record<string, Script>> = {
  'a small insert': {
    base: BASE,
    sql: "INSERT INTO t VALUES (1000, 'new', 'x')",
    cachePages: 250,
  },
  'a big insert that spills': {
    base: BASE,
    sql: `INSERT INTO t SELECT value, 'n' || value, zeroblob(2500) FROM ${numbers(25, 100)}`,
    cachePages: 5,
  },
  'a transaction with savepoints': {
    base: BASE,
    sql: `BEGIN; UPDATE t SET k = 'z' || id WHERE id < 20; SAVEPOINT s;
      INSERT INTO t SELECT value, 's', zeroblob(3000) FROM ${numbers(12, 200)}; ROLLBACK TO s;
      INSERT INTO t SELECT value, 'r', zeroblob(3000) FROM ${numbers(6, 300)}; RELEASE s; DELETE FROM t WHERE id = 5; COMMIT`,
    cachePages: 5,
  },
  'a statement that fails and is taken back alone': {
    base: `${BASE}; CREATE UNIQUE INDEX tu ON t(id % 100)`,
    sql: `BEGIN; UPDATE t SET v = zeroblob(900); INSERT OR IGNORE INTO t SELECT value, 'i', zeroblob(2000) FROM ${numbers(20, 130)};
      DELETE FROM t WHERE id = 3; COMMIT`,
    cachePages: 5,
  },
  'a change of the schema': {
    base: BASE,
    sql: `BEGIN; CREATE TABLE u AS SELECT * FROM t; ALTER TABLE t ADD COLUMN n DEFAULT 5; DROP INDEX tk; CREATE VIEW w AS SELECT n FROM t; COMMIT`,
    cachePages: 5,
  },
  'the creation of an index with a temporary file': {
    base: `${BASE}; UPDATE t SET k = k || hex(randomblob(900))`,
    sql: 'CREATE INDEX big ON t(k, v, id)',
    cachePages: 5,
  },
  VACUUM: {
    base: `${BASE}; DELETE FROM t WHERE id % 3`,
    sql: 'VACUUM',
    cachePages: 5,
  },
  'a delete with auto_vacuum': {
    base: `PRAGMA auto_vacuum = FULL; VACUUM; ${BASE}; UPDATE t SET v = zeroblob(2500)`,
    sql: 'DELETE FROM t WHERE id % 4 <> 0',
    cachePages: 5,
  },
  'an incremental vacuum': {
    base: `PRAGMA auto_vacuum = INCREMENTAL; VACUUM; ${BASE}; UPDATE t SET v = zeroblob(2500); DELETE FROM t WHERE id % 4 <> 0`,
    sql: 'BEGIN; DELETE FROM t WHERE id < 9; PRAGMA incremental_vacuum(10); COMMIT',
    cachePages: 5,
  },
  'a transaction over several files': {
    base: BASE,
    sql: `CREATE TEMP TABLE x AS SELECT * FROM t; ATTACH '' AS a; CREATE TABLE a.y(b);
      PRAGMA temp.cache_size = 3; PRAGMA a.cache_size = 3;
      BEGIN; INSERT INTO x SELECT * FROM t; INSERT INTO a.y SELECT zeroblob(3000) FROM t LIMIT 9; UPDATE t SET v = zeroblob(1200) WHERE id < 15; COMMIT`,
    cachePages: 5,
  },
  'full text': {
    base: `CREATE VIRTUAL TABLE t USING fts5(k, v); INSERT INTO t SELECT 'word' || value, 'text ' || value % 5 FROM ${numbers(60)}`,
    sql: `BEGIN; INSERT INTO t SELECT 'more' || value, 'text' FROM ${numbers(20)}; DELETE FROM t WHERE rowid < 10; COMMIT`,
    cachePages: 5,
  },
};

/** The codes that a callback may fail with (conditions in `vfs.ts`). */
const codes: readonly (readonly [callback: CallbackName, ...codes: number[]])[] = [
  ['open', SQLITE_CANTOPEN],
  ['close', SQLITE_IOERR],
  ['access', 3338], // IOERR_ACCESS
  ['read', 266], // IOERR_READ
  ['write', 778, SQLITE_FULL], // IOERR_WRITE
  ['truncate', 1546], // IOERR_TRUNCATE
  ['size', 1802], // IOERR_FSTAT
  ['lock', SQLITE_BUSY_SNAPSHOT, 3850], // IOERR_LOCK
  ['unlock', 2058], // IOERR_UNLOCK
  ['control', SQLITE_IOERR],
];

/** The rest cannot fail for temporary files, and SQLite relies on it: it commits them after the database. */
const ofTemporaryFiles: ReadonlySet<CallbackName> = new Set(['open', 'close', 'write']);

let world: World;

before(async () => {
  world = await World.create();
});

after(() => world.closeAll());

const content = (connection: Connection): unknown => [
  run(connection, 'SELECT count(*), sum(length(k)), max(k), sum(length(v)) FROM main.t'),
  run(connection, 'SELECT name, sql FROM main.sqlite_schema ORDER BY name'),
];

/** Runs the script as a client would: an error ends it, and the transaction with it. */
function execute(connection: Connection, sql: string): SqliteError | undefined {
  try {
    run(connection, sql);
    return undefined;
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
    if (!connection.autocommit) run(connection, 'ROLLBACK');
    return error;
  }
}

for (const [name, script] of Object.entries(scripts)) {
  test(`${name}: whichever callback fails, all or nothing has happened`, () => {
    const { store, sqlite } = world.renew();
    run(world.connect(), script.base);
    commitAll(store);
    world.closeAll();
    const base = stateOf(store, store.newest);

    /** A connection with a cache full of the old state. */
    const warm = (): Connection => {
      const connection = world.connect({ cachePages: script.cachePages });
      content(connection);
      return connection;
    };
    const connection = warm();
    const contentBefore = content(connection);
    assert.equal(execute(connection, script.sql), undefined);
    const contentAfter = content(connection);
    const done = stateOf(store, store.newest);
    world.closeAll();
    store.undo();

    let faults = 0;
    for (const [callback, ...failures] of codes) {
      for (const code of failures) {
        for (let nth = 1; ; nth++) {
          const where = `${callback} ${nth} fails with ${code}`;
          const connection = warm();
          let count = 0;
          sqlite.vfs.fault = (called, _argument, isMain) =>
            called === callback && (isMain || ofTemporaryFiles.has(called)) && ++count === nth ? code : undefined;
          let error: SqliteError | undefined;
          try {
            error = execute(connection, script.sql);
          } finally {
            sqlite.vfs.fault = undefined;
          }
          faults++;
          const state = stateOf(store, store.newest);
          const isDone = state.equals(done);
          assert.ok(isDone || state.equals(base), `${where}: neither the old state nor the new one`);
          if (error === undefined) assert.ok(isDone, `${where}: success without effect`);
          // An error of unlocking comes after the transaction was published, all others before.
          else if (callback !== 'unlock') assert.ok(!isDone, `${where}: ${error.message}, with effect`);
          const expected = isDone ? contentAfter : contentBefore;
          let survivor = connection;
          if (!isClean(connection)) {
            assert.ok(callback === 'unlock' || connection.file.unusable, `${where}: a lock is left`);
            connection.close();
            survivor = warm();
          }
          assert.deepEqual(content(survivor), expected, `${where}: what the connection reads`);
          if (nth % 4 === 1) {
            checkIntegrity(world);
            run(survivor, 'BEGIN IMMEDIATE; CREATE TABLE more(a); INSERT INTO more VALUES (zeroblob(9000)); COMMIT');
            // Not of temporary tables, which SQLite 3.40 to 3.54 can damage by itself after a rollback.
            assert.equal(value(survivor, 'PRAGMA main.integrity_check'), 'ok', where);
          }
          survivor.close();
          assert.equal(sqlite.vfs.openFiles, 0, where);
          assert.equal(sqlite.tempBudget.used, 0, where);
          store.undo();
          if (count < nth) break;
        }
      }
    }
    assert.ok(faults > 30, `${faults} faults`);
    world.closeAndCheck();
  });
}
