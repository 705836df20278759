import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SqlValue } from './sql-session.ts';
import { formatter, type Mode } from './sql-modes.ts';
import { valueJson, valueText } from './sql-values.ts';
import { displayWidth, onOneLine, padEnd, withoutControls } from './sql-width.ts';

const settings = (mode: Mode) => ({ mode, headers: undefined, nullText: undefined });

test('the width of text on a terminal', () => {
  const widths: [string, number][] = [
    ['plain', 5],
    ['täble', 5],
    ['e\u0301', 1],
    ['日本', 4],
    ['한글', 4],
    ['ｗｉｄｅ', 8],
    ['👍', 2],
    ['👍🏽', 2],
    ['👩‍👩‍👧', 2],
    ['🇩🇪', 2],
    ['❤️', 2],
    ['a\u200bb', 2],
  ];
  for (const [text, width] of widths) assert.equal(displayWidth(text), width, text);
  assert.equal(padEnd('日本', 6), '日本  ');
});

test('control characters are shown, not sent', () => {
  assert.equal(onOneLine('a\x1b[31mred\x07\x7f\n\u009b\u202e'), 'a^[[31mred^G^?^J\\u009b\\u202e');
  assert.equal(withoutControls('a\tb\nc\x1b'), 'a\tb\nc^[');
});

test('values as text and JSON', () => {
  const values: [SqlValue, string, string][] = [
    [null, 'NULL', 'null'],
    [9223372036854775807n, '9223372036854775807', '9223372036854775807'],
    [5, '5.0', '5.0'],
    [-0, '-0.0', '-0.0'],
    [1e21, '1.0e+21', '1.0e+21'],
    [1.5e-7, '1.5e-7', '1.5e-7'],
    [Infinity, 'Inf', '1e999'],
    [-Infinity, '-Inf', '-1e999'],
    ['a"\n', 'a"\n', '"a\\"\\n"'],
    [new Uint8Array([0, 255]), "x'00ff'", '"x\'00ff\'"'],
    [new Uint8Array(), "x''", '"x\'\'"'],
  ];
  for (const [value, text, json] of values) {
    assert.equal(valueText(value, 'NULL'), text);
    assert.equal(valueJson(value), json);
  }
});

test('rows are printed while more arrive, in widths that the first have settled', () => {
  const format = formatter(['n'], settings('table'));
  assert.equal(format.rows(Array.from({ length: 99 }, (_, row) => [BigInt(row)])), '', 'widths are open');
  const first = format.rows([['abc'], ['wider than all before']]);
  assert.match(first, /^\+-----\+\n\| n {3}\|\n/);
  assert.match(first, /\| abc \|\n\| wider than all before \|\n$/, 'whole, whatever it does to the line');
  assert.equal(format.rows([[7n]]), '|   7 |\n', 'at once');
  assert.equal(format.end(), '+-----+\n');
  const slow = formatter(['n'], settings('table'));
  slow.rows([[1n]]);
  assert.match(slow.flush(), /\| 1 \|\n$/);
  assert.equal(slow.rows([[2n]]), '| 2 |\n');
});

test('JSON of any rows is JSON', () => {
  for (const count of [0, 1, 3]) {
    const format = formatter(['a"', 'a"'], settings('json'));
    const rows = Array.from({ length: count }, (_, row) => [BigInt(row), 'x\u2028']);
    const text = rows.map(row => format.rows([row])).join('') + format.end();
    assert.equal((JSON.parse(text) as unknown[]).length, count);
  }
});
