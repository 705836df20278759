/**
 * One end of a simulated byte stream, as `host/types.ts` describes it and TCP does it:
 *
 * 1. Bytes arrive in order, at any split: pieces are cut and joined at random.
 * 2. The system takes bytes as long as those that the peer has not read fit in its window; sometimes not at once.
 *    What it did not take must stay unchanged until `drained`: a change is a failed assertion.
 * 3. `end` is seen by the peer as `ended`; when both have ended, both see `closed`. The end that connected ends by
 *    itself when its peer has, as Node does it.
 * 4. `destroy` is seen by the peer as `ended`, or as `closed` with an error if bytes from it were not read; sending
 *    to an end that is gone resets the connection.
 * 5. The process of an end is killed: the system closes its ends as `destroy` does. The power fails: nothing is sent;
 *    the peer learns it when it sends and the machine is up again.
 *
 * Every event is one of the simulation, none comes from inside a call.
 */

import { assert } from '../lib/assert.ts';
import type { SeededRandom } from '../lib/random.ts';
import type { Connection, ConnectionHandlers } from '../host/types.ts';
import type { Wire } from './wire.ts';

/** The process that an end belongs to. */
export interface Owner {
  readonly random: SeededRandom;
  readonly windowBytes: number;
  /** Soon, unless the process has ended. */
  soon(run: () => void): void;
  /** The machine answers, even if the process has ended. */
  isUp(): boolean;
  closed(end: SimulatedConnection): void;
}

const STALL_CHANCE = 0.1;
const CUT_CHANCE = 0.1;
const JOIN_CHANCE = 0.5;

interface Held {
  readonly bytes: Uint8Array;
  /** What the bytes were when they were sent. */
  readonly copy: Uint8Array;
  /** How many of them the system has taken. */
  taken: number;
}

export class SimulatedConnection implements Connection {
  readonly peer: string;
  readonly #owner: Owner;
  readonly #connects: boolean;
  /** To the other end. */
  readonly #wire: Wire;
  #other: SimulatedConnection | undefined = undefined;
  #handlers: ConnectionHandlers | undefined = undefined;

  /** Sent, not taken by the system. Copies are made by constructors: `slice` of a Buffer is a view. */
  readonly #held: Held[] = [];
  #heldBytes = 0;
  /** Taken by the system, not read by the other end. */
  #unreadBytes = 0;
  #drainScheduled = false;
  #ending = false;
  #endSent = false;

  /** Received by the system; undefined is the end of the stream. */
  readonly #arrived: (Uint8Array | undefined)[] = [];
  #deliveryScheduled = false;
  #paused = false;
  #peerEnded = false;

  #gone = false;
  #closedWith: { readonly error: Error | undefined } | undefined = undefined;

  constructor(owner: Owner, peer: string, wire: Wire, connects: boolean) {
    this.#owner = owner;
    this.peer = peer;
    this.#wire = wire;
    this.#connects = connects;
  }

  static pair(first: SimulatedConnection, second: SimulatedConnection): void {
    first.#other = second;
    second.#other = first;
  }

  /** From now on events come; what happened before comes now. */
  attach(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    this.#deliverSoon();
    if (this.#closedWith !== undefined) this.#tellClosed();
  }

  get pendingBytes(): number {
    return this.#heldBytes;
  }

  send(bytes: Uint8Array): boolean {
    if (this.#gone) return true;
    assert(!this.#ending, 'bytes were sent after the end');
    if (bytes.length === 0) return this.#held.length === 0;
    const fits = this.#unreadBytes + bytes.length <= this.#owner.windowBytes;
    if (this.#held.length === 0 && fits && !this.#owner.random.chance(STALL_CHANCE)) {
      this.#take(bytes);
      return true;
    }
    this.#held.push({ bytes, copy: new Uint8Array(bytes), taken: 0 });
    this.#heldBytes += bytes.length;
    this.#drainSoon();
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliverSoon();
  }

  end(): void {
    if (this.#ending || this.#gone) return;
    this.#ending = true;
    if (this.#held.length === 0) this.#sendEnd();
  }

  destroy(): void {
    if (this.#gone) return;
    this.abandon();
    this.#close(undefined);
  }

  /** The system closes this end, and nobody here is told. */
  abandon(): void {
    if (this.#gone) return;
    this.#gone = true;
    const unread = this.#arrived.some(piece => piece !== undefined);
    if (unread) this.#toOther(other => other.#reset());
    else if (!this.#endSent) this.#toOther(other => other.#arrive(undefined));
    this.#forget();
  }

  /** The network breaks the connection; both ends learn it. */
  fail(): void {
    if (this.#gone) return;
    this.#toOther(other => other.#reset());
    this.#reset();
  }

  /** This end is gone without a word. */
  vanish(): void {
    this.#gone = true;
    this.#forget();
  }

  #toOther(arrive: (other: SimulatedConnection) => void): void {
    const other = this.#other;
    assert(other !== undefined, 'a connection has two ends');
    this.#wire.send(() => arrive(other));
  }

  #take(bytes: Uint8Array): void {
    const copy = new Uint8Array(bytes);
    this.#unreadBytes += copy.length;
    this.#toOther(other => other.#arrive(copy));
  }

  #drainSoon(): void {
    if (this.#drainScheduled) return;
    this.#drainScheduled = true;
    this.#owner.soon(() => {
      this.#drainScheduled = false;
      this.#drain();
    });
  }

  #drain(): void {
    if (this.#held.length === 0) return;
    for (;;) {
      const next = this.#held[0];
      if (next === undefined) break;
      const { bytes, copy, taken } = next;
      const piece = bytes.subarray(taken, taken + this.#owner.windowBytes - this.#unreadBytes);
      if (piece.length === 0) return;
      const same = piece.every((byte, position) => byte === copy[taken + position]);
      assert(same, 'bytes were changed while the connection held them');
      this.#take(piece);
      next.taken += piece.length;
      if (next.taken < bytes.length) return;
      this.#held.shift();
      this.#heldBytes -= bytes.length;
    }
    this.#handlers?.drained();
    if (this.#ending && this.#held.length === 0) this.#sendEnd();
  }

  #sendEnd(): void {
    if (this.#endSent || this.#gone) return;
    this.#endSent = true;
    this.#toOther(other => other.#arrive(undefined));
    this.#closeIfOver();
  }

  /** Bytes, or the end, from the other side. */
  #arrive(piece: Uint8Array | undefined): void {
    if (this.#gone) {
      if (piece !== undefined && this.#owner.isUp()) this.#toOther(other => other.#reset());
      return;
    }
    this.#arrived.push(piece);
    this.#deliverSoon();
  }

  #deliverSoon(): void {
    if (this.#deliveryScheduled || this.#arrived.length === 0) return;
    this.#deliveryScheduled = true;
    // A pause that comes between this and the event may be too late.
    const read = !this.#paused && this.#owner.random.chance(0.5);
    this.#owner.soon(() => {
      this.#deliveryScheduled = false;
      this.#deliver(read);
    });
  }

  #deliver(evenIfPaused: boolean): void {
    if (this.#gone || this.#handlers === undefined || this.#arrived.length === 0) return;
    if (this.#paused && !(evenIfPaused && this.#arrived[0] !== undefined)) return;
    const piece = this.#nextPiece();
    if (piece === undefined) {
      this.#peerEnded = true;
      this.#handlers.ended();
      if (this.#connects) this.end();
      this.#closeIfOver();
      return;
    }
    this.#toOther(other => other.#wasRead(piece.length));
    this.#handlers.received(piece);
    this.#deliverSoon();
  }

  #nextPiece(): Uint8Array | undefined {
    const { random } = this.#owner;
    let piece = this.#arrived.shift();
    if (piece === undefined) return undefined;
    while (this.#arrived[0] !== undefined && random.chance(JOIN_CHANCE)) piece = joined(piece, this.#arrived.shift()!);
    if (piece.length < 2 || !random.chance(CUT_CHANCE)) return piece;
    const size = 1 + random.below(piece.length - 1);
    this.#arrived.unshift(piece.subarray(size));
    return piece.slice(0, size);
  }

  #wasRead(size: number): void {
    if (this.#gone) return;
    this.#unreadBytes -= size;
    if (this.#held.length > 0) this.#drainSoon();
  }

  #reset(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#forget();
    this.#close(new Error('read ECONNRESET (simulated)'));
  }

  #closeIfOver(): void {
    if (!this.#peerEnded || !this.#endSent || this.#gone) return;
    this.#gone = true;
    this.#forget();
    this.#close(undefined);
  }

  #close(error: Error | undefined): void {
    this.#closedWith = { error };
    this.#owner.closed(this);
    if (this.#handlers !== undefined) this.#tellClosed();
  }

  #tellClosed(): void {
    const { error } = this.#closedWith!;
    this.#owner.soon(() => this.#handlers!.closed(error));
  }

  #forget(): void {
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.#arrived.length = 0;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
