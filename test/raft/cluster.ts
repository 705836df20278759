/**
 * A cluster of cores on a simulated network and simulated disks, all from one seed: loss, duplication, reordering,
 * partitions, crashes that lose what was not durable, slow disks, membership changes, snapshots, transfers. Some nodes
 * may behave as C dqlite does, now and then in the place of one of ours: they answer with what is durable, compared or
 * not, without saying what they are, vote as soon as they run, and once asked to take over they keep the leave to disrupt.
 */

import { SeededRandom } from '../../src/lib/random.ts';
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
  type Peer,
  type RequestId,
  type Role,
  type ServerId,
} from '../../src/raft/index.ts';
import { EventQueue } from '../../src/simulation/event-queue.ts';
import { Checker } from './checker.ts';
import { Disk, type StoredSnapshot, type Write } from './disk.ts';

/** Rules that a host may break, to see that the checks notice. */
export type Mutation = 'storedTooEarly' | 'readUnconfirmed';

export interface ClusterOptions {
  readonly seed: number;
  readonly voters: number;
  /** Nodes with these ids behave as C does. */
  readonly likeC?: readonly number[];
  /** Whether nodes are exchanged; otherwise entries that those like C do not survive are written while there are none. */
  readonly exchanges?: boolean;
  readonly mutation?: Mutation | undefined;
}

export const HEARTBEAT_MS = 50;
export const ELECTION_TIMEOUT_MS = 300;
/** The byte of a command that says that it makes a database smaller. */
const SHRINKS = 4;

interface Process {
  readonly raft: Raft;
  readonly writes: Write[];
  isWriting: boolean;
  isFailed: boolean;
  termWriteEndMs: number;
  readonly state: Map<string, Index>;
  applied: Index;
  isInstalling: boolean;
  readonly proposals: Map<Index, { readonly term: number }>;
  readonly reads: Map<RequestId, { readonly seen: Index; readonly before: Index }>;
  readonly received: Map<Index, StoredSnapshot>;
  /** The snapshot whose data it wants. */
  receiving: InstallSnapshot | undefined;
  /** Was asked to take over, and is a candidate since. */
  isDisruptive: boolean;
}

export interface SimulatedNode {
  readonly id: ServerId;
  readonly peer: Peer;
  readonly disk: Disk;
  process: Process | undefined;
  isLikeC: boolean;
  /** Not to be started before. */
  restMs: number;
  isSlow: boolean;
  /** Its disk takes no more entries. */
  isFull: boolean;
}

export class Cluster {
  readonly random: SeededRandom;
  readonly checker: Checker = new Checker();
  readonly nodes: SimulatedNode[] = [];
  /** What happened, for the comparison of two runs. */
  readonly digest: { value: number } = { value: 0 };
  nowMs = 0;
  lossRate = 0;
  duplicationRate = 0;
  maxDelayMs = 10;
  events = 0;
  leaseReads = 0;
  readonly finished: { readonly request: RequestId; readonly error: string | undefined }[] = [];
  readonly #queue = new EventQueue();
  readonly #options: ClusterOptions;
  /** Nodes in different groups do not hear each other. */
  #groups = new Map<ServerId, number>();
  /** Nodes that nobody hears, and that hear nobody. */
  #mute: ServerId | undefined = undefined;
  #deaf: ServerId | undefined = undefined;
  #lastRequest = 0;
  #lastValue = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed);
    for (let i = 1; i <= options.voters; i++) this.addNode();
    // As if the founder had added the others: all have the same first entry.
    const servers = this.nodes.map(({ peer }) => ({ ...peer, role: 'voter' as const }));
    for (const { disk } of this.nodes) {
      disk.term = 1;
      disk.write({
        kind: 'append',
        firstIndex: 1,
        entries: [{ term: 1, type: 'change', data: encodeConfiguration({ servers }) }],
      });
    }
    for (const node of this.nodes) this.start(node);
  }

  addNode(): SimulatedNode {
    const id = BigInt(this.nodes.length + 1);
    const peer = { id, address: `n${id}` };
    const node: SimulatedNode = {
      id,
      peer,
      disk: new Disk(),
      process: undefined,
      isLikeC: this.#options.likeC?.includes(Number(id)) === true,
      restMs: 0,
      isSlow: false,
      isFull: false,
    };
    this.nodes.push(node);
    return node;
  }

  get running(): SimulatedNode[] {
    return this.nodes.filter(node => node.process !== undefined);
  }

  get exchanges(): boolean {
    return this.#options.exchanges === true;
  }

  get leaders(): SimulatedNode[] {
    return this.running.filter(node => node.process!.raft.role === 'leader');
  }

  /** The leader of the latest term. */
  get leader(): SimulatedNode | undefined {
    return this.leaders.sort((a, b) => b.process!.raft.term - a.process!.raft.term)[0];
  }

  /** The other kind of process goes on with the directory. What one of ours has promised, one of C would not keep. */
  exchange(node: SimulatedNode): void {
    this.crash(node);
    if (!node.isLikeC) node.restMs = this.nowMs + ELECTION_TIMEOUT_MS;
    node.isLikeC = !node.isLikeC;
  }

  start(node: SimulatedNode): void {
    if (node.restMs > this.nowMs) {
      this.after(node.restMs - this.nowMs, () => {
        if (node.process === undefined) this.start(node);
      });
      return;
    }
    const raft = new Raft(
      {
        ...node.peer,
        seed: this.random.uint32(),
        heartbeatMs: HEARTBEAT_MS,
        electionTimeoutMs: ELECTION_TIMEOUT_MS,
        leases: !node.isLikeC,
        installSnapshotTimeoutMs: 1000,
        maxBatchBytes: 32,
        maxInflightBytes: 128,
        maxCacheBytes: 64,
      },
      node.disk.load(),
    );
    const { snapshot } = node.disk;
    const process: Process = {
      raft,
      writes: [],
      isWriting: false,
      isFailed: false,
      termWriteEndMs: 0,
      state: new Map(snapshot?.state),
      applied: snapshot?.info.index ?? 0,
      isInstalling: false,
      proposals: new Map(),
      reads: new Map(),
      received: new Map(),
      receiving: undefined,
      isDisruptive: false,
    };
    node.process = process;
    this.checker.restarted(raft);
    // As if it had been there for so long that it may vote.
    this.input(node, { kind: 'start' }, node.isLikeC ? -ELECTION_TIMEOUT_MS : 0);
    const tick = (): void => {
      if (node.process !== process) return;
      this.input(node, { kind: 'tick' });
      this.after(HEARTBEAT_MS, tick);
    };
    this.after(this.random.below(HEARTBEAT_MS) + 1, tick);
  }

  /** The process ends; what was not durable is lost, but for a part of the write under way. */
  crash(node: SimulatedNode): void {
    const { process } = node;
    if (process === undefined) return;
    node.process = undefined;
    if (process.isWriting) node.disk.tear(process.writes[0]!, this.random);
    for (const other of this.running) {
      if (this.random.chance(0.7)) this.input(other, { kind: 'unreachable', peer: node.id });
    }
  }

  partition(): void {
    this.#groups = new Map(this.nodes.map(({ id }) => [id, this.random.below(2)]));
  }

  freeDisk(node: SimulatedNode): void {
    if (!node.isFull) return;
    node.isFull = false;
    if (node.process?.isFailed !== true) return;
    node.process.isFailed = false;
    this.input(node, { kind: 'storeRecovered' });
  }

  /** One node alone. */
  isolate(node: SimulatedNode): void {
    this.#groups = new Map(this.nodes.map(({ id }) => [id, id === node.id ? 1 : 0]));
  }

  /** One node alone, in one direction. */
  silence(node: SimulatedNode): void {
    if (this.random.chance(0.5)) this.#mute = node.id;
    else this.#deaf = node.id;
  }

  reconnect(): void {
    this.#groups.clear();
    this.#mute = undefined;
    this.#deaf = undefined;
  }

  heal(): void {
    this.reconnect();
    this.lossRate = 0;
    this.duplicationRate = 0;
    this.maxDelayMs = 10;
    for (const node of this.nodes) {
      node.isSlow = false;
      this.freeDisk(node);
      if (node.process === undefined) this.start(node);
    }
  }

  run(durationMs: number, until: () => boolean = () => false): boolean {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      if (until()) return true;
      const next = this.#queue.peek();
      if (next === undefined || next.timeMs > endMs) break;
      this.nowMs = next.timeMs;
      this.#queue.take();
      next.run!();
      if (++this.events % 64 === 0) this.checker.logs(this.running.map(({ process }) => process!.raft));
    }
    this.nowMs = endMs;
    return until();
  }

  after(ms: number, work: () => void): void {
    this.#queue.add(this.nowMs + ms, work);
  }

  write(node: SimulatedNode): Index | undefined {
    const process = node.process;
    if (process === undefined || !process.raft.canPropose) return undefined;
    const data = new Uint8Array(8 * (1 + this.random.below(3)));
    new DataView(data.buffer).setUint32(0, ++this.#lastValue);
    const shrinks = !this.exchanges && !node.isLikeC && !process.raft.hasOldMembers && this.random.chance(0.1);
    if (shrinks) data[SHRINKS] = 1;
    this.input(node, { kind: 'propose', entries: [{ type: 'command', data, shrinks }] });
    const index = process.raft.log.lastIndex;
    process.proposals.set(index, { term: process.raft.term });
    return index;
  }

  read(node: SimulatedNode): void {
    const { process } = node;
    if (process === undefined) return;
    const { raft, applied } = process;
    if (raft.barrierIndex === undefined || applied < raft.barrierIndex) return;
    const before = this.checker.observed;
    if (this.#options.mutation === 'readUnconfirmed' || raft.hasLease(this.nowMs)) {
      if (!raft.isOnlyVoter) this.leaseReads++;
      this.checker.read(node.id, applied, before);
      return;
    }
    const request = ++this.#lastRequest;
    process.reads.set(request, { seen: applied, before });
    this.input(node, { kind: 'read', request });
  }

  change(node: SimulatedNode, change: Change): RequestId {
    const request = ++this.#lastRequest;
    this.input(node, { kind: 'change', request, change });
    return request;
  }

  transfer(node: SimulatedNode, target: ServerId): RequestId {
    const request = ++this.#lastRequest;
    this.input(node, { kind: 'transfer', request, target });
    return request;
  }

  snapshot(node: SimulatedNode): void {
    const { process } = node;
    if (process === undefined || process.isInstalling) return;
    const { raft, applied, state } = process;
    const term = raft.log.termAt(applied);
    if (applied === 0 || applied <= (node.disk.snapshot?.info.index ?? 0) || term === undefined) return;
    // An applied configuration is the committed one, or an older one that the next snapshot replaces.
    const configuration = raft.committedConfiguration;
    const info = { index: applied, term, configuration, configurationIndex: raft.committedConfigurationIndex };
    if (info.configurationIndex > applied) return;
    node.disk.keepSnapshot({ info, state: new Map(state) }, this.random.below(6));
    this.input(node, { kind: 'snapshotTaken', snapshot: info, firstIndex: node.disk.firstIndex });
  }

  setRole(leader: SimulatedNode, id: ServerId, role: Role): RequestId {
    return this.change(leader, { kind: 'assign', id, role });
  }

  input(node: SimulatedNode, input: Input, shiftMs = 0): void {
    const { process } = node;
    if (process === undefined) return;
    const outputs = process.raft.step(input, this.nowMs + shiftMs);
    const isAsked = input.kind === 'received' && input.message.kind === 'timeoutNow';
    if (isAsked || process.raft.role !== 'candidate') process.isDisruptive = process.raft.role === 'candidate';
    this.digest.value =
      (Math.imul(this.digest.value, 31) + Number(node.id) + outputs.length * 7 + process.raft.log.lastIndex) | 0;
    this.checker.stepped(process.raft);
    for (const output of outputs) this.#carryOut(node, process, output);
  }

  #carryOut(node: SimulatedNode, process: Process, output: Output): void {
    switch (output.kind) {
      case 'storeTerm':
        this.#storeTerm(node, process, output.term, output.votedFor);
        return;
      case 'append':
        if (node.isLikeC) this.checker.old(node.id, output.entries.filter(shrinks).length);
        if (this.#options.mutation === 'storedTooEarly') {
          const index = output.firstIndex + output.entries.length - 1;
          this.after(0, () => {
            if (node.process === process)
              this.input(node, { kind: 'stored', index: Math.min(index, process.raft.log.lastIndex) });
          });
        }
        this.#enqueue(node, process, output);
        return;
      case 'truncate':
        this.#enqueue(node, process, output);
        return;
      case 'commit':
        this.#apply(node, process);
        return;
      case 'send':
        this.#send(node, output.to, output.message);
        return;
      case 'readEntries': {
        const { peer, firstIndex, lastIndex, maxBytes } = output;
        this.after(1 + this.random.below(5), () => {
          if (node.process !== process) return;
          const entries = node.disk.read(firstIndex, lastIndex, maxBytes);
          this.input(node, { kind: 'entriesRead', peer, firstIndex, entries });
        });
        return;
      }
      case 'takeSnapshot':
        this.after(this.random.below(200), () => {
          if (node.process === process && process.applied >= output.index) this.snapshot(node);
        });
        return;
      case 'sendSnapshot':
        this.#sendSnapshot(node, output.to, output.message);
        return;
      case 'receiveSnapshot':
        process.receiving = output.message;
        return;
      case 'discardSnapshot':
        return;
      case 'installSnapshot': {
        process.isInstalling = true;
        const snapshot = process.received.get(output.snapshot.index)!;
        this.#enqueue(node, process, { kind: 'install', snapshot });
        return;
      }
      case 'finished':
        this.finished.push(output);
        return;
      case 'readFinished': {
        const read = process.reads.get(output.request);
        process.reads.delete(output.request);
        if (read !== undefined && output.confirmed) this.checker.read(node.id, read.seen, read.before);
        return;
      }
      case 'violation':
        throw new Error(`${node.id}: ${output.peer} broke the protocol: ${output.reason}`);
      case 'roleChanged':
        if (output.role !== 'leader') process.proposals.clear();
        return;
      case 'leaderChanged':
      case 'configurationChanged':
        return;
    }
  }

  #diskMs(node: SimulatedNode): number {
    return 0.5 + this.random.float() * (node.isSlow ? 250 : 8);
  }

  #storeTerm(node: SimulatedNode, process: Process, term: number, votedFor: ServerId | undefined): void {
    // One after the other.
    process.termWriteEndMs = Math.max(process.termWriteEndMs, this.nowMs + this.#diskMs(node));
    this.after(process.termWriteEndMs - this.nowMs, () => {
      if (node.process !== process) return;
      node.disk.term = term;
      node.disk.votedFor = votedFor;
      this.input(node, { kind: 'termStored' });
    });
  }

  #enqueue(node: SimulatedNode, process: Process, write: Write): void {
    process.writes.push(write);
    this.#work(node, process);
  }

  #work(node: SimulatedNode, process: Process): void {
    const write = process.writes[0];
    if (process.isWriting || write === undefined) return;
    process.isWriting = true;
    this.after(this.#diskMs(node), () => {
      if (node.process !== process) return;
      process.isWriting = false;
      process.writes.shift();
      if (write.kind === 'append' && node.isFull) {
        // Nothing that waits can be written either.
        process.writes.splice(0, Infinity, ...process.writes.filter(({ kind }) => kind !== 'append'));
        process.isFailed = true;
        this.input(node, { kind: 'storeFailed' });
        this.#work(node, process);
        return;
      }
      node.disk.write(write);
      switch (write.kind) {
        case 'append':
          this.input(node, { kind: 'stored', index: write.firstIndex + write.entries.length - 1 });
          break;
        case 'truncate':
          this.input(node, { kind: 'truncated' });
          break;
        case 'install':
          process.isInstalling = false;
          process.applied = write.snapshot.info.index;
          process.state.clear();
          for (const [key, index] of write.snapshot.state) process.state.set(key, index);
          this.input(node, { kind: 'snapshotInstalled' });
          break;
      }
      this.#apply(node, process);
      this.#work(node, process);
    });
  }

  #apply(node: SimulatedNode, process: Process): void {
    const { raft } = process;
    while (!process.isInstalling && process.applied < raft.commitIndex) {
      const index = process.applied + 1;
      const entry = raft.log.entryAt(index) ?? node.disk.read(index, index, 1)[0];
      if (entry === undefined) throw new Error(`${node.id}: committed entry ${index} is nowhere`);
      this.checker.applied(node.id, index, entry);
      if (entry.type === 'command') process.state.set(String(entry.data[3]! % 4), index);
      process.applied = index;
      if (shrinks(entry)) this.input(node, { kind: 'shrunk', index });
      const proposal = process.proposals.get(index);
      process.proposals.delete(index);
      if (proposal?.term === entry.term && raft.role === 'leader') this.checker.acknowledged(index);
    }
    while (raft.releaseData(process.applied) !== undefined);
  }

  #isCut(a: ServerId, b: ServerId): boolean {
    return a === this.#mute || b === this.#deaf || this.#groups.get(a) !== this.#groups.get(b);
  }

  #send(node: SimulatedNode, to: Peer, sent: Exclude<Message, InstallSnapshot>): void {
    const message = node.isLikeC ? asC(sent, node.process!) : sent;
    const target = this.nodes.find(({ id }) => id === to.id)!;
    // C's answers do not say what they answer: there may be one for each message at most, as TCP has it.
    const isExact = !node.isLikeC && !target.isLikeC;
    const copies = isExact && this.random.chance(this.duplicationRate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.#isCut(node.id, to.id) || this.random.chance(this.lossRate)) continue;
      this.after(0.5 + this.random.float() * this.maxDelayMs, () => {
        if (!this.#isCut(node.id, to.id)) this.input(target, { kind: 'received', from: node.peer, message });
      });
    }
  }

  #sendSnapshot(node: SimulatedNode, to: Peer, message: InstallSnapshot): void {
    const target = this.nodes.find(({ id }) => id === to.id)!;
    const stored = node.disk.snapshot!;
    if (stored.info.index !== message.lastIndex) {
      this.after(1, () => this.input(node, { kind: 'snapshotNotSent', peer: to.id }));
      return;
    }
    const { process } = node;
    const isLost = this.#isCut(node.id, to.id) || this.random.chance(this.lossRate);
    const headerMs = 1 + this.random.below(this.maxDelayMs);
    if (!isLost) {
      this.after(headerMs, () => this.input(target, { kind: 'snapshotOffered', from: node.peer, message }));
      this.after(headerMs + 20 + this.random.below(100), () => {
        const receiver = target.process;
        if (receiver?.receiving !== message) return;
        receiver.receiving = undefined;
        if (node.process !== process || this.#isCut(node.id, to.id)) {
          this.input(target, { kind: 'snapshotNotReceived', from: node.peer, message });
          return;
        }
        receiver.received.set(message.lastIndex, stored);
        this.input(target, { kind: 'snapshotReceived', from: node.peer, message });
      });
    }
    this.after(headerMs + 15, () => {
      if (node.process === process)
        this.input(node, { kind: isLost ? 'snapshotNotSent' : 'snapshotSent', peer: to.id });
    });
  }
}

function shrinks({ type, data }: Entry): boolean {
  return type === 'command' && data[SHRINKS] === 1;
}

/** What C dqlite would have said: no features, all that is durable, and that the leader asked it if ever it did. */
function asC(message: Exclude<Message, InstallSnapshot>, process: Process): Exclude<Message, InstallSnapshot> {
  const { raft, isDisruptive } = process;
  if (message.kind === 'requestVote') return { ...message, disruptLeader: isDisruptive };
  if (message.kind === 'readProbeResult') return { ...message, features: undefined };
  if (message.kind !== 'appendEntriesResult') return message;
  const lastIndex = message.rejected === 0 ? raft.storedIndex : message.lastIndex;
  return { ...message, features: undefined, lastIndex };
}
