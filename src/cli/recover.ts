/** `dqlite-node recover`: a majority of a cluster is lost for good; the nodes that are left get a new configuration. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { nodeHost, parseAddress } from '../host/index.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import type { Configuration, Server } from '../raft/index.ts';
import { inspectRecoverable, recover, type Recoverable } from '../tools/index.ts';
import { idOption, readOptions, UsageError } from './usage.ts';

const USAGE = `dqlite-node recover --dir <path> --member <id>,<address>,<role> [--member ...] [--yes]

When a majority of a cluster's voters is lost for good, the others cannot elect a leader any more. This makes the
members named here the whole cluster, in the data directory of a node that is stopped, of dqlite-node or of C dqlite:

  1. stop all nodes that are left, and make copies of their directories
  2. choose the directory whose log ends latest: the highest term of the last entry, then the highest index; recover
     shows both. What only lost nodes had is lost
  3. run recover there
  4. replace the contents of the directories of the other members by a copy of that one (not info.yaml), start all

  --dir PATH       the data directory
  --member M       a member of the new cluster; role: voter, standby or spare
  --yes            do not ask`;

const OPTIONS = {
  dir: { type: 'string' },
  member: { type: 'string', multiple: true },
  yes: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

const ROLES = ['voter', 'standby', 'spare'] as const;
/** What go-dqlite's application layer keeps beside, with members of its own. */
const GO_FILES = ['cluster.yaml', 'info.yaml'];

export async function recoverCommand(args: string[]): Promise<number> {
  const values = readOptions(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const { dir, yes = false } = values;
  if (dir === undefined || dir === '') throw new UsageError('--dir is needed', USAGE);
  const configuration = configurationOf(values.member ?? []);
  const host = nodeHost();
  const present = await inspectRecoverable(host, dir);
  console.log(plan(dir, present, configuration));
  if (!yes && !(await confirmed())) {
    console.log('Nothing was changed.');
    return 1;
  }
  const index = await recover(host, dir, configuration);
  console.log(`Entry ${index} of ${dir} now says that these are the members.`);
  const goFiles = GO_FILES.filter(file => existsSync(path.join(dir, file)));
  if (goFiles.length > 0) {
    console.log(`${goFiles.join(' and ')} were left as they are: see that the addresses in them are right.`);
  }
  return 0;
}

/** Throws UsageError unless the members can be a cluster. */
function configurationOf(texts: readonly string[]): Configuration {
  if (texts.length === 0) throw new UsageError('--member is needed, once for each member of the new cluster', USAGE);
  const servers = texts.map(memberOf);
  for (const [position, { id, address }] of servers.entries()) {
    const before = servers.slice(0, position);
    if (before.some(other => other.id === id)) throw new UsageError(`--member: two members have the id ${id}`, USAGE);
    if (before.some(other => other.address === address)) {
      throw new UsageError(`--member: two members have the address ${address}`, USAGE);
    }
  }
  if (servers.some(({ role }) => role === 'voter')) return { servers };
  throw new UsageError('--member: at least one member must be a voter', USAGE);
}

function memberOf(text: string): Server {
  const [idText, address, roleText, ...rest] = text.split(',');
  const role = ROLES.find(name => name === roleText);
  if (address === undefined || address === '' || role === undefined || rest.length > 0) {
    throw new UsageError(`--member must be <id>,<address>,<${ROLES.join('|')}>, not "${text}"`, USAGE);
  }
  const id = idOption('member', idText, 1n, USAGE)!;
  try {
    parseAddress(address);
  } catch (error) {
    throw new UsageError(`--member: ${messageOf(error)}: write host:port, [ipv6]:port or @name`, USAGE);
  }
  return { id, address, role };
}

function plan(dir: string, present: Recoverable, next: Configuration): string {
  const { lastIndex, lastTerm, configuration } = present;
  const gone = configuration.servers.filter(({ id }) => !next.servers.some(server => server.id === id));
  const lines = [
    `${dir}: the log ends with entry ${lastIndex} of term ${lastTerm}.`,
    '',
    'Members now:',
    ...configuration.servers.map(serverText),
    '',
    'Members from now on:',
    ...next.servers.map(serverText),
    '',
    gone.length === 0
      ? 'No member is dropped.'
      : `Dropped: ${gone.map(({ id }) => String(id)).join(', ')}. They must never run again with the data they have.`,
    `Lost: every transaction that is in no entry up to ${lastIndex} of this directory. If another node that is left`,
    `has a last entry of a higher term than ${lastTerm}, or of term ${lastTerm} and a higher index than ${lastIndex}, recover its`,
    'directory instead of this one.',
    '',
  ];
  return lines.join('\n');
}

function serverText({ id, address, role }: Server): string {
  return `  ${id} at ${address}, ${role}`;
}

async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new DqliteError('CONFIGURATION', 'there is no terminal to ask at; nothing was changed', {
      hint: 'add --yes if all of the above is right',
    });
  }
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return (await lines.question('Type yes to go on: ')).trim() === 'yes';
  } finally {
    lines.close();
  }
}
