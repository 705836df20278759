/**
 * What an import will do, found out before anything is written: the tables with their columns, what is made before
 * and after the rows, and why a database cannot be imported.
 */

import { DqliteError } from '../lib/errors.ts';
import { COPYABLE_MODULES, isContentless, moduleOf } from '../lib/virtual-table.ts';
import type { SourceDatabase } from './source-database.ts';

export interface SchemaObject {
  readonly type: 'table' | 'index' | 'view' | 'trigger';
  readonly name: string;
  readonly sql: string;
}

/** Rows to be copied. */
export interface RowCopy {
  readonly table: string;
  /** Reads the rows in the source. */
  readonly select: string;
  /** `INSERT INTO ... ` up to VALUES. */
  readonly insert: string;
  readonly columnCount: number;
}

export interface TablePlan extends SchemaObject {
  readonly type: 'table';
  readonly isVirtual: boolean;
  readonly copies: readonly RowCopy[];
}

export interface ImportPlan {
  readonly tables: readonly TablePlan[];
  /** In the order in which they can be made. */
  readonly indexes: readonly SchemaObject[];
  readonly viewsAndTriggers: readonly SchemaObject[];
  /** After everything: SQLite's own tables. */
  readonly ownTables: readonly OwnTable[];
  readonly pragmas: readonly string[];
  /** What will be different, for people. */
  readonly notes: readonly string[];
}

/** A table that SQLite makes by itself: with AUTOINCREMENT, by ANALYZE. */
export interface OwnTable {
  /** Makes it, if that needs a statement; then it is emptied. */
  readonly make?: string;
  readonly copy: RowCopy;
}

const ROWID_NAMES = ['_rowid_', 'rowid', 'oid'];
/** Virtual tables whose content is read and written as rows; that of other modules is their own business. */

/** Throws DqliteError UNSUPPORTED or DAMAGED. */
export function planImport(source: SourceDatabase): ImportPlan {
  const objects = schemaObjects(source);
  refuseUnknownModules(objects);
  const kinds = new Map<string, { kind: string; withoutRowid: boolean }>();
  for (const [name, kind, withoutRowid] of source.texts(
    "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'",
  )) {
    kinds.set(name!, { kind: kind!, withoutRowid: withoutRowid === '1' });
  }
  const tables: TablePlan[] = [];
  const ownTables: OwnTable[] = [];
  const notes: string[] = [];
  for (const { type, name, sql } of objects) {
    if (type !== 'table') continue;
    const kind = kinds.get(name);
    if (name.startsWith('sqlite_')) {
      if (name === 'sqlite_sequence') ownTables.push({ copy: ownCopy(name, ['name', 'seq']) });
      else if (name === 'sqlite_stat1') {
        ownTables.push({ make: 'ANALYZE sqlite_schema', copy: ownCopy(name, ['tbl', 'idx', 'stat']) });
      } else notes.push(`${name} is not carried over; run ANALYZE if queries need it`);
    } else if (kind?.kind === 'virtual') {
      tables.push({ type, name, sql, isVirtual: true, copies: virtualCopies(source, name, sql) });
    } else if (kind?.kind !== 'shadow') {
      const copy = tableCopy(source, name, kind?.withoutRowid === true);
      tables.push({ type, name, sql, isVirtual: false, copies: [copy] });
    }
  }
  const number = (pragma: string): string => source.texts(`PRAGMA ${pragma}`)[0]?.[0] ?? '0';
  const pageSize = number('page_size');
  if (pageSize !== '4096') notes.push(`pages have 4096 bytes, not ${pageSize}`);
  if (number('auto_vacuum') !== '0') notes.push('auto_vacuum is not carried over');
  return {
    tables,
    indexes: objects.filter(({ type }) => type === 'index'),
    viewsAndTriggers: [
      ...objects.filter(({ type }) => type === 'view'),
      ...objects.filter(({ type }) => type === 'trigger'),
    ],
    ownTables,
    pragmas: ['user_version', 'application_id'].flatMap(pragma => {
      const value = number(pragma);
      return value === '0' ? [] : [`PRAGMA ${pragma} = ${value}`];
    }),
    notes,
  };
}

/** In the order of the schema table. */
function schemaObjects(source: SourceDatabase): SchemaObject[] {
  const sql = 'SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid';
  return source.texts(sql).map(([type, name, text]) => {
    if (type !== 'table' && type !== 'index' && type !== 'view' && type !== 'trigger') {
      throw new DqliteError('DAMAGED', `the schema of the file has "${name}" of type "${type}"`);
    }
    return { type, name: name!, sql: text! };
  });
}

function refuseUnknownModules(objects: readonly SchemaObject[]): void {
  for (const { name, sql } of objects) {
    const module = moduleOf(sql);
    if (module === undefined || Object.hasOwn(COPYABLE_MODULES, module)) continue;
    throw new DqliteError('UNSUPPORTED', `the virtual table "${name}" is of the module ${module}`, {
      hint: `only ${Object.keys(COPYABLE_MODULES).join(', ')} can be imported: drop the table in a copy of the file first`,
    });
  }
}

interface Column {
  readonly name: string;
  /** 0 for a column with a value of its own; others are generated, or parameters of virtual tables. */
  readonly hidden: string;
}

function columnsOf(source: SourceDatabase, table: string): string[] {
  const columns: Column[] = source
    .texts(`SELECT name, hidden FROM pragma_table_xinfo(${text(table)})`)
    .map(([name, hidden]) => ({ name: name!, hidden: hidden! }));
  return columns.filter(({ hidden }) => hidden === '0').map(({ name }) => name);
}

function tableCopy(source: SourceDatabase, table: string, withoutRowid: boolean): RowCopy {
  const columns = columnsOf(source, table);
  const all = source.texts(`SELECT name FROM pragma_table_xinfo(${text(table)})`).map(([name]) => name!.toLowerCase());
  // Other tables can mean a row by its number; it is kept unless three columns hide it.
  const rowid = withoutRowid ? undefined : ROWID_NAMES.find(name => !all.includes(name));
  return copyOf(table, rowid === undefined ? columns.map(quoted) : [rowid, ...columns.map(quoted)]);
}

function virtualCopies(source: SourceDatabase, table: string, sql: string): RowCopy[] {
  const columns = columnsOf(source, table).map(quoted);
  if (moduleOf(sql) !== 'fts5') return [copyOf(table, columns)];
  if (isContentless(sql)) {
    throw new DqliteError('UNSUPPORTED', `the FTS5 table "${table}" is contentless: its text is nowhere in the file`, {
      hint: 'drop it in a copy of the file first, and fill a new one after the import',
    });
  }
  const config = quoted(`${table}_config`);
  return [
    copyOf(table, ['rowid', ...columns]),
    {
      table,
      select: `SELECT k, v FROM ${config} WHERE k <> 'version'`,
      insert: `INSERT INTO ${quoted(table)} (${quoted(table)}, rank)`,
      columnCount: 2,
    },
  ];
}

function copyOf(table: string, columns: readonly string[]): RowCopy {
  const list = columns.join(', ');
  return {
    table,
    select: `SELECT ${list} FROM ${quoted(table)}`,
    insert: `INSERT INTO ${quoted(table)} (${list})`,
    columnCount: columns.length,
  };
}

function ownCopy(table: string, columns: readonly string[]): RowCopy {
  return copyOf(table, columns.map(quoted));
}

/** A name in SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text in SQL. */
export function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
