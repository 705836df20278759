/** Who belongs to the cluster, and changing it (wire spec sections 3.1, 3.9 to 3.16). Each call uses a connection of its own. */

import { encodeUtf8, decodeUtf8 } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { clientRole, type Request, type Response } from '../wire/index.ts';
import { Cancellation } from './cancellation.ts';
import { ServerConnection } from './connection.ts';
import type { ClientHost } from './host.ts';
import { whileNobodyLeads, type LeaderFinder } from './leader.ts';
import type { CallOptions, Server, ServerRole } from './types.ts';

export interface ClusterSettings {
  readonly connectTimeoutMs: number;
  /** How long a leader is looked for. */
  readonly acquireTimeoutMs: number;
  /** Not if no server answers at all. */
  readonly endsInSilence?: boolean;
}

/** A server's own description. Both numbers are for role management to use. */
export interface ServerDescription {
  readonly failureDomain: bigint;
  readonly weight: bigint;
}

/** A file of a database: the main file, and its write-ahead log, which may be empty. */
export interface DatabaseFile {
  readonly name: string;
  readonly content: Uint8Array;
}

type Answer = Exclude<Response, { kind: 'failure' }>;

const ROLES = ['voter', 'standby', 'spare'] as const satisfies readonly ServerRole[];

export class Cluster {
  readonly #host: ClientHost;
  readonly #finder: LeaderFinder;
  readonly #settings: ClusterSettings;

  constructor(host: ClientHost, finder: LeaderFinder, settings: ClusterSettings) {
    this.#host = host;
    this.#finder = finder;
    this.#settings = settings;
  }

  /** The leader, as it says itself. Rejects with DqliteError NO_LEADER. */
  async leader(options?: CallOptions): Promise<{ readonly id: bigint; readonly address: string }> {
    const answer = await this.#askLeader({ kind: 'leader' }, options);
    if (answer.kind !== 'server') throw unexpected(answer);
    return { id: answer.id, address: answer.address };
  }

  /** All servers with their roles, as the leader knows them. */
  async servers(options?: CallOptions): Promise<Server[]> {
    const answer = await this.#askLeader({ kind: 'cluster', format: 1 }, options);
    if (answer.kind !== 'servers') throw unexpected(answer);
    return answer.servers.map(({ id, address, role }) => ({ id, address, role: ROLES[role] ?? 'spare' }));
  }

  /** Adds a server, as a spare unless a role is given. */
  async add(
    { id, address, role = 'spare' }: { readonly id: bigint; readonly address: string; readonly role?: ServerRole },
    options?: CallOptions,
  ): Promise<void> {
    await this.#change({ kind: 'add', id, address }, options);
    if (role !== 'spare') await this.assign(id, role, options);
  }

  /** Gives a server another role. To become a voter it must catch up first, which may take long. */
  async assign(id: bigint, role: ServerRole, options?: CallOptions): Promise<void> {
    if (!ROLES.includes(role)) throw new DqliteError('USAGE', `role is ${role as string}, not ${ROLES.join(', ')}`);
    await this.#change({ kind: 'assign', id, role: clientRole[role] }, options);
  }

  async remove(id: bigint, options?: CallOptions): Promise<void> {
    await this.#change({ kind: 'remove', id }, options);
  }

  /** Makes a voter the leader: the one named, or one that the leader chooses. */
  async transfer(id: bigint = 0n, options?: CallOptions): Promise<void> {
    await this.#change({ kind: 'transfer', id }, options);
    const { leader } = this.#finder;
    if (leader !== undefined) this.#finder.forget(leader);
  }

  /** What a server says of itself; the leader if no address is given. */
  async describe(address?: string, options?: CallOptions): Promise<ServerDescription> {
    const answer = await this.#ask(address, { kind: 'describe', format: 0 }, options);
    if (answer.kind !== 'metadata') throw unexpected(answer);
    return { failureDomain: answer.failureDomain, weight: answer.weight };
  }

  /** Sets a server's weight, until it restarts. */
  async weight(weight: bigint, address?: string, options?: CallOptions): Promise<void> {
    await this.#ask(address, { kind: 'weight', weight }, options);
  }

  /** A database as it is on a server (the leader if no address is given): files that SQLite opens. */
  async dump(database: string, address?: string, options?: CallOptions): Promise<DatabaseFile[]> {
    const answer = await this.#ask(address, { kind: 'dump', name: encodeUtf8(database) }, options);
    if (answer.kind !== 'files') throw unexpected(answer);
    return answer.files.map(({ name, content }) => ({ name: decodeUtf8(name), content }));
  }

  async #change(request: Request, options: CallOptions | undefined): Promise<void> {
    const answer = await this.#askLeader(request, options);
    if (answer.kind !== 'empty') throw unexpected(answer);
  }

  #ask(address: string | undefined, request: Request, options: CallOptions | undefined): Promise<Answer> {
    if (address === undefined) return this.#askLeader(request, options);
    const { net } = this.#host;
    return this.#call(() => ServerConnection.open(net, address, this.#settings.connectTimeoutMs), request, options);
  }

  /** Looks for a leader until there is one, or the time is over. */
  #askLeader(request: Request, options: CallOptions | undefined): Promise<Answer> {
    const { acquireTimeoutMs: waitMs, endsInSilence } = this.#settings;
    const patience = { waitMs, endsInSilence, signal: options?.signal };
    return whileNobodyLeads(this.#host.clock, this.#finder, patience, () =>
      this.#call(() => this.#finder.connect(), request, options),
    );
  }

  async #call(
    connect: () => Promise<ServerConnection>,
    request: Request,
    { signal, timeoutMs = 0 }: CallOptions = {},
  ): Promise<Answer> {
    const cancellation = Cancellation.of(this.#host.clock, signal, timeoutMs);
    try {
      const connection = await connect();
      if (cancellation !== undefined) cancellation.handler = error => connection.close(error);
      try {
        return await connection.call(request);
      } finally {
        connection.close();
      }
    } finally {
      cancellation?.end();
    }
  }
}

function unexpected(answer: Answer): DqliteError {
  return new DqliteError('PROTOCOL', `unexpected answer of kind ${answer.kind}`);
}
