/**
 * Searching in strings in linear time (Knuth, Morris and Pratt 1977), and decoding UTF-8 the way SQLite does: any
 * bytes give characters.
 */

/** For each length of a beginning of the pattern: that of the longest shorter one that it ends with. */
function bordersOf(pattern: Uint8Array): Int32Array {
  const borders = new Int32Array(pattern.length);
  for (let i = 1, length = 0; i < pattern.length; i++) {
    while (length > 0 && pattern[i] !== pattern[length]) length = borders[length - 1]!;
    if (pattern[i] === pattern[length]) length++;
    borders[i] = length;
  }
  return borders;
}

/** The first place of a pattern, which is not empty, where a character begins if `isText`; -1: none. */
export function indexOf(text: Uint8Array, pattern: Uint8Array, isText: boolean): number {
  const borders = bordersOf(pattern);
  for (let i = 0, length = 0; i < text.length; i++) {
    while (length > 0 && text[i] !== pattern[length]) length = borders[length - 1]!;
    if (text[i] === pattern[length]) length++;
    if (length < pattern.length) continue;
    const offset = i + 1 - length;
    if (!isText || offset === 0 || !continues(text[offset])) return offset;
    length = borders[length - 1]!;
  }
  return -1;
}

/**
 * How often a pattern, which is not empty, is found from the left, one place behind the other. With `result`, which
 * must have the right size, the text goes there with a replacement in these places.
 */
export function replaceAll(
  text: Uint8Array,
  pattern: Uint8Array,
  replacement: Uint8Array,
  result: Uint8Array | undefined,
): number {
  const borders = bordersOf(pattern);
  let count = 0;
  let to = 0;
  for (let i = 0, length = 0; i < text.length; i++) {
    const byte = text[i]!;
    while (length > 0 && byte !== pattern[length]) length = borders[length - 1]!;
    if (byte === pattern[length]) length++;
    if (result !== undefined) result[to++] = byte;
    if (length < pattern.length) continue;
    length = 0;
    count++;
    if (result === undefined) continue;
    to -= pattern.length;
    for (let j = 0; j < replacement.length; j++) result[to++] = replacement[j]!;
  }
  return count;
}

/** The byte goes on with a character of several bytes. */
export function continues(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** Where the character that begins at an offset ends. */
export function characterEnd(text: Uint8Array, offset: number): number {
  let end = offset + 1;
  if (text[offset]! >= 0xc0) while (continues(text[end])) end++;
  return end;
}

const REPLACEMENT = 0xfffd;
/** What bytes from 0xc0 on have of their character, also those that UTF-8 does not know. */
const LEADING_BITS = Uint8Array.from({ length: 64 }, (_, i) =>
  i < 32 ? i : i < 48 ? i - 32 : i < 56 ? i - 48 : i < 60 ? i - 56 : i < 62 ? i - 60 : 0,
);

/** The character from one offset to another as a number; what is none is U+FFFD. */
export function codePoint(text: Uint8Array, offset: number, end: number): number {
  const first = text[offset]!;
  if (first < 0xc0) return first;
  let code = LEADING_BITS[first - 0xc0]!;
  for (let i = offset + 1; i < end; i++) code = ((code << 6) | (text[i]! & 0x3f)) >>> 0;
  const isNone = code < 0x80 || (code & 0xfffff800) >>> 0 === 0xd800;
  return isNone ? REPLACEMENT : code;
}
