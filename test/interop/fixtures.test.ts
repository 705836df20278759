/**
 * Data directories that C dqlite 1.11.1 wrote, and the SQL state that their README states. A sole voter's is opened by
 * our node; the others, which need a majority, are replayed. Debian's `sqlite3` reads what comes out.
 */

import assert from 'node:assert/strict';
import path from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { run } from '../support/child.ts';
import { copyOf } from '../support/copies.ts';
import { FOUNDER_ID, needPrograms } from '../support/peers.ts';
import { replay } from '../support/replay.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

before(() => needPrograms('sqlite3', 'tar'));

interface State {
  readonly database: string;
  readonly schema: readonly string[];
  /** Queries and what sqlite3 prints. */
  readonly queries: Readonly<Record<string, string>>;
}

const MODEL = 'CREATE TABLE model (key TEXT, value TEXT, UNIQUE(key))';
const BIG = 'CREATE TABLE big(x BLOB)';

/** `model` with key-1 to key-<count>. */
function model(count: number): Readonly<Record<string, string>> {
  return {
    'SELECT count(*), count(DISTINCT key) FROM model': `${count}|${count}`,
    [`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
      SELECT count(*) FROM n JOIN model ON key = 'key-' || i AND value LIKE 'value%'`]: String(count),
  };
}

function demo(keys: number, hasBig: boolean): State {
  return {
    database: 'demo',
    schema: hasBig ? [MODEL, BIG] : [MODEL],
    queries: {
      ...model(keys),
      ...(hasBig ? { 'SELECT count(*), sum(x = zeroblob(20000)) FROM big': '1|1' } : {}),
    },
  };
}

const ROWS_1_TO_100: State = {
  database: 'test.db',
  schema: ['CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)'],
  queries: { "SELECT count(*), min(id), max(id), sum(v = 'row ' || id) FROM t": '100|1|100|100' },
};

const FIXTURES: Readonly<Record<string, State>> = {
  'three-node-clean/node1': demo(58, true),
  'three-node-clean/node2': demo(58, true),
  'three-node-clean/node3': demo(58, true),
  'follower-killed-no-snapshot.tar.gz': demo(55, true),
  'snapshot-1203-clean.tar.gz': demo(1203, false),
  'snapshot-1200-crash.tar.gz': demo(1200, false),
  'leader-killed-two-snapshots.tar.gz': ROWS_1_TO_100,
  'installed-snapshot-node': ROWS_1_TO_100,
};

async function sqlite3(scope: Scope, file: string, sql: string): Promise<string> {
  const { code, stdout, stderr } = await run(scope, 'sqlite3', [file], { input: `${sql};\n` });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  return stdout.trim();
}

const withoutBlanks = (sql: string): string => sql.replaceAll(/\s+/g, '').toLowerCase();

for (const [fixture, { database, schema, queries }] of Object.entries(FIXTURES)) {
  test(`${fixture}: replayed`, async (t: TestContext) => {
    const target = temporaryDirectory(t);
    const directory = copyOf(t, fixture);
    assert.deepEqual(await replay(directory, target), [database]);
    const file = path.join(target, database);
    assert.equal(await sqlite3(t, file, 'PRAGMA integrity_check'), 'ok');
    const found = await sqlite3(t, file, "SELECT sql FROM sqlite_schema WHERE type = 'table'");
    assert.deepEqual(found.split('\n').map(withoutBlanks), schema.map(withoutBlanks));
    for (const [sql, expected] of Object.entries(queries)) assert.equal(await sqlite3(t, file, sql), expected, sql);
    // What was opened once opens again: no torn tail is left, and nothing was lost on the way.
    assert.deepEqual(await replay(directory, target), [database]);
    for (const [sql, expected] of Object.entries(queries)) assert.equal(await sqlite3(t, file, sql), expected, sql);
  });
}

for (const [fixture, keys] of [
  ['snapshot-1203-clean.tar.gz', 1203],
  ['snapshot-1200-crash.tar.gz', 1200],
] as const) {
  test(`${fixture}: opened by our node, which goes on with it`, async t => {
    const directory = copyOf(t, fixture);
    const options = { directory, id: FOUNDER_ID, address: '127.0.0.1:29007', bind: '127.0.0.1:0' };
    const first = await serve(t, { ...options, args: ['--snapshot-threshold', '8', '--snapshot-trailing', '4'] });
    const client = await Connection.open(first.address, 'demo');
    for (const [sql, expected] of Object.entries(model(keys))) {
      const [row] = await client.values(sql);
      assert.equal(row!.join('|'), expected);
    }
    for (let key = keys + 1; key <= keys + 20; key++) {
      await client.exec('INSERT INTO model VALUES (?, ?)', `key-${key}`, `value-${key}`);
    }
    await first.kill();
    const second = await serve(t, options);
    const again = await Connection.open(second.address, 'demo');
    for (const [sql, expected] of Object.entries(model(keys + 20))) {
      const [row] = await again.values(sql);
      assert.equal(row!.join('|'), expected);
    }
    assert.deepEqual(await again.values('PRAGMA integrity_check'), [['ok']]);
    await second.stop();
  });
}

test('a directory of a cluster does not elect a lone node', async t => {
  const directory = copyOf(t, 'three-node-clean/node1');
  const node = await serve(t, { directory, id: FOUNDER_ID, address: '127.0.0.1:29001', bind: '127.0.0.1:0' });
  const client = await Connection.connect(node.address);
  assert.deepEqual(await client.call({ kind: 'leader' }), { kind: 'server', id: 0n, address: '' });
  const { servers } = (await client.call({ kind: 'cluster', format: 1 })) as { servers: readonly { id: bigint }[] };
  assert.deepEqual(
    servers.map(({ id }) => id),
    [FOUNDER_ID, 3287592638544079449n, 13186195581393062085n],
  );
  await assert.rejects(client.open('demo'), { code: 10250 });
  await node.stop();
});
