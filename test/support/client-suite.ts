/** What the client promises, as tests that run against any server: ours, and the real dqlite. */

import assert from 'node:assert/strict';
import { before, after, test } from 'node:test';
import { connect, DqliteError, sql, type Client, type ConnectOptions, type ErrorCode } from '../../src/client/index.ts';
import { until, within } from './wait.ts';

export interface SuiteServer {
  readonly address: string;
  readonly stop: () => Promise<void>;
}

const DEADLINE_MS = 15_000;

/** A query that takes long and gives rows all the time. */
const ENDLESS =
  'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, zeroblob(100) AS filler FROM c';
const COUNTING = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) SELECT x FROM c';

interface Expected {
  readonly code: ErrorCode;
  readonly sqliteName?: string;
  readonly message?: RegExp;
  readonly committed?: boolean | 'unknown' | undefined;
}

export async function rejects(promise: PromiseLike<unknown>, expected: Expected): Promise<DqliteError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof DqliteError, `${String(error)} is a DqliteError`);
    assert.equal(error.code, expected.code, error.message);
    if (expected.sqliteName !== undefined) assert.equal(error.sqliteName, expected.sqliteName);
    if (expected.message !== undefined) assert.match(error.message, expected.message);
    if ('committed' in expected) assert.equal(error.committed, expected.committed);
    return error;
  }
  throw new assert.AssertionError({ message: `expected ${expected.code}` });
}

/** Defines the tests; `start` is called once, before them. */
export function clientSuite(name: string, start: () => Promise<SuiteServer>, cancelled: number): void {
  let server: SuiteServer;
  let db: Client;
  let databases = 0;

  before(async () => {
    server = await start();
    db = await connect({ servers: [server.address], database: 'suite.db' });
  });

  after(async () => {
    await db.close();
    await server.stop();
  });

  const suiteTest = (title: string, work: () => Promise<void>): void => {
    void test(`${name}: ${title}`, () => within(work(), title, 60_000));
  };

  /** A client of a database of its own, with a table. */
  async function fresh(options: Partial<ConnectOptions> = {}): Promise<Client> {
    const client = await connect({ servers: [server.address], database: `db ${databases++}`, ...options });
    await client.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    return client;
  }

  const values = async (client: Client): Promise<unknown[]> =>
    (await client.query('SELECT v FROM t ORDER BY id', [], { rows: 'array' })).map(([v]) => v);

  suiteTest('rows as objects and arrays, columns, results', async () => {
    await using client = await fresh();
    assert.deepEqual(await client.sql`INSERT INTO t (v) VALUES (${'a'}), (${'b'})`, []);
    const result = await client.sql`INSERT INTO t (v) VALUES (${'c'})`.run();
    assert.deepEqual(result, { rowsAffected: 1, lastInsertId: 3n });
    assert.deepEqual(await client.sql`SELECT * FROM t WHERE id <= ${2}`, [
      { id: 1, v: 'a' },
      { id: 2, v: 'b' },
    ]);
    assert.deepEqual(await client.sql`SELECT * FROM t`.with({ rows: 'array' }), [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ]);
    assert.deepEqual(await client.sql`SELECT id FROM t WHERE id = ${2}`.first(), { id: 2 });
    assert.equal(await client.sql`SELECT id FROM t WHERE id = ${7}`.first(), undefined);
    const { columns, rows } = await client.query('SELECT id AS "the id", v FROM t WHERE 0').result();
    assert.deepEqual(columns, [{ name: 'the id' }, { name: 'v' }]);
    assert.deepEqual(rows, []);
    assert.deepEqual(await client.query('SELECT 1 AS a, 2 AS a, 3 AS __proto__'), [
      JSON.parse('{ "a": 2, "__proto__": 3 }'),
    ]);
    await rejects(client.sql`SELECT 1`.run(), { code: 'USAGE' });
  });

  suiteTest('values keep their type on the way there and back', async () => {
    const list = [null, 0, -1, 1.5, -0.1, 2 ** 53 - 1, -(2 ** 53) + 1, Infinity, 'text', '', 'ünï €😀', '\ufeffbom'];
    const sent = [...list, new Uint8Array([0, 255]), new Uint8Array(0)];
    for (const value of sent) {
      const [row] = await db.sql<{ v: unknown; type: string }>`SELECT ${value} AS v`;
      assert.deepEqual(row!.v, value);
    }
    const long = 'x'.repeat(100_000);
    assert.deepEqual(await db.sql`SELECT ${long} AS v, ${true} AS b`, [{ v: long, b: 1 }]);
    const huge = [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n];
    for (const value of huge) {
      const query = db.sql`SELECT ${value} AS big`;
      await assert.rejects(query, (error: Error) => error instanceof RangeError && /column "big"/.test(error.message));
      assert.deepEqual(await query.with({ integers: 'bigint' }), [{ big: value }]);
    }
    // The connection is in step after that.
    assert.deepEqual(await db.sql`SELECT 1 AS one`, [{ one: 1 }]);
    assert.deepEqual(await db.sql`SELECT typeof(${-0}) AS a, typeof(${1}) AS b, typeof(${2n}) AS c`, [
      { a: 'real', b: 'integer', c: 'integer' },
    ]);
  });

  suiteTest('columns declared as dates and booleans', async () => {
    await using client = await fresh();
    await client.exec('CREATE TABLE d (at DATETIME, yes BOOLEAN)');
    const at = new Date('2026-11-24T23:38:42.123Z');
    await client.sql`INSERT INTO d VALUES (${at}, ${true}), (NULL, NULL), (${1000}, ${false})`;
    assert.deepEqual(await client.sql`SELECT * FROM d`, [
      { at: at.toISOString(), yes: true },
      { at: null, yes: false },
      { at: 1000, yes: false },
    ]);
    const dates = await client.sql<{ at: unknown }>`SELECT at FROM d`.with({ dates: 'date' });
    assert.deepEqual(
      dates.map(row => row.at),
      [at, null, new Date(1_000_000)],
    );
    await client.sql`INSERT INTO d VALUES ('tomorrow', 1)`;
    await assert.rejects(client.sql`SELECT at FROM d`.with({ dates: 'date' }).then(), /column "at" holds "tomorrow"/);
  });

  suiteTest('what cannot be sent is refused before it is', async () => {
    const refused = [undefined, NaN, 'a\0b', new Date(NaN), 2n ** 63n, {}, () => 1, Symbol('x')] as never[];
    for (const value of refused) {
      assert.throws(() => db.query('SELECT ?', [value]), { code: 'USAGE', message: /^parameter 1 / });
      assert.throws(() => db.sql`SELECT ${value}`, { code: 'USAGE' });
    }
    assert.throws(() => db.query('SELECT ?', []), { code: 'USAGE', message: /has 1 parameters, 0 values/ });
    assert.throws(() => db.sql`SELECT '${1}'`, { code: 'USAGE' });
    assert.throws(() => db.sql`SELECT ${[1] as never}`, { code: 'USAGE' });
    assert.throws(() => db.query('SELECT 1; SELECT 2'), { code: 'USAGE' });
    assert.throws(() => db.query(' -- nothing'), { code: 'USAGE' });
    await rejects(db.exec('SELECT 1'), { code: 'USAGE' });
    await rejects(db.exec('INSERT INTO t DEFAULT VALUES RETURNING id'), { code: 'USAGE' });
    await rejects(db.exec('BEGIN'), { code: 'USAGE', message: /BEGIN/ });
  });

  suiteTest('fragments, names and lists', async () => {
    await using client = await fresh();
    await client.sql`INSERT INTO t (id, v) VALUES ${sql.list([
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ])}`;
    const conditions = [sql`id > ${1}`, sql`v IN (${sql.list(['b', 'c', 'd'])})`];
    const query = client.sql`SELECT ${sql.identifier('t', 'v')} FROM ${sql.identifier('t')} WHERE ${sql.join(conditions, ' AND ')}`;
    assert.deepEqual(await query, [{ v: 'b' }, { v: 'c' }]);
    assert.deepEqual(await client.sql`SELECT count(*) AS n FROM (${query})`, [{ n: 2 }]);
    assert.deepEqual(await client.sql`SELECT id FROM t WHERE id IN (${sql.list([])})`, []);
    await rejects(client.sql`SELECT ${sql.identifier('no such')} FROM t`, {
      code: 'SQLITE',
      message: /no such column/,
    });
  });

  suiteTest('RETURNING, with and without a transaction', async () => {
    await using client = await fresh();
    assert.deepEqual(await client.sql`INSERT INTO t (v) VALUES (${'a'}) RETURNING id, v`, [{ id: 1, v: 'a' }]);
    await client.transaction(async transaction => {
      assert.deepEqual(await transaction.sql`INSERT INTO t (v) VALUES ('b') RETURNING id`, [{ id: 2 }]);
    });
    await rejects(client.sql`INSERT INTO t (id) VALUES (1) RETURNING id`, { code: 'SQLITE', committed: false });
    const ids: unknown[] = [];
    for await (const { id } of client.sql`UPDATE t SET v = v || '!' RETURNING id`) ids.push(id);
    assert.deepEqual(ids, [1, 2]);
    assert.deepEqual(await values(client), ['a!', 'b!']);
    await client.exec('INSERT INTO t (v) VALUES (1)');
  });

  suiteTest('errors say what SQLite said, and that nothing was committed', async () => {
    await using client = await fresh();
    await client.exec('INSERT INTO t (id) VALUES (1)');
    const error = await rejects(client.exec('INSERT INTO t (id) VALUES (?)', [1]), {
      code: 'SQLITE',
      sqliteName: 'SQLITE_CONSTRAINT_PRIMARYKEY',
      message: /UNIQUE constraint failed: t.id/,
      committed: false,
    });
    assert.equal(error.sqliteCode, 1555);
    assert.equal(error.sql, 'INSERT INTO t (id) VALUES (?)');
    assert.ok(!Object.keys(error).includes('sql'));
    await rejects(client.query('SELEC 1'), { code: 'SQLITE', message: /near "SELEC": syntax error/ });
    await rejects(client.query('SELECT * FROM missing'), { code: 'SQLITE', message: /no such table: missing/ });
    await rejects(client.query("SELECT json('{')"), { code: 'SQLITE', message: /malformed JSON/ });
    // A script: what ran before stays, and nobody can say more.
    await rejects(client.exec('INSERT INTO t (id) VALUES (2); INSERT INTO t (id) VALUES (1)'), {
      code: 'SQLITE',
      committed: 'unknown',
    });
    assert.deepEqual(await client.sql`SELECT count(*) AS n FROM t`, [{ n: 2 }]);
    await rejects(client.exec('BEGIN; INSERT INTO t (id) VALUES (3); INSERT INTO t (id) VALUES (1); COMMIT'), {
      code: 'SQLITE',
    });
    await client.exec('INSERT INTO t (id) VALUES (4)');
    assert.deepEqual(await client.sql`SELECT count(*) AS n FROM t`, [{ n: 3 }]);
  });

  suiteTest('prepared statements', async () => {
    await using client = await fresh({ maxConnections: 3 });
    const insert = client.prepare('INSERT INTO t (v) VALUES (?)');
    for (let i = 0; i < 10; i++) await insert.run([i]);
    using byId = client.prepare<{ v: number }>('SELECT v FROM t WHERE id = ?');
    const rows = await Promise.all(Array.from({ length: 10 }, (_, i) => byId.query([i + 1]).first()));
    assert.deepEqual(
      rows.map(row => row!.v),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    await client.transaction(async transaction => {
      using inside = transaction.prepare('SELECT count(*) AS n FROM t');
      assert.deepEqual(await inside.query(), [{ n: 10 }]);
    });
    insert.close();
    assert.throws(() => insert.run([1]), { code: 'CLOSED' });
    // More than a connection keeps.
    const many = Array.from({ length: 250 }, (_, i) => client.prepare(`SELECT ${i} AS i`));
    for (const [i, statement] of many.entries()) assert.deepEqual(await statement.query(), [{ i }]);
    for (const [i, statement] of many.entries()) assert.deepEqual(await statement.query(), [{ i }]);
    for (const statement of many) statement.close();
    await rejects(client.prepare('SELECT * FROM missing').query(), { code: 'SQLITE', message: /no such table/ });
  });

  suiteTest('a batch takes effect as a whole', async () => {
    await using client = await fresh();
    const result = await client.batch([
      'INSERT INTO t (v) VALUES (0)',
      { sql: 'INSERT INTO t (v) VALUES (?)', parameters: ['a; b -- c'] },
      sql`INSERT INTO t (v) VALUES (${1}), (${2})`,
      'INSERT INTO t (v) VALUES (9) -- the last',
    ]);
    assert.deepEqual(result, { rowsAffected: 1, lastInsertId: 5n });
    await rejects(client.batch(['INSERT INTO t (v) VALUES (10)', 'INSERT INTO t (id) VALUES (1)']), {
      code: 'SQLITE',
      committed: false,
    });
    await rejects(client.batch([sql`DELETE FROM t WHERE v < ${5}`, sql`INSERT INTO t (id) VALUES (${5})`]), {
      code: 'SQLITE',
      committed: false,
    });
    assert.deepEqual(await values(client), [0, 'a; b -- c', 1, 2, 9]);
    await rejects(client.batch(['SELECT 1']), { code: 'USAGE' });
    await client.exec('INSERT INTO t (v) VALUES (11)');
  });

  suiteTest('a stream gives rows as they come, also while others are asked', async () => {
    await using client = await fresh();
    let sum = 0;
    for await (const { x } of client.query<{ x: number }>(COUNTING, [5000])) {
      sum += x;
      if (x % 1000 === 0) await client.sql`INSERT INTO t (v) VALUES (${x})`;
    }
    assert.equal(sum, (5000 * 5001) / 2);
    assert.deepEqual(await values(client), [1000, 2000, 3000, 4000, 5000]);
    await client.transaction(async transaction => {
      for await (const { id, v } of transaction.sql<{ id: number; v: number }>`SELECT id, v FROM t ORDER BY id`) {
        await transaction.sql`UPDATE t SET v = ${v + 1} WHERE id = ${id}`;
        for await (const { n } of transaction.sql<{ n: number }>`SELECT count(*) AS n FROM t`) assert.equal(n, 5);
      }
    });
    assert.deepEqual(await values(client), [1001, 2001, 3001, 4001, 5001]);
    await rejects(
      (async () => {
        for await (const _ of client.sql`SELECT json(v) FROM (SELECT '1' AS v UNION ALL SELECT '{')`);
      })(),
      { code: 'SQLITE', message: /malformed JSON/ },
    );
  });

  suiteTest('a stream that is left ends on the server', async () => {
    await using client = await fresh({ maxConnections: 1 });
    for (let round = 0; round < 3; round++) {
      let count = 0;
      for await (const _ of client.query(ENDLESS)) if (++count === 1000) break;
      // The only connection is free again.
      assert.deepEqual(await client.sql`SELECT ${round} AS round`, [{ round }]);
    }
    await client.transaction(async transaction => {
      await transaction.exec('INSERT INTO t (v) VALUES (1)');
      let count = 0;
      for await (const _ of transaction.query(COUNTING, [50_000])) if (++count === 10) break;
      await transaction.exec('INSERT INTO t (v) VALUES (2)');
    });
    assert.deepEqual(await values(client), [1, 2]);
  });

  suiteTest('transactions: commit, rollback, savepoints', async () => {
    await using client = await fresh();
    const result = await client.transaction(async transaction => {
      await transaction.sql`INSERT INTO t (v) VALUES (${'kept'})`;
      await assert.rejects(
        transaction.transaction(async inner => {
          await inner.sql`INSERT INTO t (v) VALUES ('undone')`;
          throw new Error('inner');
        }),
        /inner/,
      );
      const deep = await transaction.transaction(async inner => {
        await inner.sql`INSERT INTO t (v) VALUES ('nested')`;
        await rejects(transaction.sql`SELECT 1`, { code: 'USAGE' });
        return inner.transaction(async innermost => innermost.sql`SELECT count(*) AS n FROM t`.first());
      });
      assert.deepEqual(deep, { n: 2 });
      await Promise.all(
        [1, 2, 3].map(v => transaction.transaction(inner => inner.exec('INSERT INTO t (v) VALUES (?)', [v]))),
      );
      await transaction.batch([sql`INSERT INTO t (v) VALUES (${'batch'})`]);
      await assert.rejects(transaction.exec('COMMIT'), { code: 'USAGE' });
      return 'result';
    });
    assert.equal(result, 'result');
    const kept = ['kept', 'nested', 1, 2, 3, 'batch'];
    assert.deepEqual(await values(client), kept);
    let leaked: { sql: typeof client.sql } | undefined;
    await assert.rejects(
      client.transaction(async transaction => {
        leaked = transaction;
        await transaction.sql`DELETE FROM t`;
        throw new Error('outer');
      }),
      /outer/,
    );
    await rejects(leaked!.sql`DELETE FROM t`, { code: 'CLOSED' });
    assert.deepEqual(await values(client), kept);
    // What nobody waited for belongs to it all the same.
    await client.transaction(async transaction => void transaction.exec('DELETE FROM t'));
    assert.deepEqual(await values(client), []);
    await rejects(
      client.transaction(async transaction => {
        await transaction.exec('INSERT INTO t (v) VALUES (1)');
        transaction.exec('INSERT INTO missing VALUES (1)').catch(() => {});
      }),
      { code: 'SQLITE', message: /no such table/ },
    );
    assert.deepEqual(await values(client), []);
  });

  suiteTest('a transaction that SQLite ends stays ended', async () => {
    await using client = await fresh();
    await rejects(
      client.transaction(async transaction => {
        await transaction.exec('INSERT INTO t (id) VALUES (1)');
        await rejects(transaction.exec('INSERT OR ROLLBACK INTO t (id) VALUES (1)'), { code: 'SQLITE' });
        await rejects(transaction.exec('INSERT INTO t (id) VALUES (2)'), {
          code: 'SQLITE',
          message: /was rolled back/,
        });
      }),
      { code: 'SQLITE', committed: false, message: /was rolled back/ },
    );
    assert.deepEqual(await values(client), []);
    await client.transaction(async transaction => {
      await transaction.exec('INSERT INTO t (id, v) VALUES (1, 1)');
      await rejects(transaction.exec('INSERT INTO t (id) VALUES (1)'), { code: 'SQLITE', committed: false });
      await transaction.exec('INSERT INTO t (v) VALUES (2)');
    });
    assert.deepEqual(await values(client), [1, 2]);
  });

  suiteTest('writers wait for each other, and a stale reader is run again', async () => {
    await using client = await fresh({ maxConnections: 8, busyTimeoutMs: DEADLINE_MS });
    await client.exec('INSERT INTO t (id, v) VALUES (1, 0)');
    const increment = (): Promise<void> =>
      client.transaction(async transaction => {
        const row = await transaction.sql<{ v: number }>`SELECT v FROM t WHERE id = 1`.first();
        await transaction.sql`UPDATE t SET v = ${row!.v + 1} WHERE id = 1`;
      });
    await Promise.all(Array.from({ length: 30 }, increment));
    assert.deepEqual(await values(client), [30]);
    let runs = 0;
    const stale = (retries: number): Promise<void> =>
      client.transaction(
        async transaction => {
          runs++;
          const row = await transaction.sql<{ v: number }>`SELECT v FROM t WHERE id = 1`.first();
          if (runs === 1) await increment();
          await transaction.sql`UPDATE t SET v = ${row!.v + 100} WHERE id = 1`;
        },
        { mode: 'deferred', retries },
      );
    await rejects(stale(0), { code: 'SQLITE', sqliteName: 'SQLITE_BUSY_SNAPSHOT', committed: false });
    runs = 0;
    await stale(1);
    assert.equal(runs, 2);
    assert.deepEqual(await values(client), [132]);
  });

  suiteTest('a locked database is an error in the end', async () => {
    await using client = await fresh({ busyTimeoutMs: 50 });
    let finish!: () => void;
    const held = client.transaction(async transaction => {
      await transaction.exec('INSERT INTO t (v) VALUES (1)');
      await new Promise<void>(resolve => {
        finish = resolve;
      });
    });
    await until(() => client.pool.busy === 1 && finish !== undefined, 'the lock is held', DEADLINE_MS);
    const signal = AbortSignal.timeout(300);
    await assert.rejects(client.exec('INSERT INTO t (v) VALUES (2)', [], { signal }), (error: DqliteError) => {
      assert.equal(error.committed, false);
      return error.sqliteName === 'SQLITE_BUSY' || error.code === 'ABORTED';
    });
    finish();
    await held;
    assert.deepEqual(await values(client), [1]);
  });

  suiteTest('a connection of one’s own', async () => {
    await using client = await fresh();
    {
      await using own = await client.reserve();
      await own.exec('CREATE TEMP TABLE mine (a)');
      await own.exec('BEGIN');
      await own.exec('INSERT INTO t (v) VALUES (1)');
      await own.exec('COMMIT');
      await own.exec('BEGIN; INSERT INTO t (v) VALUES (2)');
      assert.deepEqual(await own.sql`SELECT count(*) AS n FROM t`, [{ n: 2 }]);
    }
    await client.exec('INSERT INTO t (v) VALUES (3)');
    assert.deepEqual(await values(client), [1, 3]);
    await rejects(client.sql`SELECT * FROM mine`, { code: 'SQLITE' });
    assert.deepEqual(await client.sql`PRAGMA foreign_keys = 1`, []);
    for await (const row of client.sql`PRAGMA foreign_keys = 1`) assert.fail(JSON.stringify(row));
    assert.deepEqual(await client.sql`PRAGMA foreign_keys`, [{ foreign_keys: 1 }]);
  });

  suiteTest('cancelling: a deadline, a signal, before, meanwhile and afterwards', async () => {
    await using client = await fresh({ maxConnections: 2, cancelGraceMs: 200 });
    await rejects(client.query(ENDLESS, [], { timeoutMs: 30 }), { code: 'TIMEOUT' });
    const aborted = AbortSignal.abort(new Error('why'));
    const error = await rejects(client.exec('INSERT INTO t (v) VALUES (1)', [], { signal: aborted }), {
      code: 'ABORTED',
      committed: false,
    });
    assert.equal((error.cause as Error).message, 'why');
    const controller = new AbortController();
    await rejects(
      (async () => {
        let count = 0;
        for await (const _ of client.query(ENDLESS, [], { signal: controller.signal })) {
          if (++count === 500) controller.abort();
        }
      })(),
      { code: 'ABORTED' },
    );
    const late = new AbortController();
    await client.exec('INSERT INTO t (v) VALUES (2)', [], { signal: late.signal });
    late.abort();
    await rejects(
      client.transaction(
        async transaction => {
          await transaction.exec('INSERT INTO t (v) VALUES (3)');
          await new Promise(() => {}); // for ever
        },
        { timeoutMs: 50 },
      ),
      { code: 'TIMEOUT', committed: false },
    );
    assert.deepEqual(await values(client), [2]);
    assert.equal(client.pool.busy, 0);
  });

  suiteTest(`${cancelled} calls cancelled at random moments do no harm`, async () => {
    await using client = await fresh({ maxConnections: 4, cancelGraceMs: 500, busyTimeoutMs: DEADLINE_MS });
    const certain = new Set<number>();
    const possible = new Set<number>();
    let next = 1;
    const attempt = async (): Promise<void> => {
      const id = next++;
      const controller = new AbortController();
      const { signal } = controller;
      const delayMs = Math.random() * 6;
      const timer = setTimeout(() => controller.abort(), delayMs);
      const kind = id % 5;
      try {
        if (kind === 0) {
          const rows = await client.query<{ x: number }>(COUNTING, [2000], { signal });
          assert.equal(rows.length, 2000);
          assert.equal(rows[1999]!.x, 2000);
        } else if (kind === 1) {
          await client.exec('INSERT INTO t (id, v) VALUES (?, 1)', [id], { signal });
          certain.add(id);
        } else if (kind === 2) {
          await client.transaction(
            async transaction => {
              await transaction.exec('INSERT INTO t (id, v) VALUES (?, 0)', [id]);
              await transaction.exec('UPDATE t SET v = 1 WHERE id = ?', [id]);
            },
            { signal },
          );
          certain.add(id);
        } else if (kind === 3) {
          let expected = 1;
          for await (const { x } of client.query<{ x: number }>(COUNTING, [3000], { signal }))
            assert.equal(x, expected++);
        } else {
          await client.batch([sql`INSERT INTO t (id, v) VALUES (${id}, 0)`, sql`UPDATE t SET v = 1 WHERE id = ${id}`], {
            signal,
          });
          certain.add(id);
        }
      } catch (error) {
        assert.ok(error instanceof DqliteError && error.code === 'ABORTED', String(error));
        if (error.committed === 'unknown') possible.add(id);
        else if (kind !== 0 && kind !== 3) assert.equal(error.committed, false);
      } finally {
        clearTimeout(timer);
      }
      const probe = Math.random();
      assert.deepEqual(await client.sql`SELECT ${probe} AS probe`, [{ probe }], 'the next caller gets its own answer');
    };
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (next <= cancelled) await attempt();
      }),
    );
    assert.equal(client.pool.busy, 0);
    assert.ok(client.pool.idle <= 4);
    const rows = await client.sql<{ id: number; v: number }>`SELECT id, v FROM t`;
    const found = new Set(rows.map(({ id }) => id));
    for (const { v } of rows) assert.equal(v, 1, 'no transaction in part');
    for (const id of certain) assert.ok(found.has(id), `${id} was acknowledged`);
    for (const id of found) assert.ok(certain.has(id) || possible.has(id), `${id} was refused`);
    // No transaction is open anywhere: all connections write.
    await Promise.all(Array.from({ length: 8 }, (_, i) => client.exec('INSERT INTO t (id) VALUES (?)', [-1 - i])));
  });

  suiteTest('the cluster', async () => {
    const { cluster } = db;
    const servers = await cluster.servers();
    assert.deepEqual(
      servers.map(({ address, role }) => ({ address, role })),
      [{ address: server.address, role: 'voter' }],
    );
    assert.deepEqual(await cluster.leader(), { id: servers[0]!.id, address: server.address });
    await cluster.weight(7n);
    assert.equal((await cluster.describe(server.address)).weight, 7n);
    await cluster.add({ id: 77n, address: '127.0.0.1:1' });
    assert.deepEqual(
      (await cluster.servers()).map(({ role }) => role),
      ['voter', 'spare'],
    );
    await cluster.remove(77n);
    await rejects(cluster.remove(77n), { code: 'SQLITE', message: /server ID is not valid/ });
    await db.exec('CREATE TABLE IF NOT EXISTS dumped (a)');
    const [main] = await cluster.dump('suite.db');
    assert.equal(main!.name, 'suite.db');
    assert.equal(Buffer.from(main!.content).toString('latin1', 0, 15), 'SQLite format 3');
  });

  suiteTest('many callers share few connections', async () => {
    await using client = await fresh({ maxConnections: 3 });
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => client.sql`SELECT ${i} AS i`.first()));
    assert.deepEqual(
      answers,
      Array.from({ length: 300 }, (_, i) => ({ i })),
    );
    assert.ok(client.pool.idle <= 3);
    assert.equal(client.pool.busy, 0);
  });
}
