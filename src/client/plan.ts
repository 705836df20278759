/** What is known about a statement before it is sent, kept for the next time: its text as bytes, what it does, its columns. */

import { encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { buildFragment, Fragment, type TemplateValue } from './fragment.ts';
import type { RowShape } from './row-decoder.ts';
import { scanSql, type StatementText } from './sql-text.ts';
import type { BoundValue } from './parameters.ts';
import type { Parameter } from './types.ts';

export interface PlanOptions {
  readonly prepared?: boolean;
  readonly isAtomic?: boolean;
  /** Comments at the end are sent: SQLite keeps them with what it creates. */
  readonly keepsComments?: boolean;
}

export class Plan {
  readonly sql: string;
  /** The text as it is sent: up to the last statement's end, because old servers lose the result if something follows. */
  readonly bytes: Uint8Array;
  readonly statements: readonly StatementText[];
  /** A script that is one transaction: all of it takes effect, or nothing. */
  readonly #isAtomic: boolean;
  /** To be prepared on each connection that runs it, instead of sending the text each time. */
  readonly prepared: boolean;
  /** Columns of the last result. */
  shape: RowShape | undefined = undefined;

  constructor(sql: string, { prepared = false, isAtomic = false, keepsComments = false }: PlanOptions = {}) {
    if (sql.includes('\0')) throw new DqliteError('USAGE', 'SQL cannot have a NUL character inside', { sql });
    const { statements, end } = scanSql(sql);
    this.sql = sql;
    this.bytes = encodeUtf8(keepsComments ? sql : sql.slice(0, end));
    this.statements = statements;
    this.prepared = prepared;
    this.#isAtomic = isAtomic;
    if (statements.length === 0) throw new DqliteError('USAGE', 'the SQL text has no statement in it', { sql });
  }

  get first(): StatementText {
    return this.statements[0]!;
  }

  /** Takes effect as a whole or not at all. */
  get isSingle(): boolean {
    return this.statements.length === 1 || this.#isAtomic;
  }

  /** Changes nothing: may be run again whatever happened. */
  get isRead(): boolean {
    return this.statements.length === 1 && this.first.isRead;
  }

  get givesRows(): boolean {
    return this.first.givesRows;
  }

  /** Throws DqliteError USAGE if so many values cannot be right. */
  checkParameters(count: number): void {
    if (this.statements.length > 1) {
      if (count === 0) return;
      throw new DqliteError('USAGE', 'several statements in one text cannot have parameters', {
        hint: 'use batch([{ sql, parameters }, ...])',
        sql: this.sql,
      });
    }
    const { parameterCount } = this.first;
    if (count === parameterCount) return;
    throw new DqliteError('USAGE', `the statement has ${parameterCount} parameters, ${count} values were given`, {
      sql: this.sql,
    });
  }
}

/** A plan with its values. */
export interface Bound<V extends BoundValue = Parameter> {
  readonly plan: Plan;
  readonly parameters: readonly V[];
}

/** Plans that are kept, those used last. */
const MAX_PLANS = 500;
/** Longer texts are not kept: they are hardly ever sent twice. */
const MAX_KEPT_SQL = 10_000;

export class Plans {
  readonly #bySql = new Map<string, Plan>();
  /** Templates in which all values are parameters have the same text each time. */
  #byTemplate = new WeakMap<readonly string[], Plan>();

  of(sql: string): Plan {
    const kept = this.#bySql.get(sql);
    if (kept !== undefined) return kept;
    const plan = new Plan(sql);
    if (sql.length > MAX_KEPT_SQL) return plan;
    if (this.#bySql.size >= MAX_PLANS) {
      // A map keeps the order of insertion: the oldest half goes.
      for (const key of [...this.#bySql.keys()].slice(0, MAX_PLANS / 2)) this.#bySql.delete(key);
    }
    this.#bySql.set(sql, plan);
    return plan;
  }

  /** Throws DqliteError USAGE. */
  ofTemplate(strings: readonly string[], values: readonly TemplateValue[]): Bound {
    const kept = this.#byTemplate.get(strings);
    if (kept !== undefined && values.every(isParameter)) return { plan: kept, parameters: values as Parameter[] };
    const bound = this.ofFragment(buildFragment(strings, values));
    if (values.every(isParameter)) this.#byTemplate.set(strings, bound.plan);
    return bound;
  }

  /** Throws DqliteError USAGE. */
  ofFragment({ sql, parameters }: Fragment): Bound {
    const plan = this.of(sql);
    const expected = plan.statements.reduce((sum, { parameterCount }) => sum + parameterCount, 0);
    if (expected !== parameters.length) {
      throw new DqliteError('USAGE', `a template with ${parameters.length} values has ${expected} places for them`, {
        hint: 'do not put quotes around ${}, and write no ? or :name of your own',
        sql,
      });
    }
    return { plan, parameters };
  }
}

function isParameter(value: TemplateValue): boolean {
  return !(value instanceof Fragment) && !Array.isArray(value);
}
