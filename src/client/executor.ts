/** What the client and a transaction have in common: the ways to say which statement to run. */

import { DqliteError } from '../lib/errors.ts';
import type { Collected } from './call.ts';
import { withHelpers, type Fragment, type SqlHelpers, type TemplateValue } from './fragment.ts';
import { checkParameters } from './parameters.ts';
import type { Bound, Plan, Plans } from './plan.ts';
import { Query, type Runner } from './query.ts';
import type { RowFormat } from './row-decoder.ts';
import { RowIterator, type OpenedStream } from './row-iterator.ts';
import { Statement } from './statement.ts';
import type {
  BatchStatement,
  CallOptions,
  ExecResult,
  Parameter,
  QueryOptions,
  Row,
  RowOptions,
  Value,
} from './types.ts';

/** `` db.sql`...` ``: a query, with the helpers that `sql` has. */
export interface QueryTag extends SqlHelpers {
  <R = Row>(strings: TemplateStringsArray, ...values: readonly TemplateValue[]): Query<R>;
}

export interface Defaults {
  readonly integers: 'number' | 'bigint';
  readonly dates: 'stored' | 'date';
  readonly timeoutMs: number;
}

export abstract class Executor implements Runner {
  readonly #plans: Plans;
  protected readonly defaults: Defaults;

  /**
   * Runs the SQL of a template; each `${value}` is sent as a parameter and can never become SQL. Nothing is sent until
   * the query is awaited or iterated. A query can also stand in another template.
   *
   *     const users = await db.sql<User>`SELECT * FROM user WHERE id = ${id}`;
   *     for await (const row of db.sql`SELECT * FROM log`) console.log(row);
   */
  readonly sql: QueryTag = withHelpers(
    <R = Row>(strings: TemplateStringsArray, ...values: readonly TemplateValue[]) => {
      const bound = this.#plans.ofTemplate(strings, values);
      return this.#query<R>(bound.plan, bound.parameters, {});
    },
  );

  constructor(plans: Plans, defaults: Defaults) {
    this.#plans = plans;
    this.defaults = defaults;
  }

  /** A query from text and values for its `?`. Sent when it is awaited or iterated, as with `sql`. */
  query(
    sql: string,
    parameters: readonly Parameter[] | undefined,
    options: QueryOptions & { readonly rows: 'array' },
  ): Query<Value[]>;
  query<R = Row>(
    sql: string,
    parameters?: readonly Parameter[],
    options?: QueryOptions & { readonly rows?: 'object' | undefined },
  ): Query<R>;
  query(sql: string, parameters: readonly Parameter[] = [], options: QueryOptions = {}): Query<unknown> {
    const plan = this.#plans.of(sql);
    plan.checkParameters(parameters.length);
    return this.#query(plan, parameters, options);
  }

  #query<R>(plan: Plan, parameters: readonly Parameter[], options: QueryOptions): Query<R> {
    if (plan.statements.length > 1) {
      throw new DqliteError('USAGE', `${plan.statements.length} statements in one query`, {
        hint: 'exec() runs several, batch() runs them as one transaction',
        sql: plan.sql,
      });
    }
    checkParameters(parameters);
    this.checkPlan(plan);
    return new Query<R>(this, { plan, parameters }, options);
  }

  /**
   * Runs a statement, or several, for effect. Several are not a transaction: those before one that fails stay in
   * effect (see `batch`). Rejects with DqliteError; statements that give rows are DqliteError USAGE.
   */
  async exec(sql: string, parameters: readonly Parameter[] = [], options: CallOptions = {}): Promise<ExecResult> {
    const plan = this.#plans.of(sql);
    plan.checkParameters(parameters.length);
    checkParameters(parameters);
    this.checkPlan(plan);
    for (const statement of plan.statements) {
      if (!statement.givesRows || statement.verb === 'PRAGMA') continue;
      throw new DqliteError('USAGE', `${statement.verb}${statement.returning ? ' ... RETURNING' : ''} gives rows`, {
        hint: 'use query() or a template',
        sql,
      });
    }
    const { rowsAffected, lastInsertId } = await this.collect({ plan, parameters }, options);
    return { rowsAffected, lastInsertId };
  }

  /**
   * A statement to be run often: each connection compiles it once. Close it when it is not needed any more.
   *
   *     const byId = db.prepare<User>('SELECT * FROM user WHERE id = ?');
   *     const [user] = await byId.query([id]);
   */
  prepare(sql: string, options: RowOptions & { readonly rows: 'array' }): Statement<Value[]>;
  prepare<R = Row>(sql: string, options?: RowOptions & { readonly rows?: 'object' | undefined }): Statement<R>;
  prepare(sql: string, options: RowOptions = {}): Statement<unknown> {
    const statement = new Statement<unknown>(this, sql, options, plan => this.finalize(plan));
    this.checkPlan(statement.plan);
    return statement;
  }

  /**
   * Runs statements as one transaction: all of them take effect, or none. Where the server can, it is one request.
   * Gives what the last one has done.
   */
  abstract batch(
    statements: readonly (string | BatchStatement | Fragment)[],
    options?: CallOptions,
  ): Promise<ExecResult>;

  abstract collect(bound: Bound, options: QueryOptions): Promise<Collected>;

  /** A write with RETURNING runs to its end before its rows can be given; other rows come as they are found. */
  iterate(bound: Bound, options: QueryOptions): AsyncIterableIterator<unknown> {
    if (bound.plan.first.returning || !bound.plan.givesRows) return this.#iterateCollected(bound, options);
    return new RowIterator(() => this.openStream(bound, options));
  }

  async *#iterateCollected(bound: Bound, options: QueryOptions): AsyncGenerator<unknown, void> {
    const { rows } = await this.collect(bound, options);
    yield* rows;
  }

  /** Starts a query whose rows are taken one by one. */
  protected abstract openStream(bound: Bound, options: QueryOptions): Promise<OpenedStream>;

  /** Nobody will run it again. */
  protected abstract finalize(plan: Plan): void;

  /** Throws DqliteError USAGE for what must not be run here. */
  protected abstract checkPlan(plan: Plan): void;

  protected format({ rows, integers, dates }: RowOptions): RowFormat {
    const { defaults } = this;
    return {
      asArrays: rows === 'array',
      bigints: (integers ?? defaults.integers) === 'bigint',
      dates: (dates ?? defaults.dates) === 'date',
      booleans: true,
    };
  }

  /** What `batch` was given, checked. */
  protected bindAll(statements: readonly (string | BatchStatement | Fragment)[]): Bound[] {
    return statements.map((statement, i) => {
      const { sql, parameters = [] } = typeof statement === 'string' ? { sql: statement } : statement;
      const plan = this.#plans.of(sql);
      plan.checkParameters(parameters.length);
      checkParameters(parameters);
      this.checkPlan(plan);
      if (plan.statements.length > 1 || plan.givesRows) {
        const defect = plan.givesRows ? 'gives rows' : 'is several statements';
        throw new DqliteError('USAGE', `statement ${i + 1} of the batch ${defect}`, {
          hint: plan.givesRows ? 'use transaction()' : 'give them one by one',
          sql,
        });
      }
      return { plan, parameters };
    });
  }
}
