import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';
import { FACT_PRAGMA } from './authorizer.ts';
import {
  FACT_DELETE_DATABASE,
  FACT_JOURNAL_MODE,
  FACT_MAY_WRITE,
  FACT_SESSION,
  FACT_STICKY,
  SQLITE_AUTH,
  SQLITE_BUSY,
  SQLITE_BUSY_SNAPSHOT,
  SqliteError,
  type Connection,
} from './index.ts';
import { attempt, commitAll, failure, prepare, run, stateOf, trusted, value, World } from './sqlite.test.helpers.ts';

let world: World;
let session: Connection;

before(async () => {
  world = await World.create();
});

beforeEach(() => {
  world.renew();
  session = world.connect();
  run(
    session,
    `CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 'x'); CREATE INDEX tb ON t(b);
    CREATE VIEW v AS SELECT * FROM t; CREATE VIEW last AS SELECT last_insert_rowid() AS id;
    CREATE VIEW page AS SELECT * FROM sqlite_dbpage;
    CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('one word');
    CREATE VIRTUAL TABLE r USING rtree(id, x, y); INSERT INTO r VALUES (1, 0, 5)`,
  );
  commitAll(world.store);
});

describe('denied', () => {
  const denied = [
    // Wire spec section 6.2.
    'PRAGMA journal_mode = wal',
    'PRAGMA journal_mode = delete',
    'PRAGMA main.journal_mode = memory',
    'PRAGMA temp.journal_mode = off',
    'PRAGMA JOURNAL_MODE(truncate)',
    'PRAGMA page_size = 4096',
    'PRAGMA page_size = 8192',
    'PRAGMA main.page_size = 512',
    'PRAGMA synchronous = OFF',
    'PRAGMA synchronous = 2',
    'PRAGMA wal_autocheckpoint = 100',
    'PRAGMA wal_checkpoint',
    'PRAGMA wal_checkpoint(TRUNCATE)',
    'PRAGMA busy_timeout',
    'PRAGMA busy_timeout = 100',
    'PRAGMA read_uncommitted',
    'PRAGMA read_uncommitted = 1',
    'PRAGMA locking_mode',
    'PRAGMA locking_mode = exclusive',
    'PRAGMA main.locking_mode = exclusive',
    "ATTACH 'file' AS other",
    "ATTACH ':memory:' AS other",
    "ATTACH 'file:x?mode=memory' AS other",
    "ATTACH '' || '' AS other",
    'ATTACH ?1 AS other',
    'ATTACH NULL AS other',
    "VACUUM INTO 'file'",
    "VACUUM main INTO 'file'",
    // Design rule 25, and "the page store and its VFS".
    'PRAGMA hard_heap_limit',
    'PRAGMA hard_heap_limit = 0',
    'PRAGMA soft_heap_limit = 10',
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA data_store_directory = '/tmp'",
    'PRAGMA mmap_size',
    'PRAGMA mmap_size = 100000',
    'PRAGMA temp_store = MEMORY',
    'PRAGMA cache_spill = OFF',
    'PRAGMA cache_spill = 100000',
    'PRAGMA default_cache_size = 100000',
    'PRAGMA cache_size = 100000',
    'PRAGMA cache_size = -100000',
    'PRAGMA temp.cache_size = -100000',
    "PRAGMA cache_size = '100000 pages'",
    "PRAGMA cache_size = '0x7fffffff'",
    'PRAGMA cache_size = 0x7fffffff',
    'SELECT * FROM sqlite_dbpage',
    'SELECT count(*) FROM SQLITE_DBPAGE',
    'SELECT data FROM main.sqlite_dbpage WHERE pgno = 1',
    "SELECT data FROM sqlite_dbpage('temp')",
    'SELECT * FROM page',
    'UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 2',
    'INSERT INTO sqlite_dbpage VALUES (2, zeroblob(4096), NULL)',
    'DELETE FROM sqlite_dbpage',
    'CREATE VIRTUAL TABLE p USING sqlite_dbpage',
    'CREATE VIRTUAL TABLE temp.p USING SQLITE_DBPAGE(main)',
    'CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE sqlite_dbpage SET data = NULL; END; INSERT INTO t VALUES (9, 9)',
    'WITH p AS (SELECT * FROM sqlite_dbpage) SELECT * FROM p',
    'SELECT (SELECT data FROM sqlite_dbpage LIMIT 1)',
  ];

  for (const role of ['session', 'shared'] as const) {
    test(`on a ${role} connection`, () => {
      const connection = role === 'session' ? session : world.connect({ role, view: 'committed' });
      const before = stateOf(world.store, world.store.newest);
      for (const sql of denied) {
        const error = failure(connection, sql);
        // SQLite itself refuses the table inside views and triggers.
        const refused = error.code === SQLITE_AUTH || error.message.startsWith('unsafe use of virtual table');
        assert.ok(refused || (role === 'shared' && sql.includes('TRIGGER')), `${sql}: ${error.code} ${error.message}`);
      }
      run(session, 'DROP TRIGGER IF EXISTS tr');
      const { store } = world;
      assert.equal(stateOf(store, store.newest).length, before.length);
      assert.equal(value(session, 'PRAGMA integrity_check'), 'ok');
      assert.deepEqual(run(session, 'PRAGMA page_size; PRAGMA synchronous; PRAGMA temp_store'), [[4096], [0], [1]]);
    });
  }

  test('statements that SQLite compiles while another one runs are judged too', () => {
    for (const sql of [
      'SELECT * FROM pragma_locking_mode',
      'SELECT * FROM pragma_mmap_size',
      'SELECT * FROM pragma_busy_timeout',
      'SELECT * FROM pragma_hard_heap_limit',
    ]) {
      const result = attempt(session, sql);
      assert.ok(result.rows === undefined, `${sql} gave ${JSON.stringify(result.rows)}`);
    }
  });

  test('writable_schema has no effect: connections are defensive', () => {
    run(session, 'PRAGMA writable_schema = ON');
    assert.ok(failure(session, "UPDATE sqlite_schema SET sql = 'nonsense'").message.includes('may not be modified'));
    assert.ok(failure(session, 'DELETE FROM f_data').message.includes('may not be modified'), 'shadow tables');
  });

  test('SQL of our own is not judged, and what comes after it is', () => {
    assert.equal(trusted(session, 'SELECT count(*) FROM sqlite_dbpage').length, 1);
    session.execute('PRAGMA cache_size = 100000');
    assert.equal(failure(session, 'SELECT * FROM sqlite_dbpage').code, SQLITE_AUTH);
    assert.throws(() => session.execute('nonsense'), SqliteError);
    assert.equal(failure(session, 'SELECT * FROM sqlite_dbpage').code, SQLITE_AUTH);
    assert.throws(() => session.prepareOwn('nonsense'), SqliteError);
    assert.equal(failure(session, 'SELECT * FROM sqlite_dbpage').code, SQLITE_AUTH);
  });
});

describe('allowed', () => {
  const allowed = [
    'PRAGMA journal_mode',
    'PRAGMA page_size',
    'PRAGMA synchronous',
    'PRAGMA wal_autocheckpoint',
    'PRAGMA temp_store',
    'PRAGMA cache_size',
    'PRAGMA cache_size = 1000',
    'PRAGMA cache_size = -2000',
    "PRAGMA cache_size = '500'",
    'PRAGMA foreign_keys = OFF',
    'PRAGMA foreign_keys = ON',
    'PRAGMA recursive_triggers = ON',
    'PRAGMA case_sensitive_like = ON',
    'PRAGMA user_version = 7',
    'PRAGMA application_id = 9',
    'PRAGMA table_info(t)',
    'PRAGMA foreign_key_check',
    'PRAGMA quick_check',
    'PRAGMA secure_delete = ON',
    'PRAGMA auto_vacuum = 1',
    'PRAGMA optimize',
    "ATTACH '' AS other; CREATE TABLE other.x(a); DETACH other",
    'VACUUM',
    'ANALYZE; REINDEX',
    'SELECT * FROM t, v, f, r',
    "SELECT * FROM f WHERE f MATCH 'word'",
    'SELECT name, sum(pgsize) FROM dbstat GROUP BY name',
    "SELECT * FROM pragma_table_info('t')",
    'SELECT name FROM pragma_table_list',
    "SELECT * FROM pragma_index_info('tb')",
    'SELECT * FROM sqlite_schema',
    'SELECT * FROM sqlite_stmt',
    'CREATE TEMP TABLE x(a); DROP TABLE x',
    "CREATE VIRTUAL TABLE f2 USING fts5(y); CREATE VIRTUAL TABLE fv USING fts5vocab(f2, 'row'); DROP TABLE f2",
    'SELECT last_insert_rowid(), changes(), total_changes(), random() IS NOT NULL, sqlite_version()',
    "SELECT rtreecheck('r')",
    "SELECT * FROM json_each('[1]')",
  ];

  test("on a client's own connection", () => {
    for (const sql of allowed)
      assert.ok(attempt(session, sql).rows !== undefined, `${sql}: ${attempt(session, sql).message}`);
  });

  test('on a shared connection: all reads that need nothing of a client, virtual tables included', () => {
    const shared = world.connect({ role: 'shared', view: 'committed' });
    for (const sql of [
      'SELECT * FROM t, v',
      "SELECT f.x, r.y FROM f, r WHERE f MATCH 'one OR two' AND r.y > 1",
      "SELECT highlight(f, 0, '[', ']'), rank FROM f WHERE f MATCH 'wor*' ORDER BY rank",
      'SELECT * FROM f_data, f_config, r_node',
      'SELECT name, sum(pgsize) FROM dbstat GROUP BY name',
      'SELECT * FROM sqlite_schema',
      "SELECT count(*) FROM json_tree('[1, {}]')",
      "SELECT rtreecheck('r')",
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT sum(i) OVER () FROM n',
      "SELECT datetime('now'), random(), sqlite_version()",
      'EXPLAIN QUERY PLAN SELECT * FROM t',
    ]) {
      const result = attempt(shared, sql);
      assert.ok(result.rows !== undefined, `${sql}: ${result.message}`);
    }
  });

  test('full-text and R-Tree tables go on working on a shared connection while they change', () => {
    const shared = world.connect({ role: 'shared', view: 'committed' });
    for (let i = 1; i <= 20; i++) {
      run(session, `INSERT INTO f VALUES ('word ${i}'); INSERT INTO r VALUES (${100 + i}, ${i}, ${i})`);
      if (i % 7 === 0) run(session, "INSERT INTO f(f) VALUES ('optimize')");
      commitAll(world.store);
      assert.equal(value(shared, "SELECT count(*) FROM f WHERE f MATCH 'word'"), i + 1);
      assert.equal(value(shared, 'SELECT count(*) FROM r WHERE x >= 1'), i);
    }
  });
});

describe('facts', () => {
  const S = FACT_SESSION;
  const P = FACT_SESSION | FACT_PRAGMA;
  const STICKY = FACT_SESSION | FACT_STICKY;
  const table: readonly (readonly [sql: string, facts: number])[] = [
    ['SELECT * FROM t', 0],
    ['SELECT * FROM v', 0],
    ["SELECT * FROM f WHERE f MATCH 'x'", 0],
    ['SELECT * FROM r', 0],
    ['SELECT * FROM dbstat', 0],
    ['SELECT * FROM sqlite_schema', 0],
    ['INSERT INTO t(b) VALUES (1)', 0],
    ['INSERT INTO t(b) VALUES (1) RETURNING a', 0],
    ['UPDATE t SET b = 1', 0],
    ['DELETE FROM t', 0],
    ['CREATE TABLE u(a)', 0],
    ['CREATE INDEX ta ON t(a)', 0],
    ['CREATE VIEW w AS SELECT 1', 0],
    ['CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM t; END', 0],
    ['CREATE VIRTUAL TABLE g USING fts5(x)', 0],
    ['DROP TABLE t', 0],
    ['ALTER TABLE t ADD COLUMN c', 0],
    ['ALTER TABLE t RENAME TO tt', S],
    ['ALTER TABLE t RENAME COLUMN b TO bb', S],
    ['ALTER TABLE t DROP COLUMN b', S],
    ['ANALYZE', 0],
    ['REINDEX', 0],
    ['VACUUM', 0],
    ['SELECT random(), abs(-1)', 0],
    ['BEGIN', S],
    ['BEGIN IMMEDIATE', S],
    ['COMMIT', S],
    ['ROLLBACK', S],
    ['SAVEPOINT s', S],
    ['RELEASE s', S],
    ['ROLLBACK TO s', S],
    ['SELECT last_insert_rowid()', S],
    ['SELECT id FROM last', S],
    ['SELECT CHANGES(), total_changes()', S],
    ['INSERT INTO t(b) VALUES (last_insert_rowid())', S],
    ['SELECT * FROM sqlite_stmt', S],
    ["SELECT * FROM pragma_table_info('t')", S],
    ['SELECT * FROM pragma_foreign_keys', S],
    ['CREATE TEMP TABLE x(a)', STICKY],
    ['CREATE TABLE temp.x(a)', STICKY],
    ['CREATE TEMP TABLE x AS SELECT 1', STICKY],
    ['CREATE TEMP VIEW x AS SELECT 1', STICKY],
    ['CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END', STICKY],
    ['CREATE VIRTUAL TABLE temp.g USING fts5(x)', STICKY],
    ['SELECT * FROM temp.sqlite_schema', S],
    ['SELECT * FROM sqlite_temp_schema', S],
    ["ATTACH '' AS other", STICKY],
    ['DETACH other', STICKY],
    ['PRAGMA foreign_keys = OFF', STICKY],
    ['PRAGMA cache_size = 100', STICKY],
    ['PRAGMA recursive_triggers = ON', STICKY],
    ['PRAGMA unheard_of = 5', STICKY],
    ['PRAGMA foreign_keys', P],
    ['PRAGMA cache_size', P],
    ['PRAGMA table_info(t)', P],
    ['PRAGMA user_version', P],
    ['PRAGMA user_version = 5', P],
    ['PRAGMA integrity_check', P],
    ['PRAGMA incremental_vacuum(5)', P],
    ['PRAGMA auto_vacuum', P],
    ['PRAGMA auto_vacuum = 1', P | FACT_MAY_WRITE],
    ['PRAGMA optimize', P | FACT_MAY_WRITE],
    ['PRAGMA optimize(0xffff)', P | FACT_MAY_WRITE],
    ['SELECT * FROM pragma_optimize', P | FACT_MAY_WRITE],
    ['PRAGMA journal_mode', S | FACT_JOURNAL_MODE],
    ['PRAGMA main.journal_mode', S | FACT_JOURNAL_MODE],
    ['PRAGMA delete_database', S | FACT_DELETE_DATABASE],
    ['EXPLAIN SELECT * FROM t', 0],
    ['EXPLAIN BEGIN', S],
  ];

  test("of statements on a client's own connection", () => {
    run(session, "ATTACH '' AS elsewhere");
    for (const [sql, facts] of table) {
      const statement = prepare(session, sql);
      assert.equal(statement.facts, facts, sql);
      assert.equal(session.facts, facts, sql);
      statement.finalize();
    }
  });

  test('a statement that needs or leaves state does not compile on a shared connection, and says why', () => {
    const shared = world.connect({ role: 'shared', view: 'committed' });
    for (const [sql, facts] of table) {
      if ((facts & FACT_SESSION) === 0) {
        prepare(shared, sql).finalize();
        assert.equal(shared.facts, facts, sql);
      } else {
        const error = failure(shared, sql);
        assert.match(error.message, /not authorized|prohibited/, sql);
        assert.equal(shared.facts & FACT_SESSION, FACT_SESSION, sql);
      }
    }
  });

  test('temporary objects make everything sticky that uses them', () => {
    run(session, 'CREATE TEMP TABLE x(a); CREATE TEMP VIEW xv AS SELECT * FROM t; CREATE TEMP TABLE t2(a)');
    for (const sql of ['SELECT * FROM x', 'INSERT INTO x VALUES (1)', 'DROP TABLE x', 'CREATE INDEX temp.xi ON x(a)']) {
      const statement = prepare(session, sql);
      assert.equal(statement.facts & STICKY, STICKY, sql);
      statement.finalize();
    }
    const untouched = prepare(session, 'SELECT * FROM t');
    assert.equal(untouched.facts, 0);
    untouched.finalize();
  });

  test('what SQLite calls read-only does not try to write, but for what may', () => {
    session.file.ticket = false;
    for (const [sql, facts] of table) {
      if (!/^(SELECT|PRAGMA|EXPLAIN)/.test(sql)) continue;
      const statement = prepare(session, sql);
      statement.finalize();
      session.file.published = 0;
      const { code } = attempt(session, sql);
      const refused = code === SQLITE_BUSY || code === SQLITE_BUSY_SNAPSHOT;
      if (statement.isReadOnly && (facts & FACT_MAY_WRITE) === 0) assert.ok(!refused, `${sql} needs the write lock`);
      assert.equal(session.file.published, 0, sql);
    }
  });
});
