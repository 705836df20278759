/** Templates and the scanner of SQL text: whatever is put in, values stay values. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sql, type Fragment } from '../../src/client/index.ts';
import { buildFragment, type TemplateValue } from '../../src/client/fragment.ts';
import { Plan, Plans } from '../../src/client/plan.ts';
import { scanSql } from '../../src/client/sql-text.ts';
import type { Parameter } from '../../src/client/types.ts';

const value: fc.Arbitrary<Parameter> = fc.oneof(
  fc.string(),
  fc.constantFrom("'; DROP TABLE t; --", '?', '`', '"', ')', '/*', '\\'),
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.constant(null),
  fc.boolean(),
);

/** A template: pieces of text around values and further templates. */
const { template } = fc.letrec<{ template: Fragment }>(tie => ({
  template: fc
    .array(
      fc.tuple(
        fc.constantFrom(' AND a = ', ', ', " || 'text?' || ", ' /* ? */ + ', ' -- ?\n + ', ' "col?" = '),
        fc.oneof({ weight: 3, arbitrary: value }, { weight: 1, arbitrary: tie('template') }),
      ),
      { maxLength: 4 },
    )
    .map(parts =>
      buildFragment(
        ['x', ...parts.slice(1).map(([text]) => text), ' z'],
        parts.map(([, one]) => one),
      ),
    ),
}));

/** All values, from left to right. */
const marks = (text: string): number => scanSql(text).statements[0]?.parameterCount ?? 0;

test('each value has one place in the text and one parameter, in order', () => {
  fc.assert(
    fc.property(
      template.filter(({ parameters }) => parameters.length > 0),
      fragment => {
        assert.equal(marks(fragment.sql), fragment.parameters.length);
        const { plan, parameters } = new Plans().ofFragment(fragment);
        assert.equal(plan.statements.length, 1);
        assert.deepEqual(parameters, fragment.parameters);
        // The values leave no trace in the text: other ones give the same.
        const others = buildFragment(['', ''], [fragment]);
        assert.equal(others.sql, fragment.sql);
      },
    ),
  );
});

test('a value never changes the text', () => {
  fc.assert(
    fc.property(value, value, (a, b) => {
      assert.equal(sql`SELECT ${a}, ${b}`.sql, 'SELECT ?, ?');
      assert.deepEqual(sql`SELECT ${a}, ${b}`.parameters, [a, b]);
      assert.equal(sql`${sql.list([a, [b, a]])}`.sql, '?, (?, ?)');
    }),
  );
});

test('names stay names', () => {
  fc.assert(
    fc.property(
      fc
        .oneof(fc.string({ minLength: 1, unit: fc.constantFrom('`', '"', 'a', ' ', '?') }), fc.string({ minLength: 1 }))
        .filter(name => !name.includes('\0')),
      name => {
        const { sql: text, parameters } = sql`SELECT ${sql.identifier(name)} FROM t`;
        assert.deepEqual(parameters, []);
        const { statements } = scanSql(text);
        assert.equal(statements.length, 1);
        assert.equal(statements[0]!.parameterCount, 0);
        // Between the quotes: the name, its own quotes doubled.
        assert.equal(text.slice('SELECT `'.length, -'` FROM t'.length).replaceAll('``', '`'), name);
      },
    ),
  );
  assert.equal(sql.identifier('main', 't').sql, '`main`.`t`');
  assert.throws(() => sql.identifier(''), { code: 'USAGE' });
});

test('the same template has the same plan, unless a fragment is in it', () => {
  const plans = new Plans();
  const bind = (strings: TemplateStringsArray, ...values: TemplateValue[]) => plans.ofTemplate(strings, values);
  const of = (one: TemplateValue) => bind`SELECT ${one}`;
  assert.equal(of(1).plan, of('x').plan);
  assert.equal(of(sql`a`).plan.sql, 'SELECT a');
  assert.equal(of(2).plan.sql, 'SELECT ?');
});

interface Scanned {
  readonly sql: string;
  readonly verbs: readonly string[];
  readonly rows?: boolean;
  readonly read?: boolean;
  readonly parameters?: number;
  readonly end?: number;
}

const SCANNED: readonly Scanned[] = [
  { sql: 'select 1', verbs: ['SELECT'], rows: true, read: true },
  { sql: ' -- c\n/* d */ VALUES (1); ; -- e', verbs: ['VALUES'], rows: true, read: true, end: 25 },
  { sql: 'INSERT INTO t VALUES (\';\', ";", `;`, [;]); ', verbs: ['INSERT'], rows: false, read: false, end: 42 },
  { sql: 'WITH x AS (SELECT 1) SELECT * FROM x', verbs: ['SELECT'], rows: true, read: true },
  { sql: 'WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x', verbs: ['INSERT'], rows: false, read: false },
  { sql: 'INSERT INTO t VALUES (1) RETURNING id', verbs: ['INSERT'], rows: true, read: false },
  { sql: "INSERT INTO t VALUES ('returning')", verbs: ['INSERT'], rows: false },
  { sql: 'SELECT ?, ?5, :a, @b, $c, :a, ?', verbs: ['SELECT'], parameters: 9 },
  { sql: 'SELECT \'?\', "?", `:a`, [@b] -- ?', verbs: ['SELECT'], parameters: 0 },
  { sql: 'PRAGMA foreign_keys', verbs: ['PRAGMA'], rows: true, read: false },
  { sql: 'EXPLAIN QUERY PLAN DELETE FROM t', verbs: ['EXPLAIN'], rows: true, read: true },
  {
    sql: 'CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET v = CASE 1 WHEN 1 THEN 2 END; DELETE FROM t; END; SELECT 1',
    verbs: ['CREATE', 'SELECT'],
    rows: false,
  },
  { sql: "SELECT 'not closed; ", verbs: ['SELECT'] },
  { sql: ' ; ;', verbs: [] },
];

for (const { sql: text, verbs, rows, read, parameters, end } of SCANNED) {
  test(`scanned: ${text}`, () => {
    const { statements, end: found } = scanSql(text);
    assert.deepEqual(
      statements.map(({ verb }) => verb),
      verbs,
    );
    if (rows !== undefined) assert.equal(statements[0]!.givesRows, rows);
    if (read !== undefined) assert.equal(statements[0]!.isRead, read);
    if (parameters !== undefined) assert.equal(statements[0]!.parameterCount, parameters);
    if (end !== undefined) assert.equal(found, end);
  });
}

test('any text can be scanned, and long ones fast', () => {
  fc.assert(fc.property(fc.string(), text => void scanSql(text)));
  const text = `SELECT '${'x'.repeat(5_000_000)}', ${'(1), '.repeat(100_000)} 1`;
  assert.equal(new Plan(text).statements.length, 1);
});
