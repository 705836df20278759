/** A way to the leader for who holds one connection by hand, where the client has a pool. */

import type { ClientHost } from './host.ts';
import { Cluster } from './cluster.ts';
import { clientChannels } from './events.ts';
import { LeaderFinder, whileNobodyLeads } from './leader.ts';
import { checkServers } from './options.ts';
import { Session } from './session.ts';

const CONNECT_MS = 5000;
/** An election takes about a second. */
const WAIT_MS = 10_000;

export class LeaderAccess {
  readonly cluster: Cluster;
  readonly #host: ClientHost;
  readonly #finder: LeaderFinder;

  /** Throws DqliteError USAGE for servers that are no list of addresses. */
  constructor(host: ClientHost, servers: readonly string[]) {
    checkServers(servers);
    this.#host = host;
    this.#finder = new LeaderFinder(host, servers, CONNECT_MS, clientChannels());
    const settings = { connectTimeoutMs: CONNECT_MS, acquireTimeoutMs: WAIT_MS, endsInSilence: true };
    this.cluster = new Cluster(host, this.#finder, settings);
  }

  /**
   * A session with the leader. While servers answer but none leads it waits, for some seconds. Calls that are cancelled wait for the
   * server as long as it takes. Rejects with DqliteError; NO_LEADER lists each server's answer.
   */
  openSession(database: string, signal?: AbortSignal): Promise<Session> {
    const patience = { waitMs: WAIT_MS, endsInSilence: true, signal };
    return whileNobodyLeads(this.#host.clock, this.#finder, patience, () => this.#open(database));
  }

  async #open(database: string): Promise<Session> {
    const connection = await this.#finder.connect();
    const options = { host: this.#host, openTimeoutMs: CONNECT_MS, cancelGraceMs: Infinity };
    try {
      return await Session.open(connection, database, options);
    } catch (error) {
      this.#finder.forget(connection.address);
      throw error;
    }
  }
}
