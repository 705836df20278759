/**
 * Serves a connection above the limit: its first request is answered with the reason, then it is closed. A peer's is
 * taken all the same: a follower that many clients have found must not lose its leader.
 */

import { DecodeError, Writer } from '../lib/bytes.ts';
import { decodeRequest, requestType, sqliteCode, writeFailure, type Frame } from '../wire/index.ts';
import type { GatewayNode } from './gateway.ts';
import type { ClientStream } from './stream.ts';

export class RefusingHandler {
  readonly #inbound: ClientStream;
  readonly #node: GatewayNode;
  readonly #reason: string;

  constructor(inbound: ClientStream, node: GatewayNode, reason: string) {
    this.#inbound = inbound;
    this.#node = node;
    this.#reason = reason;
  }

  readable(): void {
    const frame = this.#inbound.next();
    if (frame === undefined) return;
    if (frame.type === requestType.connect) this.#connect(frame);
    else this.refused(this.#reason);
  }

  #connect(frame: Frame): void {
    try {
      const request = decodeRequest(frame.type, frame.schema, frame.body);
      if (request.kind !== 'connect') return this.refused(this.#reason);
      const { id, address } = request;
      this.#inbound.takeOver(connection => this.#node.peerConnected(connection, { id, address }));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#inbound.drop();
    }
  }

  drained(): void {}

  ended(): void {
    this.#inbound.drop();
  }

  closed(): void {}

  refused(message: string): void {
    const writer = new Writer();
    writeFailure(writer, sqliteCode.busy, message);
    this.#inbound.send(writer);
    this.#inbound.finish();
  }
}
