/**
 * SQL as tokens, as far as a shell must understand it: where strings, names and comments begin and end, which words
 * stand outside them. The server parses; nothing is judged here, and every text has tokens. SQLite's documentation
 * of its syntax says what they look like.
 */

export type TokenKind =
  | 'space'
  | 'comment'
  | 'word'
  | 'string' // '...', x'...'
  | 'name' // "...", `...`, [...]
  | 'number'
  | 'variable' // ?1, :a, @a, $a
  | 'semicolon'
  | 'other';

export interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  readonly end: number;
  /** What must come before the token ends, if the text stops inside it. */
  readonly open: string | undefined;
}

const PATTERNS: readonly (readonly [TokenKind, RegExp])[] = [
  ['space', /[ \t\n\r\f]+/y],
  ['comment', /--[^\n]*/y],
  ['word', /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y],
  ['number', /(?:\d|\.\d)(?:[\w.]|(?<=[\d.][eE])[+-](?=\d))*/y],
  ['variable', /\?\d*|[:@$][\w$\u0080-\uffff]+/y],
  ['semicolon', /;/y],
  ['other', /->>?|\|\||<<|>>|[<>=!]=|<>/y],
];

/** How a token begins that may stretch over lines, and what ends it. */
const QUOTED: readonly (readonly [TokenKind, begin: string, end: string])[] = [
  ['string', "'", "'"],
  ['string', "x'", "'"],
  ['string', "X'", "'"],
  ['name', '"', '"'],
  ['name', '`', '`'],
  ['name', '[', ']'],
  ['comment', '/*', '*/'],
];

/** Where a quoted token ends: behind its closing mark, doubled marks being part of it. -1: not in this text. */
export function endOfQuoted(text: string, from: number, mark: string): number {
  for (let position = from; ; position += 2) {
    position = text.indexOf(mark, position);
    if (position === -1) return -1;
    if (mark === ']' || mark === '*/' || text[position + 1] !== mark) return position + mark.length;
  }
}

/** The token at a position that is inside the text. */
export function tokenAt(text: string, start: number): Token {
  for (const [kind, begin, mark] of QUOTED) {
    if (!text.startsWith(begin, start)) continue;
    const end = endOfQuoted(text, start + begin.length, mark);
    return { kind, start, end: end === -1 ? text.length : end, open: end === -1 ? mark : undefined };
  }
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = start;
    if (pattern.test(text)) return { kind, start, end: pattern.lastIndex, open: undefined };
  }
  return { kind: 'other', start, end: start + 1, open: undefined };
}

/** The tokens of a text that mean something: no space, no comments. */
export function* tokensOf(text: string): Generator<Token> {
  for (let position = 0; position < text.length;) {
    const token = tokenAt(text, position);
    if (token.kind !== 'space' && token.kind !== 'comment') yield token;
    position = token.end;
  }
}
