/** The connections between this node and the other members: one outbound link to each, and whatever they open. */

import type { Connection, Logger } from '../host/types.ts';
import { DecodeError } from '../lib/bytes.ts';
import type { InstallSnapshot, Message, Peer, ServerId } from '../raft/index.ts';
import { encodeInstallSnapshot, encodeMessage } from '../rpc/index.ts';
import { PeerInbound, type SnapshotReceiver } from './peer-inbound.ts';
import { PeerLink, type PeerLinkOptions } from './peer-link.ts';
import { sendSnapshot } from './snapshot-sender.ts';

/** What comes from the other members. */
export interface PeerEvents {
  message(from: Peer, message: Exclude<Message, InstallSnapshot>): void;
  snapshot(from: Peer, message: InstallSnapshot, size: number): SnapshotReceiver | undefined;
  /** What was sent to it lately may not have arrived. */
  unreachable(peer: ServerId): void;
  /** Whether somebody with this id belongs to the cluster, as far as this node knows. */
  isMember(peer: ServerId): boolean;
}

export interface PeersOptions extends PeerLinkOptions {
  readonly logger: Logger;
  /**
   * Bytes of unfinished messages of all peers; who has most of them goes when there are more. By default two of the
   * largest entries, 1 GiB.
   */
  readonly maxBufferedBytes?: number;
  /** Gives memory for an entry that is being received. */
  readonly allocate: (size: number) => Uint8Array;
}

/** Connections that peers have open to this node; the oldest goes when there are more, of strangers if there are any. */
const MAX_INBOUND = 256;
const DEFAULT_MAX_BUFFERED_BYTES = 1024 * 1024 * 1024;

export class Peers {
  readonly #options: PeersOptions;
  readonly #events: PeerEvents;
  readonly #links = new Map<ServerId, PeerLink>();
  readonly #inbound = new Set<PeerInbound>();
  #bufferedBytes = 0;

  constructor(options: PeersOptions, events: PeerEvents) {
    this.#options = options;
    this.#events = events;
  }

  send(to: Peer, message: Exclude<Message, InstallSnapshot>): void {
    this.#link(to).send(encodeMessage(message));
  }

  /** Rejects if the snapshot cannot be handed to the network as a whole. */
  sendSnapshot(to: Peer, message: InstallSnapshot, size: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { net, self } = this.#options;
    return sendSnapshot(net, self, to, encodeInstallSnapshot(message, size), chunks);
  }

  /** A connection whose first request was CONNECT. Gives who takes what follows. */
  accept(connection: Connection, from: Peer): PeerInbound {
    const inbound = new PeerInbound(connection, from, this.#options.allocate, {
      message: (peer, message) => this.#events.message(peer, message),
      snapshot: (peer, message, size) => this.#events.snapshot(peer, message, size),
      buffered: difference => this.#buffered(difference),
      gone: (gone, error) => this.#gone(gone, error),
    });
    this.#inbound.add(inbound);
    if (this.#inbound.size > MAX_INBOUND) {
      const all = [...this.#inbound];
      (all.find(({ from: { id } }) => !this.#events.isMember(id)) ?? all[0]!).close();
    }
    return inbound;
  }

  /** Closes the links to those who are no members any more. */
  keepOnly(ids: ReadonlySet<ServerId>): void {
    for (const [id, link] of this.#links) {
      if (ids.has(id)) continue;
      link.close();
      this.#links.delete(id);
    }
  }

  /** Nothing that was sent is still to be taken by the network. */
  get isIdle(): boolean {
    for (const link of this.#links.values()) if (!link.isIdle) return false;
    return true;
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
    for (const inbound of this.#inbound) inbound.close();
  }

  #link(peer: Peer): PeerLink {
    const link = this.#links.get(peer.id);
    if (link?.peer.address === peer.address) return link;
    // The same server under another address: the old connection leads nowhere.
    link?.close();
    const made = new PeerLink(peer, this.#options, () => this.#events.unreachable(peer.id));
    this.#links.set(peer.id, made);
    return made;
  }

  #buffered(difference: number): void {
    this.#bufferedBytes += difference;
    const { maxBufferedBytes = DEFAULT_MAX_BUFFERED_BYTES } = this.#options;
    if (difference <= 0 || this.#bufferedBytes <= maxBufferedBytes) return;
    const [largest] = [...this.#inbound].sort((a, b) => b.bufferedBytes - a.bufferedBytes);
    largest!.close(new DecodeError('unfinished messages hold more memory than allowed', 0));
  }

  #gone(inbound: PeerInbound, error: DecodeError | undefined): void {
    this.#inbound.delete(inbound);
    if (error === undefined) return;
    const { id, address } = inbound.from;
    this.#options.logger.warn({ peer: `${id} ${address}`, error: error.message }, 'a peer sent what is no message');
  }
}
