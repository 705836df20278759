/**
 * Random statements for clients that get in each other's way: few rows and few values, so that they meet, and
 * everything whose effect depends on the connection, on a transaction or on the statement before.
 */

import type { SeededRandom } from '../../src/lib/random.ts';

export const SCHEMA = `
  CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE, b INT CHECK (b < 50), c DEFAULT 'x' NOT NULL);
  CREATE TABLE w (k PRIMARY KEY, v, n REFERENCES t (id)) WITHOUT ROWID;
  CREATE TABLE p (id INTEGER PRIMARY KEY);
  CREATE TABLE q (p REFERENCES p DEFERRABLE INITIALLY DEFERRED);
  CREATE TABLE r (p REFERENCES p ON DELETE CASCADE, x UNIQUE ON CONFLICT REPLACE);
  CREATE TABLE log (x);
  CREATE TABLE seen (c, total, id);
  CREATE TABLE big (id INTEGER PRIMARY KEY, bytes);
  CREATE VIEW v AS SELECT id, a, b FROM t WHERE b > 3;
  CREATE VIRTUAL TABLE f USING fts5 (x);
  CREATE VIRTUAL TABLE g USING rtree (id, low, high);
  CREATE TRIGGER t_added AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.b); END;
  CREATE TRIGGER t_changed AFTER UPDATE OF b ON t WHEN new.b > 40 BEGIN UPDATE t SET b = b - 40 WHERE id = new.id; END;
  CREATE TRIGGER t_ignored BEFORE INSERT ON t WHEN new.b = 21 BEGIN SELECT RAISE(IGNORE); END;
  CREATE TRIGGER t_aborted AFTER INSERT ON t WHEN new.b = 22 BEGIN SELECT RAISE(ABORT, 'aborted'); END;
  CREATE TRIGGER t_failed AFTER INSERT ON t WHEN new.b = 23 BEGIN SELECT RAISE(FAIL, 'failed'); END;
  CREATE TRIGGER t_rolled AFTER INSERT ON t WHEN new.b = 24 BEGIN SELECT RAISE(ROLLBACK, 'rolled back'); END;
  CREATE TRIGGER v_added INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a, b) VALUES (new.a, new.b); END;
  INSERT INTO p VALUES (1), (2), (3);
  INSERT INTO t (a, b) VALUES (1, 1), (2, 2);
`;

const CONFLICTS = ['', '', '', 'OR IGNORE ', 'OR REPLACE ', 'OR ABORT ', 'OR FAIL ', 'OR ROLLBACK '];

/** A statement that gives no rows. */
export function change(random: SeededRandom): string {
  const small = (limit = 9): number => random.below(limit);
  const b = (): number => (random.chance(0.3) ? 20 + small(6) : random.below(random.chance(0.1) ? 60 : 20));
  const or = (): string => random.pick(CONFLICTS);
  return random.pick([
    () => `INSERT ${or()}INTO t (a, b) VALUES (${small()}, ${b()})`,
    () => `INSERT ${or()}INTO t (a, b) VALUES (${small()}, ${b()}), (${small()}, ${b()}), (${10 + small()}, ${b()})`,
    () =>
      `INSERT ${or()}INTO t (a, b, c) SELECT a + ${small()}, b, NULLIF(c, 'y') FROM t WHERE b < ${small()} ORDER BY id`,
    () => `INSERT INTO t (a, b) VALUES (${small()}, ${small()}) ON CONFLICT (a) DO UPDATE SET b = b + excluded.b`,
    () => `INSERT INTO t (id, a, b) VALUES (${small()}, ${small()}, ${small()}) ON CONFLICT DO NOTHING`,
    () => `UPDATE ${or()}t SET a = a + ${small(3) - 1}, b = ${b()} WHERE id % 3 = ${small(3)}`,
    () => `UPDATE t SET b = b + 30, c = 'y' WHERE a < ${small()}`,
    () => `DELETE FROM t WHERE a = ${small()}`,
    () => `DELETE FROM t WHERE id NOT IN (SELECT id FROM t ORDER BY id DESC LIMIT 12)`,
    () => `REPLACE INTO w VALUES (${small(4)}, ${b()}, (SELECT min(id) FROM t))`,
    () => `INSERT ${or()}INTO w VALUES (${small(4)}, 1, ${random.chance(0.3) ? 999 : 'NULL'})`,
    () => `UPDATE w SET v = v + 1, k = k + ${small(2)}`,
    () => `DELETE FROM w WHERE k > ${small(4)}`,
    () => `INSERT INTO q VALUES (${small(5)})`,
    () => `DELETE FROM q WHERE p = ${small(5)}`,
    () => `INSERT ${or()}INTO r VALUES (${small(5)}, ${small(4)})`,
    () => `${random.pick(['INSERT OR IGNORE INTO p VALUES', 'INSERT INTO p VALUES'])} (${small(6)})`,
    () => `DELETE FROM p WHERE id = ${small(6)}`,
    () => `UPDATE p SET id = id + ${small(3) - 1}`,
    () => `INSERT INTO v (a, b) VALUES (${small()}, ${b()})`,
    () => `DELETE FROM log WHERE rowid <= (SELECT max(rowid) - 9 FROM log)`,
    () => `INSERT INTO seen SELECT changes(), total_changes(), last_insert_rowid()`,
    () => `DELETE FROM seen`,
    () => `INSERT INTO f (rowid, x) VALUES (${small()}, '${random.pick(['one', 'two three', 'four one'])}')`,
    () => `INSERT ${or()}INTO f (rowid, x) VALUES (${small()}, 'a'), (${small()}, 'b')`,
    () => `UPDATE ${or()}f SET rowid = ${small()}, x = 'five' WHERE rowid = ${small()}`,
    () => `DELETE FROM f WHERE f MATCH '${random.pick(['one', 'five', 'a'])}'`,
    () => `INSERT INTO f (f) VALUES ('${random.pick(['optimize', 'integrity-check', 'rebuild', 'none'])}')`,
    () => `INSERT ${or()}INTO g VALUES (${small()}, ${small()}, ${4 + small()}), (${small()}, 1, 2)`,
    () => `UPDATE ${or()}g SET id = ${small()}, high = high + 1 WHERE id = ${small()}`,
    () => `DELETE FROM g WHERE low > ${small()}`,
    () => `INSERT INTO big SELECT NULL, zeroblob(${random.below(20_000)})`,
    () => `DELETE FROM big WHERE id < (SELECT max(id) - 2 FROM big)`,
    () => `WITH n AS (SELECT max(a) AS a FROM t) UPDATE t SET c = 'z' WHERE a = (SELECT a FROM n)`,
    () =>
      `INSERT INTO t (a, b) VALUES (${random.pick(['9223372036854775807', '9007199254740993', '-1e300', "x'00ff'"])}, 1)`,
    () => `INSERT INTO log VALUES (abs(${random.pick(['-9223372036854775808', '-1'])}))`,
    () => `INSERT INTO sqlite_sequence VALUES ('log', ${small()})`,
    () => `INSERT INTO absent VALUES (1)`,
  ])();
}

/** A statement that changes the schema, or what all see of the database. */
export function definition(random: SeededRandom): string {
  const number = random.below(3);
  return random.pick([
    `CREATE TABLE extra${number} (a, b DEFAULT ${number})`,
    `DROP TABLE IF EXISTS extra${number}`,
    `ALTER TABLE extra${number} ADD COLUMN more${random.below(3)} DEFAULT 7`,
    `ALTER TABLE extra${number} RENAME TO extra${(number + 1) % 3}`,
    `CREATE INDEX IF NOT EXISTS log_x ON log (x)`,
    `DROP INDEX IF EXISTS log_x`,
    `CREATE TRIGGER IF NOT EXISTS log_added AFTER INSERT ON log WHEN new.x = 5 BEGIN DELETE FROM log WHERE x = 7; END`,
    `DROP TRIGGER IF EXISTS log_added`,
    `PRAGMA user_version = ${number}`,
    `REINDEX`,
  ]);
}

/** A query, whose rows have an order. */
export function query(random: SeededRandom): string {
  return random.pick([
    'SELECT * FROM t ORDER BY id',
    'SELECT * FROM w ORDER BY k',
    `SELECT a, b FROM t WHERE a > ${random.below(9)} ORDER BY id`,
    'SELECT (SELECT count(*) FROM t), (SELECT sum(b) FROM t), (SELECT count(*) FROM log), (SELECT max(rowid) FROM log)',
    'SELECT p.id, q.p, r.x FROM p LEFT JOIN q ON q.p = p.id LEFT JOIN r ON r.p = p.id ORDER BY 1, 2, 3',
    'SELECT * FROM seen ORDER BY rowid',
    'SELECT * FROM v ORDER BY id',
    "SELECT rowid, x FROM f WHERE f MATCH 'one OR five' ORDER BY rowid",
    'SELECT * FROM f ORDER BY rowid',
    'SELECT * FROM g WHERE low < 5 ORDER BY id',
    'SELECT name, seq FROM sqlite_sequence ORDER BY name, rowid',
    'SELECT name, sql FROM sqlite_schema ORDER BY rowid',
    `SELECT * FROM extra${random.below(3)} ORDER BY rowid`,
    'SELECT id, length(bytes) FROM big ORDER BY id',
    'SELECT changes(), total_changes(), last_insert_rowid()',
    'PRAGMA user_version',
    'PRAGMA foreign_keys',
    "SELECT 'a' LIKE 'A'",
    'SELECT * FROM mine ORDER BY rowid',
    'SELECT abs(a) FROM t WHERE id < 3 ORDER BY id',
    'SELECT 1 WHERE 0',
  ]);
}

/** A write that gives rows. */
export function returning(random: SeededRandom): string {
  const number = random.below(9);
  return random.pick([
    `INSERT ${random.pick(CONFLICTS)}INTO t (a, b) VALUES (${number}, ${random.below(26)}) RETURNING id, a, b`,
    `UPDATE t SET b = b + 1 WHERE a > ${number} RETURNING id, b`,
    `DELETE FROM q WHERE p > ${number} RETURNING p`,
    `INSERT INTO q VALUES (${number}) RETURNING p`,
    `INSERT INTO extra${number % 3} (a) VALUES (${number}) RETURNING *`,
  ]);
}

/** A statement that leaves something on the client's connection. */
export function setting(random: SeededRandom): string {
  return random.pick([
    'CREATE TEMP TABLE IF NOT EXISTS mine (a)',
    'INSERT INTO mine VALUES (last_insert_rowid())',
    'DROP TABLE IF EXISTS temp.mine',
    'CREATE TEMP TRIGGER IF NOT EXISTS mine_added AFTER INSERT ON t BEGIN INSERT INTO log VALUES (777); END',
    'DROP TRIGGER IF EXISTS temp.mine_added',
    'CREATE TEMP TABLE IF NOT EXISTS log (x)',
    'DROP TABLE IF EXISTS temp.log',
    `PRAGMA foreign_keys = ${random.below(2)}`,
    `PRAGMA recursive_triggers = ${random.below(2)}`,
    `PRAGMA case_sensitive_like = ${random.below(2)}`,
    'PRAGMA defer_foreign_keys = 1',
    `PRAGMA ignore_check_constraints = ${random.below(2)}`,
    "ATTACH '' AS aside",
    'CREATE TABLE IF NOT EXISTS aside.z (a)',
    'INSERT INTO aside.z VALUES (1)',
  ]);
}
