/** `.import`: separated values into a table, all of them or, unless told otherwise, none. */

import { DqliteError, messageOf } from '../lib/errors.ts';
import type { SqlSession } from './sql-session.ts';
import { csvRecords, type CsvRecord } from './sql-csv.ts';
import { texts } from './sql-dump.ts';
import { quoteName, quoteText } from './sql-values.ts';

export interface ImportOptions {
  readonly separator: string;
  /** Records at the beginning that are not data. */
  readonly skip: number;
  /** Rows in one transaction; 0: all. */
  readonly batch: number;
  /** Throws if the user wants it to end. */
  readonly checkInterrupt: () => void;
}

/** What every server takes in one request, and SQLite in one statement. */
const MAX_PARAMETERS = 255;

/**
 * Inserts the records of a text; gives their number. A table that does not exist is made, of TEXT columns with the names
 * in the first record. Rejects with DqliteError, which names the line; then nothing of the current transaction stays.
 */
export async function importRecords(
  session: SqlSession,
  table: string,
  text: AsyncIterable<string>,
  options: ImportOptions,
): Promise<number> {
  const importer = new Importer(session, table);
  const isOwn = await session.begin();
  try {
    let skip = options.skip;
    for await (const record of csvRecords(text, options.separator)) {
      if (skip-- > 0) continue;
      options.checkInterrupt();
      await importer.add(record);
      if (isOwn && options.batch > 0 && importer.count % options.batch === 0) {
        await importer.flush();
        await session.commit();
        importer.committed = importer.count;
        await session.begin();
      }
    }
    await importer.flush();
    if (isOwn) await session.commit();
    return importer.count;
  } catch (error) {
    if (session.isLostBy(error)) throw error;
    if (isOwn) await session.rollback();
    const kept = importer.committed > 0 ? `; the first ${importer.committed} rows are in the table` : '';
    const undone = isOwn && kept === '' && importer.hasBegun ? '; nothing was imported' : kept;
    throw error instanceof DqliteError
      ? new DqliteError(error.code, `${error.message}${undone}`, {
          cause: error,
          ...(error.sqliteCode === undefined ? {} : { sqliteCode: error.sqliteCode }),
          hint: error.sqliteCode === 13 ? 'the transaction is too large: use --batch N' : error.hint,
        })
      : error;
  }
}

class Importer {
  readonly #session: SqlSession;
  readonly #table: string;
  #columns: readonly string[] | undefined = undefined;
  #waiting: CsvRecord[] = [];
  count = 0;
  committed = 0;

  constructor(session: SqlSession, table: string) {
    this.#session = session;
    this.#table = table;
  }

  get hasBegun(): boolean {
    return this.#columns !== undefined;
  }

  async add(record: CsvRecord): Promise<void> {
    if (this.#columns === undefined) {
      this.#columns = await this.#existing();
      if (this.#columns.length === 0) {
        this.#columns = record.fields;
        const columns = record.fields.map(name => `${quoteName(name)} TEXT`).join(', ');
        await this.#session.exec(`CREATE TABLE ${quoteName(this.#table)} (${columns})`);
        return;
      }
    }
    if (record.fields.length !== this.#columns.length) {
      throw new DqliteError(
        'USAGE',
        `line ${record.line} has ${fieldCount(record.fields.length)}, ${this.#table} takes ${this.#columns.length}`,
      );
    }
    this.#waiting.push(record);
    this.count++;
    if ((this.#waiting.length + 1) * this.#columns.length > MAX_PARAMETERS) await this.flush();
  }

  /** Inserts what waits: in one statement, and if that fails one by one, to see which row it is. */
  async flush(): Promise<void> {
    const records = this.#waiting;
    if (records.length === 0) return;
    this.#waiting = [];
    try {
      await this.#insert(records);
    } catch (error) {
      if (!isAboutValues(error)) throw error;
      for (const record of records) {
        try {
          await this.#insert([record]);
        } catch (of) {
          if (!(of instanceof DqliteError) || this.#session.isLostBy(of)) throw of;
          throw new DqliteError(of.code, `line ${record.line}: ${messageOf(of)}`, {
            cause: of,
            ...(of.sqliteCode === undefined ? {} : { sqliteCode: of.sqliteCode }),
            hint: of.hint,
          });
        }
      }
    }
  }

  async #existing(): Promise<string[]> {
    const rows = await texts(
      sql => this.#session.query(sql),
      `SELECT name FROM pragma_table_info(${quoteText(this.#table)})`,
    );
    return rows.map(([name = '']) => name);
  }

  async #insert(records: readonly CsvRecord[]): Promise<void> {
    const row = `(${this.#columns!.map(() => '?').join(',')})`;
    await this.#session.exec(
      `INSERT INTO ${quoteName(this.#table)} (${this.#columns!.map(quoteName).join(',')}) VALUES ${records.map(() => row).join(',')}`,
      records.flatMap(record => record.fields),
    );
  }
}

/** A constraint, a datatype, a text that cannot be sent: one row is wrong. Everything else concerns all. */
function isAboutValues(error: unknown): boolean {
  if (!(error instanceof DqliteError)) return false;
  return error.code === 'USAGE' || [19, 20].includes((error.sqliteCode ?? 0) & 0xff);
}

function fieldCount(count: number): string {
  return count === 1 ? '1 field' : `${count} fields`;
}
