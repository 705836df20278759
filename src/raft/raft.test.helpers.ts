/** One core alone, fed by hand: what the others would say is given as messages. */

import { encodeConfiguration, type Configuration } from './configuration.ts';
import type { AppendEntries, InstallSnapshot, Message } from './messages.ts';
import type { LoadedState, RaftOptions } from './options.ts';
import { RaftLog } from './raft-log.ts';
import { Raft } from './raft.ts';
import type { Entry, Index, Input, Output, Peer, RaftRole, ServerId, Term } from './types.ts';

type Plain = Exclude<Message, InstallSnapshot>;

export const ELECTION_TIMEOUT_MS = 1000;
const HEARTBEAT_MS = 100;

export function peer(id: number): Peer {
  return { id: BigInt(id), address: `n${id}` };
}

export interface SingleOptions {
  readonly term?: Term;
  readonly votedFor?: ServerId;
  /** Terms of the entries after the first, which is a configuration of term 1. */
  readonly terms?: readonly Term[];
  readonly voters?: number;
  /** A later configuration in the log, which may not be committed. */
  readonly uncommitted?: { readonly index: Index; readonly voters: number };
  readonly settings?: Partial<RaftOptions>;
}

/** Node 1 of a cluster, started so long ago that it may vote. */
export class Single {
  readonly raft: Raft;
  /** What it was after the start. */
  readonly startRole: RaftRole;
  nowMs = 0;

  constructor({ term = 1, votedFor, terms = [], voters = 3, uncommitted, settings = {} }: SingleOptions = {}) {
    const log = new RaftLog(0, 0);
    for (const one of [1, ...terms]) log.appendStored(one);
    const state: LoadedState = {
      term,
      votedFor,
      snapshotIndex: 0,
      snapshotTerm: 0,
      log,
      committedConfiguration: configurationOf(voters),
      committedConfigurationIndex: 1,
      uncommittedConfiguration: uncommitted === undefined ? undefined : configurationOf(uncommitted.voters),
      uncommittedConfigurationIndex: uncommitted?.index ?? 0,
    };
    const timing = { heartbeatMs: HEARTBEAT_MS, electionTimeoutMs: ELECTION_TIMEOUT_MS };
    this.raft = new Raft({ ...peer(1), ...timing, leases: true, ...settings }, state);
    this.step({ kind: 'start' });
    this.startRole = this.raft.role;
    this.nowMs += ELECTION_TIMEOUT_MS;
    // A late tick, which changes nothing.
    this.step({ kind: 'tick' });
  }

  step(input: Input): Output[] {
    return this.raft.step(input, this.nowMs);
  }

  receive(from: number, message: Plain): Output[] {
    return this.step({ kind: 'received', from: peer(from), message });
  }

  tick(): Output[] {
    this.nowMs += HEARTBEAT_MS;
    return this.step({ kind: 'tick' });
  }

  /** Ticks until something comes out. */
  tickUntilOutput(): Output[] {
    for (let i = 0; i < 100; i++) {
      const outputs = this.tick();
      if (outputs.length > 0) return outputs;
    }
    return [];
  }

  /** Elected with the votes of nodes 2 and on; the barrier is not stored yet. Gives the outputs of the last step. */
  lead(): Output[] {
    this.tickUntilOutput();
    const { term, configuration } = this.raft;
    const others = Math.floor(configuration.servers.length / 2);
    let outputs: Output[] = [];
    for (const preVote of [true, false]) {
      for (let from = 2; from < 2 + others; from++) {
        outputs = this.receive(from, { kind: 'requestVoteResult', term: term + 1, granted: true, preVote });
      }
      if (preVote) this.step({ kind: 'termStored' });
    }
    return outputs;
  }

  /** Node `from` has everything up to `lastIndex`. */
  acknowledge(from: number, lastIndex: number, features?: bigint): Output[] {
    const { term } = this.raft;
    return this.receive(from, { kind: 'appendEntriesResult', term, rejected: 0, lastIndex, features });
  }
}

/** The first part of a snapshot of entry 9, term 2, from node 2. */
export function snapshotFor(single: Single): InstallSnapshot {
  return {
    kind: 'installSnapshot',
    term: 2,
    lastIndex: 9,
    lastTerm: 2,
    configurationIndex: 1,
    configuration: single.raft.configuration,
  };
}

/** Node 2 offers that snapshot. Gives what comes of it. */
export function offerSnapshot(single: Single): string[] {
  return kinds(single.step({ kind: 'snapshotOffered', from: peer(2), message: snapshotFor(single) }));
}

export function sent(outputs: readonly Output[]): { readonly to: number; readonly message: Plain }[] {
  return outputs.flatMap(output =>
    output.kind === 'send' ? [{ to: Number(output.to.id), message: output.message }] : [],
  );
}

export function kinds(outputs: readonly Output[]): string[] {
  return outputs.map(output => (output.kind === 'send' ? output.message.kind : output.kind));
}

export function command(term: Term, value = 0): Entry {
  return { term, type: 'command', data: new Uint8Array(8).fill(value) };
}

export function append(
  term: Term,
  previousIndex: number,
  previousTerm: Term,
  entries: readonly Entry[] = [],
  commitIndex = 0,
): AppendEntries {
  return { kind: 'appendEntries', term, previousIndex, previousTerm, commitIndex, entries };
}

export function change(term: Term, voters: number): Entry {
  return { term, type: 'change', data: encodeConfiguration(configurationOf(voters)) };
}

function configurationOf(voters: number): Configuration {
  return { servers: Array.from({ length: voters }, (_, i) => ({ ...peer(i + 1), role: 'voter' })) };
}
