/** A run of a simulated cluster: faults and work chosen from the seed, then healing, then the proof that it works. */

import assert from 'node:assert/strict';
import { findServer, type ServerId } from '../../src/raft/index.ts';
import { Cluster, ELECTION_TIMEOUT_MS, type Mutation, type SimulatedNode } from './cluster.ts';

const MAX_NODES = 7;

export interface ChaosResult {
  readonly digest: number;
  readonly committed: number;
  readonly reads: number;
  /** Those of them that were answered because of a lease. */
  readonly leaseReads: number;
  readonly terms: number;
  /** Steps of cores, membership changes and transfers that succeeded. */
  readonly events: number;
  readonly finished: number;
}

export interface ChaosOptions {
  readonly seed: number;
  readonly durationMs?: number;
  readonly mutation?: Mutation;
}

/** Throws SafetyError, AssertionError, or what else shows that something is wrong. */
export function chaos({ seed, durationMs = 6000, mutation }: ChaosOptions): ChaosResult {
  // Where little happens there is time for what takes several steps: every second run.
  const isCalm = seed % 2 === 1;
  const voters = isCalm ? 2 + (Math.floor(seed / 2) % 4) : 1 + (seed % 5);
  // In some runs those like C are there from the beginning, in others they come.
  const exchanges = seed % 6 === 0 || seed % 6 === 3;
  const likeC = exchanges ? [1, 3] : seed % 6 < 3 ? [voters + 1, voters + 2] : [];
  const cluster = new Cluster({ seed, voters, likeC, exchanges, mutation });
  const { random } = cluster;
  const endMs = cluster.nowMs + durationMs;
  while (cluster.nowMs < endMs) {
    cluster.run(5 + random.below(30));
    if (!isCalm) disturb(cluster);
    else if (random.chance(0.04)) interrupt(cluster);
    for (let i = random.below(4); i > 0; i--) work(cluster, isCalm);
  }
  cluster.heal();
  recover(cluster, seed);
  const { checker } = cluster;
  return {
    digest: cluster.digest.value,
    committed: checker.committed,
    reads: checker.reads,
    leaseReads: cluster.leaseReads,
    terms: checker.terms,
    events: cluster.events,
    finished: cluster.finished.filter(({ error }) => error === undefined).length,
  };
}

function disturb(cluster: Cluster): void {
  const { random } = cluster;
  const node = random.pick(cluster.nodes);
  const dice = random.below(100);
  if (dice < 4) cluster.crash(node);
  else if (dice < 10) restart(cluster);
  else if (dice < 12) cluster.partition();
  else if (dice < 16) cluster.heal();
  else if (dice < 18) node.isSlow = true;
  else if (dice < 19) cluster.lossRate = random.float() * 0.4;
  else if (dice < 20) cluster.duplicationRate = random.float() * 0.4;
  else if (dice < 21) cluster.maxDelayMs = random.pick([1, 10, 60, 150]);
  else if (dice < 27) cluster.snapshot(node);
  else if (dice === 28) node.isFull = true;
  else if (dice === 29) cluster.freeDisk(node);
  else if (dice === 30 && cluster.exchanges) cluster.exchange(node);
  else if (dice < 28 && cluster.leader !== undefined) cluster.isolate(cluster.leader);
}

/** What may happen to a cluster that is well otherwise. */
function interrupt(cluster: Cluster): void {
  const { random, leader } = cluster;
  const node = random.pick(cluster.nodes);
  const dice = random.below(100);
  if (dice < 30) ambush(cluster);
  else if (dice < 40) cluster.reconnect();
  else if (dice < 50 && leader !== undefined) cluster.isolate(leader);
  else if (dice < 60) cluster.silence(leader !== undefined && random.chance(0.5) ? leader : node);
  else if (dice < 65) cluster.partition();
  else if (dice < 75 && leader !== undefined) cluster.transfer(leader, random.pick(cluster.nodes).id);
  else if (dice < 80 && cluster.exchanges) cluster.exchange(node);
  else if (dice < 95) {
    cluster.crash(node);
    cluster.start(node);
  } else cluster.maxDelayMs = random.pick([1, 10, 60]);
  restart(cluster);
}

/**
 * A follower that has not heard of its leader for a while asks the others for their votes just when they cannot hear it
 * either, or have just started, while the leader reads on.
 */
function ambush(cluster: Cluster): void {
  const { random, leader } = cluster;
  const others = cluster.running.filter(node => node !== leader);
  if (leader === undefined || others.length < 2) return;
  cluster.reconnect();
  if (random.chance(0.2)) cluster.transfer(leader, random.pick(others).id);
  cluster.isolate(random.pick(others));
  const readUntil = (endMs: number): void => {
    while (cluster.nowMs < endMs) {
      cluster.run(1 + random.below(8));
      for (const node of cluster.leaders) {
        if (node === leader) cluster.read(node);
        else cluster.write(node);
      }
    }
  };
  readUntil(cluster.nowMs + random.float() * 2 * ELECTION_TIMEOUT_MS);
  cluster.isolate(leader);
  if (random.chance(0.5)) {
    for (const node of others) {
      if (random.chance(0.5)) continue;
      cluster.crash(node);
      cluster.start(node);
    }
  }
  readUntil(cluster.nowMs + 2 * ELECTION_TIMEOUT_MS);
}

function restart(cluster: Cluster): void {
  const stopped = cluster.nodes.filter(({ process }) => process === undefined);
  if (stopped.length > 0) cluster.start(cluster.random.pick(stopped));
}

function work(cluster: Cluster, isCalm: boolean): void {
  const { random } = cluster;
  if (cluster.leaders.length === 0) return;
  // An old leader is asked too.
  const leader = random.pick(cluster.leaders);
  const dice = random.below(100);
  if (dice < 55) cluster.write(leader);
  else if (dice < 90) cluster.read(leader);
  else if (isCalm && random.chance(0.9)) cluster.read(leader);
  else if (dice < 97) changeMembers(cluster, leader);
  else cluster.transfer(leader, random.chance(0.5) ? 0n : random.pick(cluster.nodes).id);
}

function changeMembers(cluster: Cluster, leader: SimulatedNode): void {
  const { random } = cluster;
  const dice = random.below(10);
  if (dice < 2 && cluster.nodes.length < MAX_NODES) {
    const node = cluster.addNode();
    cluster.start(node);
    cluster.change(leader, { kind: 'add', ...node.peer });
    return;
  }
  const { id, peer } = random.pick(cluster.nodes);
  if (dice < 3) cluster.change(leader, { kind: 'remove', id });
  else if (dice < 4) cluster.change(leader, { kind: 'add', ...peer });
  else if (dice < 8) cluster.setRole(leader, id, 'voter');
  else cluster.setRole(leader, id, random.chance(0.5) ? 'standby' : 'spare');
}

/** Within a few election timeouts there is a leader, a write goes through, and everybody who gets the log has it. */
function recover(cluster: Cluster, seed: number): void {
  const wait = (what: string, condition: () => boolean): void => {
    assert.ok(cluster.run(40 * ELECTION_TIMEOUT_MS, condition), `seed ${seed}: ${what} after healing`);
  };
  let index: number | undefined;
  const isCommitted = (): boolean => {
    const leader = cluster.leader;
    if (leader === undefined) return false;
    const { raft, applied } = leader.process!;
    const isLost = index === undefined || raft.log.lastIndex < index;
    if (isLost) index = cluster.write(leader);
    return index !== undefined && applied >= index;
  };
  wait('no write was committed', isCommitted);
  const reads = cluster.checker.reads;
  wait('no read was confirmed', () => {
    if (cluster.leader !== undefined && cluster.random.chance(0.05)) cluster.read(cluster.leader);
    return cluster.checker.reads > reads;
  });
  const hasAll = (id: ServerId): boolean => {
    const node = cluster.nodes.find(other => other.id === id)!;
    return (node.process?.applied ?? 0) >= cluster.checker.committed;
  };
  wait('not everybody caught up', () => {
    const { leader } = cluster;
    if (leader === undefined) return false;
    const { servers } = leader.process!.raft.configuration;
    return servers.every(({ id, role }) => role === 'spare' || hasAll(id));
  });
  // At the same index the states are the same.
  const states = cluster.running
    .filter(({ process }) => process!.applied === cluster.checker.committed)
    .map(({ process }) => process!.state);
  for (const state of states) assert.deepEqual(state, states[0], `seed ${seed}: states differ`);
  wait('a removed server still leads', () => {
    const raft = cluster.leader?.process?.raft;
    return raft !== undefined && findServer(raft.configuration, raft.id) !== undefined;
  });
}
