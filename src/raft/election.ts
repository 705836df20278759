/**
 * Elections (Raft paper, section 5.2; dissertation, sections 4.2.3 and 9.6; raft and disk spec section 6.3).
 *
 * A candidate first asks whether it would be elected, changing nothing, and every time that its patience ends it asks
 * again (design rule 21). Who has a leader refuses, and who heard of one refuses for an election timeout, whatever it
 * learns meanwhile: that leader's lease may count on it (design rule 4). Who has just started does not know what it
 * promised before, and refuses for as long, itself like anybody else. Only an election that the leader asked for itself
 * overrides that.
 */

import { SeededRandom } from '../lib/random.ts';
import type { Core } from './core.ts';
import type { RequestVote, RequestVoteResult, TimeoutNow } from './messages.ts';
import { majorityOf } from './quorum.ts';
import type { Transitions } from './roles.ts';
import type { Peer, ServerId, Term } from './types.ts';

/** Whoever was heard of as leader last, and when. */
interface Followed {
  readonly leader: ServerId;
  readonly term: Term;
  readonly atMs: number;
}

export class Election {
  readonly #core: Core;
  readonly #transitions: Transitions;
  readonly #random: SeededRandom;
  #phase: 'preVote' | 'vote' = 'preVote';
  readonly #granted = new Set<ServerId>();
  #timeoutMs = 0;
  #heardMs = 0;
  #refuseUntilMs = -Infinity;
  #followed: Followed | undefined = undefined;
  /** The leader asked this node to take over before what came ahead of that was durable, as C leaders do. */
  #asked: { readonly from: Peer; readonly message: TimeoutNow } | undefined = undefined;
  /** A snapshot takes the place of the log. */
  isInstalling = false;

  constructor(core: Core, transitions: Transitions) {
    this.#core = core;
    this.#transitions = transitions;
    this.#random = new SeededRandom(core.settings.seed);
  }

  start(): void {
    const core = this.#core;
    this.resetTimer();
    // Who never was a member promised nothing.
    if (core.term > 0) this.#refuseUntilMs = core.nowMs + core.settings.electionTimeoutMs;
    const { configurations } = core;
    if (!configurations.isOnlyVoter) return;
    // The founder of a cluster leads term 1 without an election, as in C. In any other term somebody else may have
    // led, even if the configuration names only this node now, and two leaders of one term must not be.
    if (configurations.currentIndex <= 1 && core.term <= 1) this.#transitions.becomeLeader();
    // If the change that left it alone is not known to be committed, the leader that it takes the vote from may lead
    // still, with a lease that this node gave: that binds its own vote too. Who saw it committed has stepped down, and
    // who voted for itself has waited before, and given no lease since.
    else if (configurations.isChanging && core.votedFor !== core.id) this.#timeoutMs = core.settings.electionTimeoutMs;
    else this.#vote(false);
  }

  /** A new patience, between one and two election timeouts. */
  resetTimer(): void {
    const { electionTimeoutMs } = this.#core.settings;
    this.#timeoutMs = electionTimeoutMs + this.#random.float() * electionTimeoutMs;
    this.restartTimer();
  }

  /** A message of the current term's leader came. */
  heardOf(leader: ServerId): void {
    this.#followed = { leader, term: this.#core.term, atMs: this.#core.nowMs };
    this.restartTimer();
  }

  /** The leader is alive, or a vote was given away. */
  restartTimer(): void {
    this.#heardMs = this.#core.nowMs;
  }

  /** This node slept: that is not the leader's silence (design rule 20). */
  shift(ms: number): void {
    this.#heardMs += ms;
  }

  tick(): void {
    const core = this.#core;
    if (core.role === 'leader' || core.nowMs - this.#heardMs < this.#timeoutMs) return;
    if (core.configurations.mayLead && core.isSettled && !this.isInstalling) {
      this.#askFirst();
    } else {
      // It does not stand itself, but may be needed to elect another.
      this.resetTimer();
      core.setLeader(undefined);
    }
  }

  #askFirst(): void {
    const core = this.#core;
    core.setRole('candidate');
    core.setLeader(undefined);
    this.resetTimer();
    this.#phase = 'preVote';
    this.#granted.clear();
    this.#request(false);
    this.#grant(core.id);
  }

  /** The election proper. */
  #vote(disruptLeader: boolean): void {
    const core = this.#core;
    core.setTerm(core.term + 1, core.id);
    core.setRole('candidate');
    core.setLeader(undefined);
    this.resetTimer();
    this.#phase = 'vote';
    this.#granted.clear();
    this.#request(disruptLeader);
  }

  #request(disruptLeader: boolean): void {
    const core = this.#core;
    const preVote = this.#phase === 'preVote';
    for (const { id, address } of core.configurations.voters) {
      if (id === core.id) continue;
      core.send(
        { id, address },
        {
          kind: 'requestVote',
          term: preVote ? core.term + 1 : core.term,
          candidate: core.id,
          lastIndex: core.log.lastIndex,
          lastTerm: core.log.lastTerm,
          disruptLeader,
          preVote,
        },
      );
    }
  }

  #grant(voter: ServerId): void {
    const core = this.#core;
    this.#granted.add(voter);
    const { voters } = core.configurations;
    if (voters.filter(({ id }) => this.#granted.has(id)).length < majorityOf(voters.length)) return;
    if (this.#phase === 'preVote') this.#vote(false);
    else this.#transitions.becomeLeader();
  }

  /** The own vote counts when it is durable. */
  termStored(): void {
    const core = this.#core;
    if (core.role === 'candidate' && this.#phase === 'vote' && core.votedFor === core.id) this.#grant(core.id);
  }

  requested(from: Peer, message: RequestVote): void {
    const core = this.#core;
    const granted = this.#decide(message);
    if (granted && !message.preVote) {
      if (core.votedFor === undefined) core.setTerm(core.term, message.candidate);
      this.restartTimer();
    }
    // An answer to a pre-vote repeats its term. A candidate that is behind would never learn it from that: it gets
    // the true one, which C's candidates adopt.
    const term = message.preVote ? Math.max(message.term, core.term) : core.term;
    core.send(from, { kind: 'requestVoteResult', term, granted, preVote: message.preVote });
  }

  #decide(message: RequestVote): boolean {
    const core = this.#core;
    if (!message.disruptLeader && this.#hasLeader(message)) return false;
    if (!message.preVote && message.term > core.term) this.#transitions.becomeFollower(message.term, undefined);
    // Who counts is the candidate's business: a server that was just promoted may not know it yet, and without its vote
    // nobody might ever be elected (dissertation, section 4.1). C refuses here.
    if (this.isInstalling || message.term < core.term) return false;
    if (!message.preVote && core.votedFor !== undefined && core.votedFor !== message.candidate) return false;
    const { lastTerm, lastIndex } = core.log;
    return message.lastTerm > lastTerm || (message.lastTerm === lastTerm && message.lastIndex >= lastIndex);
  }

  /** Whether there may be a leader that the candidate, without its leave, must not take the place of. */
  #hasLeader({ candidate, term }: RequestVote): boolean {
    const { role, leader, nowMs, settings } = this.#core;
    if (role === 'leader' || nowMs < this.#refuseUntilMs) return true;
    const followed = this.#followed;
    // Whom we followed does not lead any more if it asks for a later term itself.
    if (followed === undefined || (followed.leader === candidate && term > followed.term)) return false;
    return leader !== undefined || nowMs - followed.atMs < settings.electionTimeoutMs;
  }

  answered(from: Peer, message: RequestVoteResult): void {
    const core = this.#core;
    if (core.role !== 'candidate' || !core.configurations.voters.some(({ id }) => id === from.id)) return;
    const isPreVote = this.#phase === 'preVote';
    const asked = isPreVote ? core.term + 1 : core.term;
    if (message.term > asked) {
      this.#transitions.becomeFollower(message.term, undefined);
      return;
    }
    if (message.term < asked || !message.granted) return;
    if (message.preVote !== undefined && message.preVote !== isPreVote) return;
    this.#grant(from.id);
  }

  /** The leader asks this node to take over, without asking first. */
  askedToLead(from: Peer, message: TimeoutNow): void {
    const core = this.#core;
    this.#asked = undefined;
    const isFollowing = core.role === 'follower' && core.leader?.id === from.id && message.term === core.term;
    if (!isFollowing || this.isInstalling || !core.configurations.isVoter) return;
    if (core.log.lastIndex !== message.lastIndex || core.log.lastTerm !== message.lastTerm) return;
    if (core.isSettled) this.#vote(true);
    else this.#asked = { from, message };
  }

  /** More of the log is as it is to be on the disk. */
  stored(): void {
    if (this.#asked !== undefined) this.askedToLead(this.#asked.from, this.#asked.message);
  }
}
