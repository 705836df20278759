/**
 * Bugs put into the compiled core, one at a time, to see that tests notice: `find` occurs once in the file of
 * `dist/src/raft`, and `replace` takes its place.
 */

export interface Mutant {
  readonly what: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const MUTANTS: readonly Mutant[] = [
  {
    what: 'a second vote in a term, as C gives it',
    file: 'election',
    find: 'core.votedFor !== undefined && core.votedFor !== message.candidate',
    replace: 'false',
  },
  {
    what: 'a vote for a candidate that lacks committed entries',
    file: 'election',
    find: 'return message.lastTerm > lastTerm || (message.lastTerm === lastTerm && message.lastIndex >= lastIndex);',
    replace: 'return message.lastTerm >= lastTerm;',
  },
  {
    what: 'a vote leaves before it is durable',
    file: 'core',
    find: '!this.#isTermDirty && this.#termWrites === 0',
    replace: 'true',
  },
  {
    what: 'the own vote counts before it is durable',
    file: 'election',
    find: 'this.#request(disruptLeader);',
    replace: 'this.#request(disruptLeader); this.#grant(core.id);',
  },
  {
    what: 'an entry of an older term is committed by counting',
    file: 'leader',
    find: 'core.log.termAt(index) !== core.term',
    replace: 'false',
  },
  {
    what: 'no barrier when a leader is elected',
    file: 'raft',
    find: 'this.#leader = new Leader(core, this.#transitions);\n        this.#leader.appendBarrier();',
    replace: 'this.#leader = new Leader(core, this.#transitions);',
  },
  {
    what: 'half of the voters commit',
    file: 'quorum',
    find: 'Math.floor(count / 2) + 1',
    replace: 'Math.max(1, Math.floor(count / 2))',
  },
  {
    what: 'a follower acknowledges what is not durable',
    file: 'follower',
    find: 'this.#owed.push(this.#matched);',
    replace: 'this.#answer(from, 0, this.#matched);',
  },
  {
    what: 'a follower acknowledges what was not compared',
    file: 'follower',
    find: 'this.#answer(from, 0, Math.min(core.storedIndex, this.#matched));\n    }',
    replace: 'this.#answer(from, 0, core.storedIndex);\n    }',
  },
  {
    what: 'a follower commits what was not compared',
    file: 'follower',
    find: 'Math.min(this.#leaderCommit, this.#matched, core.storedIndex)',
    replace: 'Math.min(this.#leaderCommit, core.storedIndex)',
  },
  {
    what: 'what was compared with one leader counts for the next',
    file: 'follower',
    find: 'reset() {\n        this.#matched = 0;',
    replace: 'reset() {',
  },
  {
    what: 'a late answer of the disk counts what was cut off',
    file: 'core',
    find: 'valid = Math.min(valid, truncation - 1);',
    replace: 'valid = Math.min(valid, this.log.lastIndex);',
  },
  {
    what: 'what a C member has beyond the message is taken for compared',
    file: 'progress',
    find: 'if (!this.isDoubtful(firstOwn)) {',
    replace: 'if (true) {',
  },
  {
    what: 'two membership changes at a time',
    file: 'leader',
    find: 'configurations.isChanging || isBusy',
    replace: 'isBusy',
  },
  {
    what: 'a membership change before an entry of the term is committed',
    file: 'leader',
    find: 'else if (core.commitIndex < this.firstIndex) {',
    replace: 'else if (false) {',
  },
  {
    what: 'a change that was cut off stays in use',
    file: 'membership',
    find: 'this.#uncommitted = this.#uncommitted.filter(placed => placed.index < index);',
    replace: '',
  },
  {
    what: 'a removed leader counts itself',
    file: 'reads',
    find: 'if (leaderIsVoter)\n            answered.push(Infinity);',
    replace: 'answered.push(Infinity);',
  },
  {
    what: 'a read is confirmed by answers to earlier probes',
    file: 'leader',
    find: 'Math.max(progress.answeredProbe, message.number)',
    replace: 'Infinity',
  },
  {
    what: 'a lease before the barrier is committed',
    file: 'leader',
    find: 'if (core.commitIndex < this.firstIndex)\n            return false;',
    replace: '',
  },
  { what: 'a lease outlives TimeoutNow', file: 'leader', find: 'this.reads.endLeases();', replace: '' },
  {
    what: 'a lease beside C voters',
    file: 'leader',
    find: 'if (!this.#areVotersOurs)\n            return false;',
    replace: '',
  },
  {
    what: 'a lease counts C voters',
    file: 'leader',
    find: 'progress.electionTimeoutMs === Math.round(core.settings.electionTimeoutMs)',
    replace: 'true',
  },
  {
    what: 'a lease as long as two election timeouts',
    file: 'reads',
    find: 'LEASE_PART = 0.8',
    replace: 'LEASE_PART = 2',
  },
  {
    what: 'entries that make a database smaller go to members of old versions',
    file: 'replicator',
    find: 'const isRuinous = next <= this.#ruinousIndex(progress);',
    replace: 'const isRuinous = false;',
  },
  {
    what: 'members of old versions get a snapshot that is too old',
    file: 'replicator',
    find: 'snapshot.index < wanted',
    replace: 'false',
  },
  {
    what: 'a vote right after a restart',
    file: 'election',
    find: "role === 'leader' || nowMs < this.#refuseUntilMs",
    replace: "role === 'leader'",
  },
  {
    what: 'a vote soon after the leader was heard of',
    file: 'election',
    find: 'leader !== undefined || nowMs - followed.atMs < settings.electionTimeoutMs',
    replace: 'leader !== undefined',
  },
  {
    what: 'the only voter of an uncommitted change elects itself at once',
    file: 'election',
    find: 'configurations.isChanging && core.votedFor !== core.id',
    replace: 'false',
  },
  {
    what: 'a leader without a majority leads on',
    file: 'leader',
    find: 'this.#transitions.becomeFollower(core.term, undefined);\n        return false;',
    replace: 'return true;',
  },
  {
    what: 'a candidate that was asked to take over lacks entries',
    file: 'election',
    find: 'core.log.lastIndex !== message.lastIndex || core.log.lastTerm !== message.lastTerm',
    replace: 'false',
  },
  {
    what: 'a snapshot that is on its way is in the way of the next',
    file: 'follower',
    find: 'core.nowMs - this.#receiving.progressMs < electionTimeoutMs',
    replace: 'true',
  },
];
