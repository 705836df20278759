/**
 * LIKE and GLOB as SQLite has them (`patternCompare` in func.c), for texts and patterns so large that SQLite's own would
 * run for hours: this one can be stopped. Any bytes are characters, those of UTF-8 or not, and a NUL ends them.
 */

import { characterEnd, codePoint } from './string-search.ts';

export interface PatternRules {
  /** `%` or `*`; 0: there is none. */
  readonly matchAll: number;
  /** `_` or `?`; 0: there is none. */
  readonly matchOne: number;
  /** `[` for GLOB, 0 for LIKE. */
  readonly matchSet: number;
  /** Makes the next character of a LIKE pattern an ordinary one; 0: there is none. */
  readonly escape: number;
  /** Letters from A to Z are equal to their small ones. */
  readonly ignoresCase: boolean;
}

/** A character of the pattern: its number, or one of a set; ANY: whatever it is. */
type Token = number | CharacterSet;

interface CharacterSet {
  readonly ranges: readonly (readonly [from: number, to: number])[];
  readonly inverted: boolean;
}

const ANY = -1;

/** Steps between two questions whether to go on: about a millisecond. */
const STEPS = 2 ** 18;
/** Looking for the first character of a segment is that much cheaper than a step. */
const BYTES_PER_STEP = 8;

/** Small letters for those from A to Z; all else as it is. */
const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte));
const SAME = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** Stops the comparison. */
export class Stopped extends Error {}

/** Whether a text matches a pattern. `mayGoOn` is asked now and then; throws `Stopped` when it says no. */
export function matches(text: Uint8Array, pattern: Uint8Array, rules: PatternRules, mayGoOn: () => boolean): boolean {
  const segments = segmentsOf(pattern, rules);
  if (segments === undefined) return false;
  const end = lengthOf(text);
  const folded = rules.ignoresCase ? LOWER : SAME;
  let steps = 0;

  const count = (done: number): void => {
    steps += done;
    if (steps < STEPS) return;
    steps = 0;
    if (!mayGoOn()) throw new Stopped();
  };

  /** Where the segment ends if it stands at an offset; -1: it does not. */
  const endAt = (segment: readonly Token[], start: number): number => {
    let offset = start;
    for (let i = 0; i < segment.length; i++) {
      const token = segment[i]!;
      if (offset < end && isAscii(token)) {
        if (folded[text[offset++]!] === folded[token]) continue;
        offset = -1;
      } else {
        offset = offset < end ? behind(text, offset, token) : -1;
      }
      if (offset >= 0) continue;
      count(i + 1);
      return -1;
    }
    count(segment.length + 1);
    return offset;
  };

  /** The next place where a segment may stand; the end if there is none. */
  const candidate = (first: Token, start: number): number => {
    if (!isAscii(first)) return start;
    // No byte of another character looks like one of these.
    const wanted = folded[first];
    let offset = start;
    while (offset < end && folded[text[offset]!] !== wanted) offset++;
    count((offset - start) / BYTES_PER_STEP);
    return offset;
  };

  const last = segments.length - 1;
  let offset = endAt(segments[0]!, 0);
  if (last === 0 || offset < 0) return offset === end;
  // Behind a wildcard each segment is taken where it comes first; the last one must end with the text.
  for (let i = 1; i <= last; i++) {
    const segment = segments[i]!;
    if (segment.length === 0) continue;
    let found = -1;
    for (let start = candidate(segment[0]!, offset); start < end;) {
      found = endAt(segment, start);
      if (found >= 0 && (i < last || found === end)) break;
      found = -1;
      start = candidate(segment[0]!, characterEnd(text, start));
    }
    if (found < 0) return false;
    offset = found;
  }
  return true;
}

function isAscii(token: Token): token is number {
  return typeof token === 'number' && token >= 0 && token < 0x80;
}

/** Where the character at an offset ends, if it is what the token means; -1: it is not. */
function behind(text: Uint8Array, offset: number, token: Token): number {
  const end = characterEnd(text, offset);
  if (token === ANY) return end;
  const code = codePoint(text, offset, end);
  if (typeof token === 'number') return code === token ? end : -1;
  return token.ranges.some(([from, to]) => code >= from && code <= to) === token.inverted ? -1 : end;
}

function lengthOf(text: Uint8Array): number {
  const end = text.indexOf(0);
  return end < 0 ? text.length : end;
}

/** What stands between the wildcards; undefined: nothing can match. */
function segmentsOf(pattern: Uint8Array, rules: PatternRules): readonly (readonly Token[])[] | undefined {
  const codes: number[] = [];
  const length = lengthOf(pattern);
  for (let i = 0, end = 0; i < length; i = end) {
    end = characterEnd(pattern, i);
    codes.push(codePoint(pattern, i, end));
  }
  let segment: Token[] = [];
  const segments = [segment];
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]!;
    if (code === rules.matchAll) {
      segment = [];
      segments.push(segment);
    } else if (code === rules.escape) {
      if (++i === codes.length) return undefined;
      segment.push(codes[i]!);
    } else if (code === rules.matchSet) {
      const found = setAt(codes, i + 1);
      if (found === undefined) return undefined;
      segment.push(found.set);
      i = found.end;
    } else {
      segment.push(code === rules.matchOne ? ANY : code);
    }
  }
  return segments;
}

const CARET = 0x5e;
const CLOSING = 0x5d;
const HYPHEN = 0x2d;

/** The set whose characters begin at a position, and where its bracket closes; undefined: nowhere. */
function setAt(codes: readonly number[], start: number): { set: CharacterSet; end: number } | undefined {
  const ranges: [number, number][] = [];
  let i = start;
  const inverted = codes[i] === CARET;
  if (inverted) i++;
  if (codes[i] === CLOSING) {
    ranges.push([CLOSING, CLOSING]);
    i++;
  }
  // The character that a range can begin with.
  let prior = 0;
  for (; i < codes.length && codes[i] !== CLOSING; i++) {
    const code = codes[i]!;
    const next = codes[i + 1];
    if (code === HYPHEN && next !== undefined && next !== CLOSING && prior > 0) {
      ranges.push([prior, next]);
      prior = 0;
      i++;
    } else {
      ranges.push([code, code]);
      prior = code;
    }
  }
  return i < codes.length ? { set: { ranges, inverted }, end: i } : undefined;
}
