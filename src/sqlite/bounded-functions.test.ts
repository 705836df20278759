/** SQLite's functions whose work has a limit: what SQLite makes of them besides their results, and where the limits are. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure, numbers, run, value, World } from './sqlite.test.helpers.ts';

/** A text of 400,000 characters. */
const LONG = "replace(hex(zeroblob(50000)), '00', 'some')";

test('LIKE and GLOB still use indexes, and follow case_sensitive_like', async () => {
  const connection = (await World.create()).connect();
  run(connection, 'CREATE TABLE t (a TEXT COLLATE NOCASE, b TEXT); CREATE INDEX ta ON t (a); CREATE INDEX tb ON t (b)');
  const plan = (condition: string): string =>
    String(run(connection, `EXPLAIN QUERY PLAN SELECT 1 FROM t WHERE ${condition}`));
  assert.match(plan("a LIKE 'x%'"), /USING COVERING INDEX ta \(a>\? AND a<\?\)/);
  assert.match(plan("b GLOB 'x*'"), /USING COVERING INDEX tb \(b>\? AND b<\?\)/);
  assert.doesNotMatch(plan("b LIKE 'x%'"), /AND b<\?/);
  for (const [text, insensitive] of [
    ["'Some'", 1],
    [LONG, 1],
  ] as const) {
    run(connection, 'PRAGMA case_sensitive_like = 0');
    assert.equal(value(connection, `SELECT ${text} LIKE 'SOME%'`), insensitive);
    run(connection, 'PRAGMA case_sensitive_like = 1');
    assert.equal(value(connection, `SELECT ${text} LIKE 'SOME%'`), 0);
  }
  assert.match(plan("b LIKE 'x%'"), /USING COVERING INDEX tb \(b>\? AND b<\?\)/);
});

test('LIKE and GLOB of large values', async () => {
  const connection = (await World.create()).connect();
  for (const [condition, expected] of [
    [`${LONG} || 'ä%Z' LIKE '%somesomesomeSOME_\\%z' ESCAPE '\\'`, 1],
    [`${LONG} || 'ä%Z' LIKE '%somesomesomeSOMEÄ\\%z' ESCAPE '\\'`, 0],
    [`${LONG} || 'ä%Z' LIKE '%so%mÄ%' ESCAPE 'Ä'`, 0],
    [`${LONG} || 'ä%Z' LIKE '%some_ä%%Z' ESCAPE '_'`, 1],
    [`${LONG} || 'ä%Z' LIKE '%some_%%Z' ESCAPE '%'`, 0],
    [`CAST(${LONG} AS BLOB) LIKE '%somesome'`, 1],
    [`${LONG} || '9' GLOB 'some*[a-z]ome[^a-z]'`, 1],
    [`${LONG} || '9' GLOB 'some*[a-z]ome[^0-9]'`, 0],
    [`${LONG} || 'x' GLOB '*[x'`, 0],
    [`${LONG} || char(0) || 'x' LIKE '%somesome'`, 1],
    [`${LONG} LIKE NULL`, null],
    [`1e300 || ${LONG} LIKE 1 || '%some'`, 1],
  ] as const) {
    assert.equal(value(connection, `SELECT ${condition}`), expected, condition);
  }
  for (const escape of ["''", "'ab'", 'char(0)']) {
    assert.equal(
      failure(connection, `SELECT ${LONG} LIKE 'some%' ESCAPE ${escape}`).message,
      'ESCAPE expression must be a single character',
    );
  }
  assert.equal(failure(connection, `SELECT ${LONG} LIKE ${LONG}`).message, 'LIKE or GLOB pattern too complex');
});

test('JSON functions with paths', async () => {
  const connection = (await World.create()).connect();
  const columns = (count: number, column: (i: number) => string): string =>
    Array.from({ length: count }, (_, i) => column(i)).join();
  const large = "'[' || replace(hex(zeroblob(2000000)), '0', '1,') || '1]'";
  const refusal = 'so many paths in so large a JSON take too long';
  for (const name of ['json_set', 'jsonb_set', 'json_insert', 'json_replace', 'json_array_insert']) {
    const paths = columns(400, i => `'$[${i}]',1`);
    assert.equal(failure(connection, `SELECT ${name}(${large}, ${paths})`).message, refusal, name);
    assert.equal(value(connection, `SELECT length(${name}('[5]', ${paths})) > 2`), 1, name);
  }
  for (const name of ['json_extract', 'jsonb_extract', 'json_remove', 'jsonb_remove']) {
    const paths = columns(400, i => `'$[${i}]'`);
    assert.equal(failure(connection, `SELECT ${name}(${large}, ${paths})`).message, refusal, name);
    assert.equal(value(connection, `SELECT length(${name}('[5]', ${paths})) > 0`), 1, name);
  }
  // What they give is JSON to those who take it.
  assert.equal(value(connection, `SELECT json_array(json_set('{}', '$.a', 1), json('[1]') -> 0)`), '[{"a":1},1]');
  assert.equal(value(connection, `SELECT json_extract(${large}, '$[#-1]') + (${large} ->> 7)`), 2);
  assert.deepEqual(run(connection, "SELECT json_extract(NULL, '$'), json_remove(NULL)"), [[null, null]]);
});

test('json_patch', async () => {
  const connection = (await World.create()).connect();
  const members = (count: number, name: string): string =>
    `(SELECT '{' || group_concat('"${name}' || value || '":1') || '}' FROM ${numbers(count)})`;
  assert.equal(value(connection, `SELECT length(json_patch(${members(3000, 'a')}, ${members(3000, 'b')})) > 50000`), 1);
  assert.equal(value(connection, `SELECT json_patch(${members(100_000, 'a')}, '{"a1":null}') ->> '$.a100000'`), 1);
  for (const name of ['json_patch', 'jsonb_patch']) {
    assert.equal(
      failure(connection, `SELECT ${name}(${members(30_000, 'a')}, ${members(30_000, 'b')})`).message,
      'merging so many JSON members takes too long',
    );
    assert.equal(
      failure(connection, `SELECT ${name}(jsonb(${members(30_000, 'a')}), jsonb(${members(30_000, 'b')}))`).message,
      'merging so many JSON members takes too long',
    );
  }
});
