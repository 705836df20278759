/** The string functions that take the place of SQLite's own: the same results, and no time without end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../lib/random.ts';
import { StringFunctions } from './string-functions.ts';
import { attempt, failure, numbers, run, value, World } from './sqlite.test.helpers.ts';
import type { Connection } from './connection.ts';

/** A connection with SQLite's own functions. */
async function stock(): Promise<Connection> {
  const world = await World.create();
  const define = StringFunctions.prototype.define;
  StringFunctions.prototype.define = () => {};
  try {
    return world.connect();
  } finally {
    StringFunctions.prototype.define = define;
  }
}

const PIECES = ['a', 'b', 'ab', ' ', '0', 'F', 'g', 'ä', '€', '𝄞', '\u00ff'] as const;
/** What is no UTF-8, also cut off in the middle. */
const BROKEN = ['80', 'c3', 'c3a4a4', 'e282', 'f09d84', 'fe', 'ff80', '00', 'eda080', 'c1bf', 'efbfbe', 'fc8080808080'];

function literal(random: SeededRandom): string {
  const pieces = Array.from({ length: random.below(7) }, () => random.pick(PIECES)).join('');
  switch (random.below(8)) {
    case 0:
      return 'NULL';
    case 1:
      return random.pick(['12', '-1.5', '1e100', '0', '1.0']);
    case 2:
      return `x'${Buffer.from(pieces).toString('hex')}'`;
    case 3:
    case 4: {
      const bytes = Array.from({ length: random.below(5) }, () => random.pick([...BROKEN, '61', '41', 'c3a4'])).join(
        '',
      );
      return random.chance(0.5) ? `x'${bytes}'` : `CAST(x'${bytes}' AS TEXT)`;
    }
    default:
      return `'${pieces}'`;
  }
}

test('results and types are those of SQLite', async () => {
  const [ours, theirs] = [(await World.create()).connect(), await stock()];
  const random = new SeededRandom(11);
  for (let round = 0; round < 5000; round++) {
    const [x, y, z] = [literal(random), literal(random), literal(random)];
    const call = random.pick([
      `instr(${x}, ${y})`,
      `replace(${x}, ${y}, ${z})`,
      `trim(${x}, ${y})`,
      `ltrim(${x}, ${y})`,
      `rtrim(${x}, ${y})`,
      `unhex(${x}, ${y})`,
    ]);
    const sql = `SELECT typeof(f), length(f), hex(f) FROM (SELECT ${call} AS f)`;
    assert.deepEqual(attempt(ours, sql), attempt(theirs, sql), sql);
  }
});

test('randomblob', async () => {
  const connection = (await World.create()).connect();
  assert.deepEqual(
    run(
      connection,
      "SELECT length(randomblob(n)) FROM (SELECT NULL AS n UNION ALL VALUES (-5), (0), (1), (70000), ('12'))",
    ),
    [[1], [1], [1], [1], [70_000], [12]],
  );
  assert.equal(value(connection, 'SELECT count(DISTINCT randomblob(16)) FROM (VALUES (1), (2), (3))'), 3);
  assert.equal(failure(connection, 'SELECT randomblob(9e9)').message, 'string or blob too big');
});

test('they can be used in indexes and generated columns', async () => {
  const world = await World.create();
  const connection = world.connect();
  run(connection, "CREATE TABLE t (a, b AS (replace(a, 'x', 'y')) STORED, CHECK (instr(a, 'x') > 0))");
  run(connection, "CREATE INDEX i ON t (trim(a, 'x')); INSERT INTO t (a) VALUES ('xax')");
  assert.deepEqual(run(connection, "SELECT b FROM t WHERE trim(a, 'x') = 'a'"), [['yay']]);
  assert.match(String(run(connection, "EXPLAIN QUERY PLAN SELECT b FROM t WHERE trim(a, 'x') = 'a'")), /USING INDEX i/);
  world.closeAndCheck();
});

test('values for which SQLite would need hours', { timeout: 120_000 }, async () => {
  const world = await World.create();
  const connection = world.connect();
  assert.equal(value(connection, "SELECT instr(zeroblob(2000000), zeroblob(1000000) || x'01')"), 0);
  assert.equal(value(connection, 'SELECT length(randomblob(1e8))'), 100_000_000);
  const zeros = (count: number): string => `hex(zeroblob(${count}))`;
  assert.equal(value(connection, `SELECT length(replace(${zeros(1e6)}, ${zeros(5e5)} || '1', 'x'))`), 2_000_000);
  assert.equal(value(connection, `SELECT length(replace(${zeros(1e7)}, '0', '12'))`), 40_000_000);
  const dashes = `replace(${zeros(2e5)}, '0', '-')`;
  assert.equal(value(connection, `SELECT length(unhex(${dashes}, replace(${zeros(2e5)}, '0', '_') || '-'))`), 0);
  assert.equal(value(connection, `SELECT trim(${zeros(2e5)}, replace(${zeros(2e5)}, '0', 'a') || '0')`), '');
  const many = "(SELECT group_concat(char(value), '') FROM " + numbers(20_000, 256) + ')';
  const error = failure(connection, `SELECT trim(${zeros(2e5)}, ${many} || '0')`);
  assert.equal(error.message, 'trimming so many bytes with so many characters takes too long');
  assert.equal(
    failure(connection, `SELECT replace(${zeros(1e6)}, '0', ${zeros(1e6)})`).message,
    'string or blob too big',
  );
  world.closeAndCheck();
});
