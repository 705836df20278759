/**
 * A database as SQL: what `sqlite3` prints for `.dump`, so that either of the two can load it. Values are written as
 * SQL by the server, because not every text can travel as it is: the protocol ends one at a NUL. The SQL travels as a blob,
 * because a text that is not UTF-8 would arrive as another.
 */

import { isUtf8 } from 'node:buffer';
import type { Rows, SqlValue } from './sql-session.ts';
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

/** The caller sees to it that all queries see one state. */
export async function dumpSql(query: Query, write: Write, patterns: readonly string[]): Promise<void> {
  const chosen = likeAny(['tbl_name'], patterns);
  await write('PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n');
  const tables = await texts(
    query,
    `SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL AND ${chosen} ORDER BY rowid`,
  );
  let isSchemaWritable = false;
  for (const [name = '', sql = ''] of tables) {
    if (/^sqlite_sequence$/i.test(name)) continue;
    if (/^sqlite_stat\d$/i.test(name)) {
      await write('ANALYZE sqlite_schema;\n');
    } else if (/^CREATE VIRTUAL TABLE/i.test(sql)) {
      // Created by itself it would make the tables that are dumped as well.
      if (!isSchemaWritable) await write('PRAGMA writable_schema=ON;\n');
      isSchemaWritable = true;
      const [type, text] = [quoteText('table'), quoteText(name)];
      await write(
        `INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES(${type},${text},${text},0,${quoteText(sql)});\n`,
      );
      continue;
    } else {
      await write(`${sql};\n`);
    }
    await dumpRows(query, write, name);
  }
  const [sequence] = await texts(query, "SELECT name FROM sqlite_master WHERE name = 'sqlite_sequence'");
  if (sequence !== undefined && patterns.length === 0) {
    await write('DELETE FROM sqlite_sequence;\n');
    await dumpRows(query, write, 'sqlite_sequence');
  }
  const others = await texts(
    query,
    `SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL AND ${chosen} ORDER BY rowid`,
  );
  for (const [sql = ''] of others) await write(`${sql};\n`);
  if (isSchemaWritable) await write('PRAGMA writable_schema=OFF;\n');
  await write('COMMIT;\n');
}

async function dumpRows(query: Query, write: Write, table: string): Promise<void> {
  // Without generated and hidden columns, which cannot be inserted.
  const columns = await texts(query, `SELECT name FROM pragma_table_info(${quoteText(table)})`);
  const values = columns.map(([name = '']) => {
    const column = quoteName(name);
    // An infinite number is quoted as a word by older servers.
    return `CAST(CASE WHEN typeof(${column}) = 'text' AND instr(${column}, char(0)) THEN 'CAST(x''' || hex(${column}) || ''' AS TEXT)'
      WHEN typeof(${column}) = 'real' AND abs(${column}) = 9e999 THEN iif(${column} > 0, '9e999', '-9e999')
      ELSE quote(${column}) END AS BLOB)`;
  });
  const rows = await query(`SELECT ${values.join(', ')} FROM ${quoteName(table)}`);
  const insert = `INSERT INTO ${/^[a-z_]\w*$/i.test(table) ? table : quoteName(table)} VALUES(`;
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
