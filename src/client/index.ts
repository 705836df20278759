/** The client: `connect({ servers, database })`. Loads neither WebAssembly nor raft. */

import { nodeHost } from '../host/index.ts';
import { Client, type ClientOptions } from './client.ts';

export { DqliteError, type ErrorCode } from '../lib/errors.ts';
export { Client, type ClientOptions, type ExecResult, type Parameter, type QueryResult, type Value } from './client.ts';
export { ServerConnection } from './connection.ts';
export { connectToLeader } from './leader.ts';

/** Connects to the leader of a cluster and opens a database there, creating it at first use. */
export function connect(options: Omit<ClientOptions, 'net'>): Promise<Client> {
  return Client.connect({ net: nodeHost().net, ...options });
}
