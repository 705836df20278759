/** `import` and `export` against Debian's `sqlite3`, which makes the files and reads the results, and Debian's C node. */

import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { Child, run, type Finished } from '../support/child.ts';
import { until } from '../support/wait.ts';
import { MAIN, ROOT } from '../support/paths.ts';
import { CNode, needPrograms } from '../support/peers.ts';
import { freePort } from '../support/ports.ts';
import { dqliteNode, serve } from '../support/serve.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

before(() => needPrograms('sqlite3', 'dqlite-demo'));

const SOURCE_SQL = readFileSync(path.join(ROOT, 'test/interop/import-source.sql'), 'utf8');

async function sqlite3(scope: Scope, file: string, sql: string): Promise<string> {
  const { code, stdout, stderr } = await run(scope, 'sqlite3', ['-batch', '-init', '/dev/null', file], { input: sql });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  return stdout;
}

/** What is in a database, to the last value: its dump and what a dump does not show, in no particular order. */
async function contentOf(scope: Scope, file: string): Promise<string[]> {
  assert.equal(await sqlite3(scope, file, 'PRAGMA integrity_check;'), 'ok\n');
  const dump = await sqlite3(scope, file, '.dump\n');
  const pragmas = await sqlite3(scope, file, 'PRAGMA user_version; PRAGMA application_id; PRAGMA encoding;');
  const tables = await sqlite3(
    scope,
    file,
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ('a', 'w');",
  );
  let exact = '';
  for (const table of tables.split('\n').filter(name => name !== '')) {
    exact += await sqlite3(
      scope,
      file,
      `.mode quote\nSELECT *, typeof(v), hex(v) FROM (SELECT ${table === 'a' ? 't AS v, rowid' : 'v, k'} FROM "${table}");`,
    );
  }
  return [...dump.split('\n').sort(), pragmas, exact];
}

async function node(t: TestContext, kind: 'ours' | 'theirs'): Promise<string> {
  if (kind === 'ours') return (await serveAny(t)).address;
  return (await CNode.start(t, temporaryDirectory(t), `127.0.0.1:${await freePort()}`)).address;
}

/** A node whose address in the configuration is the one that it listens on. */
async function serveAny(t: TestContext): ReturnType<typeof serve> {
  return serve(t, { directory: temporaryDirectory(t), address: `127.0.0.1:${await freePort()}` });
}

function ok({ code, stdout, stderr }: Finished): string {
  assert.equal(code, 0, stdout + stderr);
  assert.equal(stderr, '');
  return stdout;
}

for (const kind of ['ours', 'theirs'] as const) {
  test(`everything that SQLite stores, into a node of ${kind} and out again`, async t => {
    const address = await node(t, kind);
    const folder = temporaryDirectory(t);
    const source = path.join(folder, 'source.db');
    await sqlite3(t, source, SOURCE_SQL);
    const before = readFileSync(source);
    const printed = ok(await dqliteNode(t, 'import', '-s', address, 'x.db', source));
    assert.match(printed, /^x\.db: 11 tables with \d+ rows imported from .*\nnote: pages have 4096 bytes, not 1024\n$/);
    assert.ok(readFileSync(source).equals(before), 'the source is only read');
    const target = path.join(folder, 'target.db');
    ok(await dqliteNode(t, 'export', '-s', address, 'x.db', target));
    assert.deepEqual(readFileSync(target).subarray(18, 20), Buffer.from([1, 1]));
    assert.deepEqual(await contentOf(t, target), await contentOf(t, source));
    assert.equal(
      await sqlite3(
        t,
        target,
        "SELECT rowid FROM ft WHERE ft MATCH 'run'; SELECT rowid FROM fx WHERE fx MATCH 'gamma';",
      ),
      '10\n2\n',
    );
    assert.equal(await sqlite3(t, target, 'SELECT id FROM rt WHERE x0 < 0; SELECT count(*) FROM log;'), '2\n0\n');

    const refused = await dqliteNode(t, 'import', '-s', address, 'x.db', source);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /the database is not empty, it has .*; nothing was imported\n {2}hint: .*--add/);
    const clash = await dqliteNode(t, 'import', '-s', address, 'x.db', source, '--add');
    assert.equal(clash.code, 1);
    assert.match(clash.stderr, /"a": table a already exists; nothing was imported/);
    const other = path.join(folder, 'other.db');
    await sqlite3(
      t,
      other,
      'CREATE TABLE added (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO added VALUES (9); PRAGMA user_version = 9;',
    );
    ok(await dqliteNode(t, 'import', '-s', address, 'x.db', other, '--add'));
    ok(await dqliteNode(t, 'export', '-s', address, 'x.db', target, '--force'));
    assert.equal(
      await sqlite3(t, target, 'SELECT name, seq FROM sqlite_sequence ORDER BY 1; PRAGMA user_version;'),
      'a|9223372036854775806\nadded|9\n42\n',
    );
  });

  test(`a write-ahead log beside the file, still in use: into a node of ${kind}`, async t => {
    const address = await node(t, kind);
    const folder = temporaryDirectory(t);
    const live = path.join(folder, 'live.db');
    const writer = new Child(t, 'sqlite3', ['-batch', '-init', '/dev/null', live]);
    const written = path.join(folder, 'written');
    writer.process.stdin.write(
      `PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v);
       INSERT INTO t VALUES (1, 'in main'); PRAGMA wal_checkpoint(TRUNCATE);
       INSERT INTO t VALUES (2, 'in the log'), (3, zeroblob(30000)); DELETE FROM t WHERE id = 1;
       PRAGMA cache_size = 1; BEGIN; INSERT INTO t SELECT 4, randomblob(90000);
.shell touch ${written}
`,
    );
    await until(() => existsSync(written), 'sqlite3 has written');
    const source = path.join(folder, 'source.db');
    copyFileSync(live, source);
    copyFileSync(`${live}-wal`, `${source}-wal`);
    writer.input('');
    await writer.end(5000);
    ok(await dqliteNode(t, 'import', '-s', address, 'x.db', source));
    assert.ok(!existsSync(`${source}-shm`), 'nothing is made beside the source');
    const target = path.join(folder, 'target.db');
    ok(await dqliteNode(t, 'export', '-s', address, 'x.db', target));
    assert.equal(await sqlite3(t, target, 'SELECT id, length(v) FROM t;'), '2|10\n3|30000\n');
  });
}

test('a file of more than one transaction; interrupted it leaves nothing, killed it says so', async t => {
  const { address } = await serveAny(t);
  const folder = temporaryDirectory(t);
  const source = path.join(folder, 'source.db');
  await sqlite3(
    t,
    source,
    `CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, w INTEGER); CREATE INDEX t_w ON t (w); CREATE VIEW u AS SELECT w FROM t;
     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 24000) INSERT INTO t SELECT i, randomblob(1000), i % 97 FROM n;`,
  );
  const client = await Connection.open(address, 'x.db');
  const rows = async (): Promise<unknown> => {
    try {
      return Number((await client.values('SELECT count(*) FROM t'))[0]![0]);
    } catch {
      return 0;
    }
  };
  const begin = async (...options: string[]): Promise<Child> => {
    const child = new Child(t, process.execPath, [MAIN, 'import', '-s', address, 'x.db', source, ...options]);
    await until(async () => Number(await rows()) > 3000 || child.hasExited, 'the import is under way', 20_000);
    return child;
  };
  const interrupted = await begin();
  interrupted.signal('SIGINT');
  assert.equal((await interrupted.end(10_000)).code, 1);
  assert.match(interrupted.stderr, /^dqlite-node: interrupted; what was imported so far has been removed\n$/);
  assert.deepEqual(await client.values('SELECT count(*) FROM sqlite_schema'), [[0n]]);

  const killed = await begin();
  killed.signal('SIGKILL');
  await killed.end(10_000);
  const refused = await dqliteNode(t, 'import', '-s', address, 'x.db', source);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /an import of source\.db into the database was not finished.*\n {2}hint: add --restart/);
  ok(await dqliteNode(t, 'import', '-s', address, 'x.db', source, '--restart'));
  const target = path.join(folder, 'target.db');
  ok(await dqliteNode(t, 'export', '-s', address, 'x.db', target));
  const check = `ATTACH '${source}' AS s; SELECT count(*) FROM (SELECT * FROM t EXCEPT SELECT * FROM s.t); SELECT count(*), sum(w) FROM t;
    SELECT group_concat(name) FROM main.sqlite_schema;`;
  assert.equal(
    await sqlite3(t, target, check),
    `0\n${await sqlite3(t, source, 'SELECT count(*), sum(w) FROM t;')}t,t_w,u\n`,
  );
});

test('a server that goes away in the middle and comes back: what was loaded is removed', async t => {
  const directory = temporaryDirectory(t);
  const address = `127.0.0.1:${await freePort()}`;
  const node = await serve(t, { directory, address });
  const source = path.join(temporaryDirectory(t), 'source.db');
  await sqlite3(
    t,
    source,
    `CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);
     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 24000) INSERT INTO t SELECT i, randomblob(1000) FROM n;`,
  );
  const child = new Child(t, process.execPath, [MAIN, 'import', '-s', address, 'x.db', source]);
  const client = await Connection.open(address, 'x.db');
  const hasRows = async (): Promise<boolean> => {
    const tables = await client.values("SELECT 1 FROM sqlite_schema WHERE name = 't'");
    return tables.length > 0 && (await client.values('SELECT 1 FROM t LIMIT 1')).length > 0;
  };
  await until(hasRows, 'rows are there', 20_000);
  await node.kill();
  const again = await serve(t, { directory, address });
  assert.equal((await child.end(20_000)).code, 1);
  assert.match(child.stderr, /what was imported so far has been removed/);
  const check = await Connection.open(address, 'x.db');
  assert.deepEqual(await check.values('SELECT name FROM sqlite_schema'), []);
  await again.stop();
});

test('what cannot be imported is refused before anything is written', async t => {
  const { address } = await serveAny(t);
  const folder = temporaryDirectory(t);
  const file = path.join(folder, 'source.db');
  const refusals: readonly (readonly [sql: string, message: RegExp])[] = [
    ["PRAGMA encoding = 'UTF-16be'; CREATE TABLE t (v);", /encoded in UTF-16.*\n {2}hint: make a UTF-8 copy first/],
    ["CREATE VIRTUAL TABLE c USING fts5 (v, content = '');", /"c" is contentless/],
    ['CREATE VIRTUAL TABLE c USING fts4 (v);', /"c" is of the module fts4\n {2}hint: only fts5, rtree/],
  ];
  for (const [position, [sql, message]] of refusals.entries()) {
    const source = `${file}${position}`;
    await sqlite3(t, source, sql);
    const { code, stdout, stderr } = await dqliteNode(t, 'import', '-s', address, 'x.db', source);
    assert.deepEqual([code, stdout], [1, ''], stderr);
    assert.match(stderr, message);
  }
  const hot = path.join(folder, 'hot.db');
  await sqlite3(t, hot, 'CREATE TABLE t (v);');
  writeFileSync(`${hot}-journal`, Buffer.concat([Buffer.from('d9d505f920a163d7', 'hex'), Buffer.alloc(504)]));
  assert.match(
    (await dqliteNode(t, 'import', '-s', address, 'x.db', hot)).stderr,
    /hot\.db-journal exists: .*is being written/,
  );
});
