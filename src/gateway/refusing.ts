/** Serves a connection above the limit: its first request is answered with the reason, then it is closed. */

import { Writer } from '../lib/bytes.ts';
import { sqliteCode, writeFailure } from '../wire/index.ts';
import type { ClientStream } from './stream.ts';

export class RefusingHandler {
  readonly #inbound: ClientStream;
  readonly #reason: string;

  constructor(inbound: ClientStream, reason: string) {
    this.#inbound = inbound;
    this.#reason = reason;
  }

  readable(): void {
    if (this.#inbound.next() !== undefined) this.refused(this.#reason);
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
