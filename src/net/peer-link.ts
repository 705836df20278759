/**
 * The sending side to one peer: a connection of our own, which carries requests and answers alike and is never read
 * (raft and disk spec section 1.2). Made at the first message, made again when there is something to send after it was
 * lost. Raft repeats what matters, so what cannot be sent is dropped, not kept.
 */

import type { Clock, Connection, ConnectionHandlers, Net } from '../host/types.ts';
import { Writer } from '../lib/bytes.ts';
import type { Peer } from '../raft/index.ts';
import { encodeRequest, protocolVersion } from '../wire/index.ts';

export interface PeerLinkOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly self: Peer;
  readonly connectTimeoutMs: number;
}

/** Bytes that the connection has not taken, above which messages are dropped: the peer has stalled. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;
/** Messages kept while a connection is being made. */
const MAX_QUEUED = 64;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1000;

/** What the side that connects sends first (raft and disk spec section 1.1). */
export function encodeConnect({ id, address }: Peer): Uint8Array {
  const writer = new Writer();
  writer.uint64(protocolVersion.current);
  encodeRequest(writer, { kind: 'connect', id, address });
  return writer.copy();
}

export class PeerLink {
  readonly peer: Peer;
  readonly #options: PeerLinkOptions;
  /** The connection was lost, or could not be made: what was sent may not have arrived. */
  readonly #unreachable: () => void;
  #connection: Connection | undefined = undefined;
  #connecting = false;
  #queue: (readonly Uint8Array[])[] = [];
  #pauseMs = 0;
  #notBeforeMs = 0;
  #closed = false;

  constructor(peer: Peer, options: PeerLinkOptions, unreachable: () => void) {
    this.peer = peer;
    this.#options = options;
    this.#unreachable = unreachable;
  }

  /** The network has taken all that was sent. */
  get isIdle(): boolean {
    return this.#queue.length === 0 && (this.#connection?.pendingBytes ?? 0) === 0;
  }

  /** Sends a message, in pieces that must not change before the link is idle. */
  send(pieces: readonly Uint8Array[]): void {
    if (this.#closed) return;
    const connection = this.#connection;
    if (connection !== undefined) {
      if (connection.pendingBytes > MAX_PENDING_BYTES) return;
      for (const piece of pieces) connection.send(piece);
      return;
    }
    // The newest matter most.
    if (this.#queue.length >= MAX_QUEUED) this.#queue.shift();
    this.#queue.push(pieces);
    if (!this.#connecting) this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#connection?.destroy();
    this.#connection = undefined;
  }

  #connect(): void {
    const { net, clock, self, connectTimeoutMs } = this.#options;
    if (clock.monotonicMs() < this.#notBeforeMs) {
      this.#queue = [];
      return;
    }
    this.#connecting = true;
    net.connect(this.peer.address, connectTimeoutMs).then(
      attach => {
        this.#connecting = false;
        const connection = attach(this.#handlers());
        if (this.#closed) return connection.destroy();
        this.#connection = connection;
        this.#pauseMs = 0;
        connection.send(encodeConnect(self));
        const queue = this.#queue;
        this.#queue = [];
        for (const pieces of queue) this.send(pieces);
      },
      () => {
        this.#connecting = false;
        this.#lost();
      },
    );
  }

  #handlers(): ConnectionHandlers {
    const lost = (): void => {
      const connection = this.#connection;
      if (connection === undefined) return;
      this.#connection = undefined;
      connection.destroy();
      this.#lost();
    };
    return { received: () => {}, drained: () => {}, ended: lost, closed: lost };
  }

  #lost(): void {
    this.#queue = [];
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
    this.#notBeforeMs = this.#options.clock.monotonicMs() + this.#pauseMs;
    if (!this.#closed) this.#unreachable();
  }
}
