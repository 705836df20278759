/** Input that exhausts the native stack: SQLite refuses it, or the instance breaks, and nothing else does (design rule 24). */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { generatedColumns } from './deep-stack.test.helpers.ts';
import { InstanceBroken, Sqlite, SQLITE_ROW, type Connection } from './index.ts';
import {
  attempt,
  checkIntegrity,
  commitAll,
  numbers,
  pagesOf,
  prepare,
  run,
  testLimits,
  TestEnvironment,
  value,
  World,
} from './sqlite.test.helpers.ts';

/** Runs `work` with about a fifth of this thread's stack left. */
function withLittleStack<T>(work: () => T): T {
  let deepest = 0;
  const measure = (depth: number): void => {
    deepest = depth;
    measure(depth + 1);
  };
  try {
    measure(0);
  } catch (error) {
    assert.ok(error instanceof RangeError);
  }
  const descend = (depth: number): T => (depth === 0 ? work() : descend(depth - 1));
  return descend(Math.floor(deepest * 0.8));
}

describe('what SQLite refuses by itself, or manages', () => {
  const nested = (open: string, middle: string, close: string): string =>
    open.repeat(100_000) + middle + close.repeat(100_000);
  const inputs: readonly (readonly [what: string, sql: string])[] = [
    ['parentheses', `SELECT ${nested('(', '1', ')')}`],
    ['operators', `SELECT ${nested('1 + ', '1', '')}`],
    ['negations', `SELECT ${nested('NOT ', '1', '')}`],
    ['concatenations', `SELECT ${nested("'a' || ", "'a'", '')}`],
    ['conjunctions', `SELECT * FROM t WHERE ${nested('a = 1 AND ', '1', '')}`],
    ['functions', `SELECT ${nested('abs(', '1', ')')}`],
    ['cases', `SELECT ${nested('CASE WHEN 1 THEN ', '1', ' END')}`],
    ['subqueries', `SELECT ${nested('(SELECT ', '1', ')')}`],
    ['subqueries in FROM', `SELECT * FROM ${nested('(SELECT * FROM ', 't', ')')}`],
    ['joins in parentheses', `SELECT * FROM ${nested('(t JOIN ', 't', ')')}`],
    ['common table expressions', `${nested('WITH a AS (', 'SELECT 1', ') SELECT * FROM a')}`],
    ['compound selects', `SELECT 1 ${' UNION ALL SELECT 1'.repeat(100_000)}`],
    ['a list of values', `SELECT 1 IN (${nested('1,', '1', '')})`],
    ['rows of values', `SELECT count(*) FROM (VALUES ${nested('(1),', '(1)', '')})`],
    ['collations', `SELECT 'a' ${' COLLATE nocase'.repeat(100_000)}`],
    ['JSON arrays', `SELECT json('${nested('[', '', ']')}')`],
    ['JSON objects', `SELECT json('${nested('{"a":', '1', '}')}')`],
    ['JSON paths', `SELECT json_set('{}', '$${'.a'.repeat(100_000)}', 1)`],
    ['binary JSON', `SELECT json(x'${jsonb(20_000)}')`],
    ['patches of binary JSON', `SELECT json_patch(x'${jsonb(20_000)}', x'${jsonb(20_000)}')`],
    ['LIKE patterns', `SELECT 'aaaa' LIKE '${'%a'.repeat(50_000)}'`],
    ['GLOB patterns', `SELECT 'aaaa' GLOB '${'*a'.repeat(50_000)}'`],
    ['widths', "SELECT length(printf('%.*c', 100000000, 'x')), length(printf('%.*f', 100000000, 1.5))"],
    ['full-text parentheses', `SELECT * FROM f WHERE f MATCH '${nested('(', 'a', ')')}'`],
    ['full-text negations', `SELECT * FROM f WHERE f MATCH '${nested('a NOT (', 'a', ')')}'`],
    ['full-text phrases', `SELECT * FROM f WHERE f MATCH '${nested('a + ', 'a', '')}'`],
    ['tokenizers', `CREATE VIRTUAL TABLE g USING fts5(x, tokenize = '${'porter '.repeat(20_000)}')`],
    [
      'windows',
      `SELECT 1 WINDOW w0 AS (ORDER BY 1) ${Array.from({ length: 2000 }, (_, i) => `, w${i + 1} AS (w${i})`).join('')}`,
    ],
    ['recursive triggers', 'PRAGMA recursive_triggers = ON; INSERT INTO c VALUES (0)'],
    ['a recursive query', `SELECT count(*) FROM ${numbers(100_000)}`],
    [
      'views of views',
      `${Array.from({ length: 600 }, (_, i) => `CREATE VIEW v${i + 1} AS SELECT * FROM ${i === 0 ? 't' : `v${i}`};`).join('')} SELECT * FROM v600`,
    ],
  ];

  test('deep and long input', async () => {
    const world = await World.create({ maxValueBytes: 16 * 1024 * 1024, heapBytes: 512 * 1024 * 1024 });
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2); CREATE TABLE c(n)');
    run(connection, 'CREATE TRIGGER cc AFTER INSERT ON c BEGIN INSERT INTO c VALUES (new.n + 1); END');
    run(connection, "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('a b')");
    for (const [what, sql] of inputs) {
      run(connection, 'BEGIN');
      const result = world.sqlite.run(() => attempt(connection, sql));
      if (!connection.autocommit) run(connection, 'ROLLBACK');
      assert.ok(
        result.rows !== undefined || [1, 13, 18].includes(result.code!),
        `${what}: ${result.code} ${result.message}`,
      );
    }
    assert.equal(world.sqlite.broken, undefined);
    checkIntegrity(world);
    world.closeAndCheck();
  });

  test('as deep as it goes in a worker thread, whose own stack is larger than the heap gave to SQLite', async () => {
    const worker = new Worker(new URL('deep-stack.test.helpers.js', import.meta.url), {
      resourceLimits: { stackSizeMb: 16 },
    });
    const [results] = (await once(worker, 'message')) as [unknown[]];
    assert.deepEqual(results, [1990, 0, [1000, '3E8', 'X', 1], ['ok']]);
    await worker.terminate();
  });
});

describe('an instance that breaks', () => {
  /** Breaks the instance while a connection compiles. */
  const exhaust = (sqlite: Sqlite, connection: Connection): void => {
    assert.throws(
      () => withLittleStack(() => sqlite.run(() => generatedColumns(connection, 900))),
      (error: unknown) => error instanceof InstanceBroken && error.cause instanceof RangeError,
    );
  };

  test('holds nothing once it is abandoned, and a new one has everything that was published', async () => {
    const world = await World.create();
    const { store } = world;
    const writer = world.connect({ cachePages: 5 });
    run(
      writer,
      `CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t SELECT value, 'committed' FROM ${numbers(500)}`,
    );
    commitAll(store);
    const reader = world.connect({ view: 'committed' });
    const stream = prepare(reader, 'SELECT * FROM t');
    assert.equal(stream.step(), SQLITE_ROW);
    run(writer, `UPDATE t SET b = 'executed' WHERE a < 100`);
    const pages = pagesOf(store, store.newest);
    const content = run(writer, 'SELECT * FROM t');
    run(
      writer,
      `CREATE TEMP TABLE x AS SELECT * FROM t; BEGIN; DELETE FROM t; INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(100)}`,
    );
    assert.ok(writer.file.set!.pageCount > 0 && writer.file.pin !== undefined && reader.file.pin !== undefined);

    const { sqlite } = world;
    exhaust(sqlite, writer);
    assert.ok(sqlite.broken instanceof RangeError);
    assert.throws(() => sqlite.run(() => 'anything'), { name: 'InstanceBroken', cause: sqlite.broken });
    sqlite.abandon();
    for (const { file, closed } of [writer, reader]) {
      assert.ok(closed && file.set === undefined && file.pin === undefined && !file.isOpen);
    }
    assert.equal(sqlite.connections.size, 0);

    await world.restart();
    assert.deepEqual(pagesOf(store, store.newest), pages);
    const again = world.connect();
    assert.deepEqual(run(again, 'SELECT * FROM t'), content);
    assert.equal(value(world.connect({ view: 'committed' }), "SELECT count(*) FROM t WHERE b = 'committed'"), 500);
    run(again, 'DELETE FROM t WHERE a > 10');
    checkIntegrity(world);
    world.closeAndCheck();
  });

  test('does not take along other instances, also not over the same store', async () => {
    const world = await World.create();
    const other = await Sqlite.create(new TestEnvironment(), testLimits);
    const connection = other.open(world.store, 'session');
    connection.lookAt('newest');
    connection.file.ticket = true;
    run(connection, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    const breaking = world.connect();
    exhaust(world.sqlite, breaking);
    world.sqlite.abandon();
    run(connection, 'INSERT INTO t VALUES (2)');
    assert.deepEqual(run(connection, 'SELECT * FROM t; PRAGMA integrity_check'), [[1], [2], ['ok']]);
    connection.close();
  });

  test('breaks by traps and overflows; errors of SQLite and of this program pass', async () => {
    const { sqlite } = await World.create();
    const passing = new Error('of this program');
    assert.throws(() => sqlite.run(() => assert.fail(passing)), passing);
    assert.equal(sqlite.broken, undefined);
    assert.equal(
      sqlite.run(() => 7),
      7,
    );
    const trapping = await World.create();
    const memory = trapping.sqlite.exports as unknown as {
      sqlite3_column_text(statement: number, column: number): number;
    };
    assert.throws(
      () => trapping.sqlite.run(() => memory.sqlite3_column_text(0x7ffffff0, 0)),
      (error: unknown) => error instanceof InstanceBroken && (error.cause as Error).name === 'RuntimeError',
    );
  });

  test('the stack gets little of the heap, and SQLite stays within it', async () => {
    const { sqlite } = await World.create();
    const { emscripten_stack_get_current: pointer } = sqlite.exports as unknown as {
      emscripten_stack_get_current(): number;
    };
    // Above everything that the module has laid out, with room below.
    assert.ok(pointer() > 4 * 1024 * 1024 && pointer() < sqlite.heap.size && pointer() % 16 === 0);
  });
});

/** Arrays in arrays, in SQLite's binary form, as hexadecimal. */
function jsonb(depth: number): string {
  const heads: string[] = [];
  for (let i = 0, size = 2; i < depth; i++, size += 5) heads.push(`eb${size.toString(16).padStart(8, '0')}`);
  return `${heads.reverse().join('')}1331`;
}
