/** A single connection to the leader, for tools that speak the protocol themselves: client's second exit, not published. */

import { DqliteError } from '../lib/errors.ts';
import { decodeResponse, encodeRequest, type Request } from '../wire/index.ts';
import type { ServerConnection } from './connection.ts';
import { clientChannels } from './events.ts';
import { failureError } from './failure.ts';
import { sleep, type ClientHost } from './host.ts';
import { LeaderFinder } from './leader.ts';
import { checkServers } from './options.ts';

export type { ServerConnection };

const CONNECT_MS = 5000;
const WAIT_MS = 10_000;
const PAUSE_MS = 100;

/** Rejects with DqliteError NO_LEADER, which lists each server's answer, if there is none for some seconds. */
export async function connectToLeader(host: ClientHost, servers: readonly string[]): Promise<ServerConnection> {
  checkServers(servers);
  const finder = new LeaderFinder(host, servers, CONNECT_MS, clientChannels());
  const endMs = host.clock.monotonicMs() + WAIT_MS;
  for (;;) {
    try {
      return await finder.connect();
    } catch (error) {
      if (host.clock.monotonicMs() > endMs) throw error;
      await sleep(host.clock, PAUSE_MS);
    }
  }
}

/** Sends a query and gives each ROWS body to `part`, which says whether it was the last. Rejects with DqliteError. */
export function queryParts(
  connection: ServerConnection,
  request: Request,
  part: (body: Uint8Array) => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (connection.error !== undefined) throw connection.error;
    encodeRequest(connection.writer, request);
    connection.submit({
      message: ({ type, schema, body }) => {
        const response = decodeResponse(type, schema, body);
        if (response.kind === 'failure') {
          reject(failureError(response, undefined));
          return true;
        }
        if (response.kind !== 'rows') throw new DqliteError('PROTOCOL', `${response.kind} in answer to a query`);
        const isLast = part(response.body);
        if (isLast) resolve();
        return isLast;
      },
      broken: reject,
    });
  });
}
