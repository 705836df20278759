/**
 * What a leader knows of one member that it replicates to (raft and disk spec section 6.7).
 *
 * - probe: where the logs match is not known; one message is under way at a time.
 * - pipeline: it is; entries are sent as they come, up to a limit of what is not acknowledged.
 * - snapshot: what it lacks is no longer in the log; it gets a snapshot, and meanwhile heartbeats only.
 *
 * What an acknowledgement is worth. Members of ours acknowledge exactly what they compared with this leader's log.
 * A C member acknowledges its last durable index, which may lie in a tail that was never compared, and does not say
 * which message it answers. So until such a member is known to have the first entry of this leadership (after which its
 * log can only hold entries of this leader), an answer is taken for that to the message which claims the least of all
 * that may be unanswered (section 6.6).
 */

import { Queue } from '../lib/queue.ts';
import { electionTimeoutOf } from './features.ts';
import type { Index, Peer } from './types.ts';

interface Sent {
  readonly lastIndex: Index;
  readonly bytes: number;
}

/** A message that a C member may still answer. */
interface Claim {
  readonly previousIndex: Index;
  readonly lastIndex: Index;
}

/** More claims are not kept: of too many, those that claim most are dropped, which is on the safe side. */
const MAX_CLAIMS = 64;

export class Progress {
  readonly peer: Peer;
  state: 'probe' | 'pipeline' | 'snapshot' = 'probe';
  /** The member has these entries durably. */
  match: Index = 0;
  /** The next entry to send. */
  next: Index;
  /** In the probe state: a message is under way. */
  isWaiting = false;
  /** Entries are being read from the disk for it. */
  isReading = false;
  lastSentMs: number = -Infinity;
  /** Something came from it since the last look at the quorum. */
  isActive = false;
  /** The newest read probe that it answered, and when that was sent. */
  answeredProbe = 0;
  leaseFromMs: number = -Infinity;
  /** The snapshot under way, and when to give it up: only once all of it was sent. */
  snapshotIndex: Index = 0;
  snapshotDeadlineMs: number = Infinity;
  /** Milliseconds; undefined: not one of ours, as far as we know. */
  electionTimeoutMs: number | undefined = undefined;
  /** Whether a result came at all, and whether it had the form of 24 bytes. */
  isOld: boolean | undefined = undefined;
  /** Up to here entries of earlier leaderships may make a database smaller: they were proposed without regard to it. */
  unknownIndex: Index = 0;
  /** Rejections, one after the other, of what the member had acknowledged. */
  contradictions = 0;
  readonly #inflight = new Queue<Sent>();
  #inflightBytes = 0;
  #claims: Claim[] = [];

  constructor(peer: Peer, next: Index) {
    this.peer = peer;
    this.next = next;
  }

  get inflightBytes(): number {
    return this.#inflightBytes;
  }

  get inflightCount(): number {
    return this.#inflight.length;
  }

  /** Whether its acknowledgements have to be taken for less than they say. */
  isDoubtful(firstOwn: Index): boolean {
    return this.electionTimeoutMs === undefined && this.match < firstOwn;
  }

  noteFeatures(features: bigint | undefined): void {
    this.isOld = features === undefined;
    this.electionTimeoutMs = electionTimeoutOf(features);
  }

  probe(next: Index): void {
    this.state = 'probe';
    this.next = Math.max(next, this.match + 1);
    this.isWaiting = false;
    this.#inflight.drain();
    this.#inflightBytes = 0;
  }

  pipeline(): void {
    this.state = 'pipeline';
    this.next = this.match + 1;
    this.isWaiting = false;
  }

  sendingSnapshot(index: Index): void {
    this.state = 'snapshot';
    this.snapshotIndex = index;
    this.snapshotDeadlineMs = Infinity;
    this.#inflight.drain();
    this.#inflightBytes = 0;
  }

  /** An AppendEntries went out. `firstOwn`: the first entry of this leadership. */
  sent(previousIndex: Index, count: number, bytes: number, firstOwn: Index): void {
    const lastIndex = previousIndex + count;
    if (this.isDoubtful(firstOwn)) this.#claim({ previousIndex, lastIndex });
    if (this.state === 'probe') this.isWaiting = true;
    if (this.state !== 'pipeline' || count === 0) return;
    this.next = lastIndex + 1;
    this.#inflight.push({ lastIndex, bytes });
    this.#inflightBytes += bytes;
  }

  /** Another message went out that it will answer, about no entries. */
  greeted(nowMs: number): void {
    this.lastSentMs = nowMs;
    if (this.state === 'probe') this.isWaiting = true;
  }

  snapshotClaimed(index: Index): void {
    this.#claim({ previousIndex: index, lastIndex: index });
  }

  /** How much of its log an acknowledgement of `lastIndex` shows to be the same as this leader's. */
  trusted(lastIndex: Index, firstOwn: Index): Index {
    if (!this.isDoubtful(firstOwn)) {
      this.#claims = [];
      return lastIndex;
    }
    const claim = this.#claims.shift();
    return claim === undefined ? this.match : Math.min(lastIndex, claim.lastIndex);
  }

  acknowledged(index: Index): void {
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    for (let first = this.#inflight.peek(); first !== undefined && first.lastIndex <= index;) {
      this.#inflightBytes -= first.bytes;
      this.#inflight.shift();
      first = this.#inflight.peek();
    }
  }

  /** A message with this previous index was answered by a rejection. */
  rejected(previousIndex: Index): void {
    const position = this.#claims.findIndex(claim => claim.previousIndex === previousIndex);
    if (position !== -1) this.#claims.splice(position, 1);
  }

  #claim(claim: Claim): void {
    let position = this.#claims.length;
    while (position > 0 && this.#claims[position - 1]!.lastIndex > claim.lastIndex) position--;
    this.#claims.splice(position, 0, claim);
    if (this.#claims.length > MAX_CLAIMS) this.#claims.pop();
  }
}
