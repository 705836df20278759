/**
 * Administration of a cluster, for `dqlite-node cluster` and the shell's dot-commands of the same names: the client's, with servers
 * that people name.
 */

import type { Cluster, Server, ServerRole } from '../client/index.ts';
import { DqliteError } from '../lib/errors.ts';

const ROLES: readonly string[] = ['voter', 'standby', 'spare'] satisfies ServerRole[];

/** Throws DqliteError USAGE. */
export function serverRole(name: string): ServerRole {
  const role = name === 'stand-by' ? 'standby' : name;
  if (!ROLES.includes(role)) throw new DqliteError('USAGE', `"${name}" is no role: ${ROLES.join(', ')}`);
  return role as ServerRole;
}

/** Throws DqliteError USAGE. */
export function serverId(text: string): bigint {
  const id = /^(\d+|0x[0-9a-fA-F]+)$/.test(text) ? BigInt(text) : 0n;
  if (id === 0n || id >= 1n << 64n)
    throw new DqliteError('USAGE', `"${text}" is not an id: a number from 1 to 2^64 - 1`);
  return id;
}

/** The member that an address, as the cluster knows it, or an id names. Rejects with DqliteError. */
export async function serverNamed(cluster: Cluster, name: string, signal?: AbortSignal): Promise<Server> {
  const servers = await cluster.servers({ signal });
  const isId = /^(\d+|0x[0-9a-fA-F]+)$/.test(name);
  const found = servers.find(({ id, address }) => address === name || (isId && id === BigInt(name)));
  if (found !== undefined) return found;
  throw new DqliteError('USAGE', `no server has the address or id "${name}"`, {
    hint: `the cluster is ${servers.map(({ id, address }) => `${id} ${address}`).join(', ')}`,
  });
}

/** Hands the leadership to a voter, or to one that the leader chooses. */
export async function transferLeadership(
  cluster: Cluster,
  name: string | undefined,
  signal?: AbortSignal,
): Promise<void> {
  if (name !== undefined) return cluster.transfer((await serverNamed(cluster, name, signal)).id, { signal });
  if ((await cluster.servers({ signal })).filter(({ role }) => role === 'voter').length < 2) {
    throw new DqliteError('USAGE', 'there is no other voter that could lead', {
      hint: 'give another server the role of a voter first: cluster assign SERVER voter',
    });
  }
  await cluster.transfer(undefined, { signal });
}

/** What servers say of themselves, as rows under `DESCRIPTION_COLUMNS`: of one address, or of all members. */
export async function describeServers(
  cluster: Cluster,
  address: string | undefined,
  signal?: AbortSignal,
): Promise<[string, bigint, bigint][]> {
  const addresses =
    address === undefined ? (await cluster.servers({ signal })).map(server => server.address) : [address];
  const rows: [string, bigint, bigint][] = [];
  for (const one of addresses) {
    const { failureDomain, weight } = await cluster.describe(one, { signal, timeoutMs: ANSWER_MS });
    rows.push([one, failureDomain, weight]);
  }
  return rows;
}

export const DESCRIPTION_COLUMNS: readonly string[] = ['address', 'failure_domain', 'weight'];

/** For what a server answers at once. */
export const ANSWER_MS = 5000;
