/** Leases (design rule 4): when a leader may answer reads without asking, and what a voter must not do meanwhile. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFeatures } from './features.ts';
import type { RequestVote } from './messages.ts';
import {
  append,
  change,
  ELECTION_TIMEOUT_MS,
  kinds,
  peer,
  sent,
  Single,
  type SingleOptions,
} from './raft.test.helpers.ts';
import type { Output } from './types.ts';

const OURS = encodeFeatures(ELECTION_TIMEOUT_MS);

/** Node 1 leads, and nodes 2 and on have answered one probe: those with features are ours. */
function leaderWith(words: readonly (bigint | undefined)[], options: SingleOptions = {}): Single {
  const single = new Single(options);
  single.lead();
  const last = single.raft.log.lastIndex;
  for (const [i, word] of words.entries()) single.acknowledge(2 + i, last, word);
  single.step({ kind: 'stored', index: last });
  const number = probeIn(single.step({ kind: 'read', request: 1 }));
  for (const [i, word] of words.entries()) answerProbe(single, 2 + i, number, word);
  return single;
}

function probeIn(outputs: readonly Output[]): number {
  const [probe] = sent(outputs).filter(({ message }) => message.kind === 'readProbe');
  assert.ok(probe?.message.kind === 'readProbe');
  return probe.message.number;
}

function answerProbe(single: Single, from: number, number: number, features: bigint | undefined): Output[] {
  const { term } = single.raft;
  return single.receive(from, { kind: 'readProbeResult', term, number, lastIndex: 2, features });
}

const hasLease = (single: Single): boolean => single.raft.hasLease(single.nowMs);

const vote = (term: number, candidate: number): RequestVote => ({
  kind: 'requestVote',
  term,
  candidate: BigInt(candidate),
  lastIndex: 99,
  lastTerm: term - 1,
  disruptLeader: false,
  preVote: false,
});

function grants(single: Single, from: number, message: RequestVote): boolean {
  const outputs = [...single.receive(from, message)];
  if (kinds(outputs).includes('storeTerm')) outputs.push(...single.step({ kind: 'termStored' }));
  const answers = sent(outputs).filter(({ message: answer }) => answer.kind === 'requestVoteResult');
  assert.equal(answers.length, 1);
  const answer = answers[0]!.message;
  return answer.kind === 'requestVoteResult' && answer.granted;
}

test('answers of a majority to a probe give a lease of 0.8 election timeouts from when it was sent', () => {
  const single = leaderWith([OURS, OURS]);
  assert.equal(hasLease(single), true);
  single.nowMs += 0.8 * ELECTION_TIMEOUT_MS - 1;
  assert.equal(hasLease(single), true);
  single.nowMs += 1;
  assert.equal(hasLease(single), false);
});

test('an option switches leases off', () => {
  const options = { settings: { leases: false } };
  assert.equal(hasLease(leaderWith([OURS, OURS], options)), false);
});

test('asking somebody to take over ends the leases of the term, also if nothing comes of it', () => {
  const single = leaderWith([OURS, OURS]);
  const outputs = single.step({ kind: 'transfer', request: 7, target: 2n });
  assert.ok(kinds(outputs).includes('timeoutNow'));
  assert.equal(hasLease(single), false);
  for (let i = 0; i <= ELECTION_TIMEOUT_MS / 100; i++) {
    single.tick();
    for (const from of [2, 3]) single.acknowledge(from, 2, OURS);
  }
  const number = probeIn(single.step({ kind: 'read', request: 8 }));
  for (const from of [2, 3]) answerProbe(single, from, number, OURS);
  assert.equal(single.raft.role, 'leader');
  assert.equal(hasLease(single), false);
});

test('while a voter is or may be one of C there is no lease, however many others there are', () => {
  const ours = [OURS, OURS, OURS];
  assert.equal(hasLease(leaderWith([...ours, OURS], { voters: 5 })), true);
  assert.equal(hasLease(leaderWith([...ours, undefined], { voters: 5 })), false, 'old');
  assert.equal(hasLease(leaderWith([...ours, 0n], { voters: 5 })), false, 'new, but of C');
  assert.equal(hasLease(leaderWith(ours, { voters: 5 })), false, 'not heard of');
});

test('a member that is replaced by one of C ends the lease with its first word', () => {
  const single = leaderWith([OURS, OURS]);
  single.acknowledge(3, 2, undefined);
  assert.equal(hasLease(single), false);
  single.acknowledge(3, 2, OURS);
  assert.equal(hasLease(single), true);
});

test('a voter of C that is removed counts until that is committed', () => {
  const single = leaderWith([OURS, undefined]);
  single.step({ kind: 'change', request: 9, change: { kind: 'remove', id: 3n } });
  assert.equal(single.raft.configuration.servers.length, 2);
  assert.equal(hasLease(single), false);
  single.step({ kind: 'stored', index: 3 });
  single.acknowledge(2, 3, OURS);
  assert.equal(hasLease(single), true);
});

test('who has another election timeout gives no lease', () => {
  const other = encodeFeatures(ELECTION_TIMEOUT_MS / 2);
  assert.equal(hasLease(leaderWith([other, other])), false);
  assert.equal(hasLease(leaderWith([other, OURS])), true);
});

test('a probe of an earlier term that is answered in this one counts for nothing', () => {
  const single = leaderWith([OURS, OURS]);
  single.nowMs += ELECTION_TIMEOUT_MS;
  const number = probeIn(single.step({ kind: 'read', request: 2 }));
  const before = new Single({ term: 2, terms: [2] });
  before.lead();
  before.step({ kind: 'stored', index: 3 });
  before.acknowledge(2, 3, OURS);
  const others = [probeIn(before.step({ kind: 'read', request: 1 }))];
  before.nowMs += 100;
  others.push(probeIn(before.step({ kind: 'read', request: 2 })));
  assert.equal(others.includes(number), false);
  for (const other of others) assert.deepEqual(answerProbe(single, 2, other, OURS), []);
  assert.equal(hasLease(single), false);
});

test('who heard of a leader refuses its vote for an election timeout, whatever it learns of later terms', () => {
  const single = new Single();
  single.receive(2, append(1, 1, 1));
  // An answer to something that this node sent when it led.
  single.receive(3, { kind: 'appendEntriesResult', term: 5, rejected: 1, lastIndex: 1, features: OURS });
  single.step({ kind: 'termStored' });
  assert.equal(single.raft.leader, undefined);
  assert.equal(grants(single, 3, vote(5, 3)), false);
  assert.equal(grants(single, 3, { ...vote(6, 3), preVote: true }), false);
  single.nowMs += ELECTION_TIMEOUT_MS - 1;
  assert.equal(grants(single, 3, vote(5, 3)), false);
  single.nowMs += 1;
  assert.equal(grants(single, 3, vote(5, 3)), true);
});

test('but not to the leader itself, once it asks for a later term, and not if the leader gave its leave', () => {
  const single = new Single();
  single.receive(2, append(1, 1, 1));
  assert.equal(grants(single, 3, { ...vote(2, 3), preVote: true }), false);
  assert.equal(grants(single, 2, { ...vote(2, 2), preVote: true }), true);
  assert.equal(grants(single, 3, { ...vote(2, 3), disruptLeader: true }), true);
});

test('the only voter that a change left, and that is not known to be committed, waits once', () => {
  const settings = { leases: false };
  // Others may have leases.
  const single = new Single({ term: 3, settings });
  single.receive(2, append(3, 1, 1, [change(3, 1)]));
  single.step({ kind: 'stored', index: 2 });
  const restarted = new Single({ term: 3, settings, uncommitted: { index: 2, voters: 1 }, terms: [3] });
  assert.equal(restarted.startRole, 'follower');
  const again = new Single({ term: 4, votedFor: 1n, settings, uncommitted: { index: 2, voters: 1 }, terms: [3, 4] });
  assert.equal(again.startRole, 'candidate', 'it has waited, and given no lease since');
});

test('a node whose disk takes no entries does not stand, but votes when its leader is silent', () => {
  const single = new Single();
  single.receive(2, append(1, 1, 1));
  single.step({ kind: 'storeFailed' });
  for (let i = 0; i < 30; i++) single.tick();
  assert.equal(single.raft.role, 'follower');
  assert.equal(grants(single, 3, { ...vote(2, 3), preVote: true }), true);
  assert.equal(grants(single, 3, vote(2, 3)), true);
  assert.deepEqual(single.receive(3, append(2, 1, 1)).length > 0, true);
  assert.deepEqual(single.raft.leader, peer(3));
});
