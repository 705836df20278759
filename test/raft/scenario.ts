/**
 * Nodes that a text script drives step by step, in the manner of etcd's interaction tests: nothing happens but what
 * the script says, and everything that comes out is printed. Commands, one a line:
 *
 *     nodes 3              three voters, as if node 1 had added the others
 *     node 4               one more node with an empty disk
 *     campaign 2           time passes at node 2 until it does something about its leader's silence
 *     tick 1 3             three heartbeat intervals pass at node 1
 *     deliver [1>2]        what is under way arrives, all of it or that from 1 to 2
 *     drop [1>2]           it does not
 *     store 1              the disk of node 1 does what it was asked to
 *     stabilize [quietly]  store and deliver everywhere until nothing is left
 *     propose 1 2          two entries
 *     shrink 1             an entry that makes a database smaller
 *     old 4                from now on node 4 says as little of itself as Debian's version
 *     change 1 add 4 | assign 4 voter | remove 4
 *     transfer 1 2
 *     read 1
 *     snapshot 1 5 [2]     node 1 has a snapshot up to entry 5, and no log before it, or two entries
 *     unreachable 1 2      node 1 learns that its connection to node 2 broke
 *     restart 2            with what was stored
 *     log 2
 *     status
 */

import {
  encodeConfiguration,
  Raft,
  type Change,
  type Entry,
  type Index,
  type Input,
  type InstallSnapshot,
  type Message,
  type Output,
  type Role,
  type ServerId,
} from '../../src/raft/index.ts';
import { Disk, type Write } from './disk.ts';

const HEARTBEAT_MS = 100;
/** The election timeout. */
const VOTES_AFTER_MS = 1000;
/** What is above in a probe's number says in which term it was sent. */
const PROBES_PER_TERM = 2 ** 32;

interface Actor {
  readonly id: ServerId;
  readonly disk: Disk;
  raft: Raft;
  isOld: boolean;
  nowMs: number;
  writes: (Write | { readonly kind: 'term'; readonly term: number; readonly votedFor: ServerId | undefined })[];
}

interface Mail {
  readonly from: ServerId;
  readonly to: ServerId;
  readonly message: Message;
}

export class Scenario {
  readonly #actors = new Map<ServerId, Actor>();
  #mail: Mail[] = [];
  #lines: string[] = [];
  #request = 0;
  #value = 0;

  /** Carries out the lines of one case and gives what came out. */
  run(input: readonly string[]): string {
    this.#lines = [];
    for (const line of input) this.#command(line.split(/\s+/));
    return this.#lines.length === 0 ? 'nothing' : this.#lines.join('\n');
  }

  #command([name, ...args]: string[]): void {
    const actor = (): Actor => this.#actor(BigInt(args[0]!));
    switch (name) {
      case 'nodes': {
        const ids = Array.from({ length: Number(args[0]) }, (_, i) => BigInt(i + 1));
        const servers = ids.map(id => ({ id, address: `n${id}`, role: 'voter' as const }));
        const first: Entry = { term: 1, type: 'change', data: encodeConfiguration({ servers }) };
        for (const id of ids) {
          const disk = new Disk();
          disk.term = 1;
          disk.write({ kind: 'append', firstIndex: 1, entries: [first] });
          this.#start(id, disk);
          // They have been up for so long that they may vote.
          this.#actor(id).nowMs += VOTES_AFTER_MS;
        }
        return;
      }
      case 'node':
        this.#start(BigInt(args[0]!), new Disk());
        return;
      case 'restart':
        this.#start(actor().id, actor().disk);
        return;
      case 'campaign': {
        const one = actor();
        for (let i = 0; i < 100; i++) {
          const before = this.#lines.length;
          this.#tick(one);
          if (this.#lines.length > before) return;
        }
        return;
      }
      case 'tick':
        for (let i = Number(args[1] ?? 1); i > 0; i--) this.#tick(actor());
        return;
      case 'deliver':
        this.#deliver(args[0]);
        return;
      case 'drop':
        this.#say(`lost: ${this.#take(args[0]).length} messages`);
        return;
      case 'store':
        this.#store(actor());
        return;
      case 'stabilize': {
        const lines = this.#lines;
        if (args[0] === 'quietly') this.#lines = [];
        for (let i = 0; i < 100 && (this.#mail.length > 0 || this.#isBusy()); i++) {
          for (const one of this.#actors.values()) this.#store(one);
          this.#deliver(undefined);
        }
        this.#lines = lines;
        return;
      }
      case 'propose': {
        const entries = Array.from({ length: Number(args[1] ?? 1) }, () => {
          const data = new Uint8Array(8);
          data[0] = ++this.#value;
          return { type: 'command' as const, data };
        });
        this.#input(actor(), { kind: 'propose', entries });
        return;
      }
      case 'shrink': {
        const data = new Uint8Array(8);
        this.#input(actor(), { kind: 'propose', entries: [{ type: 'command', data, shrinks: true }] });
        return;
      }
      case 'old':
        actor().isOld = true;
        return;
      case 'change':
        this.#input(actor(), { kind: 'change', request: ++this.#request, change: changeOf(args.slice(1)) });
        return;
      case 'transfer':
        this.#input(actor(), { kind: 'transfer', request: ++this.#request, target: BigInt(args[1] ?? 0) });
        return;
      case 'read':
        this.#input(actor(), { kind: 'read', request: ++this.#request });
        return;
      case 'unreachable':
        this.#input(actor(), { kind: 'unreachable', peer: BigInt(args[1]!) });
        return;
      case 'snapshot':
        this.#snapshot(actor(), Number(args[1]), Number(args[2] ?? 0));
        return;
      case 'log': {
        const { log } = actor().raft;
        const terms: string[] = [];
        for (let index = log.firstIndex; index <= log.lastIndex; index++) terms.push(`${index}:${log.termAt(index)}`);
        this.#say(terms.length === 0 ? `empty after ${log.lastIndex}` : terms.join(' '));
        return;
      }
      case 'status':
        for (const { id, raft } of this.#actors.values()) this.#say(`${id}: ${statusOf(raft)}`);
        return;
      default:
        throw new Error(`unknown command ${name}`);
    }
  }

  #actor(id: ServerId): Actor {
    const actor = this.#actors.get(id);
    if (actor === undefined) throw new Error(`no node ${id}`);
    return actor;
  }

  #say(line: string): void {
    this.#lines.push(line);
  }

  #start(id: ServerId, disk: Disk): void {
    const raft = new Raft(
      {
        id,
        address: `n${id}`,
        seed: Number(id),
        heartbeatMs: HEARTBEAT_MS,
        electionTimeoutMs: VOTES_AFTER_MS,
        leases: true,
        maxBatchBytes: 32,
        maxInflightBytes: 64,
      },
      disk.load(),
    );
    const nowMs = this.#actors.get(id)?.nowMs ?? 0;
    const isOld = this.#actors.get(id)?.isOld ?? false;
    const actor: Actor = { id, disk, raft, isOld, nowMs, writes: [] };
    this.#actors.set(id, actor);
    this.#input(actor, { kind: 'start' });
  }

  #tick(actor: Actor): void {
    actor.nowMs += HEARTBEAT_MS;
    this.#input(actor, { kind: 'tick' });
  }

  #take(link: string | undefined): Mail[] {
    const isWanted = ({ from, to }: Mail): boolean => link === undefined || link === `${from}>${to}`;
    const taken = this.#mail.filter(isWanted);
    this.#mail = this.#mail.filter(mail => !isWanted(mail));
    return taken;
  }

  #deliver(link: string | undefined): void {
    for (const { from, to, message } of this.#take(link)) {
      const target = this.#actors.get(to);
      if (target === undefined) continue;
      this.#say(`${from}>${to} ${words(message)}`);
      const peer = { id: from, address: `n${from}` };
      if (message.kind !== 'installSnapshot') {
        this.#input(target, { kind: 'received', from: peer, message });
        continue;
      }
      this.#input(this.#actor(from), { kind: 'snapshotSent', peer: to });
      this.#input(target, { kind: 'snapshotOffered', from: peer, message });
      this.#input(target, { kind: 'snapshotReceived', from: peer, message });
    }
  }

  #isBusy(): boolean {
    return [...this.#actors.values()].some(({ writes }) => writes.length > 0);
  }

  #store(actor: Actor): void {
    for (const write of actor.writes.splice(0)) {
      if (write.kind === 'term') {
        actor.disk.term = write.term;
        actor.disk.votedFor = write.votedFor;
        this.#input(actor, { kind: 'termStored' });
        continue;
      }
      actor.disk.write(write);
      if (write.kind === 'append')
        this.#input(actor, { kind: 'stored', index: write.firstIndex + write.entries.length - 1 });
      else this.#input(actor, { kind: write.kind === 'truncate' ? 'truncated' : 'snapshotInstalled' });
    }
  }

  #snapshot(actor: Actor, index: Index, trailing: number): void {
    const { raft, disk } = actor;
    const configuration = raft.committedConfiguration;
    const info = {
      index,
      term: raft.log.termAt(index)!,
      configuration,
      configurationIndex: raft.committedConfigurationIndex,
    };
    disk.keepSnapshot({ info, state: new Map() }, trailing);
    this.#input(actor, { kind: 'snapshotTaken', snapshot: info, firstIndex: disk.firstIndex });
  }

  #input(actor: Actor, input: Input): void {
    for (const output of actor.raft.step(input, actor.nowMs)) this.#carryOut(actor, output);
  }

  #carryOut(actor: Actor, output: Output): void {
    const say = (line: string): void => this.#say(`  ${actor.id} ${line}`);
    switch (output.kind) {
      case 'send': {
        const { to, message } = output;
        const isResult = message.kind === 'appendEntriesResult' || message.kind === 'readProbeResult';
        const said = isResult && actor.isOld ? { ...message, features: undefined } : message;
        this.#mail.push({ from: actor.id, to: to.id, message: said });
        return;
      }
      case 'takeSnapshot':
        say(`wants a snapshot at ${output.index}`);
        return;
      case 'sendSnapshot':
        this.#mail.push({ from: actor.id, to: output.to.id, message: output.message });
        return;
      case 'storeTerm':
        actor.writes.push({ ...output, kind: 'term' });
        say(`stores term ${output.term}, vote ${output.votedFor ?? 'none'}`);
        return;
      case 'append':
        actor.writes.push(output);
        say(`appends ${entriesOf(output.firstIndex, output.entries)}`);
        return;
      case 'truncate':
        actor.writes.push(output);
        say(`truncates from ${output.firstIndex}`);
        return;
      case 'installSnapshot':
        actor.writes.push({ kind: 'install', snapshot: { info: output.snapshot, state: new Map() } });
        say(`installs the snapshot at ${output.snapshot.index}`);
        return;
      case 'readEntries': {
        const { peer, firstIndex, lastIndex, maxBytes } = output;
        say(`reads ${firstIndex}-${lastIndex} for ${peer}`);
        const entries = actor.disk.read(firstIndex, lastIndex, maxBytes);
        this.#input(actor, { kind: 'entriesRead', peer, firstIndex, entries });
        return;
      }
      case 'commit':
        say(`commits ${output.index}`);
        return;
      case 'roleChanged':
        say(`becomes ${output.role} in term ${output.term}`);
        return;
      case 'leaderChanged':
        say(output.leader === undefined ? 'knows no leader' : `follows ${output.leader.id}`);
        return;
      case 'configurationChanged':
        say(`uses ${output.configuration.servers.map(({ id, role }) => `${id}:${role}`).join(' ')}`);
        return;
      case 'finished':
        say(`request ${output.request}: ${output.error ?? 'done'}`);
        return;
      case 'readFinished':
        say(`read ${output.request}: ${output.confirmed ? 'confirmed' : 'refused'}`);
        return;
      case 'violation':
        say(`complains about ${output.peer}: ${output.reason}`);
        return;
      case 'receiveSnapshot':
      case 'discardSnapshot':
        say(output.kind === 'receiveSnapshot' ? 'receives a snapshot' : 'discards a snapshot');
        return;
    }
  }
}

function changeOf([kind, id, role]: string[]): Change {
  if (kind === 'add') return { kind, id: BigInt(id!), address: `n${id}` };
  if (kind === 'assign') return { kind, id: BigInt(id!), role: role as Role };
  return { kind: 'remove', id: BigInt(id!) };
}

function entriesOf(firstIndex: Index, entries: readonly Entry[]): string {
  return entries
    .map(({ term, type }, i) => `${firstIndex + i}:${term}${type === 'command' ? '' : ` ${type}`}`)
    .join(', ');
}

function words(message: Message): string {
  switch (message.kind) {
    case 'requestVote': {
      const kind = message.preVote ? 'would you vote' : message.disruptLeader ? 'vote, the leader asks' : 'vote';
      return `${kind}: term ${message.term}, log ${message.lastIndex}:${message.lastTerm}`;
    }
    case 'requestVoteResult':
      return `${message.granted ? 'yes' : 'no'}${message.preVote === true ? ', I would' : ''}: term ${message.term}`;
    case 'appendEntries': {
      const { previousIndex, previousTerm, entries } = message;
      const what = entries.length === 0 ? 'heartbeat' : entriesOf(previousIndex + 1, entries);
      return `term ${message.term} after ${previousIndex}:${previousTerm}, commit ${message.commitIndex}: ${what}`;
    }
    case 'appendEntriesResult':
      return message.rejected > 0
        ? `rejects ${message.rejected}, try ${message.lastIndex}: term ${message.term}`
        : `has ${message.lastIndex}: term ${message.term}`;
    case 'readProbe':
      return `still following? ${message.number % PROBES_PER_TERM}: term ${message.term}`;
    case 'readProbeResult':
      return `following ${message.number % PROBES_PER_TERM}: term ${message.term}`;
    case 'installSnapshot':
      return snapshotWords(message);
    case 'timeoutNow':
      return `take over: term ${message.term}, log ${message.lastIndex}:${message.lastTerm}`;
  }
}

function snapshotWords(message: InstallSnapshot): string {
  return `snapshot ${message.lastIndex}:${message.lastTerm}: term ${message.term}`;
}

function statusOf(raft: Raft): string {
  const { role, term, votedFor, commitIndex, storedIndex, log, leader, progress } = raft;
  const followed = role === 'follower' ? ` of ${leader?.id ?? 'nobody'}` : '';
  const peers = [...(progress ?? [])].map(([id, one]) => `; ${id} ${one.state} match ${one.match} next ${one.next}`);
  const vote = votedFor ?? 'none';
  return `${role}${followed}, term ${term}, vote ${vote}, commit ${commitIndex}, stored ${storedIndex}, last ${log.lastIndex}${peers.join('')}`;
}
