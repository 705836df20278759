/** What a leader may count, what it waits for, and what the next one must not inherit. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFeatures } from './features.ts';
import type { ReadProbeResult } from './messages.ts';
import { append, command, ELECTION_TIMEOUT_MS, kinds, offerSnapshot, peer, sent, Single } from './raft.test.helpers.ts';

const OURS = encodeFeatures(ELECTION_TIMEOUT_MS);

test('what was compared with one leader says nothing about the log of the next', () => {
  const single = new Single({ term: 2, terms: [2, 2, 2] });
  single.receive(2, append(2, 4, 2));
  single.receive(3, append(3, 2, 2, [], 4));
  single.step({ kind: 'termStored' });
  assert.equal(single.raft.commitIndex, 2);
});

test('what a C member has beyond the message that it answers was not compared', () => {
  const single = new Single({ term: 3, terms: [2, 2] });
  single.lead();
  single.step({ kind: 'stored', index: 4 });
  // Sent: a heartbeat at 3, and the barrier. Its tail of another leader goes on to 9.
  single.receive(2, { kind: 'appendEntriesResult', term: 4, rejected: 3, lastIndex: 1, features: undefined });
  single.step({ kind: 'entriesRead', peer: 2n, firstIndex: 2, entries: [command(2)] });
  single.acknowledge(2, 9);
  assert.equal(single.raft.progress!.get(2n)!.match, 2);
  assert.equal(single.raft.commitIndex, 0);
});

test('a membership change waits for an entry of the term', () => {
  const single = new Single();
  single.lead();
  single.step({ kind: 'stored', index: 2 });
  assert.deepEqual(single.step({ kind: 'change', request: 1, change: { kind: 'remove', id: 3n } }), []);
  const outputs = single.acknowledge(2, 2, OURS);
  assert.deepEqual(kinds(outputs).slice(0, 3), ['commit', 'append', 'configurationChanged']);
});

test('one membership change at a time, until it is committed', () => {
  const single = new Single();
  single.lead();
  single.step({ kind: 'stored', index: 2 });
  single.acknowledge(2, 2, OURS);
  single.step({ kind: 'change', request: 1, change: { kind: 'remove', id: 3n } });
  const second = { kind: 'change', request: 2, change: { kind: 'add', ...peer(4) } } as const;
  assert.deepEqual(single.step(second), [{ kind: 'finished', request: 2, error: 'cannotChange' }]);
  single.step({ kind: 'stored', index: 3 });
  single.acknowledge(2, 3, OURS);
  assert.ok(kinds(single.step(second)).includes('append'));
});

test('a leader that removes itself does not count itself: not for reads, not for leases, not for entries', () => {
  const single = new Single();
  single.lead();
  single.step({ kind: 'stored', index: 2 });
  for (const from of [2, 3]) single.acknowledge(from, 2, OURS);
  single.step({ kind: 'change', request: 1, change: { kind: 'remove', id: 1n } });
  single.step({ kind: 'stored', index: 3 });
  const [probe] = sent(single.step({ kind: 'read', request: 2 }));
  assert.ok(probe?.message.kind === 'readProbe');
  const answer: ReadProbeResult = { ...probe.message, kind: 'readProbeResult', lastIndex: 3, features: OURS };
  assert.deepEqual(kinds(single.receive(2, answer)), []);
  assert.equal(single.raft.hasLease(single.nowMs), false);
  single.acknowledge(2, 3, OURS);
  assert.equal(single.raft.commitIndex, 2);
  assert.deepEqual(kinds(single.receive(3, answer)), ['readFinished']);
  assert.equal(single.raft.hasLease(single.nowMs), true);
});

test('a leader answers no read before the barrier is committed', () => {
  const single = new Single();
  single.lead();
  single.step({ kind: 'stored', index: 2 });
  const [probe] = sent(single.step({ kind: 'read', request: 1 }));
  assert.ok(probe?.message.kind === 'readProbe');
  for (const from of [2, 3]) {
    const answer: ReadProbeResult = { ...probe.message, kind: 'readProbeResult', lastIndex: 1, features: OURS };
    assert.deepEqual(kinds(single.receive(from, answer)).includes('readFinished'), false);
  }
  assert.equal(single.raft.hasLease(single.nowMs), false);
  const outputs = single.acknowledge(2, 2, OURS);
  assert.deepEqual(
    kinds(outputs).filter(kind => kind === 'readFinished'),
    ['readFinished'],
  );
});

test('a leader that hears of no majority steps down', () => {
  const single = new Single({ voters: 5 });
  single.lead();
  let ticks = 0;
  while (single.raft.role === 'leader') {
    single.acknowledge(2, 1, OURS);
    single.tick();
    assert.ok(ticks++ <= ELECTION_TIMEOUT_MS / 100);
  }
  assert.equal(single.raft.role, 'follower');
});

test('a snapshot of which nothing more comes makes room for another', () => {
  const single = new Single({ term: 2 });
  assert.deepEqual(offerSnapshot(single), ['leaderChanged', 'receiveSnapshot']);
  assert.deepEqual(offerSnapshot(single), []);
  single.nowMs += ELECTION_TIMEOUT_MS - 1;
  single.step({ kind: 'snapshotProgress', from: peer(2) });
  single.nowMs += ELECTION_TIMEOUT_MS - 1;
  assert.deepEqual(offerSnapshot(single), []);
  single.nowMs += 1;
  assert.deepEqual(offerSnapshot(single), ['receiveSnapshot']);
});

test('a server that has caught up during a transfer becomes a voter when that has failed', () => {
  const single = new Single({ settings: { seed: 3 } });
  single.lead();
  single.step({ kind: 'stored', index: 2 });
  for (const from of [2, 3]) single.acknowledge(from, 2, OURS);
  single.step({ kind: 'change', request: 1, change: { kind: 'add', ...peer(4) } });
  single.step({ kind: 'stored', index: 3 });
  for (const from of [2, 3]) single.acknowledge(from, 3, OURS);
  single.step({ kind: 'change', request: 2, change: { kind: 'assign', id: 4n, role: 'voter' } });
  single.step({ kind: 'transfer', request: 3, target: 2n });
  single.acknowledge(4, 3, OURS);
  assert.equal(single.raft.configuration.servers.length, 4);
  const finished: unknown[] = [];
  for (let i = 0; i <= ELECTION_TIMEOUT_MS / 100 + 1; i++) {
    for (const output of single.tick()) if (output.kind === 'finished') finished.push([output.request, output.error]);
    for (const from of [2, 3, 4]) single.acknowledge(from, single.raft.log.lastIndex, OURS);
  }
  assert.deepEqual(finished, [[3, 'noConnection']]);
  assert.equal(single.raft.configuration.servers.find(({ id }) => id === 4n)?.role, 'voter');
});
