/** `dqlite-node cluster`: administration of a cluster, one step per run. */

import { LeaderAccess } from '../client/internal.ts';
import { nodeHost } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import {
  DESCRIPTION_COLUMNS,
  describeServers,
  serverId,
  serverNamed,
  serverRole,
  transferLeadership,
} from './cluster-admin.ts';
import { Output } from './sql-io.ts';
import { formatter, type Mode } from './sql-modes.ts';
import type { SqlValue } from './sql-session.ts';
import { SERVERS_OPTION, serversOption } from './servers.ts';
import { closestOf, UsageError, readArguments } from './usage.ts';

const USAGE = `dqlite-node cluster -s <host:port,...> <command> [--json]

  list                      the servers with their roles, and which one leads
  add ID ADDRESS [ROLE]     add a server, as a spare unless a role is given
  assign SERVER ROLE        give a server a role: voter, standby, spare
  remove SERVER             remove a server
  transfer [SERVER]         hand the leadership to a voter, or to one that the leader chooses
  describe [ADDRESS]        failure domain and weight of one server, or of all

  -s, --servers LIST        addresses of the cluster's servers, separated by commas; one that answers is enough
  --json                    print JSON

SERVER is an address, as the cluster knows it, or an id.`;

const OPTIONS = {
  servers: SERVERS_OPTION,
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** The words that each command takes, as the usage has them. */
const COMMANDS: Readonly<Record<string, string>> = {
  list: '',
  add: 'ID ADDRESS [ROLE]',
  assign: 'SERVER ROLE',
  remove: 'SERVER',
  transfer: '[SERVER]',
  describe: '[ADDRESS]',
};

export async function clusterCommand(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const [command, ...rest] = positionals;
  if (command === undefined) throw new UsageError('a command is needed', USAGE);
  const words = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
  if (words === undefined) {
    const meant = closestOf(command, Object.keys(COMMANDS));
    throw new UsageError(`there is no command "cluster ${command}"${meant}`, USAGE);
  }
  const names = words.split(' ').filter(word => word !== '');
  const missing = names.filter(name => !name.startsWith('[')).slice(rest.length);
  if (missing.length > 0) throw new UsageError(`cluster ${command}: ${missing.join(' ')} is missing`, USAGE);
  if (rest.length > names.length) throw new UsageError(`"${rest[names.length]}" is one word too many`, USAGE);
  const { cluster } = new LeaderAccess(nodeHost(), serversOption(values.servers, USAGE));
  const mode: Mode = values.json === true ? 'json' : process.stdout.isTTY ? 'box' : 'list';
  const [first, second, third] = rest;
  switch (command) {
    case 'list': {
      const leader = await cluster.leader();
      const servers = await cluster.servers();
      await print(
        mode,
        ['id', 'address', 'role', 'state'],
        servers.map(({ id, address, role }) => [id, address, role, address === leader.address ? 'leader' : '']),
      );
      break;
    }
    case 'add': {
      const id = checked(() => serverId(first!));
      const role = third === undefined ? 'spare' : checked(() => serverRole(third));
      await cluster.add({ id, address: second!, role });
      break;
    }
    case 'assign': {
      const role = checked(() => serverRole(second!));
      const { id } = await serverNamed(cluster, first!);
      await cluster.assign(id, role);
      break;
    }
    case 'remove':
      await cluster.remove((await serverNamed(cluster, first!)).id);
      break;
    case 'transfer':
      await transferLeadership(cluster, first);
      break;
    case 'describe':
      await print(mode, DESCRIPTION_COLUMNS, await describeServers(cluster, first));
      break;
  }
  return 0;
}

/** An argument that is wrong is the command line's fault. */
function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof DqliteError ? new UsageError(error.message, USAGE) : error;
  }
}

async function print(mode: Mode, columns: readonly string[], rows: readonly SqlValue[][]): Promise<void> {
  const format = formatter(columns, { mode, headers: undefined, nullText: undefined });
  await new Output(process.stdout).write(format.rows(rows) + format.end());
}
