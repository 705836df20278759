/**
 * A query that has not been sent yet. Awaiting it sends it and gives its rows; `for await` sends it and gives its rows
 * as they arrive.
 */

import { DqliteError } from '../lib/errors.ts';
import type { Collected } from './call.ts';
import { Fragment } from './fragment.ts';
import type { Bound } from './plan.ts';
import type { ExecResult, QueryOptions, QueryResult, Row, Value } from './types.ts';

/** What runs queries: the client, or a transaction. */
export interface Runner {
  collect(bound: Bound, options: QueryOptions): Promise<Collected>;
  iterate(bound: Bound, options: QueryOptions): AsyncIterableIterator<unknown>;
}

export class Query<R> extends Fragment implements Promise<R[]>, AsyncIterable<R> {
  readonly [Symbol.toStringTag] = 'Query';
  readonly #runner: Runner;
  readonly #bound: Bound;
  readonly #options: QueryOptions;
  #rows: Promise<R[]> | undefined = undefined;

  constructor(runner: Runner, bound: Bound, options: QueryOptions) {
    super(bound.plan.sql, bound.parameters);
    this.#runner = runner;
    this.#bound = bound;
    this.#options = options;
  }

  /** The same query with other options: a signal, a timeout, how rows are given. */
  with(options: QueryOptions & { readonly rows: 'array' }): Query<Value[]>;
  with(options: QueryOptions & { readonly rows: 'object' }): Query<R extends readonly Value[] ? Row : R>;
  with(options: QueryOptions & { readonly rows?: undefined }): Query<R>;
  with(options: QueryOptions): Query<unknown> {
    return new Query(this.#runner, this.#bound, { ...this.#options, ...options });
  }

  /** All rows. Sent once, however often it is awaited. Rejects with DqliteError, or RangeError (see `Value`). */
  // A thenable on purpose: `await` is how a query is sent.
  // oxlint-disable-next-line unicorn/no-thenable
  then<A = R[], B = never>(
    onRows?: ((rows: R[]) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#rows ??= this.#collectRows();
    return this.#rows.then(onRows, onError);
  }

  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<R[] | B> {
    return this.then(undefined, onError);
  }

  finally(onEnd?: (() => void) | null): Promise<R[]> {
    return this.then().finally(onEnd);
  }

  async #collectRows(): Promise<R[]> {
    const { rows } = await this.#runner.collect(this.#bound, this.#options);
    return rows as R[];
  }

  /** The first row, or undefined. The others are received and dropped: write LIMIT 1 if there are many. */
  async first(): Promise<R | undefined> {
    return (await this)[0];
  }

  /** Rows with what belongs to them: columns, and what the statement has done. */
  async result(): Promise<QueryResult<R>> {
    const { rows, columns, rowsAffected, lastInsertId } = await this.#runner.collect(this.#bound, this.#options);
    return { columns, rows: rows as R[], rowsAffected, lastInsertId };
  }

  /** What a statement without rows has done. DqliteError USAGE for one that gives rows. */
  async run(): Promise<ExecResult> {
    if (this.#bound.plan.givesRows) {
      throw new DqliteError('USAGE', 'run() is for statements without rows', {
        hint: 'await the query itself',
        sql: this.sql,
      });
    }
    const { rowsAffected, lastInsertId } = await this.#runner.collect(this.#bound, this.#options);
    return { rowsAffected, lastInsertId };
  }

  /** Rows as they arrive: a slow loop slows the server down, and ends the query on the server when it is left. */
  [Symbol.asyncIterator](): AsyncIterableIterator<R> {
    return this.#runner.iterate(this.#bound, this.#options) as AsyncIterableIterator<R>;
  }
}
