/** A client of one database: finds the leader, runs statements. */

import type { Net } from '../host/types.ts';
import { DqliteError } from '../lib/errors.ts';
import { encodeUtf8 } from '../lib/bytes.ts';
import { ParameterTuple, RowsReader, valueType, type ParameterValue, type WireValue } from '../wire/index.ts';
import type { ServerConnection } from './connection.ts';
import { connectToLeader } from './leader.ts';

/** What can be bound. Integers beyond 2^53 must be bigints. */
export type Parameter = null | number | bigint | string | boolean | Uint8Array | Date;

/** What a row holds. INTEGER is a number, or a bigint beyond 2^53; a date column's integer likewise (seconds since 1970). */
export type Value = null | number | bigint | string | boolean | Uint8Array;

export interface ExecResult {
  readonly lastInsertId: bigint;
  readonly rowsAffected: number;
}

export interface QueryResult {
  readonly columns: readonly string[];
  readonly rows: Value[][];
}

export interface ClientOptions {
  /** Addresses as the cluster knows them: `host:port` or `@name`. */
  readonly servers: readonly string[];
  /** Created at first use. */
  readonly database: string;
  readonly net: Net;
}

export class Client {
  readonly #connection: ServerConnection;

  private constructor(connection: ServerConnection) {
    this.#connection = connection;
  }

  /** Rejects with DqliteError NO_LEADER, CONNECTION or SQLITE. */
  static async connect({ servers, database, net }: ClientOptions): Promise<Client> {
    const connection = await connectToLeader(net, servers);
    try {
      await connection.call({ kind: 'client', id: 0n });
      await connection.call({ kind: 'open', name: encodeUtf8(database), flags: 0n, vfs: encodeUtf8('volatile') });
    } catch (error) {
      connection.close();
      throw error;
    }
    return new Client(connection);
  }

  /** The leader's address. */
  get server(): string {
    return this.#connection.address;
  }

  /** Runs all statements of a text, for effect. Rejects with DqliteError SQLITE. */
  async exec(sql: string, parameters: readonly Parameter[] = []): Promise<ExecResult> {
    const response = await this.#connection.call({
      kind: 'execSql',
      database: 0,
      sql: encodeUtf8(sql),
      parameters: ParameterTuple.of(parameters.map(parameterValue)),
    });
    if (response.kind !== 'result') throw new DqliteError('PROTOCOL', `${response.kind} in answer to a statement`);
    return { lastInsertId: response.lastInsertId, rowsAffected: response.rowsAffected };
  }

  /** Runs one statement and collects its rows. Rejects with DqliteError SQLITE. */
  async query(sql: string, parameters: readonly Parameter[] = []): Promise<QueryResult> {
    let columns: readonly string[] = [];
    const rows: Value[][] = [];
    await this.#connection.query(
      {
        kind: 'querySql',
        database: 0,
        sql: encodeUtf8(sql),
        parameters: ParameterTuple.of(parameters.map(parameterValue)),
      },
      body => {
        const reader = new RowsReader(body);
        columns = reader.columnNames();
        for (let row = reader.row(); row !== undefined; row = reader.row()) rows.push(row.map(valueOf));
        return reader.done;
      },
    );
    return { columns, rows };
  }

  close(): void {
    this.#connection.close();
  }
}

function parameterValue(value: Parameter): ParameterValue {
  switch (typeof value) {
    case 'number':
      return Number.isSafeInteger(value)
        ? { type: valueType.integer, value: BigInt(value) }
        : { type: valueType.float, value };
    case 'bigint':
      return { type: valueType.integer, value };
    case 'string':
      return { type: valueType.text, value };
    case 'boolean':
      return { type: valueType.boolean, value };
    case 'object':
      if (value === null) return { type: valueType.null, value };
      if (value instanceof Date) return { type: valueType.iso8601, value: value.toISOString() };
      return { type: valueType.blob, value };
  }
}

function valueOf(value: WireValue): Value {
  switch (value.type) {
    case valueType.integer:
    case valueType.unixtime: {
      const number = Number(value.value);
      return Number.isSafeInteger(number) ? number : value.value;
    }
    case valueType.float:
    case valueType.text:
    case valueType.blob:
    case valueType.null:
    case valueType.iso8601:
    case valueType.boolean:
      return value.value;
  }
}
