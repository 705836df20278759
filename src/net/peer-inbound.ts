/**
 * The receiving side of a connection that a peer has opened (raft and disk spec section 1.2): after CONNECT it carries
 * raft messages, and nothing is ever sent back on it. A peer that sends garbage loses this connection, no more.
 */

import type { Connection } from '../host/types.ts';
import { DecodeError } from '../lib/bytes.ts';
import type { InstallSnapshot, Message, Peer } from '../raft/index.ts';
import { PeerParser, type PeerEvent } from '../rpc/index.ts';

/** Takes the data of one snapshot. */
export interface SnapshotReceiver {
  /** The next bytes, free again when it resolves. Never rejects. */
  push(bytes: Uint8Array): Promise<void>;
  /** All of it has arrived. */
  finish(): Promise<void>;
  /** The rest will not come. */
  abandon(): void;
}

export interface PeerHandler {
  message(from: Peer, message: Exclude<Message, InstallSnapshot>): void;
  /** `size` bytes of data follow. Gives who takes them; undefined: nobody wants them. */
  snapshot(from: Peer, message: InstallSnapshot, size: number): SnapshotReceiver | undefined;
  /** So many bytes more of messages that have not arrived as a whole are held, or less. */
  buffered(difference: number): void;
  /** The connection is over; `error`: because of what the peer has sent. */
  gone(inbound: PeerInbound, error: DecodeError | undefined): void;
}

export class PeerInbound {
  /** Who the peer says it is; not checked (raft and disk spec section 1.1). */
  readonly from: Peer;
  readonly #connection: Connection;
  readonly #handler: PeerHandler;
  readonly #parser: PeerParser;
  #receiver: SnapshotReceiver | undefined = undefined;
  /** Snapshot data is being stored: the rest waits. */
  #waiting = false;
  #over = false;
  /** Bytes of messages that have not arrived as a whole. */
  bufferedBytes: number = 0;

  constructor(connection: Connection, from: Peer, allocate: (size: number) => Uint8Array, handler: PeerHandler) {
    this.#connection = connection;
    this.from = from;
    this.#handler = handler;
    this.#parser = new PeerParser({ allocate });
  }

  received(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#parser.push(bytes);
    this.#pump();
    if (!this.#over) this.#count(this.#parser.bufferedBytes);
  }

  /** The connection has ended, or is to end. */
  close(error?: DecodeError): void {
    if (this.#over) return;
    this.#over = true;
    this.#count(0);
    this.#connection.destroy();
    this.#receiver?.abandon();
    this.#receiver = undefined;
    this.#handler.gone(this, error);
  }

  #count(bytes: number): void {
    const difference = bytes - this.bufferedBytes;
    this.bufferedBytes = bytes;
    this.#handler.buffered(difference);
  }

  #pump(): void {
    try {
      while (!this.#waiting && !this.#over) {
        const event = this.#parser.next();
        if (event === undefined) return;
        this.#take(event);
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.close(error);
    }
  }

  #take(event: PeerEvent): void {
    switch (event.kind) {
      case 'message':
        return this.#handler.message(this.from, event.message);
      case 'snapshot':
        this.#receiver = this.#handler.snapshot(this.from, event.message, event.size);
        return;
      case 'snapshotData':
        if (this.#receiver !== undefined) this.#wait(this.#receiver.push(event.bytes));
        return;
      case 'snapshotEnd':
        if (this.#receiver !== undefined) this.#wait(this.#receiver.finish());
        this.#receiver = undefined;
    }
  }

  #wait(done: Promise<void>): void {
    this.#waiting = true;
    this.#connection.pause();
    void done.then(() => {
      this.#waiting = false;
      if (this.#over) return;
      this.#connection.resume();
      this.#pump();
      if (!this.#over) this.#count(this.#parser.bufferedBytes);
    });
  }
}
