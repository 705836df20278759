/** A client in a simulation: one connection to one node, with a database open. It repairs nothing. */

import { ServerConnection } from '../../src/client/connection.ts';
import { failureError } from '../../src/client/failure.ts';
import type { Net } from '../../src/host/types.ts';
import { encodeUtf8 } from '../../src/lib/bytes.ts';
import { decodeResponse, encodeRequest, RowsReader, type WireValue } from '../../src/wire/index.ts';
import { parameters, type Bound } from '../support/connection.ts';

const CONNECT_MS = 5000;

export type Value = WireValue['value'];

export class SimulatedClient {
  readonly #connection: ServerConnection;
  readonly #prepared = new Map<string, number>();

  private constructor(connection: ServerConnection) {
    this.#connection = connection;
  }

  /** Rejects with DqliteError, as all calls do. */
  static async open(net: Net, address: string, database: string): Promise<SimulatedClient> {
    const connection = await ServerConnection.open(net, address, CONNECT_MS);
    try {
      await connection.call({ kind: 'open', name: encodeUtf8(database), flags: 0n, vfs: encodeUtf8('volatile') });
    } catch (error) {
      connection.close();
      throw error;
    }
    return new SimulatedClient(connection);
  }

  /** Runs all statements of a text. Gives the last row id that they made. */
  async exec(sql: string, ...values: readonly Bound[]): Promise<number> {
    const response = await this.#connection.call({
      kind: 'execSql',
      database: 0,
      sql: encodeUtf8(sql),
      parameters: parameters(values),
    });
    if (response.kind !== 'result') throw new Error(`${response.kind} in answer to EXEC_SQL`);
    return Number(response.lastInsertId);
  }

  /** The same with a statement that is prepared once. */
  async execPrepared(sql: string, ...values: readonly Bound[]): Promise<number> {
    const statement = this.#prepared.get(sql) ?? (await this.#prepare(sql));
    const response = await this.#connection.call({
      kind: 'exec',
      database: 0,
      statement,
      parameters: parameters(values),
    });
    if (response.kind !== 'result') throw new Error(`${response.kind} in answer to EXEC`);
    return Number(response.lastInsertId);
  }

  async query(sql: string, ...values: readonly Bound[]): Promise<Value[][]> {
    const rows: Value[][] = [];
    const request = { kind: 'querySql', database: 0, sql: encodeUtf8(sql), parameters: parameters(values) } as const;
    await new Promise<void>((resolve, reject) => {
      if (this.#connection.error !== undefined) throw this.#connection.error;
      encodeRequest(this.#connection.writer, request);
      this.#connection.submit({
        message: ({ type, schema, body }) => {
          const response = decodeResponse(type, schema, body);
          if (response.kind === 'failure') {
            reject(failureError(response, undefined));
            return true;
          }
          if (response.kind !== 'rows') throw new Error(`${response.kind} in answer to QUERY_SQL`);
          const reader = new RowsReader(response.body);
          reader.columnNames();
          for (let row = reader.row(); row !== undefined; row = reader.row()) rows.push(row.map(({ value }) => value));
          if (reader.done) resolve();
          return reader.done;
        },
        broken: reject,
      });
    });
    return rows;
  }

  /** Leaves without a word. */
  close(): void {
    this.#connection.close();
  }

  async #prepare(sql: string): Promise<number> {
    const response = await this.#connection.call({ kind: 'prepare', schema: 0, database: 0, sql: encodeUtf8(sql) });
    if (response.kind !== 'stmt') throw new Error(`${response.kind} in answer to PREPARE`);
    this.#prepared.set(sql, response.statement);
    return response.statement;
  }
}
