/** What docs/OPERATING.md quotes is what the code says. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT } from './support/paths.ts';

const DOCUMENT = readFileSync(path.join(ROOT, 'docs/OPERATING.md'), 'utf8');

/** The first cells of the table with this heading, without their quotes. */
function firstCells(heading: string): string[] {
  const [, table = ''] = DOCUMENT.split(`| ${heading} |`, 2);
  const rows = table.split('\n\n', 1)[0]!.split('\n').slice(2);
  return rows.flatMap(row => [...row.split(' | ')[0]!.matchAll(/`([^`]+)`/g)].map(([, quoted]) => quoted!));
}

const sources = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts') && !file.includes('.test.'))
  .map(file => readFileSync(path.join(ROOT, 'src', file), 'utf8'))
  .join('\n');

test('messages are those of the code', () => {
  const messages = [...firstCells('message | level'), ...firstCells('message | what it means, what to do')];
  assert.ok(messages.length > 15, `${messages.length} messages were found`);
  for (const message of messages) assert.ok(sources.includes(message), message);
});

test('figures are those of node.metrics()', () => {
  const declared = /export interface NodeMetrics \{([^}]*)\}/.exec(sources)![1]!;
  const names = [...declared.matchAll(/readonly (\w+):/g)].map(([, name]) => name!);
  assert.deepEqual(firstCells('figure').toSorted(), names.toSorted());
});
