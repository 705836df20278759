/** docs/api.md is what the declarations say: every export, with its docstring. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import * as client from '../src/client/index.ts';
import * as node from '../src/node/index.ts';
import { apiReference } from '../scripts/api.ts';
import { ROOT } from './support/paths.ts';

const FILE = path.join(ROOT, 'docs/api.md');

test('the API reference is up to date', () => {
  const reference = apiReference(path.join(ROOT, 'dist/src'));
  for (const name of [...Object.keys(client), ...Object.keys(node)]) {
    assert.ok(reference.includes(`\n### ${name}\n`), `${name} is in it`);
  }
  if (process.env['REWRITE'] !== undefined) writeFileSync(FILE, reference);
  const lines = (text: string): string[] => text.split('\n'); // so that a difference is shown, not two documents
  assert.deepEqual(lines(readFileSync(FILE, 'utf8')), lines(reference), 'run npm run rewrite');
});
