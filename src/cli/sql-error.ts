/** Where in a statement an error is, and the error with a mark under that place. */

import { tokensOf } from './sql-tokens.ts';
import { displayWidth, onOneLine } from './sql-width.ts';

export interface Place {
  readonly start: number;
  readonly end: number;
}

/** Messages that name what is wrong, which stands in the statement as written or behind a dot. */
const NAMED = [
  /^no such (?:table|column|function|index|view|trigger|module|collation sequence|savepoint): (.+)$/s,
  /^ambiguous column name: (.+)$/s,
  /^(?:table|index|view|trigger) (.+) already exists$/s,
  /^there is already (?:a table|an index) named (.+)$/s,
  /^table .+ has no column named (.+)$/s,
  /^duplicate column name: (.+)$/s,
  /^wrong number of arguments to function (.+)\(\)$/s,
  /^misuse of (?:aggregate|window function)(?: function)?:? (.+?)\(\)$/s,
  /^unrecognized token: "(.+)"$/s,
];

const NEAR = /^near "(.*)": syntax error$/s;

function plain(text: string): string {
  const inside = /^["'`[](.*)["'`\]]$/s.exec(text);
  return (inside?.[1] ?? text).toLowerCase();
}

/** Every place where tokens spell `name`, which may have dots. */
function placesOf(sql: string, name: string): Place[] {
  const tokens = [...tokensOf(sql)];
  const wanted = plain(name);
  const places: Place[] = [];
  for (const [position, { start, end }] of tokens.entries()) {
    const text = sql.slice(start, end);
    if (plain(text) === wanted) places.push({ start, end });
    else if (wanted.includes('.')) {
      const chain = tokens.slice(position, position + wanted.split('.').length * 2 - 1);
      const last = chain.at(-1)!;
      if (chain.map(token => plain(sql.slice(token.start, token.end))).join('') === wanted) {
        places.push({ start, end: last.end });
      }
    }
  }
  return places;
}

/**
 * The place that a message is about, if it names one. `check` tells the server's message about another text: a syntax
 * error is at the first of several equal tokens with which the text up to there already has it.
 */
export async function placeOf(
  sql: string,
  message: string,
  check: (sql: string) => Promise<string | undefined>,
): Promise<Place | undefined> {
  if (message === 'incomplete input') return { start: sql.length, end: sql.length };
  const near = NEAR.exec(message)?.[1];
  if (near !== undefined) {
    // Here the token stands as it was written.
    const places = placesOf(sql, near).filter(({ start, end }) => sql.slice(start, end) === near);
    if (places.length <= 1) return places[0];
    for (const place of places) {
      if ((await check(sql.slice(0, place.end))) === message) return place;
    }
    return undefined;
  }
  for (const pattern of NAMED) {
    const name = pattern.exec(message)?.[1];
    if (name === undefined) continue;
    const exact = sql.indexOf(name);
    const [first] = placesOf(sql, name);
    return (
      first ?? (exact === -1 || message.startsWith('no such') ? undefined : { start: exact, end: exact + name.length })
    );
  }
  return undefined;
}

/** Columns of a line that are shown around the place. */
const BEFORE = 50;
const AFTER = 25;

/** The line of a statement that has the place, and a line that marks it. */
export function marked(sql: string, { start, end }: Place): string {
  const lineStart = sql.lastIndexOf('\n', start - 1) + 1;
  const lineEnd = sql.indexOf('\n', start) === -1 ? sql.length : sql.indexOf('\n', start);
  const from = start - lineStart > BEFORE ? start - BEFORE : lineStart;
  const to = Math.min(lineEnd, Math.max(start + AFTER, Math.min(end, start + BEFORE)));
  const before = `${from > lineStart ? '...' : ''}${onOneLine(sql.slice(from, start))}`;
  const at = onOneLine(sql.slice(start, Math.min(end, to)));
  const after = `${onOneLine(sql.slice(Math.min(end, to), to))}${to < lineEnd ? '...' : ''}`;
  const lineNumber = sql.slice(0, lineStart).split('\n').length;
  const label = sql.includes('\n') ? `line ${lineNumber}: ` : '';
  const indent = ' '.repeat(label.length + displayWidth(before));
  return `  ${label}${before}${at}${after}\n  ${indent}${'^'.repeat(Math.max(1, displayWidth(at)))}`;
}
