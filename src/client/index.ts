/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The client: `connect({ servers, database })`. Works with every dqlite server. Loads neither WebAssembly nor raft.
 *
 *     await using db = await connect({ servers: ['127.0.0.1:9001'], database: 'app.db' });
 *     const users = await db.sql<{ id: number; name: string }>`SELECT id, name FROM user WHERE id > ${10}`;
 */

import { nodeHost } from '../host/index.ts';
import { Client } from './client.ts';
import { Cluster } from './cluster.ts';
import { clientChannels } from './events.ts';
import { LeaderFinder } from './leader.ts';
import { checkServers } from './options.ts';
import type { ConnectOptions } from './types.ts';

export { DqliteError, type ErrorCode } from '../lib/errors.ts';
export { Client } from './client.ts';
export { Cluster, type DatabaseFile, type ServerDescription } from './cluster.ts';
export type { ConnectEvent, FailoverEvent, QueryEvent, RetryEvent, TransactionEvent } from './events.ts';
export type { QueryTag } from './executor.ts';
export { Fragment, sql, type SqlBuilder, type SqlHelpers, type TemplateValue } from './fragment.ts';
export type { PoolState } from './pool.ts';
export { Query } from './query.ts';
export { Reserved } from './reserved.ts';
export { Statement } from './statement.ts';
export { Transaction } from './transaction.ts';
export type {
  BatchStatement,
  CallOptions,
  Column,
  ConnectOptions,
  ExecResult,
  Parameter,
  PoolOptions,
  QueryOptions,
  QueryResult,
  Row,
  RowOptions,
  Server,
  ServerRole,
  TransactionOptions,
  Value,
} from './types.ts';

/**
 * Finds the leader and opens a database there, creating it at first use. Close the client when it is not needed any
 * more: its connections keep the process running.
 *
 * Rejects with DqliteError USAGE for wrong options, NO_LEADER (the message lists every server's answer) if no leader is
 * found within `acquireTimeoutMs`, SQLITE if the server does not open the database.
 */
export function connect(options: ConnectOptions): Promise<Client> {
  return Client.connect(options, nodeHost());
}

/** For who has servers and no database in mind: looking at a cluster, and changing it. Holds no connection. */
export function administer({
  servers,
  connectTimeoutMs = 5000,
  acquireTimeoutMs = 10_000,
}: {
  readonly servers: readonly string[];
  /** To reach one server. */
  readonly connectTimeoutMs?: number;
  /** How long a leader is looked for. */
  readonly acquireTimeoutMs?: number;
}): Cluster {
  checkServers(servers);
  const host = nodeHost();
  const finder = new LeaderFinder(host, servers, connectTimeoutMs, clientChannels());
  return new Cluster(host, finder, { connectTimeoutMs, acquireTimeoutMs });
}
