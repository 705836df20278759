/** `dqlite-node cluster`: administration of a cluster, one step per run. */

import { nodeHost } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import { ClusterAdmin, roleName, roleNumber, serverId } from './cluster-admin.ts';
import { formatter, type Mode } from './sql-modes.ts';
import type { SqlValue } from './sql-connection.ts';
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

export async function cluster(args: string[]): Promise<number> {
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
  const admin = new ClusterAdmin(nodeHost(), serversOption(values.servers, USAGE));
  const mode: Mode = values.json === true ? 'json' : process.stdout.isTTY ? 'box' : 'list';
  const [first, second, third] = rest;
  switch (command) {
    case 'list': {
      const leader = await admin.leader();
      const servers = await admin.list();
      print(
        mode,
        ['id', 'address', 'role', 'state'],
        servers.map(({ id, address, role }) => [id, address, roleName(role), address === leader ? 'leader' : '']),
      );
      break;
    }
    case 'add': {
      const id = checked(() => serverId(first!));
      const role = third === undefined ? undefined : checked(() => roleNumber(third));
      await admin.add(id, second!);
      if (role !== undefined && roleName(role) !== 'spare') await admin.assign(String(id), role);
      break;
    }
    case 'assign': {
      const role = checked(() => roleNumber(second!));
      await admin.assign(first!, role);
      break;
    }
    case 'remove':
      await admin.remove(first!);
      break;
    case 'transfer':
      await admin.transfer(first);
      break;
    case 'describe': {
      const addresses = first === undefined ? (await admin.list()).map(({ address }) => address) : [first];
      const rows: SqlValue[][] = [];
      for (const address of addresses) {
        const { failureDomain, weight } = await admin.describe(address);
        rows.push([address, failureDomain, weight]);
      }
      print(mode, ['address', 'failure_domain', 'weight'], rows);
      break;
    }
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

function print(mode: Mode, columns: readonly string[], rows: readonly SqlValue[][]): void {
  const format = formatter(columns, {
    mode,
    headers: undefined,
    nullText: undefined,
    isTerminal: process.stdout.isTTY,
  });
  process.stdout.write(format.rows(rows) + format.end());
}
