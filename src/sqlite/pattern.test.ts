/** LIKE and GLOB as they are computed for large values: the same results as SQLite's own, on small ones. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../lib/random.ts';
import { matches, Stopped, type PatternRules } from './pattern.ts';
import { utf8, value, World } from './sqlite.test.helpers.ts';

const LIKE: PatternRules = { matchAll: 0x25, matchOne: 0x5f, matchSet: 0, escape: 0, ignoresCase: true };
const GLOB: PatternRules = { matchAll: 0x2a, matchOne: 0x3f, matchSet: 0x5b, escape: 0, ignoresCase: false };

const CHARACTERS = [
  '61',
  '61',
  '62',
  '41',
  '42',
  '7a',
  '5a',
  '40',
  '5b',
  '60',
  '7b',
  'c3a4',
  'c384',
  'e282ac',
  'f09d849e',
];
/** What is no UTF-8, or ends a text. */
const BROKEN = [
  '80',
  'c3',
  'c3a4a4',
  'e282',
  'fe',
  'ff80',
  '00',
  'eda080',
  'c1bf',
  'efbfbe',
  'efbfbd',
  'c0',
  'fc8080808080',
];
const SPECIAL = [
  '25',
  '25',
  '5f',
  '2a',
  '2a',
  '3f',
  '5b',
  '5d',
  '5e',
  '2d',
  '5c',
  '5b612d7a5d',
  '5b5e61625d',
  '5b5d5d',
  '5b2d5d',
];

function hex(random: SeededRandom, isPattern: boolean): string {
  const isBroken = random.chance(0.2);
  return Array.from({ length: random.below(isPattern ? 6 : 9) }, () => {
    if (isPattern && random.chance(0.5)) return random.pick(SPECIAL);
    return random.pick(isBroken && random.chance(0.4) ? BROKEN : random.chance(0.1) ? SPECIAL : CHARACTERS);
  }).join('');
}

/** A pattern that was made of a text. */
function blurred(random: SeededRandom, text: string, glob: boolean): string {
  const [all, one] = glob ? ['2a', '3f'] : ['25', '5f'];
  const characters =
    Buffer.from(text, 'hex')
      .toString('latin1')
      .match(/[\x00-\x7f]|[\xc0-\xff]*[\x80-\xbf]*/g) ?? [];
  return characters
    .map(character => {
      const bytes = Buffer.from(character, 'latin1').toString('hex');
      return random.pick([bytes, bytes, bytes, one, all, `${all}${bytes}`, glob ? `5b${bytes}5d` : bytes]);
    })
    .join('');
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

test('results are those of SQLite', async () => {
  const connection = (await World.create()).connect();
  const random = new SeededRandom(5);
  let found = 0;
  for (let round = 0; round < 30_000; round++) {
    const glob = random.chance(0.5);
    const text = hex(random, false);
    const pattern = random.chance(0.5) ? hex(random, true) : blurred(random, text, glob);
    const isSensitive = round % 1000 >= 500;
    if (round % 500 === 0) value(connection, `PRAGMA case_sensitive_like = ${isSensitive ? 1 : 0}`);
    const escape = !glob && random.chance(0.3) ? random.pick(['\\', '%', '_', 'a', 'ä', '[']) : undefined;
    const operator = glob ? 'GLOB' : 'LIKE';
    const clause = escape === undefined ? '' : ` ESCAPE '${escape}'`;
    const sql = `SELECT CAST(x'${text}' AS TEXT) ${operator} CAST(x'${pattern}' AS TEXT)${clause}`;
    const expected = value(connection, sql) === 1;
    const code = escape?.codePointAt(0) ?? 0;
    const rules = glob
      ? GLOB
      : {
          ...LIKE,
          ignoresCase: !isSensitive,
          escape: code,
          matchAll: escape === '%' ? 0 : LIKE.matchAll,
          matchOne: escape === '_' ? 0 : LIKE.matchOne,
        };
    assert.equal(
      matches(bytesOf(text), bytesOf(pattern), rules, () => true),
      expected,
      `${sql}, ${String(isSensitive)}`,
    );
    if (expected) found++;
  }
  assert.ok(found > 5000, `${found} matches`);
});

test('it is stopped', () => {
  const text = utf8('a'.repeat(100_000));
  const pattern = utf8(`%${'a'.repeat(500)}b`);
  let questions = 0;
  assert.equal(
    matches(text.subarray(0, 10_000), pattern, LIKE, () => ++questions > 0),
    false,
  );
  assert.ok(questions > 10 && questions < 30, `${questions} questions`);
  assert.throws(() => matches(text, pattern, LIKE, () => false), Stopped);
});
