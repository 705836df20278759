/** Finding the leader: each server is asked who leads, and who is named is asked in turn (wire spec section 7.2). */

import type { Net } from '../host/types.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import { ServerConnection } from './connection.ts';

/** A connection to the leader. Rejects with DqliteError NO_LEADER, which lists each server's answer. */
export async function connectToLeader(net: Net, servers: readonly string[]): Promise<ServerConnection> {
  const answers: string[] = [];
  const toAsk = [...servers];
  const asked = new Set<string>();
  for (let address = toAsk.shift(); address !== undefined; address = toAsk.shift()) {
    if (asked.has(address)) continue;
    asked.add(address);
    let connection: ServerConnection | undefined;
    try {
      connection = await ServerConnection.open(net, address);
      const answer = await connection.call({ kind: 'leader' });
      const leader = answer.kind === 'server' ? answer.address : '';
      if (leader === address) return connection;
      answers.push(leader === '' ? `${address} knows no leader` : `${address} names ${leader}`);
      if (leader !== '') toAsk.unshift(leader);
    } catch (error) {
      answers.push(`${address}: ${messageOf(error)}`);
    }
    connection?.close();
  }
  throw new DqliteError('NO_LEADER', `no server leads: ${answers.join('; ')}`, {
    hint: 'is a majority of the servers running, and are these their addresses as the cluster knows them?',
  });
}
