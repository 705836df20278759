/**
 * The little that has to be known of SQL text before SQLite sees it: whether anything is there, and how a
 * statement begins. Works on bytes, as the text came over the wire.
 */

/** What a statement is for the transaction it runs in. `change`: changes rows, unless it is a SELECT behind a WITH. */
export type StatementKind =
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'rollbackTo'
  | 'savepoint'
  | 'release'
  | 'vacuum'
  | 'pragma'
  | 'change'
  | 'other';

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;

/** Position of the first byte from `offset` on that is neither blank nor in a comment; the length if there is none. */
export function skipBlank(sql: Uint8Array, offset: number, semicolons = false): number {
  let position = offset;
  while (position < sql.length) {
    const byte = sql[position]!;
    if (isSpace(byte) || (semicolons && byte === 0x3b)) {
      position++;
    } else if (byte === 0x2d && sql[position + 1] === 0x2d) {
      const end = sql.indexOf(0x0a, position);
      position = end === -1 ? sql.length : end + 1;
    } else if (byte === 0x2f && sql[position + 1] === 0x2a) {
      // SQLite takes an unfinished comment as one that ends with the text.
      let end = position + 2;
      while (end < sql.length && !(sql[end] === 0x2a && sql[end + 1] === 0x2f)) end++;
      position = Math.min(end + 2, sql.length);
    } else if (byte === 0xef && sql[position + 1] === 0xbb && sql[position + 2] === 0xbf) {
      // A byte order mark, which SQLite takes for a blank.
      position += 3;
    } else {
      break;
    }
  }
  return position;
}

/** Whether another statement follows. */
export function hasStatement(sql: Uint8Array, offset: number): boolean {
  return skipBlank(sql, offset, true) < sql.length;
}

/** The kind of the statement at `offset`. */
export function statementKind(sql: Uint8Array, offset = 0): StatementKind {
  const first = word(sql, skipBlank(sql, offset, true));
  switch (first.text) {
    case 'BEGIN':
      return 'begin';
    case 'COMMIT':
    case 'END':
      return 'commit';
    case 'SAVEPOINT':
      return 'savepoint';
    case 'RELEASE':
      return 'release';
    case 'VACUUM':
      return 'vacuum';
    case 'PRAGMA':
      return 'pragma';
    case 'INSERT':
    case 'REPLACE':
    case 'UPDATE':
    case 'DELETE':
    case 'WITH':
      return 'change';
    case 'ROLLBACK': {
      // ROLLBACK [TRANSACTION] [TO [SAVEPOINT] name]
      let next = word(sql, skipBlank(sql, first.end));
      if (next.text === 'TRANSACTION') next = word(sql, skipBlank(sql, next.end));
      return next.text === 'TO' ? 'rollbackTo' : 'rollback';
    }
    default:
      return 'other';
  }
}

/** The letters at a position, in upper case; at most as many as the longest word of interest has. */
function word(sql: Uint8Array, start: number): { text: string; end: number } {
  let text = '';
  let end = start;
  while (end < sql.length && isLetter(sql[end]!) && end - start < 12) text += String.fromCharCode(sql[end++]!);
  return { text: text.toUpperCase(), end };
}

/** A string with one character per byte: a lossless key for SQL text and names that need not be UTF-8. */
export function bytesKey(bytes: Uint8Array): string {
  let key = '';
  for (let i = 0; i < bytes.length; i += 4096) key += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return key;
}

/** The bytes of a key. */
export function keyBytes(key: string): Uint8Array {
  const bytes = new Uint8Array(key.length);
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i);
  return bytes;
}
