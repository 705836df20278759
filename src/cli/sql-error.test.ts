import assert from 'node:assert/strict';
import { test } from 'node:test';
import { marked, placeOf } from './sql-error.ts';

const noCheck = (): Promise<undefined> => Promise.resolve(undefined);

async function mark(sql: string, message: string, check: (sql: string) => Promise<string | undefined> = noCheck) {
  const place = await placeOf(sql, message, check);
  return place === undefined ? undefined : marked(sql, place);
}

test('the token that a message names is marked', async () => {
  assert.equal(await mark('SELEC 1', 'near "SELEC": syntax error'), '  SELEC 1\n  ^^^^^');
  assert.equal(
    await mark('SELECT a,\n  "Nix" FROM t', 'no such column: Nix'),
    '  line 2:   "Nix" FROM t\n            ^^^^^',
  );
  assert.equal(
    await mark('SELECT t . nix FROM t', 'no such column: t.nix'),
    '  SELECT t . nix FROM t\n         ^^^^^^^',
  );
  assert.equal(await mark("SELECT '日本', nix", 'no such column: nix'), "  SELECT '日本', nix\n                 ^^^");
  assert.equal(
    await mark('SELECT 1 || || 2', 'near "||": syntax error', sql =>
      Promise.resolve(sql.endsWith('|| ||') ? 'near "||": syntax error' : undefined),
    ),
    '  SELECT 1 || || 2\n              ^^',
  );
  assert.equal(await mark('SELECT (', 'incomplete input'), '  SELECT (\n          ^');
  assert.equal(await mark("SELECT 'nix'", 'UNIQUE constraint failed: t.a'), undefined);
});

test('of equal tokens the first that makes the error is marked', async () => {
  const message = 'near "FROM": syntax error';
  const check = (sql: string): Promise<string> =>
    Promise.resolve(sql.endsWith(', FROM') ? message : 'incomplete input');
  assert.equal(
    await mark('SELECT (SELECT 1 FROM t), FROM t', message, check),
    '  SELECT (SELECT 1 FROM t), FROM t\n                            ^^^^',
  );
});

test('a long line is shown around the place', async () => {
  const text = await mark(`SELECT ${'a, '.repeat(100)}nix, ${'b, '.repeat(100)}c`, 'no such column: nix');
  const [line, caret] = text!.split('\n');
  assert.ok(line!.length < 100, line);
  assert.equal(line!.slice(caret!.indexOf('^')).slice(0, 3), 'nix');
});
