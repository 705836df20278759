/**
 * Finding the leader (wire spec section 7.2): the one that led last is asked first, then all servers at the same time;
 * whoever they name is asked in turn. A server leads if it names itself, by the address that was dialled.
 */

import type { Clock } from '../host/types.ts';
import { DqliteError } from '../lib/errors.ts';
import { sleep, type ClientHost } from './host.ts';
import { ServerConnection } from './connection.ts';
import type { Channels } from './events.ts';
import { searchLeader, type LeaderAnswer } from './leader-search.ts';

/** Whoever led last is asked alone for this long. */
const HEAD_START_MS = 250;

/** Members that are kept in mind. */
const MAX_LEARNED = 100;

export class LeaderFinder {
  readonly #host: ClientHost;
  readonly #timeoutMs: number;
  readonly #channels: Channels;
  readonly #servers: readonly string[];
  /** The members of the cluster, as the leader named them. */
  #learned: readonly string[] = [];
  /** When they were asked for. */
  #learnedMs = -Infinity;
  /** Who led last. */
  #leader: string | undefined = undefined;
  #previous: string | undefined = undefined;
  #search: Promise<ServerConnection> | undefined = undefined;
  #isAnswered = false;

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

  /** Whether a server has answered in the last search: if it did not lead, an election may be under way. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** A server no longer leads, or is gone. */
  forget(address: string): void {
    if (this.#leader === address) this.#leader = undefined;
  }

  /**
   * Asks the leader who belongs to the cluster, for the day on which the configured servers are gone, unless that was
   * asked `maxAgeMs` ago or later. Whatever the connection is used for next may follow at once.
   */
  learn(connection: ServerConnection, maxAgeMs = 0): void {
    const nowMs = this.#host.clock.monotonicMs();
    if (nowMs - this.#learnedMs < maxAgeMs || connection.address !== this.#leader) return;
    this.#learnedMs = nowMs;
    connection.call({ kind: 'cluster', format: 1 }).then(
      answer => {
        if (answer.kind !== 'servers') return;
        this.#learned = answer.servers.slice(0, MAX_LEARNED).map(server => server.address);
      },
      () => (this.#learnedMs = -Infinity),
    );
  }

  /** A connection to the leader. Rejects with DqliteError NO_LEADER, which lists each server's answer. */
  async connect(): Promise<ServerConnection> {
    const leader = this.#leader;
    let late: Promise<LeaderAnswer> | undefined;
    if (leader !== undefined) {
      const asked = this.#ask(leader);
      const answer = await this.#headStart(asked);
      if (answer === 'late') late = asked;
      else if (answer?.connection !== undefined) return answer.connection;
      this.forget(leader);
    }
    if (this.#search !== undefined) {
      // One search serves all who wait; its connection belongs to the one who began it.
      abandon(late);
      late = undefined;
      const { address } = await this.#search;
      const { connection } = await this.#ask(address);
      if (connection !== undefined) return connection;
      this.forget(address);
    }
    try {
      return await this.#searchFor(address => {
        // The question that is late is the first of the search.
        const asked = address === leader ? late : undefined;
        if (asked === undefined) return this.#ask(address);
        late = undefined;
        return asked;
      });
    } finally {
      abandon(late); // nobody has named it
    }
  }

  /** Asks all servers. Rejects as `connect` does. */
  search(): Promise<ServerConnection> {
    return this.#searchFor(address => this.#ask(address));
  }

  async #searchFor(ask: (address: string) => Promise<LeaderAnswer>): Promise<ServerConnection> {
    this.#isAnswered = false;
    const search = searchLeader(this.#host.clock, new Set([...this.#servers, ...this.#learned]), ask);
    this.#search = search;
    try {
      const connection = await search;
      this.#found(connection);
      return connection;
    } finally {
      if (this.#search === search) this.#search = undefined;
    }
  }

  /** The answer of whoever led last; nothing if it could not be asked. `late`: it may hang. */
  #headStart(asked: Promise<LeaderAnswer>): Promise<LeaderAnswer | 'late' | undefined> {
    return new Promise(resolve => {
      const timer = this.#host.clock.setTimer(HEAD_START_MS, () => resolve('late'));
      const answered = (answer: LeaderAnswer | undefined): void => {
        timer.cancel();
        resolve(answer);
      };
      // The search that follows will ask it again, and list its answer.
      asked.then(answered, () => answered(undefined));
    });
  }

  /** Opens a connection and asks who leads: itself, then the connection stays, or another. */
  async #ask(address: string): Promise<LeaderAnswer> {
    const { net, clock } = this.#host;
    const connection = await ServerConnection.open(net, address, this.#timeoutMs);
    const timer = clock.setTimer(this.#timeoutMs, () =>
      connection.close(new DqliteError('CONNECTION', `no answer within ${this.#timeoutMs} ms`)),
    );
    try {
      const answer = await connection.call({ kind: 'leader' });
      const leader = answer.kind === 'server' ? answer.address : '';
      this.#isAnswered = true;
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

  #found(connection: ServerConnection): void {
    const { address } = connection;
    const previous = this.#previous;
    this.#leader = this.#previous = address;
    if (previous !== undefined && previous !== address && this.#channels.failover.hasSubscribers) {
      this.#channels.failover.publish({ from: previous, to: address });
    }
    this.learn(connection);
  }
}

/** Nobody wants the answer any more. */
function abandon(asked: Promise<LeaderAnswer> | undefined): void {
  asked?.then(
    ({ connection }) => connection?.close(),
    () => {},
  );
}

const PAUSE_MS = 100;

export interface Patience {
  readonly waitMs: number;
  /** Not if no server answers at all. */
  readonly endsInSilence: boolean | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Tries again while nobody leads, or what was taken for the leader does not any more. Rejects as the last attempt does. */
export async function whileNobodyLeads<T>(
  clock: Clock,
  finder: LeaderFinder,
  { waitMs, endsInSilence = false, signal }: Patience,
  attempt: () => Promise<T>,
): Promise<T> {
  const endMs = clock.monotonicMs() + waitMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof DqliteError)) throw error;
      const mayPass =
        error.code === 'NOT_LEADER' || (error.code === 'NO_LEADER' && (finder.isAnswered || !endsInSilence));
      if (!mayPass || clock.monotonicMs() > endMs || signal?.aborted === true) throw error;
      await sleep(clock, PAUSE_MS);
    }
  }
}
