/**
 * Finding the leader (wire spec section 7.2): the one that led last is asked first, then all servers at the same time;
 * whoever they name is asked in turn. A server leads if it names itself, by the address that was dialled.
 */

import type { ClientHost } from './host.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import { ServerConnection } from './connection.ts';
import type { Channels } from './events.ts';

export class LeaderFinder {
  readonly #host: ClientHost;
  readonly #timeoutMs: number;
  readonly #channels: Channels;
  readonly #servers: readonly string[];
  /** The members of the cluster, as the leader named them. */
  #learned: readonly string[] = [];
  /** Who led last. */
  #leader: string | undefined = undefined;
  #previous: string | undefined = undefined;
  #search: Promise<ServerConnection> | undefined = undefined;

  constructor(host: ClientHost, servers: readonly string[], timeoutMs: number, channels: Channels) {
    this.#host = host;
    this.#servers = servers;
    this.#timeoutMs = timeoutMs;
    this.#channels = channels;
  }

  /** The leader's address, as far as is known. */
  get leader(): string | undefined {
    return this.#leader;
  }

  /** A server no longer leads, or is gone. */
  forget(address: string): void {
    if (this.#leader === address) this.#leader = undefined;
  }

  /** A connection to the leader. Rejects with DqliteError NO_LEADER, which lists each server's answer. */
  async connect(): Promise<ServerConnection> {
    const leader = this.#leader;
    if (leader !== undefined) {
      try {
        const { connection } = await this.#ask(leader);
        if (connection !== undefined) return connection;
      } catch {
        // The search that follows will ask it again, and list its answer.
      }
      this.forget(leader);
    }
    if (this.#search !== undefined) {
      // One search serves all who wait; its connection belongs to the one who began it.
      const { address } = await this.#search;
      const { connection } = await this.#ask(address);
      if (connection !== undefined) return connection;
      this.forget(address);
    }
    const search = this.#askAll();
    this.#search = search;
    try {
      return await search;
    } finally {
      if (this.#search === search) this.#search = undefined;
    }
  }

  /** Opens a connection and asks who leads: itself, then the connection stays, or another. */
  async #ask(address: string): Promise<{ readonly leader: string; readonly connection?: ServerConnection }> {
    const { net, clock } = this.#host;
    const connection = await ServerConnection.open(net, address, this.#timeoutMs);
    const timer = clock.setTimer(this.#timeoutMs, () =>
      connection.close(new DqliteError('CONNECTION', `no answer within ${this.#timeoutMs} ms`)),
    );
    try {
      const answer = await connection.call({ kind: 'leader' });
      const leader = answer.kind === 'server' ? answer.address : '';
      if (leader === address) return { leader, connection };
      connection.close();
      return { leader };
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      timer.cancel();
    }
  }

  #askAll(): Promise<ServerConnection> {
    return new Promise((resolve, reject) => {
      const answers = new Map<string, string>();
      let winner: ServerConnection | undefined;
      const ask = (address: string): void => {
        if (answers.has(address)) return;
        answers.set(address, `${address} has not answered`);
        this.#ask(address).then(
          ({ leader, connection }) => {
            answers.set(address, leader === '' ? `${address} knows no leader` : `${address} names ${leader}`);
            if (connection === undefined) {
              if (leader !== '') ask(leader);
            } else if (winner === undefined) {
              winner = connection;
              this.#found(connection);
              resolve(connection);
            } else {
              connection.close();
            }
            done();
          },
          error => {
            answers.set(address, `${address}: ${messageOf(error)}`);
            done();
          },
        );
        pending++;
      };
      let pending = 0;
      const done = (): void => {
        if (--pending === 0 && winner === undefined) reject(noLeader([...answers.values()]));
      };
      for (const address of new Set([...this.#servers, ...this.#learned])) ask(address);
    });
  }

  #found(connection: ServerConnection): void {
    const { address } = connection;
    const previous = this.#previous;
    this.#leader = this.#previous = address;
    if (previous !== undefined && previous !== address && this.#channels.failover.hasSubscribers) {
      this.#channels.failover.publish({ from: previous, to: address });
    }
    // Who belongs to the cluster, for the day on which the configured servers are gone.
    connection.call({ kind: 'cluster', format: 1 }).then(
      answer => {
        if (answer.kind === 'servers') this.#learned = answer.servers.map(server => server.address);
      },
      () => {},
    );
  }
}

function noLeader(answers: readonly string[]): DqliteError {
  return new DqliteError('NO_LEADER', `no server leads: ${answers.join('; ')}`, {
    hint: 'is a majority of the servers running, and are these their addresses as the cluster knows them?',
    committed: false,
  });
}
