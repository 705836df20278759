/** Values as text. */

import type { SqlValue } from './sql-session.ts';

function hex(bytes: Uint8Array): string {
  return `x'${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}'`;
}

/** A REAL so that it is told from an INTEGER and reads back as the same number. */
function realText(value: number): string {
  if (value === Infinity) return 'Inf';
  if (value === -Infinity) return '-Inf';
  const text = Object.is(value, -0) ? '-0' : String(value);
  if (/^-?\d+$/.test(text)) return `${text}.0`;
  return text.includes('.') ? text : text.replace('e', '.0e');
}

/** For people and for CSV. Blobs are written as SQL writes them. */
export function valueText(value: SqlValue, nullText: string): string {
  if (value === null) return nullText;
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return realText(value);
  return typeof value === 'bigint' ? String(value) : hex(value);
}

/** JSON. Integers keep all their digits; an infinite REAL is a number too large for a double. */
export function valueJson(value: SqlValue): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return Number.isFinite(value) ? realText(value) : value > 0 ? '1e999' : '-1e999';
  return typeof value === 'bigint' ? String(value) : `"${hex(value)}"`;
}

/** A name as SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as SQL. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
