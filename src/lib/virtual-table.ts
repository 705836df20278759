/**
 * What the text of CREATE VIRTUAL TABLE tells about copying the table. A virtual table keeps its content in tables of its own, which nothing
 * but its module should write: it is copied by its own rows, and makes those tables again.
 */

const NAME = String.raw`(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|\[[^\]]*\]|${'`'}(?:[^${'`'}]|${'``'})*${'`'}|[^\s."'\[(]+)`;
const CREATE_VIRTUAL = new RegExp(
  String.raw`^\s*CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?${NAME}(?:\s*\.\s*${NAME})?\s*USING\s+(${NAME})`,
  'i',
);

/** The module, in small letters; undefined for what is no virtual table. */
export function moduleOf(sql: string): string | undefined {
  const name = CREATE_VIRTUAL.exec(sql)?.[1];
  return name?.replaceAll(/^["'[`]|["'\]`]$/g, '').toLowerCase();
}

/** Whether an FTS5 table keeps its index only: the text is nowhere. */
export function isContentless(sql: string): boolean {
  return /[,(]\s*content\s*=\s*(?:''|"")\s*[,)]/i.test(sql);
}

/** Modules whose tables can be copied, and the tables that a table of theirs keeps its content in. */
export const COPYABLE_MODULES: Readonly<Record<string, readonly string[]>> = {
  fts5: ['config', 'content', 'data', 'docsize', 'idx'],
  rtree: ['node', 'parent', 'rowid'],
  rtree_i32: ['node', 'parent', 'rowid'],
};
