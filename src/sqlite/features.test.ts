/**
 * What SQLite can do, over the page store: each scenario runs statement by statement beside a stock database in
 * memory, with the usual page cache and with one of five pages, which makes every transaction spill. Results and
 * errors must be the same, and after each transaction a follower that gets batches only has the same pages.
 */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { PAGE_SIZE } from '../pages/index.ts';
import {
  attempt,
  checkIntegrity,
  commitAll,
  dump,
  Follower,
  isClean,
  numbers,
  pagesOf,
  run,
  StockDatabase,
  World,
} from './sqlite.test.helpers.ts';

let world: World;

before(async () => {
  world = await World.create();
});

const bulk = (count: number, size: number, start = 1): string =>
  `INSERT INTO t SELECT value, 'k' || value % 17, zeroblob(${size}) FROM ${numbers(count, start)}`;

const TABLE = 'CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v BLOB)';

const scenarios: Readonly<Record<string, readonly string[]>> = {
  'a transaction that spills': [
    TABLE,
    'CREATE INDEX tk ON t(k)',
    'BEGIN',
    bulk(200, 3000),
    "UPDATE t SET k = k || 'x' WHERE id % 3 = 0",
    'SELECT count(*), sum(length(v)), min(k), max(k) FROM t',
    'DELETE FROM t WHERE id % 2 = 0',
    'COMMIT',
    'SELECT count(*), sum(length(v)), min(k), max(k) FROM t',
  ],
  'ROLLBACK after a spill': [
    TABLE,
    bulk(50, 500),
    'BEGIN',
    bulk(200, 3000, 100),
    'DELETE FROM t WHERE id < 30',
    'ROLLBACK',
  ],
  'savepoints, nested, released and taken back, with spills': [
    TABLE,
    bulk(20, 100),
    'SAVEPOINT outer',
    bulk(100, 2000, 100),
    'SAVEPOINT inner',
    "UPDATE t SET v = zeroblob(2500), k = 'inner'",
    'ROLLBACK TO inner',
    'SELECT count(*), sum(length(v)) FROM t',
    'DELETE FROM t WHERE id % 2',
    'SAVEPOINT inner2',
    'CREATE TABLE gone AS SELECT * FROM t',
    'ROLLBACK TO outer',
    bulk(30, 4500, 300),
    'RELEASE outer',
    'RELEASE outer',
    'BEGIN',
    'SAVEPOINT a',
    'DROP TABLE t',
    'ROLLBACK TO a',
    'RELEASE a',
    'COMMIT',
  ],
  'statements that fail half-way are taken back alone': [
    'CREATE TABLE u(id INTEGER PRIMARY KEY, n UNIQUE CHECK (n < 1000), v)',
    'BEGIN',
    `INSERT INTO u SELECT value, value, zeroblob(2000) FROM ${numbers(100)}`,
    `INSERT INTO u SELECT value, value % 190, zeroblob(2000) FROM ${numbers(100, 150)}`,
    'SELECT count(*), sum(n) FROM u',
    'UPDATE u SET n = n + 950',
    'UPDATE OR IGNORE u SET n = n + 1',
    'SELECT count(*), sum(n) FROM u',
    `INSERT OR REPLACE INTO u SELECT value, value % 30, zeroblob(10) FROM ${numbers(50, 500)}`,
    'INSERT OR FAIL INTO u VALUES (900, 900, 1), (901, 900, 1), (902, 902, 1)',
    'SELECT count(*), sum(n) FROM u',
    'COMMIT',
    'INSERT OR ROLLBACK INTO u VALUES (900, 5, 1)',
    'BEGIN; INSERT INTO u VALUES (950, 950, 1)',
    'INSERT OR ROLLBACK INTO u VALUES (951, 950, 1)',
    'COMMIT',
    'SELECT count(*) FROM u',
  ],
  'the schema changes': [
    TABLE,
    bulk(100, 300),
    'ALTER TABLE t ADD COLUMN added DEFAULT 5',
    'ALTER TABLE t RENAME COLUMN k TO kk',
    'CREATE INDEX i1 ON t(kk, added)',
    "CREATE UNIQUE INDEX i2 ON t(id, kk) WHERE kk <> 'k3'",
    'CREATE INDEX i3 ON t(length(v))',
    'CREATE VIEW w AS SELECT kk, count(*) AS n FROM t GROUP BY kk',
    'SELECT * FROM w ORDER BY kk',
    'ALTER TABLE t DROP COLUMN added',
    'DROP INDEX i1',
    'ALTER TABLE t DROP COLUMN added',
    'ALTER TABLE t RENAME TO tt',
    'SELECT * FROM w ORDER BY kk LIMIT 3',
    'BEGIN; DROP VIEW w; DROP TABLE tt; CREATE TABLE tt(other); INSERT INTO tt VALUES (1)',
    'SELECT * FROM tt',
    'ROLLBACK',
    'SELECT count(*) FROM tt',
    'CREATE TABLE copy AS SELECT * FROM tt',
    'DROP TABLE tt',
    'REINDEX; ANALYZE',
    'SELECT count(*) FROM copy',
    'CREATE TABLE copy(x)',
    'DROP TABLE nothing',
  ],
  VACUUM: [
    TABLE,
    bulk(300, 1000),
    'CREATE INDEX tk ON t(k)',
    'DELETE FROM t WHERE id % 5 <> 0',
    'VACUUM',
    'SELECT count(*), sum(id) FROM t',
    'BEGIN',
    'VACUUM',
    'ROLLBACK',
    'DELETE FROM t',
    'VACUUM',
    bulk(10, 10),
    'VACUUM',
  ],
  'auto_vacuum = FULL': [
    'PRAGMA auto_vacuum = FULL; VACUUM',
    TABLE,
    'CREATE INDEX tk ON t(k)',
    bulk(200, 3000),
    'DELETE FROM t WHERE id % 3 <> 0',
    'BEGIN',
    'DELETE FROM t WHERE id > 50',
    bulk(40, 5000, 1000),
    'SAVEPOINT s',
    'DELETE FROM t',
    'ROLLBACK TO s',
    'DELETE FROM t WHERE id > 1010',
    'COMMIT',
    'DROP INDEX tk',
    'DELETE FROM t',
    'DROP TABLE t',
  ],
  'auto_vacuum = INCREMENTAL': [
    'PRAGMA auto_vacuum = INCREMENTAL; VACUUM',
    TABLE,
    bulk(200, 3000),
    'DELETE FROM t WHERE id % 2 = 0',
    'PRAGMA incremental_vacuum(10)',
    'BEGIN; DELETE FROM t WHERE id > 150; PRAGMA incremental_vacuum; INSERT INTO t(id) VALUES (500)',
    'ROLLBACK',
    'BEGIN; DELETE FROM t WHERE id > 150; PRAGMA incremental_vacuum(30); INSERT INTO t(id) VALUES (500)',
    'COMMIT',
    'PRAGMA incremental_vacuum',
    'PRAGMA auto_vacuum = NONE; VACUUM',
    bulk(10, 3000, 1000),
  ],
  'RETURNING and upserts': [
    'CREATE TABLE c(name TEXT PRIMARY KEY, n INTEGER DEFAULT 1)',
    "INSERT INTO c(name) VALUES ('a'), ('b') RETURNING rowid, name, n",
    "INSERT INTO c(name) VALUES ('a'), ('z') ON CONFLICT (name) DO UPDATE SET n = n + 10 RETURNING name, n",
    "INSERT INTO c(name) VALUES ('a') ON CONFLICT DO NOTHING RETURNING name",
    "UPDATE c SET n = n * 2 WHERE name < 'c' RETURNING name, n, n / 2",
    'DELETE FROM c RETURNING *',
    `INSERT INTO c(name) SELECT 'many' || value FROM ${numbers(300)} RETURNING n`,
  ],
  'full text': [
    "CREATE VIRTUAL TABLE f USING fts5(title, body, tokenize = 'porter unicode61')",
    `INSERT INTO f SELECT 'title ' || value, 'word' || value % 50 || ' running runs ran over the lazy dogs ' || value FROM ${numbers(500)}`,
    "SELECT count(*), min(rowid) FROM f WHERE f MATCH 'run AND word7'",
    "SELECT rowid, highlight(f, 1, '[', ']') FROM f WHERE f MATCH 'body : dog NOT word8' ORDER BY rank, rowid LIMIT 3",
    'BEGIN',
    'DELETE FROM f WHERE rowid % 2 = 0',
    "INSERT INTO f(f) VALUES ('optimize')",
    "SELECT count(*) FROM f WHERE f MATCH 'run'",
    'SAVEPOINT s; DELETE FROM f',
    "SELECT count(*) FROM f WHERE f MATCH 'run'",
    'ROLLBACK TO s',
    'COMMIT',
    "SELECT count(*) FROM f WHERE f MATCH 'run*'",
    "INSERT INTO f(f) VALUES ('rebuild'), ('integrity-check')",
    "CREATE VIRTUAL TABLE vocabulary USING fts5vocab(f, 'row')",
    'SELECT * FROM vocabulary ORDER BY term LIMIT 5',
    "CREATE VIRTUAL TABLE trigrams USING fts5(x, tokenize = 'trigram', content = '')",
    "INSERT INTO trigrams(rowid, x) VALUES (1, 'abcdef'), (2, 'bcdefg')",
    "SELECT rowid FROM trigrams WHERE trigrams MATCH 'cde' ORDER BY rowid",
    'DROP TABLE vocabulary; DROP TABLE f',
  ],
  'R-Tree': [
    'CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1, +label)',
    `INSERT INTO r SELECT value, value, value + 5, value % 37, value % 37 + 1, 'box' || value FROM ${numbers(800)}`,
    'SELECT count(*), sum(id) FROM r WHERE x0 > 100 AND x1 < 300 AND y0 < 10',
    'BEGIN; DELETE FROM r WHERE id % 3 = 0; UPDATE r SET x1 = x1 + 1 WHERE id < 100',
    'SELECT count(*), max(label) FROM r WHERE y1 > 30',
    'ROLLBACK',
    'SELECT count(*) FROM r WHERE x1 BETWEEN 200 AND 400',
    "SELECT rtreecheck('r')",
    'INSERT INTO r VALUES (1, 0, 1, 0, 1, NULL)',
    'INSERT INTO r VALUES (9000, 1, 0, 0, 1, NULL)',
    'CREATE VIRTUAL TABLE ri USING rtree_i32(id, a, b); INSERT INTO ri VALUES (1, -5, 5)',
    'SELECT * FROM ri WHERE a < 0',
  ],
  JSON: [
    'CREATE TABLE j(id INTEGER PRIMARY KEY, doc, packed AS (jsonb(doc)) STORED)',
    `INSERT INTO j(doc) SELECT json_object('n', value, 'tags', json_array('t' || value % 3, NULL, 1.5), 'o', json_object('deep', value * 2)) FROM ${numbers(300)}`,
    "CREATE INDEX jn ON j(doc ->> 'n')",
    "SELECT id, doc -> '$.tags[0]', packed ->> '$.o.deep' FROM j WHERE doc ->> 'n' = 77",
    "UPDATE j SET doc = json_set(doc, '$.o.new', json('[1,2]'), '$.n', -1) WHERE id % 100 = 0",
    "SELECT count(*) FROM j, json_each(j.doc, '$.tags') AS tag WHERE tag.value = 't1'",
    "SELECT doc FROM j WHERE doc ->> 'n' = -1 ORDER BY id",
    'SELECT json_group_array(id) FROM j WHERE id < 5',
    "SELECT json('{bad')",
  ],
  'generated columns and WITHOUT ROWID': [
    'CREATE TABLE g(a, b AS (a * 2), c AS (b + 1) STORED, PRIMARY KEY (a)) WITHOUT ROWID',
    `INSERT INTO g(a) SELECT value FROM ${numbers(500)}`,
    'CREATE INDEX gb ON g(b)',
    'SELECT * FROM g WHERE b = 84',
    'UPDATE g SET a = -a WHERE a % 7 = 0',
    'SELECT sum(a), sum(b), sum(c) FROM g',
    'INSERT INTO g(a, b) VALUES (9999, 1)',
    'INSERT INTO g(a) VALUES (1)',
    'DELETE FROM g WHERE c < 0',
    'CREATE TABLE strict_one(i INT, r REAL, x TEXT, z BLOB, w ANY) STRICT',
    "INSERT INTO strict_one VALUES (1, 1, 'x', x'00', 'any')",
    "INSERT INTO strict_one VALUES ('no', 1, 'x', x'00', 1)",
  ],
  triggers: [
    'CREATE TABLE a(id INTEGER PRIMARY KEY, n); CREATE TABLE log(what, id, n)',
    "CREATE TRIGGER a1 AFTER INSERT ON a BEGIN INSERT INTO log VALUES ('insert', new.id, new.n); END",
    "CREATE TRIGGER a2 BEFORE UPDATE OF n ON a WHEN new.n > 10 BEGIN SELECT RAISE(ABORT, 'too much'); END",
    "CREATE TRIGGER a3 AFTER DELETE ON a BEGIN INSERT INTO log SELECT 'delete', old.id, count(*) FROM a; END",
    'CREATE VIEW av AS SELECT id, n FROM a',
    'CREATE TRIGGER a4 INSTEAD OF INSERT ON av BEGIN INSERT INTO a VALUES (new.id, new.n + 1); END',
    `INSERT INTO a SELECT value, value % 5 FROM ${numbers(100)}`,
    'INSERT INTO av VALUES (1000, 3)',
    'UPDATE a SET n = n + 1',
    'UPDATE a SET n = 11 WHERE id = 7',
    'DELETE FROM a WHERE id > 50',
    'PRAGMA recursive_triggers = ON',
    'CREATE TABLE chain(n)',
    'CREATE TRIGGER c1 AFTER INSERT ON chain WHEN new.n < 300 BEGIN INSERT INTO chain VALUES (new.n + 1); END',
    'INSERT INTO chain VALUES (1)',
    'SELECT count(*) FROM chain',
    'INSERT INTO chain VALUES (-5000)',
    'SELECT count(*) FROM chain',
  ],
  'large values on overflow pages': [
    'CREATE TABLE big(id INTEGER PRIMARY KEY, v)',
    'INSERT INTO big VALUES (1, zeroblob(100000)), (2, zeroblob(4096)), (3, zeroblob(1000003))',
    "UPDATE big SET v = CAST(replace(hex(zeroblob(20000)), '00', 'abcde') AS BLOB) WHERE id = 1",
    'SELECT id, length(v), substr(v, 50001, 7) FROM big',
    'BEGIN; DELETE FROM big WHERE id = 3; INSERT INTO big VALUES (4, zeroblob(500000)); UPDATE big SET v = v || v WHERE id = 1',
    'SELECT id, length(v) FROM big',
    'COMMIT',
    'SELECT id, hex(substr(v, -10)) FROM big ORDER BY id',
    'CREATE TABLE wide(' + Array.from({ length: 600 }, (_, i) => `c${i} DEFAULT ${i}`).join(', ') + ')',
    'INSERT INTO wide(c0) VALUES (1), (2)',
    'SELECT c0, c1, c599 FROM wide',
  ],
  'temporary tables and attached temporary databases': [
    TABLE,
    bulk(100, 100),
    'CREATE TEMP TABLE x(a INTEGER PRIMARY KEY, b)',
    `INSERT INTO x SELECT value, zeroblob(3000) FROM ${numbers(700)}`,
    'CREATE TEMP TRIGGER xt AFTER INSERT ON t BEGIN INSERT INTO x(b) VALUES (new.id); END',
    'CREATE TEMP VIEW xv AS SELECT t.id, x.a FROM t JOIN x ON x.a = t.id',
    bulk(5, 10, 1000),
    'SELECT count(*), sum(id) FROM xv',
    "ATTACH '' AS scratch",
    'CREATE TABLE scratch.s AS SELECT * FROM t',
    `INSERT INTO scratch.s SELECT value, 'z', zeroblob(2500) FROM ${numbers(700, 5000)}`,
    'BEGIN; INSERT INTO s(id) VALUES (-1); INSERT INTO x(a) VALUES (-1); INSERT INTO t(id) VALUES (-1)',
    'ROLLBACK',
    'SELECT (SELECT count(*) FROM s), (SELECT count(*) FROM x), (SELECT count(*) FROM t)',
    'BEGIN; INSERT INTO s(id) VALUES (-1); INSERT INTO x(a) VALUES (-1); INSERT INTO t(id) VALUES (-1); COMMIT',
    'SELECT (SELECT count(*) FROM s), (SELECT count(*) FROM x), (SELECT count(*) FROM t)',
    'DELETE FROM scratch.s; VACUUM scratch',
    'DETACH scratch',
    'SELECT count(*) FROM scratch.s',
    'DROP TABLE x',
    'DROP TRIGGER xt',
  ],
  'foreign keys': [
    'CREATE TABLE p(id INTEGER PRIMARY KEY, u UNIQUE)',
    'CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE, u REFERENCES p(u) DEFERRABLE INITIALLY DEFERRED)',
    `INSERT INTO p SELECT value, 'u' || value FROM ${numbers(200)}`,
    `INSERT INTO c SELECT value, 1 + value % 200, 'u' || (1 + value % 200) FROM ${numbers(1000)}`,
    'INSERT INTO c VALUES (5000, 999, NULL)',
    'DELETE FROM p WHERE id = 10',
    'SELECT count(*) FROM c WHERE p = 10',
    'UPDATE p SET id = id + 1000 WHERE id < 20',
    'SELECT count(*), min(p) FROM c',
    "BEGIN; INSERT INTO c VALUES (6000, 50, 'later')",
    'COMMIT',
    "INSERT INTO p VALUES (7000, 'later'); COMMIT",
    'PRAGMA foreign_key_check',
    'DROP TABLE p',
    'DELETE FROM c; DROP TABLE p',
  ],
  'sorting and joining beyond memory': [
    TABLE,
    bulk(1500, 1500),
    'SELECT count(*), sum(n) FROM (SELECT k, length(v) AS n FROM t ORDER BY v, k DESC)',
    'SELECT count(*) FROM (SELECT DISTINCT k, v FROM t)',
    'CREATE INDEX tv ON t(v, k)',
    'SELECT count(*) FROM (SELECT a.id FROM t AS a JOIN t AS b ON a.k = b.k WHERE b.id < 50 ORDER BY a.v, b.id)',
    'SELECT k, count(*), sum(length(v)) OVER (ORDER BY k ROWS 3 PRECEDING) FROM t GROUP BY k',
    'SELECT count(*) FROM (SELECT id FROM t UNION SELECT id + 100 FROM t EXCEPT SELECT 7)',
  ],
};

for (const [name, statements] of Object.entries(scenarios)) {
  for (const cachePages of [undefined, 5]) {
    test(`${name}${cachePages === undefined ? '' : ', tiny cache'}`, () => {
      const { store, slabs } = world.renew();
      const connection = world.connect(cachePages === undefined ? {} : { cachePages });
      const stock = new StockDatabase(world.sqlite);
      const follower = new Follower(store, store.newest);
      for (const sql of statements) {
        assert.deepEqual(attempt(connection, sql), stock.attempt(sql), sql);
        if (!connection.autocommit) continue;
        assert.ok(isClean(connection), `nothing is held after ${sql}`);
        if (!store.hasOpenBatch) continue;
        follower.apply(store.seal(), slabs);
        store.commit();
        assert.ok(follower.bytes.equals(pagesOf(store, store.committed)), `the follower after ${sql}`);
      }
      assert.deepEqual(
        dump(sql => run(connection, sql)),
        dump(sql => stock.attempt(sql).rows!),
      );
      stock.close();
      checkIntegrity(world);
      // The follower's own SQLite reads the same from it.
      const copy = follower.toStore(slabs);
      checkIntegrity(world, 'committed', copy);
      const reader = world.connect({ store: copy, view: 'committed', role: 'shared' });
      assert.deepEqual(
        dump(sql => run(reader, sql)),
        dump(sql => run(connection, sql)),
      );
      reader.close();
      copy.destroy();
      commitAll(store);
      world.closeAndCheck();
    });
  }
}

/** Of C dqlite: `PRAGMA encoding='UTF-16le'; CREATE TABLE t(a); INSERT INTO t VALUES('x')`. */
const UTF16_DATABASE =
  'eNrt1z0KAkEMhuEvw2InujcYO21sLGxdxW6bVS+wioKgCDKFN/ROVsY/2MbGUt5nkjBDkgPMsir3aRt3p/OxTnGkrsw0iVFSeOeHeWaNd7P3' +
  'TdBwY+3HcucqDwAAAAAA8LuxtXp5blVSrbUO2ir5CTMtNFehldfotdBU5fOe1PfRgV5/85s8AAAAAADA38ks5BfdAZSEExE=';

test('a database in UTF-16 is refused in words', () => {
  world.renew();
  const set = world.store.begin();
  const bytes = inflateSync(Buffer.from(UTF16_DATABASE, 'base64'));
  for (let page = 1; page <= bytes.length / PAGE_SIZE; page++) {
    const image = set.write(page);
    const content = bytes.subarray((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
    world.slabs.bytesOf(image).set(content, world.slabs.offsetOf(image));
  }
  world.store.apply(set);
  for (const role of ['session', 'shared'] as const) {
    assert.throws(() => world.connect({ role }), /encoded in UTF-16/);
  }
  world.renew();
});
