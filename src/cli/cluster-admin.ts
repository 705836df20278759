/** Administration of a cluster, for `dqlite-node cluster` and the shell's dot-commands of the same names. */

import type { Host } from '../host/index.ts';
import { encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import type { DumpedFile, Request, ServerInfo } from '../wire/index.ts';
import { Link, connectToLeader } from './sql-connection.ts';

/** By the number that the client protocol gives them. */
export const ROLES = ['voter', 'standby', 'spare'] as const;

export function roleName(role: number): string {
  return ROLES[role] ?? String(role);
}

/** The number of a role. Throws DqliteError USAGE. */
export function roleNumber(name: string): number {
  const role = (ROLES as readonly string[]).indexOf(name === 'stand-by' ? 'standby' : name);
  if (role === -1) throw new DqliteError('USAGE', `"${name}" is no role: ${ROLES.join(', ')}`);
  return role;
}

/** Throws DqliteError USAGE. */
export function serverId(text: string): bigint {
  const id = /^(\d+|0x[0-9a-fA-F]+)$/.test(text) ? BigInt(text) : 0n;
  if (id === 0n || id >= 1n << 64n)
    throw new DqliteError('USAGE', `"${text}" is not an id: a number from 1 to 2^64 - 1`);
  return id;
}

export interface Description {
  readonly address: string;
  readonly failureDomain: bigint;
  readonly weight: bigint;
}

/** Each call has a connection of its own, so that it disturbs no transaction. All reject with DqliteError. */
export class ClusterAdmin {
  readonly #host: Host;
  readonly #servers: readonly string[];

  constructor(host: Host, servers: readonly string[]) {
    this.#host = host;
    this.#servers = servers;
  }

  async leader(): Promise<string> {
    const link = await connectToLeader(this.#host, this.#servers);
    link.close();
    return link.address;
  }

  /** The servers, as the leader has them in its configuration. */
  async list(): Promise<readonly ServerInfo[]> {
    const answer = await this.#withLeader(link => link.call({ kind: 'cluster', format: 1 }));
    if (answer.kind !== 'servers') throw new DqliteError('PROTOCOL', `${answer.kind} in answer to CLUSTER`);
    return answer.servers;
  }

  /** A server joins without a role in the consensus: as a spare. */
  async add(id: bigint, address: string): Promise<void> {
    await this.#change({ kind: 'add', id, address });
  }

  async assign(server: string, role: number): Promise<void> {
    await this.#change({ kind: 'assign', id: await this.#idOf(server), role });
  }

  async remove(server: string): Promise<void> {
    await this.#change({ kind: 'remove', id: await this.#idOf(server) });
  }

  /** Without a server the leader chooses one. */
  async transfer(server: string | undefined): Promise<void> {
    if (server === undefined && (await this.list()).filter(({ role }) => role === ROLES.indexOf('voter')).length < 2) {
      throw new DqliteError('USAGE', 'there is no other voter that could lead', {
        hint: 'give another server the role of a voter first: cluster assign SERVER voter',
      });
    }
    await this.#change({ kind: 'transfer', id: server === undefined ? 0n : await this.#idOf(server) });
  }

  /** What a server says about itself. */
  async describe(address: string): Promise<Description> {
    const answer = await this.#withServer(address, link => link.callSoon(this.#host, { kind: 'describe', format: 0 }));
    if (answer.kind !== 'metadata') throw new DqliteError('PROTOCOL', `${answer.kind} in answer to DESCRIBE`);
    return { address, failureDomain: answer.failureDomain, weight: answer.weight };
  }

  async weight(address: string, weight: bigint): Promise<void> {
    await this.#withServer(address, link => link.callSoon(this.#host, { kind: 'weight', weight }));
  }

  /** The files of a database, as one server has it. */
  async dump(address: string, database: string): Promise<readonly DumpedFile[]> {
    const answer = await this.#withServer(address, link => link.call({ kind: 'dump', name: encodeUtf8(database) }));
    if (answer.kind !== 'files') throw new DqliteError('PROTOCOL', `${answer.kind} in answer to DUMP`);
    return answer.files;
  }

  async #change(request: Request): Promise<void> {
    await this.#withLeader(link => link.call(request));
  }

  /** A server is named by its address, as the cluster knows it, or by its id. */
  async #idOf(server: string): Promise<bigint> {
    const servers = await this.list();
    const found = servers.find(({ id, address }) => address === server || String(id) === server);
    if (found !== undefined) return found.id;
    if (/^(\d+|0x[0-9a-fA-F]+)$/.test(server) && servers.some(({ id }) => id === BigInt(server))) return BigInt(server);
    throw new DqliteError('USAGE', `no server has the address or id "${server}"`, {
      hint: `the cluster is ${servers.map(({ id, address }) => `${id} ${address}`).join(', ')}`,
    });
  }

  async #withLeader<T>(use: (link: Link) => Promise<T>): Promise<T> {
    return this.#closing(await connectToLeader(this.#host, this.#servers), use);
  }

  async #withServer<T>(address: string, use: (link: Link) => Promise<T>): Promise<T> {
    return this.#closing(await Link.open(this.#host, address), use);
  }

  async #closing<T>(link: Link, use: (link: Link) => Promise<T>): Promise<T> {
    try {
      return await use(link);
    } finally {
      link.close();
    }
  }
}
