/**
 * Data-driven tests. A transcript is a text file of cases:
 *
 *     # a comment
 *     command and arguments
 *     further input, if any
 *     ----
 *     what comes out
 *
 * A blank line ends a case; output that has blank lines stands between `----` lines doubled. `REWRITE=1`, by way of
 * `npm run rewrite`, writes what comes out instead of comparing it.
 */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './paths.ts';

export interface Case {
  /** Line of the file. */
  readonly line: number;
  readonly comments: readonly string[];
  /** The lines before `----`. */
  readonly input: readonly string[];
  readonly expected: string;
}

const SEPARATOR = '----';
const rewriting = process.env['REWRITE'] !== undefined;

function parse(text: string): Case[] {
  const cases: Case[] = [];
  const lines = text.split('\n');
  let position = 0;
  while (position < lines.length) {
    if (lines[position] === '') {
      position++;
      continue;
    }
    const comments: string[] = [];
    const input: string[] = [];
    const line = position + 1;
    while (lines[position]?.startsWith('#') === true) comments.push(lines[position++]!);
    while (position < lines.length && lines[position] !== SEPARATOR && lines[position] !== '') {
      input.push(lines[position++]!);
    }
    const expected: string[] = [];
    if (lines[position] === SEPARATOR) {
      position++;
      const isDoubled = lines[position] === SEPARATOR;
      if (isDoubled) position++;
      const isEnd = (): boolean =>
        isDoubled ? lines[position] === SEPARATOR && lines[position + 1] === SEPARATOR : lines[position] === '';
      while (position < lines.length && !isEnd()) expected.push(lines[position++]!);
      if (isDoubled) position += 2;
    }
    cases.push({ line, comments, input, expected: expected.join('\n') });
  }
  return cases;
}

function format(cases: readonly Case[]): string {
  return cases
    .map(({ comments, input, expected }) => {
      if (input.length === 0) return comments.join('\n');
      const fence = expected.split('\n').includes('') && expected !== '' ? `${SEPARATOR}\n${SEPARATOR}` : SEPARATOR;
      const end = fence === SEPARATOR ? '' : `\n${fence}`;
      return [...comments, ...input, fence, ...(expected === '' ? [] : [expected])].join('\n') + end;
    })
    .join('\n\n')
    .concat('\n');
}

/** Runs the cases of a file in order and compares all that came out at the end. */
export async function playTranscript(
  file: string,
  play: (input: readonly string[], comments: readonly string[]) => Promise<string>,
): Promise<void> {
  const source = path.join(ROOT, file);
  const cases = parse(readFileSync(source, 'utf8'));
  assert.ok(cases.length > 0, `${file} has cases`);
  const actual: Case[] = [];
  for (const one of cases) {
    actual.push(one.input.length === 0 ? one : { ...one, expected: (await play(one.input, one.comments)).trimEnd() });
  }
  if (rewriting) writeFileSync(source, format(actual));
  else assert.equal(format(actual), format(cases), `${file} (npm run rewrite, then look at the difference)`);
}
