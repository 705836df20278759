import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DqliteError } from '../lib/errors.ts';
import { csvRecords } from './sql-csv.ts';
import { formatter } from './sql-modes.ts';

async function* pieces(texts: readonly string[]): AsyncGenerator<string> {
  yield* texts;
}

async function read(texts: readonly string[], separator = ','): Promise<string[][]> {
  const records: string[][] = [];
  for await (const { fields } of csvRecords(pieces(texts), separator)) records.push([...fields]);
  return records;
}

test('records, quotes, line ends', async () => {
  assert.deepEqual(await read(['a,b\r\n1,"x,""y""\nz"\n\n,\n"",last']), [
    ['a', 'b'],
    ['1', 'x,"y"\nz'],
    ['', ''],
    ['', 'last'],
  ]);
  assert.deepEqual(await read(['a\tb"c\rd\t'], '\t'), [
    ['a', 'b"c'],
    ['d', ''],
  ]);
  assert.deepEqual(await read([]), []);
});

test('a record knows its line', async () => {
  const lines: number[] = [];
  for await (const { line } of csvRecords(pieces(['a\n"b\n\nc"\r\n\nd']), ',')) lines.push(line);
  assert.deepEqual(lines, [1, 2, 6]);
});

test('what is no CSV is refused with its line', async () => {
  const refusal = (line: number, what: string) => (error: DqliteError) =>
    error.code === 'USAGE' && error.message === `line ${line}: ${what}`;
  await assert.rejects(read(['a\n"b" c\n']), refusal(2, 'text after the quote that ends a field'));
  await assert.rejects(read(['a\n\n"b\nc\n']), refusal(3, 'a quote that does not end'));
});

test('what mode csv prints is read back, however it arrives in pieces', async () => {
  const field = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', ' ', 'é', ';'), maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(field, field), { minLength: 1 }),
      fc.integer({ min: 1, max: 5 }),
      async (rows, size) => {
        const format = formatter(['x', 'y'], {
          mode: 'csv',
          headers: undefined,
          nullText: undefined,
        });
        const text = format.rows(rows) + format.end();
        const cut = text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
        assert.deepEqual(await read(cut), [['x', 'y'], ...rows]);
      },
    ),
  );
});
