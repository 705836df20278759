/** Reads separated values (RFC 4180) from a text that arrives in pieces. */

import { DqliteError } from '../lib/errors.ts';

export interface CsvRecord {
  readonly fields: readonly string[];
  /** Line on which it begins, from 1. */
  readonly line: number;
}

/**
 * The records of a text. A field in quotes may hold separators, line ends and doubled quotes; empty lines are
 * skipped. Throws DqliteError USAGE for a quote that does not end, or is followed by text.
 */
export async function* csvRecords(pieces: AsyncIterable<string>, separator: string): AsyncGenerator<CsvRecord> {
  let text = '';
  let line = 1;
  let isQuoted = false;
  let isAfterQuote = false;
  let field = '';
  let fields: string[] = [];
  let startLine = 1;
  /** A lone quote or carriage return at the end of a piece needs what follows. */
  const records = function* (isLast: boolean): Generator<CsvRecord> {
    let position = 0;
    while (position < text.length) {
      if (isQuoted) {
        const end = text.indexOf('"', position);
        const part = text.slice(position, end === -1 ? text.length : end);
        field += part;
        line += part.split('\n').length - 1;
        if (end === -1) {
          position = text.length;
        } else if (end + 1 === text.length && !isLast) {
          position = end;
          break;
        } else if (text[end + 1] === '"') {
          field += '"';
          position = end + 2;
        } else {
          isQuoted = false;
          isAfterQuote = true;
          position = end + 1;
        }
        continue;
      }
      const character = text[position]!;
      if (character === '"' && field === '' && !isAfterQuote) {
        isQuoted = true;
        position++;
      } else if (character === separator) {
        fields.push(field);
        field = '';
        isAfterQuote = false;
        position++;
      } else if (character === '\n' || character === '\r') {
        if (character === '\r' && position + 1 === text.length && !isLast) break;
        position += text.startsWith('\r\n', position) ? 2 : 1;
        line++;
        if (fields.length > 0 || field !== '' || isAfterQuote) {
          yield { fields: [...fields, field], line: startLine };
          fields = [];
          field = '';
          isAfterQuote = false;
        }
        startLine = line;
      } else {
        if (isAfterQuote) throw new DqliteError('USAGE', `line ${line}: text after the quote that ends a field`);
        let end = position + 1;
        while (end < text.length && text[end] !== separator && text[end] !== '\n' && text[end] !== '\r') end++;
        field += text.slice(position, end);
        position = end;
      }
    }
    text = text.slice(position);
  };
  for await (const piece of pieces) {
    text += piece;
    yield* records(false);
  }
  yield* records(true);
  if (isQuoted) throw new DqliteError('USAGE', `line ${startLine}: a quote that does not end`);
  if (fields.length > 0 || field !== '' || isAfterQuote) yield { fields: [...fields, field], line: startLine };
}
