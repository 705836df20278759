/**
 * Read barriers (Raft dissertation, section 6.4; design rules 3 and 4): whether this node led at some time after a read
 * was executed. Reads gather in rounds of probes; a round is complete when a majority of the voters answered a probe of
 * it or a later one. The answers also give a lease: as long as a majority of voters cannot have voted for anybody else,
 * no round is needed.
 *
 * Lease: voter V, one of ours with the same election timeout, answered the probe that was sent at S. It heard of its
 * leader at S or later, so until S + election timeout it refuses every vote that the leader did not ask for itself,
 * also after a restart. Clocks may run apart by a fifth. While a voter may be one of C's there are no leases.
 */

import { Queue } from '../lib/queue.ts';
import { majorityOf, reachedByMajority } from './quorum.ts';
import type { RequestId, Term } from './types.ts';

/** A voter as reads see it; the leader itself has answered everything. */
export interface ReadVoter {
  readonly answeredProbe: number;
  /** When the newest probe that it answered was sent; -Infinity: it gives no lease. */
  readonly leaseFromMs: number;
}

interface Round {
  readonly number: number;
  readonly sentMs: number;
  readonly requests: RequestId[];
}

/** Rounds that wait for answers at the same time. */
const MAX_ROUNDS = 4;
/** With those that repeat lost ones. */
const MAX_REPEATED_ROUNDS = 16;
const LEASE_PART = 0.8;
/** Of a number: what tells terms apart, and the probes of one. Together they are safe integers. */
const TERMS = 2 ** 20;
const PROBES_PER_TERM = 2 ** 32;

export class Reads {
  readonly #rounds = new Queue<Round>();
  #waiting: RequestId[] = [];
  /** Probe numbers and when they were sent, the newest ones. */
  readonly #sent = new Queue<{ readonly number: number; readonly sentMs: number }>();
  #lastNumber: number;
  #lastReadMs = -Infinity;
  #isLeasing: boolean;

  constructor(term: Term, isLeasing: boolean) {
    // A voter may meet a probe of an earlier term, of this process or the one before, in the current one.
    this.#lastNumber = (term % TERMS) * PROBES_PER_TERM;
    this.#isLeasing = isLeasing;
  }

  /** Somebody was asked to take over: from now on votes are not refused for this leader's sake. */
  endLeases(): void {
    this.#isLeasing = false;
  }

  add(request: RequestId, nowMs: number): void {
    this.#waiting.push(request);
    this.#lastReadMs = nowMs;
  }

  /** A read was answered by the lease: it is worth renewing. */
  touch(nowMs: number): void {
    this.#lastReadMs = nowMs;
  }

  /** The number to probe with now, if reads wait and not too many rounds are under way. */
  nextRound(nowMs: number): number | undefined {
    if (this.#waiting.length === 0 || this.#rounds.length >= MAX_ROUNDS) return undefined;
    return this.#startRound(nowMs);
  }

  /** At every heartbeat: the number to probe with because answers are overdue or the lease is wanted. */
  repeat(nowMs: number, heartbeatMs: number, electionTimeoutMs: number): number | undefined {
    const oldest = this.#rounds.peek();
    const isOverdue = oldest !== undefined && nowMs - oldest.sentMs >= heartbeatMs;
    const isLeaseWanted = this.#isLeasing && nowMs - this.#lastReadMs < electionTimeoutMs;
    if (!isOverdue && !isLeaseWanted) return undefined;
    return this.#startRound(nowMs);
  }

  #startRound(nowMs: number): number {
    const number = ++this.#lastNumber;
    if (this.#rounds.length >= MAX_REPEATED_ROUNDS) {
      // An answer to a later probe completes earlier rounds as well.
      const oldest = this.#rounds.shift()!;
      this.#rounds.peek()!.requests.push(...oldest.requests);
    }
    this.#rounds.push({ number, sentMs: nowMs, requests: this.#waiting });
    this.#waiting = [];
    this.#sent.push({ number, sentMs: nowMs });
    if (this.#sent.length > 2 * MAX_REPEATED_ROUNDS) this.#sent.shift();
    return number;
  }

  /** When a probe was sent, if that is remembered. */
  sentAt(number: number): number | undefined {
    for (const sent of this.#sent) if (sent.number === number) return sent.sentMs;
    return undefined;
  }

  /** Takes out the reads that are confirmed. `others`: the voters without the leader. */
  complete(others: readonly ReadVoter[], leaderIsVoter: boolean): RequestId[] {
    const answered = others.map(voter => voter.answeredProbe);
    if (leaderIsVoter) answered.push(Infinity);
    const reached = reachedByMajority(answered);
    const confirmed: RequestId[] = [];
    for (let round = this.#rounds.peek(); round !== undefined && round.number <= reached; round = this.#rounds.peek()) {
      confirmed.push(...round.requests);
      this.#rounds.shift();
    }
    return confirmed;
  }

  hasLease(others: readonly ReadVoter[], leaderIsVoter: boolean, nowMs: number, electionTimeoutMs: number): boolean {
    if (!this.#isLeasing) return false;
    const limitMs = nowMs - electionTimeoutMs * LEASE_PART;
    let count = leaderIsVoter ? 1 : 0;
    for (const voter of others) if (voter.leaseFromMs > limitMs) count++;
    return count >= majorityOf(others.length + (leaderIsVoter ? 1 : 0));
  }

  /** All reads that wait, when leadership ends. */
  drain(): RequestId[] {
    const requests = [...this.#rounds.drain().flatMap(round => round.requests), ...this.#waiting];
    this.#waiting = [];
    return requests;
  }
}
