/**
 * INSERT statements for rows of a source database: as many rows in one as the protocol's parameters allow. Text that a
 * parameter cannot carry, because it has a NUL or is not UTF-8, goes as a blob that the statement turns into text.
 */

import { Real, type BoundValue } from '../client/internal.ts';
import type { RowCopy } from './import-plan.ts';
import { SourceText, type SourceValue } from './source-database.ts';

/** What every server takes in one request (schema 0 of the parameter tuple). */
const MAX_PARAMETERS = 255;
/** Rows are gathered up to about here. */
const MAX_STATEMENT_BYTES = 256 * 1024;

export interface Insert {
  readonly sql: string;
  readonly parameters: readonly BoundValue[];
  /** About how many bytes the rows have. */
  readonly bytes: number;
  readonly rows: number;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Statements that insert the rows of a copy, in their order. */
export function* inserts(copy: RowCopy, rows: Iterable<SourceValue[]>): Generator<Insert> {
  const rowsPerStatement = Math.max(1, Math.floor(MAX_PARAMETERS / copy.columnCount));
  let tuples: string[] = [];
  let parameters: BoundValue[] = [];
  let bytes = 0;
  const take = (): Insert => {
    const insert = { sql: `${copy.insert} VALUES ${tuples.join(', ')}`, parameters, bytes, rows: tuples.length };
    tuples = [];
    parameters = [];
    bytes = 0;
    return insert;
  };
  for (const row of rows) {
    const cells = row.map((value, column) => {
      bytes += sizeOf(value);
      // Columns beyond the parameters of a request are written into the statement.
      if (column >= MAX_PARAMETERS) return literal(value);
      const { parameter, asText } = parameterOf(value);
      parameters.push(parameter);
      return asText ? 'CAST(? AS TEXT)' : '?';
    });
    tuples.push(`(${cells.join(', ')})`);
    if (tuples.length >= rowsPerStatement || bytes >= MAX_STATEMENT_BYTES) yield take();
  }
  if (tuples.length > 0) yield take();
}

function sizeOf(value: SourceValue): number {
  if (value instanceof SourceText) return value.bytes.length;
  return value instanceof Uint8Array ? value.length : 8;
}

function parameterOf(value: SourceValue): { readonly parameter: BoundValue; readonly asText: boolean } {
  if (typeof value === 'number') return { parameter: new Real(value), asText: false };
  if (!(value instanceof SourceText)) return { parameter: value, asText: false };
  const text = plainText(value.bytes);
  return text === undefined ? { parameter: value.bytes, asText: true } : { parameter: text, asText: false };
}

/** Undefined if a text parameter would arrive as something else. */
function plainText(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A value as SQL. */
export function literal(value: SourceValue): string {
  if (value === null) return 'NULL';
  if (typeof value === 'bigint') return value === -(2n ** 63n) ? '(-9223372036854775807 - 1)' : String(value);
  if (typeof value === 'number') return realLiteral(value);
  if (value instanceof Uint8Array) return `X'${hex(value)}'`;
  return `CAST(X'${hex(value.bytes)}' AS TEXT)`;
}

function realLiteral(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? '9e999' : '-9e999';
  if (Object.is(value, -0)) return '-0.0';
  // JavaScript's shortest form reads back as the same number, and an exponent makes it REAL.
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}
