/** The option `-s`, which names servers. */

import { parseAddress } from '../host/index.ts';
import { messageOf } from '../lib/errors.ts';
import { UsageError } from './usage.ts';

export const SERVERS_OPTION = { type: 'string', short: 's', multiple: true } as const;

/** Addresses from `-s host:port,host:port`, which may come more than once. Throws UsageError. */
export function serversOption(texts: readonly string[] | undefined, usage: string, option = '-s'): string[] {
  const servers = (texts ?? []).flatMap(text => text.split(',')).filter(text => text !== '');
  if (servers.length === 0) throw new UsageError(`${option} is needed: the address of a server, or of several`, usage);
  for (const server of servers) {
    try {
      parseAddress(server);
    } catch (error) {
      throw new UsageError(`${option}: ${messageOf(error)}: write host:port, [ipv6]:port or @name`, usage);
    }
  }
  return servers;
}
