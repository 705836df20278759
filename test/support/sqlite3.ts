/** Debian's `sqlite3` program as a reference: it runs a batch of statements and tells the outcome of each. */

import assert from 'node:assert/strict';
import { run } from './child.ts';
import type { Scope } from './temporary.ts';
import type { WireValue } from '../../src/wire/index.ts';

type Value = WireValue['value'];

export type Outcome =
  | { readonly error: string; readonly counters: readonly Value[] | undefined }
  | {
      readonly error: undefined;
      readonly columns: readonly string[];
      readonly rows: Value[][];
      readonly counters: readonly Value[] | undefined;
    };

const MARK = '~~~';

export interface Reference {
  readonly outcomes: readonly Outcome[];
  /** The database in the end, as text. */
  readonly dump: string;
}

/** Runs statements on a database in memory; after each one asks for changes() and last_insert_rowid(). */
export async function runSqlite3(scope: Scope, statements: readonly string[]): Promise<Reference> {
  const lines = ['.mode quote', '.headers on', 'PRAGMA foreign_keys = ON;'];
  const startOf = new Map<number, number>();
  for (const [position, statement] of statements.entries()) {
    assert.ok(!statement.includes('\n'), 'a statement is one line');
    lines.push(`.print ${MARK}`);
    startOf.set(lines.length + 1, position);
    lines.push(`${statement};`, `.print ${MARK}`, 'SELECT changes(), last_insert_rowid();');
  }
  lines.push(`.print ${MARK}`, '.dump');
  const { stdout, stderr } = await run(scope, 'sqlite3', ['-batch', '-init', '/dev/null', ':memory:'], {
    input: `${lines.join('\n')}\n`,
  });
  const errors = new Map<number, string>();
  for (const line of stderr.split('\n')) {
    const [, number, message] = /^(?:Parse|Runtime) error near line (\d+): (.*?)(?: \(\d+\))?$/.exec(line) ?? [];
    const position = startOf.get(Number(number));
    if (position !== undefined) errors.set(position, message!);
  }
  const sections = stdout.split(`${MARK}\n`).slice(1);
  assert.equal(sections.length, statements.length * 2 + 1, stderr);
  const outcomes = statements.map((_, position): Outcome => {
    const counters = parseQuoted(sections[position * 2 + 1]!)[1];
    const error = errors.get(position);
    if (error !== undefined) return { error, counters };
    const [header = [], ...rows] = parseQuoted(sections[position * 2]!);
    return { error, columns: header.map(String), rows, counters };
  });
  return { outcomes, dump: dumpOf(sections.at(-1)!) };
}

/** The output of `.dump`, without what says nothing about the database. */
export function dumpOf(text: string): string {
  return text
    .split('\n')
    .filter(line => !/^(PRAGMA foreign_keys=|BEGIN TRANSACTION;|COMMIT;|$)/.test(line))
    .join('\n');
}

/** Rows as `.mode quote` prints them: every value is an SQL literal, rows end with a line. */
export function parseQuoted(text: string): Value[][] {
  const rows: Value[][] = [];
  let row: Value[] = [];
  let position = 0;
  while (position < text.length) {
    if (text[position] === "'") {
      let end = position + 1;
      while (text[end] !== "'" || text[end + 1] === "'") end += text[end] === "'" ? 2 : 1;
      row.push(text.slice(position + 1, end).replaceAll("''", "'"));
      position = end + 1;
    } else {
      const token = /^[^,\n]*/.exec(text.slice(position))![0];
      row.push(valueOf(token));
      position += token.length;
    }
    if (text[position] === '\n') {
      rows.push(row);
      row = [];
    }
    position++;
  }
  return rows;
}

function valueOf(token: string): Value {
  if (token === 'NULL') return null;
  if (/^-?\d+$/.test(token)) return BigInt(token);
  const blob = /^X'([0-9A-Fa-f]*)'$/.exec(token);
  if (blob !== null) return new Uint8Array(Buffer.from(blob[1]!, 'hex'));
  if (/^-?Inf$/.test(token)) return token.startsWith('-') ? -Infinity : Infinity;
  assert.match(token, /^-?[\d.]+(e[+-]?\d+)?$/i, 'a real number');
  return Number(token);
}
