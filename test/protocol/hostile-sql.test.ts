/**
 * SQL that means no good (design rules 24 and 25): each statement runs or fails with a clear error in about the time
 * that one step may take, and another client is served meanwhile.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Failure, type Connection } from '../support/connection.ts';
import { smallLimits, TestNode } from '../support/node.ts';

/** What a statement may take beyond its limit on a machine that has other things to do. */
const SLACK_MS = 1700;
const TOO_LONG = /maxStepMs/;
const TOO_BIG = /^string or blob too big$/;

const ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)';
const zeros = (bytes: number): string => `hex(zeroblob(${bytes / 2}))`;
const nested = (depth: number, open: string, close: string, core = '1'): string =>
  open.repeat(depth) + core + close.repeat(depth);

/** SQL and what it is answered; undefined: it runs. A script goes by EXEC_SQL, all else by QUERY_SQL. */
const CASES: readonly (readonly [sql: string, failure: RegExp | undefined])[] = [
  // Time
  [`${ENDLESS} SELECT max(i) FROM n`, TOO_LONG],
  [`${ENDLESS} SELECT count(*) FROM n, n AS m`, TOO_LONG],
  [`${ENDLESS} SELECT i FROM n ORDER BY i DESC`, /maxStepMs|temporary files|out of memory/],
  [`${ENDLESS} SELECT group_concat(i) FROM n`, /maxStepMs|too big/],
  [`${ENDLESS} SELECT json_group_array(i) FROM n`, /maxStepMs|too big/],
  [
    `${ENDLESS} SELECT DISTINCT randomblob(1000) FROM n LIMIT 1 OFFSET 100000000`,
    /maxStepMs|temporary files|out of memory/,
  ],
  [
    `${ENDLESS} SELECT sum(i) OVER (ORDER BY i DESC ROWS BETWEEN 1000000 PRECEDING AND CURRENT ROW) FROM n`,
    /maxStepMs|temporary files|out of memory/,
  ],
  [
    `SCRIPT CREATE TABLE IF NOT EXISTS fill (a); ${ENDLESS} INSERT INTO fill SELECT randomblob(1000) FROM n`,
    /maxStepMs|changes more than/,
  ],
  [`SCRIPT ${ENDLESS} INSERT INTO none SELECT i FROM n`, /no such table/],
  [`SELECT instr(${zeros(2_000_000)}, ${zeros(1_000_000)} || '1')`, undefined],
  [`SELECT length(replace(${zeros(2_000_000)}, ${zeros(1_000_000)} || '1', ''))`, undefined],
  [`SELECT trim(${zeros(800_000)}, ${zeros(400_000)} || '1')`, undefined],
  [`SELECT trim(${zeros(400_000)}, replace(${zeros(400_000)}, '0', '1') || '0')`, undefined],
  [
    `${ENDLESS}, s(c) AS (SELECT group_concat(char(i + 255), '') FROM (SELECT i FROM n LIMIT 20000))
     SELECT trim(${zeros(1_000_000)}, c || '0') FROM s`,
    /takes too long/,
  ],
  [`SELECT ${zeros(50_000)} LIKE '${'%0'.repeat(400)}%1'`, undefined],
  [`SELECT ${zeros(50_000)} GLOB '${'*[0-9]'.repeat(150)}*x'`, undefined],
  [`SELECT ${zeros(2_000_000)} LIKE '%${'0'.repeat(900)}1'`, TOO_LONG],
  [`SELECT ${zeros(2_000_000)} GLOB '*${'[0-9]'.repeat(180)}x'`, TOO_LONG],
  [`SELECT 'a' LIKE '${'%a'.repeat(12_000)}'`, /pattern too complex/],
  // Thousands of them between two looks at the clock
  [
    `SELECT ${Array.from({ length: 2000 }, (_, i) => `length(hex(zeroblob(${900_000 + i})))`).join()}`,
    /maxStepMs|out of memory/,
  ],
  // The compiler
  [
    `SELECT ${Array.from({ length: 2000 }, (_, i) => `sum(i + ${i}) OVER (ORDER BY i + ${i})`).join()} FROM (SELECT 1 AS i)`,
    TOO_LONG,
  ],
  ["SELECT 'a' REGEXP '(a+)+$'", /no such function: REGEXP/],
  // Size
  ["SELECT zeroblob(999999999) || 'x'", TOO_BIG],
  ['SELECT randomblob(900000000)', TOO_BIG],
  ['SELECT hex(zeroblob(1900000))', TOO_BIG],
  ["SELECT printf('%*d', 2000000000, 1)", /too big|out of memory/],
  ["SELECT printf('%.*f', 2000000000, 1.0)", TOO_BIG],
  ["SELECT printf('%.*c', 2000000000, 'x')", /too big|out of memory/],
  ["SELECT replace(hex(zeroblob(900000)), '0', hex(zeroblob(900000)))", TOO_BIG],
  [`SELECT ${Array.from({ length: 100 }, () => 'zeroblob(1900000)').join()}`, /too big|larger than|out of memory/],
  [`SELECT length(${Array.from({ length: 60 }, () => 'randomblob(1900000)').join(' || ')})`, TOO_BIG],
  // Depth and number
  [`SELECT ${nested(5000, '(', ')')}`, /parser stack overflow|too large|Recursion limit/],
  [`SELECT 1 ${'+ 1 '.repeat(900)}`, undefined],
  [`SELECT 1 ${'+ 1 '.repeat(20_000)}`, /Expression tree is too large/],
  [`SELECT ${'NOT '.repeat(50_000)}1`, /parser stack overflow|too large|Recursion limit/],
  [`SELECT ${nested(2000, 'abs(', ')')}`, /parser stack overflow|too large|Recursion limit/],
  [
    `SELECT * FROM ${nested(500, '(SELECT * FROM ', ')', '(SELECT 1)')}`,
    /parser stack overflow|too large|Recursion limit|nesting/,
  ],
  [`SELECT 1 IN (${Array.from({ length: 100_000 }, (_, i) => i).join()})`, undefined],
  [`SELECT ${Array.from({ length: 2001 }, () => '1').join()}`, /too many columns in result set/],
  [`CREATE TABLE wide (${Array.from({ length: 2001 }, (_, i) => `c${i}`).join()})`, /too many columns on wide/],
  [`SELECT 1 ${'UNION ALL SELECT 1 '.repeat(600)}`, /too many terms in compound SELECT/],
  [
    `SELECT * FROM ${Array.from({ length: 65 }, (_, i) => `(SELECT 1) AS t${i}`).join()}`,
    /at most 64 tables in a join/,
  ],
  ['SELECT ?32767', /variable number must be between/],
  [`SELECT max(${Array.from({ length: 1001 }, () => '1').join()})`, /too many arguments/],
  // JSON
  [`SELECT json('${nested(1500, '[', ']', '')}')`, /malformed JSON/],
  [`SELECT json_valid('${nested(100_000, '[', ']', '')}')`, undefined],
  [`SELECT count(*) FROM json_tree('${nested(900, '[', ']', '1')}')`, undefined],
  [`SELECT json_extract('[]', '$${'[0]'.repeat(50_000)}')`, undefined],
  [`SELECT json_set('[' || replace(${zeros(50_000)}, '0', '1,') || '1]' ${", '$[0]', 1".repeat(490)})`, undefined],
  [
    `${ENDLESS}, o(j) AS (SELECT json_group_object('a' || i, 1) FROM (SELECT i FROM n LIMIT 30000))
     SELECT json_patch(j, replace(j, 'a', 'b')) FROM o`,
    /takes too long/,
  ],
  // Triggers and foreign keys without end
  [
    `SCRIPT PRAGMA recursive_triggers = 1; CREATE TABLE r (a);
     CREATE TRIGGER rt AFTER INSERT ON r BEGIN INSERT INTO r VALUES (new.a + 1); END; INSERT INTO r VALUES (1)`,
    /triggers nested too deep/,
  ],
  ['SCRIPT CREATE VIEW v1 AS SELECT * FROM v1; CREATE TABLE v2 AS SELECT * FROM v1', /circularly defined/],
  // Out of the database
  ["ATTACH '/etc/passwd' AS p", /not authorized|attach/i],
  ["ATTACH 'file:x?mode=memory' AS p", /not authorized|attach/i],
  ["VACUUM INTO '/tmp/copy'", /authorization denied/],
  ["SELECT load_extension('x')", /not authorized|no such function/],
  ["SELECT readfile('/etc/passwd')", /no such function/],
  ["SELECT writefile('/tmp/x', 'x')", /no such function/],
  ["SELECT fts3_tokenizer('x')", /no such function|not authorized|fts3tokenize|unknown tokenizer/],
  ['SELECT * FROM generate_series(1, 1e18)', /no such table/],
  [
    'UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 1',
    /not authorized|prohibited|may not be modified|no such table/,
  ],
  ['SELECT * FROM sqlite_dbpage', /not authorized|prohibited|no such table/],
  // Settings of everybody
  ['SCRIPT PRAGMA writable_schema = 1; DELETE FROM sqlite_schema', /not authorized|may not be modified/],
  ['PRAGMA hard_heap_limit = 1', /not authorized/],
  ['PRAGMA soft_heap_limit = 1', /not authorized/],
  ["PRAGMA temp_store_directory = '/'", /not authorized/],
  ['PRAGMA mmap_size = 1000000000', /not authorized/],
  ['PRAGMA locking_mode = exclusive', /not authorized/],
  ['PRAGMA journal_mode = off', /not authorized/],
  ['PRAGMA cache_size = -100000000', /not authorized/],
  ['PRAGMA page_size = 512', /not authorized/],
  ['PRAGMA schema_version = 1', undefined],
  // Virtual tables
  [
    "SCRIPT CREATE VIRTUAL TABLE fts USING fts5(a); INSERT INTO fts VALUES ('x'); INSERT INTO fts(fts, rank) VALUES ('pgsz', 1)",
    /logic error|not authorized/,
  ],
  [`SELECT * FROM fts WHERE fts MATCH '${nested(5000, '(', ')', 'x')}'`, /parser stack overflow|fts5/],
  [`SELECT * FROM fts WHERE fts MATCH '${'x* NEAR '.repeat(500)}x'`, undefined],
  [
    "SCRIPT CREATE VIRTUAL TABLE doc USING fts5(a); INSERT INTO doc VALUES (replace(hex(zeroblob(150000)), '0', 'a b '))",
    undefined,
  ],
  ["SELECT snippet(doc, 0, '<', '>', '', 10) FROM doc WHERE doc MATCH 'a OR b'", TOO_LONG],
  ['UPDATE fts_data SET block = randomblob(100)', /may not be modified/],
  ['SCRIPT CREATE VIRTUAL TABLE rt2 USING rtree(id, a, b); INSERT INTO rt2 VALUES (1, 2, 1)', /constraint failed/],
  ['SELECT count(*) FROM dbstat', undefined],
  ['CREATE VIRTUAL TABLE x USING no_such_module(1)', /no such module/],
];

let node: TestNode;
before(async () => {
  node = await TestNode.start({ engine: smallLimits });
});
after(() => node.close());

async function answerOf(connection: Connection, sql: string): Promise<string | undefined> {
  try {
    if (sql.startsWith('SCRIPT ')) await connection.exec(sql.slice('SCRIPT '.length));
    else await connection.query(sql);
    return undefined;
  } catch (error) {
    if (error instanceof Failure) return error.message;
    throw error;
  }
}

test('each is answered in time, and another client is served meanwhile', { timeout: 120_000 }, async () => {
  const other = await node.connect('other');
  await other.exec('CREATE TABLE t (a)');
  const limitMs = smallLimits.maxStepMs + SLACK_MS;
  const wrong: string[] = [];
  let written = 0;
  for (const [sql, expected] of CASES) {
    const hostile = await node.connect('hostile');
    const startMs = performance.now();
    let over = false;
    const answered = answerOf(hostile, sql).finally(() => {
      over = true;
    });
    let longestMs = 0;
    do {
      const askedMs = performance.now();
      await other.exec('INSERT INTO t VALUES (1)');
      written++;
      longestMs = Math.max(longestMs, performance.now() - askedMs);
    } while (!over);
    const message = await answered;
    const tookMs = performance.now() - startMs;
    const fits = expected === undefined ? message === undefined : message !== undefined && expected.test(message);
    const text = sql.length > 150 ? `${sql.slice(0, 150)}...` : sql;
    if (!fits) wrong.push(`${text}: ${message ?? 'it runs'}`);
    if (tookMs > limitMs) wrong.push(`${text}: answered after ${Math.round(tookMs)} ms`);
    if (longestMs > limitMs) wrong.push(`${text}: the other waited ${Math.round(longestMs)} ms`);
    hostile.close();
  }
  assert.deepEqual(wrong, []);
  assert.equal(await other.value('SELECT count(*) FROM t'), written);
  assert.deepEqual(await (await node.connect('hostile')).query('PRAGMA integrity_check'), [['ok']]);
});
