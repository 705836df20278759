import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import { StatementSplitter } from './sql-splitter.ts';
import { tokensOf } from './sql-tokens.ts';

/** SQLite's own judgement: whether a text ends with the semicolon that ends a statement. */
let isComplete: (text: string) => boolean;

before(async () => {
  const { capi } = await sqlite3InitModule();
  isComplete = text => (capi as unknown as { sqlite3_complete(text: string): number }).sqlite3_complete(text) !== 0;
});

/** The statements of a text that comes in pieces, and the rest. */
function split(...pieces: readonly string[]): string[] {
  const splitter = new StatementSplitter();
  const found: string[] = [];
  for (const piece of pieces) {
    splitter.push(piece);
    for (let next = splitter.next(); next !== undefined; next = splitter.next()) found.push(next.sql);
  }
  const rest = splitter.rest();
  if (rest !== undefined) found.push(rest.sql);
  return found;
}

/** The same by SQLite's judgement at every semicolon. */
function splitBySqlite(text: string): string[] {
  const found: string[] = [];
  let start = 0;
  for (let at = text.indexOf(';'); at !== -1; at = text.indexOf(';', at + 1)) {
    if (!isComplete(text.slice(start, at + 1))) continue;
    found.push(text.slice(start, at + 1));
    start = at + 1;
  }
  found.push(text.slice(start));
  return found
    .map(sql =>
      sql.slice(Math.max(0, [...tokensOf(sql)].find(({ kind }) => kind !== 'semicolon')?.start ?? sql.length)),
    )
    .map(sql => sql.trimEnd())
    .filter(sql => sql !== '');
}

test('statements end at their semicolons', () => {
  assert.deepEqual(split('SELECT 1; SELECT 2;'), ['SELECT 1;', 'SELECT 2;']);
  assert.deepEqual(split("SELECT ';', \"a;b\", `c;`, [d;e], x'3b' -- f;\n, /* g; */ 2;"), [
    "SELECT ';', \"a;b\", `c;`, [d;e], x'3b' -- f;\n, /* g; */ 2;",
  ]);
  assert.deepEqual(split('SELECT \'it\'\'s;\', "a"";";x'), ['SELECT \'it\'\'s;\', "a"";";', 'x']);
  assert.deepEqual(split(';;  -- nothing;\n/* ; */;'), []);
  assert.deepEqual(split('-- first\nSELECT 1'), ['SELECT 1']);
  assert.deepEqual(split("SELECT 'open;"), ["SELECT 'open;"]);
  assert.deepEqual(split('SELECT 1 /* open;'), ['SELECT 1 /* open;']);
  assert.deepEqual(split('/* open;'), []);
});

test('a trigger ends with its END', () => {
  const trigger =
    'CREATE TEMP TRIGGER IF NOT EXISTS t AFTER INSERT ON a BEGIN SELECT 1; UPDATE a SET b = CASE b WHEN 1 THEN 2 END; SELECT 1; END;';
  assert.deepEqual(split(`${trigger} SELECT 2;`), [trigger, 'SELECT 2;']);
  assert.deepEqual(split(`EXPLAIN QUERY PLAN ${trigger}SELECT 2;`), [`EXPLAIN QUERY PLAN ${trigger}`, 'SELECT 2;']);
  assert.deepEqual(split('create trigger t begin select 1;;\n -- x\n end\n; end;'), [
    'create trigger t begin select 1;;\n -- x\n end\n;',
    'end;',
  ]);
  assert.deepEqual(split('CREATE TABLE trigger_ (a); BEGIN; END;'), ['CREATE TABLE trigger_ (a);', 'BEGIN;', 'END;']);
  assert.deepEqual(split('CREATE TRIGGER t BEGIN SELECT 1; END'), ['CREATE TRIGGER t BEGIN SELECT 1; END']);
});

test('a statement knows its line, and the splitter whether one has begun', () => {
  const splitter = new StatementSplitter();
  splitter.push('-- one\n');
  assert.equal(splitter.next(), undefined);
  assert.ok(splitter.isIdle);
  splitter.push("\n  SELECT 'a\n");
  assert.equal(splitter.next(), undefined);
  assert.ok(!splitter.isIdle);
  splitter.push("b';\n\nSELECT 2; /*\n");
  assert.deepEqual(splitter.next(), { sql: "SELECT 'a\nb';", line: 3 });
  assert.deepEqual(splitter.next(), { sql: 'SELECT 2;', line: 6 });
  assert.equal(splitter.next(), undefined);
  assert.ok(!splitter.isIdle, 'a comment is open');
  splitter.push('*/ SELECT 3');
  assert.equal(splitter.next(), undefined);
  assert.deepEqual(splitter.rest(), { sql: 'SELECT 3', line: 7 });
  assert.ok(splitter.isIdle);
});

const words = ['select', 'CREATE', 'temp', 'Temporary', 'trigger', 'END', 'explain', 'BEGIN', 'endx', 'é', '$1', '1e5'];
const marks = [
  ';',
  ';',
  ';',
  "'",
  '"',
  '`',
  '[',
  ']',
  '--',
  '/*',
  '*/',
  '*',
  '/',
  '-',
  '\n',
  '\n',
  ' ',
  ' ',
  "x'",
  '.',
  '(',
];

test('SQLite agrees on every text, and how it is cut into lines changes nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...words, ...marks), { maxLength: 40 }), parts => {
      const text = parts.join('');
      const inTrigger = `create trigger ${text}`;
      assert.deepEqual(split(inTrigger), splitBySqlite(inTrigger));
      assert.deepEqual(split(text), splitBySqlite(text));
      assert.deepEqual(split(...(text.match(/[^\n]*\n|[^\n]+$/g) ?? [])), split(text));
    }),
    { numRuns: 5000 },
  );
});

test('a statement of many lines is read in one pass', () => {
  const lines = 100_000;
  const splitter = new StatementSplitter();
  splitter.push("INSERT INTO t VALUES ('\n");
  assert.equal(splitter.next(), undefined);
  for (let line = 0; line < lines; line++) {
    splitter.push("some text, it''s; not the end\n");
    assert.equal(splitter.next(), undefined);
  }
  splitter.push("');");
  assert.equal(splitter.next()?.sql.length, "INSERT INTO t VALUES ('\n');".length + 30 * lines);
});
