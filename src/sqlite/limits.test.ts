/** Each limit is met with an error that names it, hits only who reached it, and leaves nothing behind. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  SQLITE_ERROR,
  SQLITE_FULL,
  SQLITE_INTERRUPT,
  SQLITE_NOMEM,
  SQLITE_TOOBIG,
  SqliteError,
  type Connection,
} from './index.ts';
import type { attempt } from './sqlite.test.helpers.ts';
import {
  checkIntegrity,
  commitAll,
  failure,
  isClean,
  numbers,
  pagesOf,
  prepare,
  run,
  stepAll,
  utf8,
  value,
  World,
} from './sqlite.test.helpers.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n';

describe('temporary files', () => {
  const sort = (megabytes: number): string =>
    `SELECT count(*) FROM (SELECT value, zeroblob(1000) AS b FROM ${numbers(megabytes * 1000)} ORDER BY b, value DESC)`;

  test('of one connection', async () => {
    const world = await World.create({ tempBytesPerConnection: 4 * MIB });
    const [connection, other] = [world.connect(), world.connect()];
    for (let round = 0; round < 3; round++) {
      const error = failure(connection, sort(8));
      assert.equal(error.code, SQLITE_FULL);
      assert.match(error.message, /^the temporary files of this connection, .* as large as they may be$/);
      assert.equal(world.sqlite.tempBudget.used, 0);
      assert.ok(isClean(connection));
      assert.deepEqual(run(connection, sort(2)), [[2000]], 'less goes well');
    }
    const stream = prepare(connection, sort(3).replace('count(*)', 'value'));
    stream.step();
    assert.ok(world.sqlite.tempBudget.used > 2 * MIB);
    assert.deepEqual(run(other, sort(3)), [[3000]], 'the other has its own');
    stream.finalize();
    assert.equal(world.sqlite.tempBudget.used, 0);
    world.closeAndCheck();
  });

  test('of all connections together', async () => {
    const world = await World.create({ tempBytesPerConnection: 4 * MIB, tempBytes: 5 * MIB });
    const [connection, other] = [world.connect(), world.connect()];
    const stream = prepare(connection, sort(3).replace('count(*)', 'value'));
    stream.step();
    assert.equal(failure(other, sort(3)).code, SQLITE_FULL);
    stream.finalize();
    assert.deepEqual(run(other, sort(3)), [[3000]]);
    world.closeAndCheck();
  });

  test('of temporary tables: an autocommit write to them fails alone, and they keep what they had', async () => {
    const world = await World.create({ tempBytesPerConnection: 6 * MIB });
    const connection = world.connect();
    run(connection, `CREATE TEMP TABLE x(a); INSERT INTO x SELECT zeroblob(1000) FROM ${numbers(1000)}`);
    run(connection, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    const error = failure(connection, `INSERT INTO x SELECT zeroblob(1000) FROM ${numbers(20_000)}`);
    assert.equal(error.code, SQLITE_FULL);
    assert.match(error.message, /temporary files/);
    assert.deepEqual(run(connection, 'SELECT count(*) FROM x; SELECT a FROM t'), [[1000], [1]]);
    run(connection, 'INSERT INTO t VALUES (2); INSERT INTO x VALUES (2)');
    checkIntegrity(world);
    world.closeAndCheck();
  });
});

describe('the size of a transaction', () => {
  const cases: readonly (readonly [what: string, cachePages: number, sql: string])[] = [
    ['a statement that spills', 10, `INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(600, 100)}`],
    [
      'a statement that is written when it commits',
      5000,
      `INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(600, 100)}`,
    ],
    [
      'a transaction that spills',
      10,
      `BEGIN; UPDATE t SET b = 1; INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(600, 100)}; COMMIT`,
    ],
    [
      'a transaction that is written at its COMMIT',
      5000,
      `BEGIN; UPDATE t SET b = 1; INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(600, 100)}; COMMIT`,
    ],
    [
      'inside a savepoint',
      10,
      `SAVEPOINT s; INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(600, 100)}; RELEASE s`,
    ],
  ];

  for (const [what, cachePages, sql] of cases) {
    test(what, async () => {
      const world = await World.create({ maxTransactionBytes: MIB });
      const { store, slabs } = world;
      const connection = world.connect({ cachePages });
      run(connection, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 0)');
      commitAll(store);
      const before = pagesOf(store, store.newest);
      const used = slabs.used;
      for (let round = 0; round < 2; round++) {
        const error = failure(connection, sql);
        assert.equal(error.code, SQLITE_FULL);
        assert.equal(error.message, 'the transaction changes more than 1048576 bytes of pages');
        assert.ok(connection.autocommit && isClean(connection));
        assert.deepEqual(pagesOf(store, store.newest), before);
        assert.equal(slabs.used, used);
        assert.deepEqual(run(connection, 'SELECT * FROM t'), [[1, 0]]);
      }
      run(connection, `INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(200, 100)}`);
      assert.equal(value(connection, 'SELECT count(*) FROM t'), 201);
      checkIntegrity(world);
      world.closeAndCheck();
    });
  }

  test('exactly at the limit it goes well, and pages written twice count once', async () => {
    const world = await World.create({ maxTransactionBytes: 20 * 4 * KIB });
    const connection = world.connect({ cachePages: 5 });
    run(connection, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b)');
    // Overflow pages carry 4092 bytes each: with page 1 and the table's own that makes 20.
    run(connection, `INSERT INTO t VALUES (1, zeroblob(${18 * 4092}))`);
    commitAll(world.store);
    assert.equal(failure(connection, `INSERT INTO t VALUES (2, zeroblob(${19 * 4092}))`).code, SQLITE_FULL);
    run(connection, `BEGIN; ${'UPDATE t SET b = zeroblob(73656); '.repeat(20)} COMMIT`);
    checkIntegrity(world);
    world.closeAndCheck();
  });

  test('VACUUM', async () => {
    const world = await World.create({ maxTransactionBytes: MIB });
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b)');
    for (let i = 0; i < 4; i++)
      run(connection, `INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(200, i * 1000)}`);
    run(connection, 'DELETE FROM t WHERE a % 7 = 0');
    const before = pagesOf(world.store, world.store.newest);
    assert.match(failure(connection, 'VACUUM').message, /the transaction changes more than/);
    assert.deepEqual(pagesOf(world.store, world.store.newest), before);
    assert.ok(isClean(connection));
    checkIntegrity(world);
    world.closeAndCheck();
  });
});

describe('values and patterns', () => {
  test('a value, or a row, larger than allowed', async () => {
    const world = await World.create({ maxValueBytes: MIB });
    const connection = world.connect();
    run(connection, `CREATE TABLE t(a, b); INSERT INTO t VALUES (zeroblob(${MIB - 100}), NULL)`);
    for (const sql of [
      `SELECT zeroblob(${MIB + 1})`,
      `SELECT randomblob(${MIB + 1})`,
      `SELECT a || a FROM t`,
      `SELECT replace(hex(zeroblob(1000)), '00', hex(zeroblob(1000)))`,
      `SELECT printf('%.*c', ${MIB + 1}, 'x')`,
      `INSERT INTO t SELECT a, a FROM t`,
      `UPDATE t SET b = a`,
      `SELECT group_concat(hex(a)) FROM t`,
    ]) {
      assert.equal(failure(connection, sql).code, SQLITE_TOOBIG, sql);
      assert.ok(isClean(connection));
    }
    assert.equal(value(connection, 'SELECT length(a) FROM t'), MIB - 100);
  });

  test('LIKE and GLOB patterns, which recurse on the native stack', async () => {
    const connection = (await World.create()).connect();
    for (const [operator, wildcard] of [
      ['LIKE', '%a'],
      ['GLOB', '*a'],
    ] as const) {
      for (const size of [1002, 24_000, 1_000_000]) {
        const error = failure(connection, `SELECT 'aaaa' ${operator} '${wildcard.repeat(size / 2)}'`);
        assert.equal(error.code, SQLITE_ERROR);
        assert.equal(error.message, 'LIKE or GLOB pattern too complex');
      }
      const pattern = wildcard.repeat(500);
      assert.deepEqual(run(connection, `SELECT '${'a'.repeat(600)}' ${operator} '${pattern}'`), [[1]]);
    }
    assert.equal(failure(connection, "SELECT like(hex(zeroblob(600)), 'a')").code, SQLITE_ERROR);
  });
});

describe('time', () => {
  const CAUSE = 'the statement ran longer than one step may take (maxStepMs)';

  /** Runs SQL as the engine does: a time limit, and a clock that goes on while it runs. */
  function timed(world: World, connection: Connection, sql: string, maxStepMs: number): ReturnType<typeof attempt> {
    return world.sqlite.run(() => {
      world.environment.tickMs = 1;
      try {
        const statement = prepare(connection, sql);
        try {
          world.sqlite.startClock(maxStepMs);
          return { rows: stepAll(statement) };
        } finally {
          statement.finalize();
        }
      } catch (error) {
        if (!(error instanceof SqliteError)) throw error;
        return { code: error.code, message: error.message };
      } finally {
        world.environment.tickMs = 0;
      }
    });
  }

  test('a statement that runs too long is interrupted, and what it wrote is taken back', async () => {
    const world = await World.create();
    const connection = world.connect({ cachePages: 10 });
    run(connection, 'CREATE TABLE t(a)');
    const expected = { code: SQLITE_INTERRUPT, message: CAUSE };
    assert.deepEqual(timed(world, connection, ENDLESS, 50), expected);
    const before = pagesOf(world.store, world.store.newest);
    const insert = `INSERT INTO t ${ENDLESS.replace('max(i)', 'zeroblob(500)')}`;
    assert.deepEqual(timed(world, connection, insert, 50), expected);
    assert.ok(connection.autocommit && isClean(connection));
    assert.deepEqual(pagesOf(world.store, world.store.newest), before);
    run(connection, 'BEGIN; INSERT INTO t VALUES (1)');
    assert.deepEqual(timed(world, connection, ENDLESS, 50), expected);
    assert.ok(!connection.autocommit, 'a read that is interrupted leaves the transaction');
    assert.deepEqual(timed(world, connection, insert, 50), expected);
    assert.ok(connection.autocommit && isClean(connection), 'a write does not');
    assert.deepEqual(run(connection, 'SELECT * FROM t'), []);
  });

  test('every kind of long work is interrupted', async () => {
    const world = await World.create();
    const connection = world.connect();
    run(connection, `CREATE TABLE t(a, b); INSERT INTO t SELECT value, value FROM ${numbers(3000)}`);
    run(connection, "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f SELECT 'word ' || a FROM t");
    for (const sql of [
      'SELECT count(*) FROM t x, t y, t z',
      'SELECT count(*) FROM (SELECT x.a FROM t x, t y ORDER BY x.b + y.b)',
      'CREATE TABLE u AS SELECT x.a FROM t x, t y',
      'DELETE FROM t WHERE (SELECT count(*) FROM t y, t z WHERE y.a + z.a > t.a) > 5',
      "SELECT count(*) FROM f x, f y WHERE x.f MATCH 'word' AND y.f MATCH 'word' AND x.rowid < y.rowid + 1",
      'PRAGMA integrity_check',
      'VACUUM',
      'CREATE INDEX ta ON t(a, b)',
    ]) {
      const result = timed(world, connection, sql, 1);
      assert.deepEqual(result, { code: SQLITE_INTERRUPT, message: CAUSE }, sql);
      assert.ok(isClean(connection));
    }
    checkIntegrity(world);
  });

  test('what works without end between two instructions, or before the first', async () => {
    const world = await World.create();
    const connection = world.connect();
    run(
      connection,
      "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES (replace(hex(zeroblob(100000)), '0', 'a b '))",
    );
    const columns = (count: number, column: (i: number) => string): string =>
      Array.from({ length: count }, (_, i) => column(i)).join();
    const expected = { code: SQLITE_INTERRUPT, message: CAUSE };
    for (const sql of [
      // One instruction
      `SELECT hex(zeroblob(400000)) LIKE '%${'0'.repeat(480)}1'`,
      `SELECT hex(zeroblob(400000)) GLOB '*${'[0-9]'.repeat(180)}x'`,
      "SELECT length(snippet(f, 0, '<', '>', '', 10)) FROM f WHERE f MATCH 'a OR b'",
      // Instructions without a jump
      `SELECT ${columns(2000, i => `length(hex(zeroblob(${100_000 + i})))`)}`,
      // The compiler
      `SELECT ${columns(1000, i => `sum(value + ${i}) OVER (ORDER BY value + ${i})`)} FROM ${numbers(10)}`,
    ]) {
      timed(world, connection, 'SELECT 1', 50);
      assert.deepEqual(timed(world, connection, sql, 50), expected, sql.slice(0, 100));
      assert.ok(isClean(connection));
    }
    checkIntegrity(world);
    world.closeAndCheck();
  });

  test('what is committed is not called an error afterwards', async () => {
    const world = await World.create();
    const connection = world.connect();
    const columns = (column: (i: number) => string): string => Array.from({ length: 1500 }, (_, i) => column(i)).join();
    run(connection, `CREATE TABLE wide(${columns(i => `c${i}`)})`);
    // More instructions than there are between two looks at the clock, and no jump: the look comes behind the commit.
    const { published } = connection.file;
    assert.deepEqual(timed(world, connection, `INSERT INTO wide VALUES (${columns(i => `abs(${i})`)})`, 0.5), {
      rows: [],
    });
    assert.ok(connection.file.published > published);
    assert.equal(value(connection, 'SELECT count(*) FROM wide'), 1);
    world.closeAndCheck();
  });

  test('0 is no limit', async () => {
    const world = await World.create();
    const connection = world.connect();
    assert.deepEqual(timed(world, connection, `SELECT count(*) FROM ${numbers(50_000)}`, 0), { rows: [[50_000]] });
  });

  test('the limit of an earlier statement is over: schemas are read without it, also after a long rest', async () => {
    const world = await World.create();
    const writer = world.connect();
    run(writer, Array.from({ length: 400 }, (_, i) => `CREATE TABLE t${i}(a, b)`).join(';'));
    const reader = world.connect({ ticket: false });
    const kept = prepare(reader, 'SELECT count(*) FROM t7');
    const expected = { rows: [[0]] };
    assert.deepEqual(timed(world, writer, 'SELECT count(*) FROM t7', 1000), expected);
    world.environment.nowMs += 60_000;
    // A connection that reads the schema for the first time, and one that reads it again while it steps.
    assert.deepEqual(timed(world, world.connect(), 'SELECT count(*) FROM t7', 1000), expected);
    world.environment.nowMs += 60_000;
    run(writer, 'CREATE TABLE another(a)');
    world.environment.nowMs += 60_000;
    assert.deepEqual(
      world.sqlite.run(() => stepAll(kept)),
      [[0]],
    );
    world.environment.nowMs += 60_000;
    assert.equal(value(reader, 'SELECT count(*) FROM t7'), 0);
  });

  test('work that is to be looked after runs at each look at the clock, and its failure stops the statement only', async () => {
    const world = await World.create();
    const connection = world.connect();
    let looks = 0;
    world.sqlite.onProgress = () => void looks++;
    run(connection, `SELECT count(*) FROM ${numbers(10_000)}`);
    assert.ok(looks > 50);
    world.sqlite.onProgress = () => {
      throw new Error('no heartbeat');
    };
    assert.equal(failure(connection, `SELECT count(*) FROM ${numbers(10_000)}`).code, SQLITE_INTERRUPT);
    assert.match(String(world.sqlite.vfs.defect), /no heartbeat/);
    world.sqlite.onProgress = () => {};
    assert.equal(value(connection, `SELECT count(*) FROM ${numbers(10_000)}`), 10_000);
  });
});

describe('memory', () => {
  test('who asks for too much gets an error; the others go on, and the memory is there again', async () => {
    const world = await World.create({ heapBytes: 24 * MIB });
    const [connection, other, writer] = [world.connect(), world.connect(), world.connect()];
    run(writer, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    const stream = prepare(other, 'SELECT a FROM t UNION ALL SELECT 2');
    stream.step();
    for (const sql of [
      'SELECT zeroblob(15000000) || zeroblob(15000000)',
      `SELECT group_concat(hex(zeroblob(500000)), '') FROM ${numbers(100)}`,
      `SELECT json_group_array(hex(zeroblob(100000))) FROM ${numbers(300)}`,
    ]) {
      const error = failure(connection, sql);
      assert.equal(error.code, SQLITE_NOMEM, sql);
      assert.equal(error.message, 'out of memory');
      assert.ok(isClean(connection));
      assert.equal(value(connection, 'SELECT length(hex(zeroblob(2500000)))'), 5_000_000);
      run(writer, 'INSERT INTO t VALUES (1)');
    }
    assert.deepEqual(stepAll(stream), [[2]]);
    stream.finalize();
    checkIntegrity(world);
    world.closeAndCheck();
  });

  test('a transaction that runs out of memory is rolled back', async () => {
    const world = await World.create({ heapBytes: 24 * MIB });
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)');
    const before = pagesOf(world.store, world.store.newest);
    // The journal of a big transaction lies in the heap.
    run(connection, 'ROLLBACK');
    run(connection, `INSERT INTO t SELECT zeroblob(3000) FROM ${numbers(9000)}`);
    const grown = pagesOf(world.store, world.store.newest);
    assert.ok(grown.length > before.length);
    const error = failure(connection, 'UPDATE t SET a = zeroblob(2900)');
    assert.equal(error.code, SQLITE_NOMEM);
    assert.ok(connection.autocommit && isClean(connection));
    assert.deepEqual(pagesOf(world.store, world.store.newest), grown);
    assert.equal(value(connection, 'SELECT sum(length(a)) FROM t'), 27_000_000);
    checkIntegrity(world);
    world.closeAndCheck();
  });

  test('connections are opened until the heap is full; one that could not be opened holds nothing', async () => {
    const world = await World.create({ heapBytes: 16 * MIB });
    const { sqlite } = world;
    const open = (): number => {
      let error: unknown;
      for (let i = 0; i < 1000 && error === undefined; i++) {
        try {
          world.connect();
        } catch (thrown) {
          error = thrown;
        }
      }
      assert.ok(error instanceof SqliteError && error.code === SQLITE_NOMEM, String(error));
      assert.equal(sqlite.vfs.openFiles, sqlite.connections.size);
      return sqlite.connections.size;
    };
    const count = open();
    assert.ok(count > 10);
    const { length } = sqlite.heap.bytes;
    for (let round = 0; round < 3; round++) {
      world.closeAll();
      assert.ok(Math.abs(open() - count) <= 1, 'as many as before');
    }
    assert.equal(sqlite.heap.bytes.length, length, 'the heap has not grown');
    world.closeAndCheck();
  });

  test('a text that does not fit', async () => {
    const world = await World.create({ heapBytes: 24 * MIB });
    const connection = world.connect();
    const error = failure(connection, `SELECT 1 ${' '.repeat(24 * MIB)} + 1`);
    assert.equal(error.code, SQLITE_NOMEM);
    assert.equal(value(connection, `SELECT 1 ${' '.repeat(4 * MIB)} + 1`), 2);
    world.closeAndCheck();
  });
});

describe('long texts', () => {
  test('a script is copied once, whatever is compiled in between, and runs to its end', async () => {
    const world = await World.create();
    const [connection, other] = [world.connect(), world.connect({ ticket: false })];
    run(connection, 'CREATE TABLE t(a, b)');
    const lines = Array.from(
      { length: 2000 },
      (_, i) => `INSERT INTO t /* a comment; */ VALUES (${i}, 'some text; with a semicolon')`,
    );
    const text = utf8(`BEGIN;\n${lines.join(';\n')};\nCOMMIT;`);
    assert.ok(text.length > 100 * KIB);
    let statements = 0;
    for (let offset = 0; offset < text.length;) {
      const { statement, tail } = connection.prepare(text, offset);
      assert.ok(statement !== undefined && tail > offset);
      stepAll(statement);
      statement.finalize();
      offset = tail;
      if (++statements % 300 === 0) run(other, 'SELECT count(*) FROM t');
    }
    assert.equal(statements, 2002);
    assert.deepEqual(run(other, 'SELECT count(*), sum(a) FROM t'), [[2000, 1_999_000]]);
  });

  test('the copy is kept while its text goes on, and not longer', async () => {
    const { sqlite } = await World.create();
    const long = utf8('x'.repeat(200 * KIB));
    const start = sqlite.takeText(long, 0);
    assert.equal(sqlite.takeText(long, 1000), start + 1000);
    assert.equal(sqlite.heap.bytes[start + long.length], 0);
    // Another text with the same bytes is another text.
    const changed = long.slice();
    changed[5] = 0x79;
    assert.equal(sqlite.heap.bytes[sqlite.takeText(changed, 0) + 5], 0x79);
    assert.equal(sqlite.heap.bytes[sqlite.takeText(long, 0) + 5], 0x78);
    const short = sqlite.takeText(utf8('SELECT 1'), 7);
    assert.deepEqual([...sqlite.heap.bytes.subarray(short, short + 2)], [0x31, 0]);
  });

  test('sizes around that of the scratch memory', async () => {
    const connection = (await World.create()).connect();
    for (let size = 64 * KIB - 3; size <= 64 * KIB + 3; size++) {
      const sql = `SELECT ${'1'.padStart(size - 7)}`;
      assert.equal(sql.length, size);
      assert.equal(value(connection, sql), 1);
      assert.deepEqual(run(connection, `${sql};SELECT 2`), [[1], [2]]);
    }
  });
});

describe('causes', () => {
  test('a cause is told once, and only by errors of callbacks', async () => {
    const world = await World.create();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)');
    world.sqlite.vfs.cause = 'stale';
    assert.equal(failure(connection, 'INSERT INTO t VALUES (1)').message, 'UNIQUE constraint failed: t.a');
    assert.equal(world.sqlite.vfs.cause, undefined);
    world.sqlite.vfs.cause = 'stale';
    world.sqlite.startClock(0);
    assert.equal(world.sqlite.vfs.cause, undefined);
  });
});
