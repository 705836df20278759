/**
 * SQL with values in it, as a tagged template builds it. A value never becomes a part of the text: it is sent beside it,
 * as a parameter. What may become text is a fragment: another template, a quoted identifier, or `raw`.
 */

import { DqliteError } from '../lib/errors.ts';
import type { Parameter } from './types.ts';

/** What may stand in `${}`: a value, or a piece of SQL. */
export type TemplateValue = Parameter | Fragment;

/** A piece of SQL with its parameters. Immutable; may be used in many templates. */
export class Fragment {
  readonly sql: string;
  readonly parameters: readonly Parameter[];

  constructor(sql: string, parameters: readonly Parameter[]) {
    this.sql = sql;
    this.parameters = parameters;
  }
}

export interface SqlHelpers {
  /** A quoted name of a table or column; with several parts, a path: `identifier('main', 'user')`. */
  identifier(...parts: readonly string[]): Fragment;
  /**
   * Values with commas between them, for `IN (${list(ids)})`. Lists inside get parentheses, for `VALUES ${list(rows)}`.
   */
  list(values: readonly (TemplateValue | readonly TemplateValue[])[]): Fragment;
  /** Fragments with a separator between them, `, ` by default: `join(conditions, ' AND ')`. */
  join(fragments: readonly Fragment[], separator?: string): Fragment;
  /** Text that becomes SQL as it is. Never from outside the program. */
  raw(sql: string): Fragment;
}

/** Builds fragments: `` sql`age > ${18}` ``. Runs nothing. */
export interface SqlBuilder extends SqlHelpers {
  (strings: TemplateStringsArray, ...values: readonly TemplateValue[]): Fragment;
}

/** Throws DqliteError USAGE. */
export function buildFragment(strings: readonly string[], values: readonly TemplateValue[]): Fragment {
  let sql = strings[0]!;
  const parameters: Parameter[] = [];
  for (let i = 0; i < values.length; i++) sql += placed(values[i]!, parameters, i) + strings[i + 1]!;
  return new Fragment(sql, parameters);
}

/** The text for one value; its parameters are appended. */
function placed(value: TemplateValue, parameters: Parameter[], position: number): string {
  if (value instanceof Fragment) {
    for (const parameter of value.parameters) parameters.push(parameter);
    return value.sql;
  }
  if (Array.isArray(value)) {
    throw new DqliteError('USAGE', `value ${position + 1} of the template is an array`, {
      hint: 'write ${sql.list(values)} for values with commas between them',
    });
  }
  parameters.push(value);
  return '?';
}

function quoted(name: string): string {
  if (name === '' || name.includes('\0')) {
    throw new DqliteError('USAGE', `${JSON.stringify(name)} cannot be a name in SQL`);
  }
  // Not double quotes: dqlite takes "a name that does not exist" for a string.
  return `\`${name.replaceAll('`', '``')}\``;
}

const helpers: SqlHelpers = {
  identifier: (...parts) => new Fragment(parts.map(quoted).join('.'), []),
  list(values) {
    const parameters: Parameter[] = [];
    const texts = values.map((value, i) =>
      Array.isArray(value)
        ? `(${value.map(inner => placed(inner, parameters, i)).join(', ')})`
        : placed(value as TemplateValue, parameters, i),
    );
    return new Fragment(texts.join(', '), parameters);
  },
  join(fragments, separator = ', ') {
    const sql = fragments.map(fragment => fragment.sql).join(separator);
    return new Fragment(
      sql,
      fragments.flatMap(fragment => fragment.parameters),
    );
  },
  raw: sql => new Fragment(sql, []),
};

/** A tag with the helpers as its properties. */
export function withHelpers<Tag extends object>(tag: Tag): Tag & SqlHelpers {
  return Object.assign(tag, helpers);
}

export const sql: SqlBuilder = withHelpers((strings: TemplateStringsArray, ...values: readonly TemplateValue[]) =>
  buildFragment(strings, values),
);
