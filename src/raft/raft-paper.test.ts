/** The Raft paper (extended version), sentence by sentence where one can be tested on one node. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RequestVote } from './messages.ts';
import {
  append,
  change,
  command,
  ELECTION_TIMEOUT_MS,
  kinds,
  offerSnapshot,
  peer,
  sent,
  Single,
  snapshotFor,
} from './raft.test.helpers.ts';

const vote = (term: number, candidate: number, lastIndex: number, lastTerm: number, preVote = false): RequestVote => ({
  kind: 'requestVote',
  term,
  candidate: BigInt(candidate),
  lastIndex,
  lastTerm,
  disruptLeader: false,
  preVote,
});

function answerTo(single: Single, from: number, message: RequestVote): { granted: boolean; term: number } {
  const outputs = [...single.receive(from, message)];
  if (kinds(outputs).includes('storeTerm')) outputs.push(...single.step({ kind: 'termStored' }));
  const [answer] = sent(outputs);
  assert.ok(answer?.message.kind === 'requestVoteResult');
  return { granted: answer.message.granted, term: answer.message.term };
}

test('5.1: a server with a stale term in a request rejects it', () => {
  const single = new Single({ term: 5 });
  const [answer] = sent(single.receive(2, append(4, 1, 1, [command(4)])));
  assert.deepEqual(answer, {
    to: 2,
    message: {
      kind: 'appendEntriesResult',
      term: 5,
      rejected: 1,
      lastIndex: 1,
      features: (answer!.message as { features?: bigint }).features,
    },
  });
  assert.equal(answerTo(single, 2, vote(4, 2, 9, 4)).granted, false);
  assert.equal(single.raft.log.lastIndex, 1);
});

test('5.1: if a leader discovers that its term is out of date, it immediately reverts to follower', () => {
  const single = new Single();
  single.lead();
  assert.equal(single.raft.role, 'leader');
  single.receive(2, { kind: 'appendEntriesResult', term: 9, rejected: 1, lastIndex: 1, features: undefined });
  assert.equal(single.raft.role, 'follower');
  assert.equal(single.raft.term, 9);
});

test('5.2: servers start up as followers, and remain so while they hear from a leader', () => {
  const single = new Single();
  assert.equal(single.raft.role, 'follower');
  for (let i = 0; i < 50; i++) {
    single.tick();
    single.receive(2, append(1, 1, 1));
  }
  assert.equal(single.raft.role, 'follower');
});

test('5.2: after a random time between one and two election timeouts of silence it stands for election', () => {
  const times = [1, 2, 3, 4, 5, 6].map(seed => {
    const single = new Single({ settings: { seed } });
    single.receive(2, append(1, 1, 1));
    const startMs = single.nowMs;
    while (single.raft.role === 'follower') single.tick();
    return single.nowMs - startMs;
  });
  for (const ms of times) assert.ok(ms >= ELECTION_TIMEOUT_MS && ms <= 2 * ELECTION_TIMEOUT_MS + 100, `${ms}`);
  assert.ok(new Set(times).size > 1);
});

test('5.2: it increments its term, votes for itself and asks the others, once that is stored', () => {
  const single = new Single();
  single.tickUntilOutput();
  const outputs = single.receive(3, { kind: 'requestVoteResult', term: 2, granted: true, preVote: true });
  assert.deepEqual(outputs, [{ kind: 'storeTerm', term: 2, votedFor: 1n }]);
  const requests = sent(single.step({ kind: 'termStored' }));
  assert.deepEqual(
    requests.map(({ to, message }) => [to, message.kind, message.term]),
    [
      [2, 'requestVote', 2],
      [3, 'requestVote', 2],
    ],
  );
});

test('5.2: a candidate wins with votes of a majority, each server counted once, in the same term', () => {
  const single = new Single({ voters: 5 });
  single.tickUntilOutput();
  for (const from of [2, 3]) single.receive(from, { kind: 'requestVoteResult', term: 2, granted: true, preVote: true });
  single.step({ kind: 'termStored' });
  const grant = (from: number, term = 2): void => {
    single.receive(from, { kind: 'requestVoteResult', term, granted: true, preVote: false });
  };
  grant(2);
  grant(2);
  grant(3, 1);
  grant(9);
  assert.equal(single.raft.role, 'candidate');
  grant(3);
  assert.equal(single.raft.role, 'leader');
});

test('5.2: each server votes for at most one candidate in a term, first come first served, also after a restart', () => {
  const single = new Single();
  assert.deepEqual(answerTo(single, 2, vote(2, 2, 1, 1)), { granted: true, term: 2 });
  assert.equal(answerTo(single, 3, vote(2, 3, 9, 1)).granted, false);
  assert.equal(answerTo(single, 2, vote(2, 2, 1, 1)).granted, true, 'the answer may have been lost');
  const restarted = new Single({ term: 2, votedFor: 2n });
  assert.equal(answerTo(restarted, 3, vote(2, 3, 9, 1)).granted, false);
  assert.equal(answerTo(restarted, 3, vote(3, 3, 9, 1)).granted, true);
});

test('5.2: the vote is on stable storage before the answer leaves', () => {
  const single = new Single();
  assert.deepEqual(single.receive(2, vote(2, 2, 1, 1)), [{ kind: 'storeTerm', term: 2, votedFor: 2n }]);
  assert.deepEqual(kinds(single.step({ kind: 'termStored' })), ['requestVoteResult']);
});

test('5.2: a candidate that hears of a leader of its term returns to follower', () => {
  const single = new Single();
  single.tickUntilOutput();
  assert.equal(single.raft.role, 'candidate');
  single.receive(2, append(1, 1, 1));
  assert.equal(single.raft.role, 'follower');
  assert.equal(single.raft.leader?.id, 2n);
});

test('5.3: the leader appends the command and asks the others in parallel', () => {
  const single = new Single();
  assert.deepEqual(kinds(single.lead()), ['roleChanged', 'leaderChanged', 'append', 'appendEntries', 'appendEntries']);
});

test('5.3: an entry is committed when a majority has it, which includes the leader only when its own disk has it', () => {
  const single = new Single({ voters: 5 });
  single.tickUntilOutput();
  for (const preVote of [true, false]) {
    for (const from of [2, 3]) single.receive(from, { kind: 'requestVoteResult', term: 2, granted: true, preVote });
    if (preVote) single.step({ kind: 'termStored' });
  }
  single.acknowledge(2, 2);
  single.acknowledge(3, 2);
  single.acknowledge(4, 2);
  assert.equal(single.raft.commitIndex, 0, 'not on the own disk');
  assert.deepEqual(kinds(single.step({ kind: 'stored', index: 2 })).slice(0, 1), ['commit']);
});

test('5.3: the follower refuses new entries if it has no entry with the previous index and term', () => {
  const single = new Single({ term: 3, terms: [2, 2, 3] });
  const rejected = (previousIndex: number, previousTerm: number): unknown => {
    const [answer] = sent(single.receive(2, append(3, previousIndex, previousTerm, [command(3)])));
    assert.ok(answer?.message.kind === 'appendEntriesResult');
    return [answer.message.rejected, answer.message.lastIndex];
  };
  assert.deepEqual(rejected(7, 3), [7, 4]);
  assert.deepEqual(rejected(4, 2), [4, 3], 'the hint leaves out a term that the leader does not have there');
  assert.equal(single.raft.log.lastIndex, 4);
});

test('5.3: if an existing entry conflicts with a new one, it and all that follow it are deleted', () => {
  const single = new Single({ term: 3, terms: [2, 2, 2] });
  const outputs = single.receive(2, append(3, 2, 2, [command(3)]));
  assert.deepEqual(kinds(outputs), ['leaderChanged', 'truncate', 'append']);
  assert.equal(single.raft.log.lastIndex, 3);
  assert.equal(single.raft.log.termAt(3), 3);
  assert.deepEqual(kinds(single.step({ kind: 'truncated' })), []);
  assert.deepEqual(kinds(single.step({ kind: 'stored', index: 3 })), ['appendEntriesResult']);
});

test('5.3: entries that are there already are not deleted by an old request', () => {
  const single = new Single({ term: 2, terms: [2, 2, 2] });
  const outputs = single.receive(2, append(2, 1, 1, [command(2)]));
  assert.deepEqual(kinds(outputs), ['leaderChanged', 'appendEntriesResult']);
  assert.equal(single.raft.log.lastIndex, 4);
  assert.deepEqual(sent(outputs)[0]!.message, {
    kind: 'appendEntriesResult',
    term: 2,
    rejected: 0,
    lastIndex: 2,
    features: 0xd700_03e8_0000_0000n,
  });
});

test('5.3: a late answer of the disk to a write that was cut off counts only up to the cut', () => {
  const single = new Single({ term: 2, terms: [2] });
  single.receive(2, append(2, 2, 2, [command(2), command(2)]));
  const outputs = single.receive(3, append(3, 2, 2, [command(3)]));
  assert.deepEqual(kinds(outputs), ['roleChanged', 'leaderChanged', 'storeTerm'].slice(1));
  single.step({ kind: 'stored', index: 4 });
  assert.equal(single.raft.storedIndex, 2);
  assert.deepEqual(kinds(single.step({ kind: 'termStored' })), ['truncate', 'append']);
  single.step({ kind: 'truncated' });
  single.step({ kind: 'stored', index: 3 });
  assert.equal(single.raft.storedIndex, 3);
});

test('5.3: the leader decrements next on a rejection and tries again', () => {
  const single = new Single({ term: 1, terms: [1, 1, 1] });
  single.lead();
  const reject = (rejected: number, lastIndex: number): unknown =>
    sent(single.receive(3, { kind: 'appendEntriesResult', term: 2, rejected, lastIndex, features: undefined })).map(
      ({ message }) => message.kind === 'appendEntries' && message.previousIndex,
    );
  // The entries before the barrier are on disk only.
  assert.deepEqual(reject(4, 4), []);
  assert.equal(single.raft.progress!.get(3n)!.next, 4);
  single.step({ kind: 'entriesRead', peer: 3n, firstIndex: 4, entries: [command(1)] });
  assert.deepEqual(reject(4, 0), [], 'a rejection of another message');
  assert.equal(single.raft.progress!.get(3n)!.next, 4);
});

test('5.4.1: a voter denies its vote if its own log is more up to date', () => {
  const cases: [readonly number[], number, number, boolean][] = [
    [[1, 2], 3, 2, true],
    [[1, 2], 4, 2, true],
    [[1, 2], 2, 2, false],
    [[1, 2], 9, 1, false],
    [[1, 2], 1, 3, true],
  ];
  for (const [terms, lastIndex, lastTerm, granted] of cases) {
    const single = new Single({ term: 3, terms });
    assert.equal(answerTo(single, 2, vote(4, 2, lastIndex, lastTerm)).granted, granted, `${lastIndex}:${lastTerm}`);
  }
});

test('5.4.2, figure 8: entries of earlier terms are not committed by counting', () => {
  // 2 and 3 are on a majority in the end, but only the entry of the own term commits them.
  const single = new Single({ term: 4, terms: [2, 2], settings: { maxBatchBytes: 8 } });
  single.lead();
  single.step({ kind: 'stored', index: 4 });
  single.receive(2, {
    kind: 'appendEntriesResult',
    term: 5,
    rejected: 3,
    lastIndex: 1,
    features: 0xd700_03e8_0000_0000n,
  });
  single.step({ kind: 'entriesRead', peer: 2n, firstIndex: 2, entries: [command(2), command(2)] });
  single.acknowledge(2, 3, 0xd700_03e8_0000_0000n);
  assert.equal(single.raft.progress!.get(2n)!.match, 3);
  assert.equal(single.raft.commitIndex, 0);
  single.acknowledge(2, 4, 0xd700_03e8_0000_0000n);
  assert.equal(single.raft.commitIndex, 4);
});

test('5.3: the follower commits what the leader committed, as far as it was compared and is durable', () => {
  const single = new Single({ term: 2, terms: [2, 2] });
  single.receive(2, append(2, 2, 2, [], 9));
  assert.equal(single.raft.commitIndex, 2, 'entry 3 was not compared');
  single.receive(2, append(2, 3, 2, [command(2)], 9));
  assert.equal(single.raft.commitIndex, 3, 'entry 4 is not durable');
  assert.deepEqual(kinds(single.step({ kind: 'stored', index: 4 })), ['commit', 'appendEntriesResult']);
});

test('6: a server uses the newest configuration in its log, and the one before when that is deleted', () => {
  const single = new Single({ term: 2 });
  single.receive(2, append(2, 1, 1, [change(2, 4)]));
  assert.equal(single.raft.configuration.servers.length, 4);
  single.receive(2, append(2, 2, 2, [change(2, 5)]));
  assert.equal(single.raft.configuration.servers.length, 5);
  single.receive(3, append(3, 2, 2, [command(3)]));
  assert.equal(single.raft.configuration.servers.length, 4);
});

test('7: a snapshot replaces a log that lacks its last entry, and is acknowledged when it is installed', () => {
  const single = new Single({ term: 2 });
  const message = snapshotFor(single);
  const offered = single.step({ kind: 'snapshotOffered', from: peer(2), message });
  assert.deepEqual(kinds(offered), ['leaderChanged', 'receiveSnapshot']);
  assert.deepEqual(kinds(single.step({ kind: 'snapshotReceived', from: peer(2), message })), ['installSnapshot']);
  assert.deepEqual(kinds(single.receive(2, append(2, 9, 2, [command(2)]))), [], 'no entries meanwhile');
  const installed = single.step({ kind: 'snapshotInstalled' });
  assert.deepEqual(kinds(installed), ['configurationChanged', 'appendEntriesResult']);
  assert.equal(single.raft.commitIndex, 9);
  assert.equal(single.raft.log.firstIndex, 10);
  const again = single.step({ kind: 'snapshotOffered', from: peer(2), message });
  assert.deepEqual(kinds(again), ['appendEntriesResult'], 'known already');
});

test('late ticks are not the silence of others', () => {
  const single = new Single();
  single.receive(2, append(1, 1, 1));
  single.nowMs += 60_000;
  assert.deepEqual(single.step({ kind: 'tick' }), []);
  assert.equal(single.raft.role, 'follower');
});

test('who has just started refuses votes for an election timeout, unless the leader asked for the election', () => {
  const single = new Single({ term: 2, terms: [2] });
  single.nowMs = 10;
  assert.equal(answerTo(single, 2, vote(3, 2, 9, 2)).granted, false);
  assert.equal(answerTo(single, 2, { ...vote(3, 2, 9, 2), disruptLeader: true }).granted, true);
});

test('who is asked to take over while its disk works takes over when that is done, unless more has come', () => {
  for (const isOvertaken of [false, true]) {
    const node = new Single({ terms: [1] });
    node.receive(2, append(1, 2, 1, [command(1)]));
    const asked = node.receive(2, { kind: 'timeoutNow', term: 1, lastIndex: 3, lastTerm: 1 });
    assert.deepEqual(kinds(asked), []);
    if (isOvertaken) node.receive(2, append(1, 3, 1, [command(1)]));
    assert.deepEqual(kinds(node.step({ kind: 'stored', index: 3 })).includes('storeTerm'), !isOvertaken);
    assert.deepEqual(node.raft.role, isOvertaken ? 'follower' : 'candidate');
    if (isOvertaken) node.step({ kind: 'stored', index: 4 });
    assert.deepEqual(node.raft.role, isOvertaken ? 'follower' : 'candidate');
  }
});

test('what a peer does wrong is reported and ignored', () => {
  const single = new Single({ term: 2, terms: [2, 2] });
  single.receive(2, append(2, 3, 2, [], 3));
  const cases = [
    append(2, 2, 1),
    append(2, 1, 1, [command(1)]),
    append(2, 3, 2, [{ term: 2, type: 'change', data: new Uint8Array(8) }]),
  ];
  for (const message of cases) assert.deepEqual(kinds(single.receive(2, message)), ['violation']);
  assert.deepEqual(kinds(single.receive(3, append(2, 3, 2))), ['violation'], 'two leaders in one term');
  assert.equal(single.raft.log.lastIndex, 3);
});

test('a term that is out of reach does not become that of the cluster', () => {
  const last = Number.MAX_SAFE_INTEGER;
  const messages = (term: number): Parameters<Single['receive']>[1][] => [
    append(term, 1, 1),
    vote(term, 2, 9, 2),
    { ...vote(term, 2, 9, 2), disruptLeader: true },
    { kind: 'requestVoteResult', term, granted: false, preVote: undefined },
    { kind: 'appendEntriesResult', term, rejected: 0, lastIndex: 1, features: undefined },
    { kind: 'readProbe', term, number: 1 },
    { kind: 'readProbeResult', term, number: 1, lastIndex: 1, features: undefined },
    { kind: 'timeoutNow', term, lastIndex: 1, lastTerm: 1 },
  ];
  for (const term of [2 ** 24 + 3, 2 ** 32, last]) {
    const single = new Single({ term: 2 });
    single.lead();
    const { term: own } = single.raft;
    assert.equal(own, 3);
    for (const message of messages(term + 1 > last ? last : term + 1)) {
      assert.deepEqual(kinds(single.receive(2, message)), ['violation'], message.kind);
    }
    assert.deepEqual([single.raft.role, single.raft.term], ['leader', own]);
  }
  const late = new Single({ term: 2 });
  late.receive(2, append(2 ** 24 + 2, 1, 1));
  assert.equal(late.raft.term, 2 ** 24 + 2, 'many elections may have been missed');
  for (const [term, expected] of [
    [2 ** 52, 2 ** 52],
    [2 ** 52 + 1, 0],
  ] as const) {
    const fresh = new Single({ term: 0 });
    fresh.receive(2, append(term, 0, 0));
    assert.equal(fresh.raft.term, expected);
  }
});

test('while the disk is full no snapshot replaces the log', () => {
  const single = new Single({ term: 2 });
  const message = snapshotFor(single);
  const received = (): string[] => kinds(single.step({ kind: 'snapshotReceived', from: peer(2), message }));
  single.receive(2, append(2, 1, 1, [command(2)]));
  assert.deepEqual(offerSnapshot(single), ['receiveSnapshot']);
  single.step({ kind: 'storeFailed' });
  assert.deepEqual(received(), ['discardSnapshot', 'appendEntriesResult'], 'it is to be sent again');
  assert.deepEqual(offerSnapshot(single), ['appendEntriesResult']);
  single.step({ kind: 'storeRecovered' });
  assert.deepEqual(offerSnapshot(single), ['receiveSnapshot']);
  assert.deepEqual(received(), ['installSnapshot']);
});
