/** A statement that is run often: compiled once per connection, then sent by number. */

import { checkParameters } from './parameters.ts';
import { Plan, type Bound } from './plan.ts';
import { Query, type Runner } from './query.ts';
import { DqliteError } from '../lib/errors.ts';
import type { CallOptions, ExecResult, Parameter, QueryOptions, Row, RowOptions, Value } from './types.ts';

export class Statement<R> {
  readonly plan: Plan;
  readonly #runner: Runner;
  readonly #options: RowOptions;
  readonly #finalize: (plan: Plan) => void;
  #isClosed = false;

  constructor(runner: Runner, sql: string, options: RowOptions, finalize: (plan: Plan) => void) {
    this.plan = new Plan(sql, { prepared: true });
    if (this.plan.statements.length > 1) {
      throw new DqliteError('USAGE', 'a prepared statement is one statement', { sql });
    }
    this.#runner = runner;
    this.#options = options;
    this.#finalize = finalize;
  }

  /** Sent when it is awaited or iterated. */
  query(
    parameters: readonly Parameter[] | undefined,
    options: QueryOptions & { readonly rows: 'array' },
  ): Query<Value[]>;
  query(
    parameters: readonly Parameter[] | undefined,
    options: QueryOptions & { readonly rows: 'object' },
  ): Query<R extends readonly Value[] ? Row : R>;
  query(parameters?: readonly Parameter[], options?: QueryOptions & { readonly rows?: undefined }): Query<R>;
  query(parameters: readonly Parameter[] = [], options: QueryOptions = {}): Query<unknown> {
    return new Query(this.#runner, this.#bind(parameters), { ...this.#options, ...options });
  }

  /** For a statement without rows. */
  run(parameters: readonly Parameter[] = [], options: CallOptions = {}): Promise<ExecResult> {
    return new Query<R>(this.#runner, this.#bind(parameters), options).run();
  }

  #bind(parameters: readonly Parameter[]): Bound {
    const { plan } = this;
    if (this.#isClosed) throw new DqliteError('CLOSED', 'the statement was closed', { sql: plan.sql });
    plan.checkParameters(parameters.length);
    checkParameters(parameters);
    return { plan, parameters };
  }

  /** The servers may forget it. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#finalize(this.plan);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
