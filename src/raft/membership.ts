/** The configurations in the log, and which changes of them are allowed (raft and disk spec section 6.11). */

import {
  findServer,
  voters,
  withoutServer,
  withRole,
  withServer,
  type Configuration,
  type Server,
} from './configuration.ts';
import type { Change, Index, RaftErrorCode, ServerId } from './types.ts';

interface Placed {
  readonly index: Index;
  readonly configuration: Configuration;
}

/**
 * 1. The newest configuration in the log is in use, committed or not (Raft dissertation, section 4.1).
 * 2. Leaders add one only when the one before is committed; a follower that does not know it yet can hold several.
 */
export class Configurations {
  readonly #self: ServerId;
  #committed: Placed;
  #uncommitted: Placed[] = [];
  /** The voters of the one in use. */
  voters: readonly Server[] = [];
  isVoter = false;
  isOnlyVoter = false;

  constructor(self: ServerId, committed: Configuration | undefined, committedIndex: Index) {
    this.#self = self;
    this.#committed = { index: committedIndex, configuration: committed ?? { servers: [] } };
    this.#update();
  }

  get current(): Configuration {
    return (this.#uncommitted[this.#uncommitted.length - 1] ?? this.#committed).configuration;
  }

  get currentIndex(): Index {
    return (this.#uncommitted[this.#uncommitted.length - 1] ?? this.#committed).index;
  }

  get committed(): Configuration {
    return this.#committed.configuration;
  }

  get committedIndex(): Index {
    return this.#committed.index;
  }

  get isChanging(): boolean {
    return this.#uncommitted.length > 0;
  }

  /**
   * Whether this server may stand for election. One whose removal is not committed may: perhaps nobody else has a log
   * that can win (dissertation, section 4.2.2).
   */
  get mayLead(): boolean {
    return this.isVoter || (this.isChanging && voters(this.committed).some(server => server.id === this.#self));
  }

  append(index: Index, configuration: Configuration): void {
    this.#uncommitted.push({ index, configuration });
    this.#update();
  }

  /** Entries up to `index` are committed. Says whether a configuration is among them. */
  commit(index: Index): boolean {
    let isCommitted = false;
    for (let first = this.#uncommitted[0]; first !== undefined && first.index <= index; first = this.#uncommitted[0]) {
      this.#committed = first;
      this.#uncommitted.shift();
      isCommitted = true;
    }
    return isCommitted;
  }

  /** Entries from `index` on are gone. Says whether another configuration is in use now. */
  truncate(index: Index): boolean {
    const count = this.#uncommitted.length;
    this.#uncommitted = this.#uncommitted.filter(placed => placed.index < index);
    this.#update();
    return this.#uncommitted.length !== count;
  }

  /** A snapshot took the place of the log. */
  reset(configuration: Configuration, index: Index): void {
    this.#committed = { index, configuration };
    this.#uncommitted = [];
    this.#update();
  }

  #update(): void {
    this.voters = voters(this.current);
    this.isVoter = this.voters.some(server => server.id === this.#self);
    this.isOnlyVoter = this.isVoter && this.voters.length === 1;
  }
}

export function changedConfiguration(configuration: Configuration, change: Change): Configuration {
  switch (change.kind) {
    case 'add':
      return withServer(configuration, { id: change.id, address: change.address, role: 'spare' });
    case 'assign':
      return withRole(configuration, change.id, change.role);
    case 'remove':
      return withoutServer(configuration, change.id);
  }
}

/** What is wrong with a change as such, whatever else is going on. */
export function changeError(configuration: Configuration, change: Change): RaftErrorCode | undefined {
  if (change.kind === 'add') {
    if (change.id === 0n) return 'badId';
    // Which of the two clashes is reported depends on the existing member that is met first, as in C.
    for (const server of configuration.servers) {
      if (server.id === change.id) return 'duplicateId';
      if (server.address === change.address) return 'duplicateAddress';
    }
    return undefined;
  }
  const server = findServer(configuration, change.id);
  if (server === undefined) return change.kind === 'assign' ? 'notFound' : 'badId';
  if (change.kind === 'assign' && change.role === server.role) return 'badRole';
  return server.role === 'voter' && voters(configuration).length === 1 ? 'lastVoter' : undefined;
}
