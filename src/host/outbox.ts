/**
 * What connections send within one turn of the event loop, gathered and handed to the operating system at its end.
 * Each hand-over is a system call that may wake the receiver on another processor, which costs more than all the
 * work behind a short answer. So the answers of a turn follow each other closely, while the receiver is awake, and
 * several messages to one connection are one call.
 */

/** A connection whose bytes wait here. */
export interface OutboxMember {
  /** Hands bytes to the operating system. False: it has not taken all, and needs the memory until it has. */
  writeNow(bytes: Uint8Array): boolean;
  /** A turn in which something was handed over has ended. */
  turnEnded(): void;
}

interface Range {
  readonly member: OutboxMember;
  readonly start: number;
  end: number;
}

/** A message up to this size is copied; a larger one is worth a call of its own. */
const MAX_MESSAGE_BYTES = 64 * 1024;
/** The rest of a message whose beginning waits here is copied up to this size: a header alone wakes the receiver for nothing. */
const MAX_CONTINUATION_BYTES = 256 * 1024;
const CAPACITY = 512 * 1024;

export class Outbox {
  #memory: Buffer | undefined = undefined;
  #used = 0;
  #ranges: Range[] = [];
  /** Whose bytes were handed over in this turn. */
  #served: OutboxMember[] = [];
  readonly #endTurn = (): void => {
    this.flush();
    const served = this.#served;
    this.#served = [];
    for (const member of served) member.turnEnded();
  };

  /** `continues`: something of the same connection waits already. */
  accepts(size: number, continues: boolean): boolean {
    return size <= (continues ? MAX_CONTINUATION_BYTES : MAX_MESSAGE_BYTES);
  }

  /** Copies a message that `accepts` has accepted. */
  add(member: OutboxMember, bytes: Uint8Array): void {
    if (this.#used + bytes.length > CAPACITY) this.flush();
    if (this.#ranges.length === 0 && this.#served.length === 0) setImmediate(this.#endTurn);
    this.#memory ??= Buffer.allocUnsafeSlow(CAPACITY);
    const start = this.#used;
    this.#memory.set(bytes, start);
    this.#used += bytes.length;
    const last = this.#ranges[this.#ranges.length - 1];
    if (last?.member === member) last.end = this.#used;
    else this.#ranges.push({ member, start, end: this.#used });
  }

  /** Hands over what has come until now. */
  flush(): void {
    const ranges = this.#ranges;
    if (ranges.length === 0) return;
    const memory = this.#memory!;
    this.#ranges = [];
    this.#used = 0;
    let isHeld = false;
    for (const { member, start, end } of ranges) {
      if (!member.writeNow(memory.subarray(start, end))) isHeld = true;
      this.#served.push(member);
    }
    // Whoever has not taken all keeps this memory.
    if (isHeld) this.#memory = undefined;
  }
}
