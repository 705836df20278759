/** What import and export need of a server: the only place that knows the client. */

import { connectToLeader, queryParts, type ServerConnection } from '../client/leader-connection.ts';
import type { Host } from '../host/index.ts';
import { encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { ParameterTuple, RowsReader, type ParameterValue, type WireValue } from '../wire/index.ts';

export interface DumpedDatabase {
  readonly main: Uint8Array;
  /** C dqlite 1.11 keeps a part of the content here; empty otherwise. */
  readonly wal: Uint8Array;
}

/** All methods reject with DqliteError. */
export interface Server {
  readonly address: string;
  /** Runs statements for effect. Text parameters have no NUL. */
  exec(sql: string, parameters?: readonly ParameterValue[]): Promise<void>;
  /** The rows of a query. */
  rows(sql: string): Promise<WireValue['value'][][]>;
  dump(database: string): Promise<DumpedDatabase>;
  close(): void;
}

/** Connects to the leader, and opens a database there if one is named, which makes it. */
export async function connectServer(host: Host, servers: readonly string[], database?: string): Promise<Server> {
  const connection = await connectToLeader(host, servers);
  try {
    await connection.call({ kind: 'client', id: 0n });
    if (database !== undefined) {
      await connection.call({ kind: 'open', name: encodeUtf8(database), flags: 0n, vfs: encodeUtf8('volatile') });
    }
  } catch (error) {
    connection.close();
    throw error;
  }
  return new ConnectedServer(connection);
}

class ConnectedServer implements Server {
  readonly #connection: ServerConnection;

  constructor(connection: ServerConnection) {
    this.#connection = connection;
  }

  get address(): string {
    return this.#connection.address;
  }

  async exec(sql: string, parameters: readonly ParameterValue[] = []): Promise<void> {
    await this.#connection.call({
      kind: 'execSql',
      database: 0,
      sql: encodeUtf8(sql),
      parameters: ParameterTuple.of(parameters),
    });
  }

  async rows(sql: string): Promise<WireValue['value'][][]> {
    const rows: WireValue['value'][][] = [];
    await queryParts(
      this.#connection,
      { kind: 'querySql', database: 0, sql: encodeUtf8(sql), parameters: ParameterTuple.of([]) },
      body => {
        const reader = new RowsReader(body);
        reader.columnNames();
        for (let row = reader.row(); row !== undefined; row = reader.row()) rows.push(row.map(({ value }) => value));
        return reader.done;
      },
    );
    return rows;
  }

  async dump(database: string): Promise<DumpedDatabase> {
    const response = await this.#connection.call({ kind: 'dump', name: encodeUtf8(database) });
    if (response.kind !== 'files') throw new DqliteError('PROTOCOL', `${response.kind} in answer to a dump`);
    const [main, wal] = response.files;
    return { main: main?.content ?? new Uint8Array(0), wal: wal?.content ?? new Uint8Array(0) };
  }

  close(): void {
    this.#connection.close();
  }
}
