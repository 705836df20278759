/**
 * A database as SQL: what `sqlite3` prints for `.dump`, so that either of the two can load it. Values are written as
 * SQL by the server, because not every text can travel as it is: the protocol ends one at a NUL. The SQL travels as a blob,
 * because a text that is not UTF-8 would arrive as another.
 */

import { isUtf8 } from 'node:buffer';
import type { Rows, SqlValue } from './sql-session.ts';
import { COPYABLE_MODULES, isContentless, moduleOf } from '../lib/virtual-table.ts';
import { StatementSplitter } from './sql-splitter.ts';
import { quoteName, quoteText } from './sql-values.ts';

type Query = (sql: string) => Promise<Rows>;
type Write = (text: string) => Promise<void>;

async function all(rows: Rows): Promise<SqlValue[][]> {
  const collected: SqlValue[][] = [];
  for await (const batch of rows.batches) collected.push(...batch);
  return collected;
}

/** All rows of a query whose columns are texts. */
export async function texts(query: Query, sql: string): Promise<string[][]> {
  return (await all(await query(sql))).map(row => row.map(value => (typeof value === 'string' ? value : '')));
}

/** `LIKE` patterns as a condition. */
export function likeAny(columns: readonly string[], patterns: readonly string[]): string {
  if (patterns.length === 0) return '1';
  return `(${patterns.flatMap(pattern => columns.map(column => `${column} LIKE ${quoteText(pattern)}`)).join(' OR ')})`;
}

/** A statement of the schema with its end, which must not stand in a comment. */
export function statementText(sql: string): string {
  const splitter = new StatementSplitter();
  splitter.push(`${sql};`);
  return splitter.next() === undefined ? `${sql}\n;\n` : `${sql};\n`;
}

/** The caller sees to it that all queries see one state. */
export async function dumpSql(query: Query, write: Write, patterns: readonly string[]): Promise<void> {
  const chosen = likeAny(['tbl_name'], patterns);
  await write('PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n');
  const tables = await texts(
    query,
    `SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL AND ${chosen} ORDER BY rowid`,
  );
  const hidden = new Set(tables.flatMap(([name = '', sql = '']) => tablesBehind(name, sql)));
  let isSchemaWritable = false;
  for (const [name = '', sql = ''] of tables) {
    if (/^sqlite_sequence$/i.test(name) || hidden.has(name.toLowerCase())) continue;
    if (moduleOf(sql) === undefined) {
      await write(/^sqlite_stat\d$/i.test(name) ? 'ANALYZE sqlite_schema;\n' : statementText(sql));
      await dumpRows(query, write, { table: name });
    } else if (isCopyable(sql)) {
      await write(statementText(sql));
      await dumpVirtual(query, write, name, sql);
    } else {
      // Only SQLite's own shell takes this; created by itself the table would make those that are dumped as well.
      if (!isSchemaWritable) await write('PRAGMA writable_schema=ON;\n');
      isSchemaWritable = true;
      const [type, text] = [quoteText('table'), quoteText(name)];
      await write(
        `INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES(${type},${text},${text},0,${quoteText(sql)});\n`,
      );
    }
  }
  const [sequence] = await texts(query, "SELECT name FROM sqlite_master WHERE name = 'sqlite_sequence'");
  if (sequence !== undefined && patterns.length === 0) {
    await write('DELETE FROM sqlite_sequence;\n');
    await dumpRows(query, write, { table: 'sqlite_sequence' });
  }
  const others = await texts(
    query,
    `SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL AND ${chosen} ORDER BY rowid`,
  );
  for (const [sql = ''] of others) await write(statementText(sql));
  if (isSchemaWritable) await write('PRAGMA writable_schema=OFF;\n');
  await write('COMMIT;\n');
}

function isCopyable(sql: string): boolean {
  return Object.hasOwn(COPYABLE_MODULES, moduleOf(sql) ?? '') && !isContentless(sql);
}

/** Tables that a virtual table keeps its content in, if it is dumped by its own rows. */
function tablesBehind(name: string, sql: string): string[] {
  return isCopyable(sql) ? COPYABLE_MODULES[moduleOf(sql)!]!.map(part => `${name}_${part}`.toLowerCase()) : [];
}

async function dumpVirtual(query: Query, write: Write, name: string, sql: string): Promise<void> {
  if (moduleOf(sql) !== 'fts5') return dumpRows(query, write, { table: name });
  const columns = ['rowid', ...(await columnsOf(query, name))];
  await dumpRows(query, write, { table: name, columns, into: `(${columns.join(',')})` });
  // Its settings are written as rows of a peculiar kind.
  const config = { table: `${name}_config`, columns: ['k', 'v'], where: "WHERE k <> 'version'" };
  await dumpRows(query, write, { ...config, into: `(${quoteName(name)},rank)`, target: name });
}

interface RowDump {
  readonly table: string;
  /** As SQL; all that can be inserted if absent. */
  readonly columns?: readonly string[];
  readonly where?: string;
  /** The table that the rows are written into, if it is another. */
  readonly target?: string;
  /** The columns there. */
  readonly into?: string;
}

/** Without generated and hidden columns, which cannot be inserted. */
async function columnsOf(query: Query, table: string): Promise<string[]> {
  const names = await texts(query, `SELECT name FROM pragma_table_info(${quoteText(table)})`);
  return names.map(([name = '']) => quoteName(name));
}

async function dumpRows(query: Query, write: Write, dump: RowDump): Promise<void> {
  const { table, where = '', target = table, into = '' } = dump;
  const columns = dump.columns ?? (await columnsOf(query, table));
  const values = columns.map(
    // An infinite number is quoted as a word by older servers.
    column =>
      `CAST(CASE WHEN typeof(${column}) = 'text' AND instr(${column}, char(0)) THEN 'CAST(x''' || hex(${column}) || ''' AS TEXT)'
      WHEN typeof(${column}) = 'real' AND abs(${column}) = 9e999 THEN iif(${column} > 0, '9e999', '-9e999')
      ELSE quote(${column}) END AS BLOB)`,
  );
  const rows = await query(`SELECT ${values.join(', ')} FROM ${quoteName(table)} ${where}`);
  const insert = `INSERT INTO ${/^[a-z_]\w*$/i.test(target) ? target : quoteName(target)}${into} VALUES(`;
  for await (const batch of rows.batches) {
    await write(batch.map(row => `${insert}${row.map(sqlOf).join(',')});\n`).join(''));
  }
}

/** What `quote` gave. A text of other bytes than UTF-8 is written by its bytes, so that the dump itself is UTF-8. */
function sqlOf(value: SqlValue): string {
  if (!(value instanceof Uint8Array)) return 'NULL';
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const text = bytes.toString('latin1').slice(1, -1).replaceAll("''", "'");
  return `CAST(x'${Buffer.from(text, 'latin1').toString('hex')}' AS TEXT)`;
}
