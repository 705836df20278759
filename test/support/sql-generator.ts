/**
 * Random SQL from a seed, for comparing two SQLite: schemas with every kind of constraint, statements that mostly
 * succeed on them and sometimes must fail, and queries whose result does not depend on the plan.
 *
 * What is left out, because two right versions may answer differently:
 * - order where none is asked for; representatives of what compares equal ('a' and 'A' under NOCASE, 1 and 1.0)
 * - floating-point sums of what is not exact in binary, functions of the C library (sin, pow), `now` and `random`
 * - the text of plans, statistics
 * - whether LIKE and GLOB look at blobs, how many digits of a number make its text: options of the build
 * - JSON functions that replace the whole document
 * - blobs that are not ASCII where they could become text: the wire carries no NUL in a text
 */

import { SeededRandom } from '../../src/lib/random.ts';
import { valueType } from '../../src/wire/index.ts';
import type { Bound } from './connection.ts';

export interface Statement {
  /** With `?` for the parameters. */
  readonly sql: string;
  readonly parameters: readonly Bound[];
  /** With the parameters as literals. */
  readonly literal: string;
  readonly isQuery: boolean;
  /** The order of the rows is determined. */
  readonly isOrdered: boolean;
}

type Type = 'INTEGER' | 'REAL' | 'TEXT' | 'BLOB' | '';

interface Column {
  readonly name: string;
  readonly type: Type;
  readonly isGenerated: boolean;
  readonly isNocase: boolean;
}

interface Table {
  readonly name: string;
  readonly columns: Column[];
  /** Views can only be read. */
  readonly isView: boolean;
  readonly withoutRowid: boolean;
}

/** A column that expressions may use. */
interface Reference {
  readonly sql: string;
  readonly type: Type;
}

const TYPES: readonly Type[] = ['INTEGER', 'REAL', 'TEXT', 'BLOB', ''];
const WORDS = [
  '',
  'a',
  'A',
  'b',
  'abc',
  'Abc',
  'ABC',
  'x y',
  "it's",
  '%',
  '_',
  'ä',
  '€uro',
  '𝄞',
  '12',
  ' 7 ',
  '1e2',
  '0x10',
  '-3.5',
];
const DATES = ['2024-02-29', '1999-12-31 23:59:59', '2000-01-01T00:00', '12:34:56', '2460000.5', 'not a date'];
const JSONS = ['{"a":1,"b":[1,2,{"c":null}]}', '[1,"x",true,null,2.5]', '"text"', '7', '{"a":{"a":"deep"}}', '[]'];
const PATHS = ['$', '$.a', '$.b[1]', '$.b[2].c', '$[0]', '$[#-1]', '$.none'];
const MAX_TABLES = 4;

/** Marks the place of a parameter in generated text. */
const MARK = /\u0001(\d+)\u0002/g;

export class SqlGenerator {
  readonly #random: SeededRandom;
  #tables: Table[] = [];
  #names = 0;
  #values: Bound[] = [];
  #inTransaction = false;
  /** Definitions cannot have parameters. */
  #isDefinition = false;
  readonly #triggered = new Set<string>();

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** The next statement. */
  next(): Statement {
    this.#values = [];
    this.#isDefinition = false;
    const { sql, isQuery, isOrdered } = this.#statement();
    const parameters: Bound[] = [];
    const text = sql.replaceAll(MARK, (_, position: string) => {
      parameters.push(this.#values[Number(position)]!);
      return '?';
    });
    const literal = sql.replaceAll(MARK, (_, position: string) => literalOf(this.#values[Number(position)]!));
    return { sql: text, parameters, literal, isQuery, isOrdered };
  }

  #statement(): { sql: string; isQuery: boolean; isOrdered: boolean } {
    const random = this.#random;
    const stored = this.#tables.filter(({ isView }) => !isView);
    if (stored.length === 0 || (stored.length < MAX_TABLES && random.chance(0.06))) return effect(this.#createTable());
    const roll = random.below(100);
    if (roll < 3) return effect(this.#createIndex());
    if (roll < 5) return effect(this.#createView());
    if (roll < 8) return effect(this.#createTrigger());
    if (roll < 11) return effect(this.#alter());
    if (roll < 12) return effect(this.#drop());
    if (roll < 18) return effect(this.#transaction());
    if (roll < 20) return this.#inspect();
    if (roll < 22) return this.#mistake();
    if (roll < 42) return this.#returning(this.#insert());
    if (roll < 50) return this.#returning(this.#update());
    if (roll < 55) return this.#returning(this.#delete());
    return this.#select();
  }

  // --- Schema ---------------------------------------------------------------------------------------------------

  #name(prefix: string): string {
    return `${prefix}${++this.#names}`;
  }

  #table(): Table {
    return this.#random.pick(this.#tables.filter(({ isView }) => !isView));
  }

  #anyTable(): Table {
    return this.#random.pick(this.#tables);
  }

  #createTable(): string {
    const random = this.#random;
    this.#isDefinition = true;
    const name = this.#name('t');
    const withoutRowid = random.chance(0.2);
    const strict = random.chance(0.15);
    const columns: Column[] = [];
    const definitions = [
      withoutRowid
        ? 'id INTEGER PRIMARY KEY'
        : random.pick(['id INTEGER PRIMARY KEY', 'id INTEGER PRIMARY KEY AUTOINCREMENT']),
    ];
    columns.push({ name: 'id', type: 'INTEGER', isGenerated: false, isNocase: false });
    const count = 2 + random.below(4);
    for (let position = 0; position < count; position++) {
      const type = strict ? random.pick(['INTEGER', 'REAL', 'TEXT', 'BLOB'] as const) : random.pick(TYPES);
      const isNocase = type === 'TEXT' && random.chance(0.3);
      const column = { name: `c${position}`, type, isGenerated: false, isNocase };
      definitions.push(`${column.name} ${type}${isNocase ? ' COLLATE NOCASE' : ''}${this.#constraint(column)}`);
      columns.push(column);
    }
    const numeric = columns.find(({ type }) => type === 'INTEGER' || type === 'REAL')!;
    if (random.chance(0.4)) {
      const storage = random.pick(['STORED', 'VIRTUAL']);
      const type = strict ? 'TEXT' : random.pick(['TEXT', ''] as const);
      definitions.push(
        `g0 ${type} AS (typeof(${columns.at(-1)!.name}) || coalesce(${numeric.name}, 'none')) ${storage}`,
      );
      columns.push({ name: 'g0', type: type === '' ? 'TEXT' : type, isGenerated: true, isNocase: false });
    }
    const parent = this.#tables.find(table => !table.isView);
    if (parent !== undefined && random.chance(0.3)) {
      const action = random.pick(['CASCADE', 'SET NULL', 'RESTRICT', 'NO ACTION', 'SET DEFAULT']);
      const timing = random.pick(['', ' DEFERRABLE INITIALLY DEFERRED']);
      definitions.push(`parent INTEGER REFERENCES ${parent.name} (id) ON DELETE ${action} ON UPDATE CASCADE${timing}`);
      columns.push({ name: 'parent', type: 'INTEGER', isGenerated: false, isNocase: false });
    }
    if (random.chance(0.2)) definitions.push(`UNIQUE (${columns[1]!.name}, ${columns[2]!.name})`);
    if (random.chance(0.2)) definitions.push(`CHECK (${columns[1]!.name} IS NULL OR length(${columns[1]!.name}) < 30)`);
    const options = [...(withoutRowid ? ['WITHOUT ROWID'] : []), ...(strict ? ['STRICT'] : [])];
    this.#tables.push({ name, columns, isView: false, withoutRowid });
    return `CREATE TABLE ${name} (${definitions.join(', ')}) ${options.join(', ')}`;
  }

  #constraint({ name, type }: Column): string {
    switch (this.#random.below(9)) {
      case 0:
        return ' NOT NULL';
      case 1:
        return ' UNIQUE';
      case 2:
        return ` DEFAULT (${this.#literal(type)})`;
      case 3:
        return type === 'INTEGER' ? ` CHECK (${name} < 5000)` : ` CHECK (${name} <> 'b')`;
      case 4:
        return ` NOT NULL ON CONFLICT IGNORE DEFAULT ${this.#literal(type)}`;
      default:
        return '';
    }
  }

  #createIndex(): string {
    const random = this.#random;
    const { name, columns } = this.#table();
    const column = random.pick(columns);
    const key = random.pick([
      column.name,
      `${column.name} DESC`,
      `${column.name} COLLATE NOCASE`,
      `length(${column.name})`,
      `${column.name}, id DESC`,
      `lower(${column.name})`,
    ]);
    const where = random.chance(0.3) ? ` WHERE ${column.name} IS NOT NULL` : '';
    return `CREATE ${random.pick(['', '', 'UNIQUE '])}INDEX ${this.#name('i')} ON ${name} (${key})${where}`;
  }

  #createView(): string {
    const random = this.#random;
    this.#isDefinition = true;
    if (this.#tables.length > MAX_TABLES + 3) return this.#drop();
    const source = this.#anyTable();
    const name = this.#name('v');
    const picked = source.columns.filter(({ name: column }) => column === 'id' || random.chance(0.7));
    const columns = picked.map(column => ({ ...column, isGenerated: true }));
    this.#tables.push({ name, columns, isView: true, withoutRowid: true });
    const list = picked.map(column => column.name).join(', ');
    return `CREATE VIEW ${name} AS SELECT ${list} FROM ${source.name} WHERE ${this.#condition(references(source), 1)}`;
  }

  /** Counters are what triggers change: their result does not depend on the order of rows. */
  #createTrigger(): string {
    const random = this.#random;
    const table = this.#anyTable();
    const event = random.pick(['INSERT', 'UPDATE', 'DELETE']);
    const key = `${table.name} ${event}`;
    const target = this.#tables.find(other => !other.isView && other.name !== table.name);
    if (this.#triggered.has(key) || target === undefined) return this.#createIndex();
    this.#triggered.add(key);
    const timing = table.isView ? 'INSTEAD OF' : random.pick(['BEFORE', 'AFTER']);
    const row = event === 'DELETE' ? 'old' : 'new';
    const when = random.chance(0.4) ? ` WHEN ${row}.id % 3 <> 0` : '';
    const numeric = target.columns.find(
      ({ type, isGenerated, name }) => type === 'INTEGER' && !isGenerated && name !== 'id',
    );
    const body = random.pick([
      numeric === undefined
        ? 'SELECT 1'
        : `UPDATE ${target.name} SET ${numeric.name} = coalesce(${numeric.name}, 0) + 1 WHERE id = ${row}.id`,
      `DELETE FROM ${target.name} WHERE id = ${row}.id + 100`,
      `SELECT RAISE(${random.pick(["ABORT, 'refused'", "FAIL, 'failed'", 'IGNORE', "ROLLBACK, 'rolled back'"])}) WHERE ${row}.id > 900`,
    ]);
    return `CREATE TRIGGER ${this.#name('r')} ${timing} ${event} ON ${table.name}${when} BEGIN ${body}; END`;
  }

  #alter(): string {
    const random = this.#random;
    const table = this.#table();
    const free = table.columns.filter(({ name, isGenerated }) => !isGenerated && name !== 'id' && name !== 'parent');
    switch (random.below(4)) {
      case 0: {
        const name = this.#name('n');
        table.columns.push({ name, type: 'TEXT', isGenerated: false, isNocase: false });
        return `ALTER TABLE ${table.name} ADD COLUMN ${name} TEXT DEFAULT 'new'`;
      }
      case 1: {
        // It fails if something uses the column; then the generator is wrong about the schema, which is fine.
        const column = random.pick(free);
        return `ALTER TABLE ${table.name} DROP COLUMN ${column.name}`;
      }
      case 2: {
        const column = random.pick(free);
        const name = this.#name('m');
        table.columns[table.columns.indexOf(column)] = { ...column, name };
        return `ALTER TABLE ${table.name} RENAME COLUMN ${column.name} TO ${name}`;
      }
      default: {
        const name = this.#name('t');
        const position = this.#tables.indexOf(table);
        this.#tables[position] = { ...table, name };
        return `ALTER TABLE ${table.name} RENAME TO ${name}`;
      }
    }
  }

  #drop(): string {
    const table = this.#anyTable();
    this.#tables = this.#tables.filter(other => other !== table);
    return `DROP ${table.isView ? 'VIEW' : 'TABLE'} ${table.name}`;
  }

  // --- Changes --------------------------------------------------------------------------------------------------

  #transaction(): string {
    const random = this.#random;
    if (!this.#inTransaction) {
      this.#inTransaction = true;
      return random.pick(['BEGIN', 'BEGIN IMMEDIATE', 'BEGIN EXCLUSIVE', 'SAVEPOINT s']);
    }
    const statement = random.pick(['COMMIT', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s', 'RELEASE s', 'ROLLBACK TO s']);
    if (statement === 'COMMIT' || statement === 'ROLLBACK') this.#inTransaction = false;
    return statement;
  }

  #conflict(): string {
    return this.#random.chance(0.4)
      ? ` OR ${this.#random.pick(['IGNORE', 'REPLACE', 'FAIL', 'ABORT', 'ROLLBACK'])}`
      : '';
  }

  #insert(): Change {
    const random = this.#random;
    const table = random.chance(0.95) ? this.#table() : this.#anyTable();
    const columns = table.columns.filter(
      ({ isGenerated, name }) => !isGenerated && (name === 'id' || random.chance(0.85)),
    );
    if (columns.length === 0) return { table, sql: `INSERT INTO ${table.name} DEFAULT VALUES` };
    const into = `INTO ${table.name} (${columns.map(({ name }) => name).join(', ')})`;
    if (random.chance(0.15)) {
      const source = this.#table();
      const values = columns.map(({ name, type }) =>
        name === 'id' ? 'id + 1000' : this.#expression(references(source), type, 1),
      );
      return {
        table,
        sql: `INSERT${this.#conflict()} ${into} SELECT ${values.join(', ')} FROM ${source.name} ORDER BY id LIMIT ${random.below(4)}`,
      };
    }
    const row = (): string =>
      `(${columns.map(({ name, type }) => (name === 'id' ? this.#id() : this.#value(type))).join(', ')})`;
    const rows = Array.from({ length: 1 + random.below(3) }, row).join(', ');
    if (random.chance(0.25)) {
      const set = random.pick(
        table.columns.filter(({ isGenerated, name }) => !isGenerated && name !== 'id').concat(columns),
      );
      const update = random.pick([
        'NOTHING',
        `UPDATE SET ${set.name} = excluded.${set.name}`,
        `UPDATE SET ${set.name} = ${this.#value(set.type)} WHERE excluded.id > 10`,
      ]);
      return { table, sql: `INSERT ${into} VALUES ${rows} ON CONFLICT (id) DO ${update}` };
    }
    return { table, sql: `${random.chance(0.1) ? 'REPLACE' : `INSERT${this.#conflict()}`} ${into} VALUES ${rows}` };
  }

  #id(): string {
    return this.#random.chance(0.2) ? 'NULL' : this.#parameterOrLiteral(BigInt(this.#random.below(60)));
  }

  #update(): Change {
    const random = this.#random;
    const table = this.#table();
    const columns = table.columns.filter(({ isGenerated, name }) => !isGenerated && name !== 'id');
    const sets = [random.pick(columns)].map(
      ({ name, type }) => `${name} = ${this.#expression(references(table), type, 2)}`,
    );
    // Unique columns make the outcome of several rows depend on their order: one row, mostly.
    return { table, sql: `UPDATE${this.#conflict()} ${table.name} SET ${sets.join(', ')} WHERE id = ${this.#id()}` };
  }

  #delete(): Change {
    const table = this.#table();
    const where = this.#random.chance(0.7) ? `id = ${this.#id()}` : this.#condition(references(table), 2);
    return { table, sql: `DELETE FROM ${table.name} WHERE ${where}` };
  }

  #returning({ table, sql }: Change): { sql: string; isQuery: boolean; isOrdered: boolean } {
    // 3.40 takes RETURNING for a trigger, and inserts into views that have none.
    if (table.isView || !this.#random.chance(0.2)) return effect(sql);
    const list = table.columns.map(({ name }) => name).join(', ');
    return { sql: `${sql} RETURNING ${list}, typeof(id) AS kind`, isQuery: true, isOrdered: false };
  }

  // --- Queries --------------------------------------------------------------------------------------------------

  #select(): { sql: string; isQuery: boolean; isOrdered: boolean } {
    const random = this.#random;
    const table = this.#anyTable();
    const columns = references(table);
    const any = (depth: number): string => this.#expression(columns, random.pick(TYPES), depth);
    const where = `WHERE ${this.#condition(columns, 2)}`;
    const query = (sql: string, isOrdered = false) => ({ sql, isQuery: true, isOrdered });
    switch (random.below(12)) {
      case 0:
        return query(`SELECT * FROM ${table.name} ${where}`);
      case 1:
        return query(
          `SELECT ${any(3)} AS a, ${any(3)} AS b, id FROM ${table.name} ${where} ORDER BY ifnull(${any(1)}, NULL), id LIMIT ${random.below(20)} OFFSET ${random.below(3)}`,
          !table.isView,
        );
      case 2: {
        const key = this.#groupKey(table);
        return query(
          `SELECT ${key} AS k, count(*) AS n, ${this.#aggregate(columns)} AS a, ${this.#aggregate(columns)} AS b FROM ${table.name} ${where} GROUP BY ${key} HAVING count(*) > ${random.below(2)}`,
        );
      }
      case 3: {
        const other = this.#anyTable();
        const join = random.pick(['JOIN', 'LEFT JOIN', 'CROSS JOIN', 'RIGHT JOIN', 'FULL JOIN']);
        const both = [...references(table, 'x'), ...references(other, 'y')];
        const on = join === 'CROSS JOIN' ? '' : ` ON x.id = y.id${random.chance(0.3) ? ' + 1' : ''}`;
        return query(
          `SELECT x.id AS i, y.id AS j, ${this.#expression(both, random.pick(TYPES), 2)} AS a FROM ${table.name} AS x ${join} ${other.name} AS y${on} WHERE ${this.#condition(both, 1)}`,
        );
      }
      case 4: {
        const frame = random.pick([
          '',
          'ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING',
          'ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW',
          'GROUPS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING',
          'RANGE BETWEEN 5 PRECEDING AND 5 FOLLOWING',
        ]);
        const window = random.pick([
          'row_number()',
          'rank()',
          'dense_rank()',
          'ntile(3)',
          'lag(id, 1, -1)',
          'lead(id)',
          'count(*)',
          'sum(id)',
          'first_value(id)',
          'last_value(id)',
          'nth_value(id, 2)',
          'group_concat(id)',
          'max(id)',
          'json_group_array(id)',
        ]);
        return query(
          `SELECT id, ${window} OVER (PARTITION BY ${this.#groupKey(table)} ORDER BY id ${frame}) AS w FROM ${table.name} ${where}`,
        );
      }
      case 5: {
        const operator = random.pick(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT']);
        const other = this.#anyTable();
        return query(
          `SELECT id FROM ${table.name} ${where} ${operator} SELECT id + ${random.below(3)} FROM ${other.name}`,
        );
      }
      case 6:
        return query(
          `WITH RECURSIVE n(i, s) AS (SELECT 1, '' UNION ALL SELECT i + 1, s || i FROM n WHERE i < ${2 + random.below(8)}), m AS (SELECT id, ${any(1)} AS e FROM ${table.name}) SELECT i, s, e FROM n LEFT JOIN m ON m.id = i`,
        );
      case 7:
        return query(
          `SELECT id, (SELECT count(*) FROM ${this.#anyTable().name} AS y WHERE y.id < ${table.name}.id) AS c, EXISTS (SELECT 1 FROM ${this.#anyTable().name} WHERE id = 5) AS e, id IN (SELECT id FROM ${this.#anyTable().name}) AS f FROM ${table.name} ${where}`,
        );
      case 8:
        return query(`SELECT DISTINCT ${this.#groupKey(table)} AS k FROM ${table.name}`);
      case 9: {
        const json = this.#json(columns);
        return query(`SELECT id, ${json} AS j FROM ${table.name} ${where}`);
      }
      case 10: {
        const each = random.pick(['json_each', 'json_tree']);
        return query(
          `SELECT key, value, type, atom, fullkey, path FROM ${each}(${this.#parameterOrLiteral(random.pick(JSONS))})`,
        );
      }
      default:
        return query(`SELECT ${any(4)} AS a, ${any(4)} AS b, ${this.#date()} AS c FROM ${table.name} ${where}`);
    }
  }

  /** What groups and distinct rows can be formed by: equal values must look equal. */
  #groupKey(table: Table): string {
    const typed = table.columns.filter(
      ({ type, isGenerated }) => type === 'INTEGER' || (type === 'TEXT' && !isGenerated),
    );
    const column = this.#random.pick(typed);
    return this.#random.pick([
      column.type === 'TEXT' ? `${column.name} COLLATE BINARY` : column.name,
      `typeof(${column.name})`,
      'id % 3',
      `length(${column.name})`,
    ]);
  }

  #aggregate(columns: readonly Reference[]): string {
    const random = this.#random;
    const integer = random.pick(columns.filter(({ type }) => type === 'INTEGER')).sql;
    const any = random.pick(columns).sql;
    return random.pick([
      `sum(${integer})`,
      `total(${integer})`,
      `avg(${integer})`,
      `min(${integer})`,
      `max(${integer})`,
      `count(${any})`,
      `count(DISTINCT ${integer})`,
      `sum(${integer}) FILTER (WHERE ${integer} > 5)`,
      `max(typeof(${any}))`,
    ]);
  }

  #condition(columns: readonly Reference[], depth: number): string {
    const random = this.#random;
    const { sql, type } = random.pick(columns);
    if (depth > 1 && random.chance(0.3)) {
      const both = [this.#condition(columns, depth - 1), this.#condition(columns, depth - 1)];
      return random.pick([`(${both.join(' AND ')})`, `(${both.join(' OR ')})`, `NOT (${both[0]})`]);
    }
    const value = (): string => this.#value(type);
    switch (random.below(10)) {
      case 0:
        return `${sql} IS NULL`;
      case 1:
        return `${sql} BETWEEN ${value()} AND ${value()}`;
      case 2:
        return `${sql} IN (${value()}, ${value()}, ${this.#value('')})`;
      case 3:
        return `CAST(${sql} AS TEXT) LIKE ${this.#parameterOrLiteral(random.pick(['%a%', 'A_c', '%', '_', '1%', "%'%"]))}`;
      case 4:
        return `CAST(${sql} AS TEXT) GLOB '${random.pick(['*b*', '[a-c]*', '?', '*'])}'`;
      case 5:
        return `${sql} IS NOT ${value()}`;
      case 6:
        return '1';
      default:
        return `${sql} ${random.pick(['=', '<>', '<', '<=', '>', '>='])} ${this.#expression(columns, type, depth)}`;
    }
  }

  #expression(columns: readonly Reference[], type: Type, depth: number): string {
    const random = this.#random;
    const own = columns.filter(column => column.type === type);
    if (depth <= 0 || random.chance(0.25)) {
      return own.length > 0 && random.chance(0.7) ? random.pick(own).sql : this.#value(type);
    }
    const e = (of: Type): string => this.#expression(columns, of, depth - 1);
    switch (type) {
      case 'INTEGER':
        return random.pick([
          () => `(${e('INTEGER')} ${random.pick(['+', '-', '/', '%', '&', '|', '>>'])} ${e('INTEGER')})`,
          () => `(${e('INTEGER')} ${random.pick(['* 3', '* -2', '& 65535 << 3'])})`,
          () => `length(${e('TEXT')})`,
          () => `instr(${e('TEXT')}, ${e('TEXT')})`,
          () => `abs(${e('INTEGER')})`,
          () => `unicode(${e('TEXT')})`,
          () => `(${e('')} IS ${e('')})`,
          () => `CAST(${e('TEXT')} AS INTEGER)`,
          () => `coalesce(${e('INTEGER')}, ${e('INTEGER')}, -1)`,
          () => `CASE WHEN ${this.#condition(columns, 1)} THEN ${e('INTEGER')} ELSE ${e('INTEGER')} END`,
          () => `(~${e('INTEGER')})`,
          () => `sign(${e('REAL')})`,
          () => `max(${e('INTEGER')}, ${e('INTEGER')})`,
        ])();
      case 'REAL':
        return random.pick([
          () => `(${e('REAL')} ${random.pick(['+', '-'])} ${e('REAL')})`,
          () => `(${e('REAL')} * ${random.pick(['0.5', '2', '-4.0'])})`,
          () => `abs(${e('REAL')})`,
          () => `round(${e('REAL')})`,
          () => `CAST(${e('INTEGER')} AS REAL)`,
          () => `nullif(${e('REAL')}, ${e('REAL')})`,
          () => `min(${e('REAL')}, ${e('REAL')})`,
          () => `floor(${e('REAL')})`,
        ])();
      case 'TEXT':
        return random.pick([
          () => `(${e('TEXT')} || ${e(random.pick(TYPES))})`,
          () => `upper(${e('TEXT')})`,
          () => `lower(${e('TEXT')})`,
          () => `substr(${e('TEXT')}, ${random.below(5) - 2}, ${random.below(6) - 1})`,
          () => `replace(${e('TEXT')}, ${e('TEXT')}, 'r')`,
          () => `trim(${e('TEXT')}, ' a')`,
          () => `typeof(${e(random.pick(TYPES))})`,
          () => `hex(${e('TEXT')})`,
          () => `quote(${e(random.pick(['TEXT', 'BLOB', 'INTEGER']))})`,
          () => `printf('%d|%s|%05d', ${e('INTEGER')}, ${e('TEXT')}, ${e('INTEGER')})`,
          () => `CAST(${e('INTEGER')} AS TEXT)`,
          () => `iif(${this.#condition(columns, 1)}, ${e('TEXT')}, 'no')`,
          () => `char(97 + abs(${e('INTEGER')} % 26))`,
        ])();
      case 'BLOB':
        return random.pick([
          () => `CAST(${e('TEXT')} AS BLOB)`,
          () => `zeroblob(0)`,
          () => `substr(${e('BLOB')}, 1, 2)`,
        ])();
      case '':
        return e(random.pick(['INTEGER', 'REAL', 'TEXT', 'BLOB']));
    }
  }

  #json(columns: readonly Reference[]): string {
    const random = this.#random;
    const json = this.#parameterOrLiteral(random.pick(JSONS));
    const path = `'${random.pick(PATHS)}'`;
    const value = this.#expression(columns, random.pick(['INTEGER', 'TEXT']), 1);
    return random.pick([
      `json_extract(${json}, ${path})`,
      `${json} -> ${path}`,
      `${json} ->> ${path}`,
      `json_set(${json}, '${random.pick(PATHS.slice(1))}', ${value})`,
      `json_insert(${json}, '$.z', ${value})`,
      `json_remove(${json}, '$.a')`,
      `json_type(${json}, ${path})`,
      `json_array(${value}, ${json}, json(${json}))`,
      `json_object('k', ${value}, 'j', json(${json}))`,
      `json_array_length(${json}, ${path})`,
      `json_valid(coalesce(${value}, 'x'))`,
      `json_patch(${json}, '{"a":null,"n":1}')`,
      `json_quote(${value})`,
    ]);
  }

  #date(): string {
    const random = this.#random;
    const when = this.#parameterOrLiteral(random.pick(DATES));
    const modifier = random.pick([
      '',
      ", '+1 month'",
      ", 'start of year', '-1 day'",
      ", 'weekday 1'",
      ", '+90 minutes'",
      ", 'unixepoch'",
    ]);
    return random.pick([
      `date(${when}${modifier})`,
      `time(${when}${modifier})`,
      `datetime(${when}${modifier})`,
      `julianday(${when}${modifier})`,
      `strftime('%Y %m %d %H %M %S %j %w %s', ${when}${modifier})`,
    ]);
  }

  /** Pragmas that tell about the schema, and checks. */
  #inspect(): { sql: string; isQuery: boolean; isOrdered: boolean } {
    const random = this.#random;
    const { name } = this.#table();
    const sql = random.pick([
      'PRAGMA integrity_check',
      'PRAGMA foreign_key_check',
      `PRAGMA table_xinfo(${name})`,
      `PRAGMA foreign_key_list(${name})`,
      'PRAGMA foreign_keys',
      'SELECT type, name, tbl_name, sql FROM sqlite_schema',
      `SELECT name, "unique", origin, partial FROM pragma_index_list('${name}')`,
      'SELECT total_changes() AS t, changes() AS c, last_insert_rowid() AS i',
    ]);
    return { sql, isQuery: true, isOrdered: false };
  }

  /** Something that cannot be right. */
  #mistake(): { sql: string; isQuery: boolean; isOrdered: boolean } {
    const random = this.#random;
    const { name } = this.#table();
    const sql = random.pick([
      'SELECT nothing',
      `SELECT nothing FROM ${name}`,
      'SELECT * FROM missing',
      `INSERT INTO ${name} VALUES (1)`,
      `SELECT id FROM ${name} WHERE )`,
      'SELECT missing(1)',
      `SELECT sum(count(*)) FROM ${name}`,
      `SELECT 1 UNION SELECT 1, 2`,
      "SELECT json('{')",
      'SELECT abs(-9223372036854775808)',
      'SELECT sum(i) FROM (SELECT 9223372036854775807 AS i UNION ALL SELECT 1)',
      `SELECT (SELECT 1, 2)`,
      `SELECT zeroblob(-1) IS x'', 1 / 0 AS a, 1 % 0 AS b, -9223372036854775808 / -1 AS c, 9223372036854775807 + 1 AS d`,
    ]);
    return { sql, isQuery: !sql.startsWith('INSERT'), isOrdered: false };
  }

  // --- Values ---------------------------------------------------------------------------------------------------

  #value(type: Type): string {
    if (this.#random.chance(0.12)) return 'NULL';
    // Now and then of another type: what affinity makes of it is what matters.
    const of = this.#random.chance(0.1) ? this.#random.pick(TYPES) : type;
    return this.#random.chance(0.6) ? this.#parameter(this.#plain(of)) : literalOf(this.#plain(of));
  }

  #literal(type: Type): string {
    return literalOf(this.#plain(type));
  }

  #parameterOrLiteral(value: Bound): string {
    return this.#random.chance(0.6) ? this.#parameter(value) : literalOf(value);
  }

  #parameter(value: Bound): string {
    if (this.#isDefinition) return literalOf(value);
    this.#values.push(value);
    return `\u0001${this.#values.length - 1}\u0002`;
  }

  #plain(type: Type): Bound {
    const random = this.#random;
    switch (type) {
      case 'INTEGER':
        return random.pick([
          () => BigInt(random.below(50) - 10),
          () => BigInt(random.uint32()),
          () => random.pick([2n ** 53n + 1n, -(2n ** 40n), 0n, -1n]),
          () => random.chance(0.5),
        ])();
      case 'REAL':
        // Exact in binary and short in decimal.
        return random.pick([
          () => float((random.below(4000) - 2000) / 8),
          () => float(random.pick([0.5, -0.25, 2 ** 30 + 0.5, 0.03125])),
        ])();
      case 'TEXT':
        return random.pick(WORDS);
      case 'BLOB':
        return new TextEncoder().encode(random.pick(['', 'a', 'AB', 'blob', '12']));
      case '':
        return this.#plain(random.pick(['INTEGER', 'REAL', 'TEXT', 'BLOB']));
    }
  }
}

interface Change {
  readonly table: Table;
  readonly sql: string;
}

/** Sent as a FLOAT also if it is whole. */
function float(value: number): Bound {
  return { type: valueType.float, value };
}

function effect(sql: string): { sql: string; isQuery: boolean; isOrdered: boolean } {
  return { sql, isQuery: false, isOrdered: false };
}

function references(table: Table, alias?: string): Reference[] {
  return table.columns.map(({ name, type }) => ({ sql: alias === undefined ? name : `${alias}.${name}`, type }));
}

/** A bound value as it is written in SQL. */
export function literalOf(value: Bound): string {
  if (value === null) return 'NULL';
  switch (typeof value) {
    case 'bigint':
      return String(value);
    case 'number':
      return realLiteral(value);
    case 'boolean':
      return value ? '1' : '0';
    case 'string':
      return `'${value.replaceAll("'", "''")}'`;
    case 'object':
      if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`;
      return literalOf(value.value);
  }
}

function realLiteral(value: number): string {
  if (value === Infinity) return '9e999';
  if (value === -Infinity) return '-9e999';
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}
