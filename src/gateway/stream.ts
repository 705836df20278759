/** The connection of a client, as the gateway needs it: whole messages in, bytes out. */

import type { Writer } from '../lib/bytes.ts';
import type { Connection } from '../host/types.ts';
import type { Frame, FrameHeader } from '../wire/index.ts';

export interface ClientStream {
  /** Set while a request runs: what arrives meanwhile waits. */
  busy: boolean;
  /** Bytes that were sent but not yet taken by the operating system. */
  readonly pendingBytes: number;
  /** The next message, if all of it has arrived. */
  next(): Frame | undefined;
  /** Its header. */
  peek(): FrameHeader | undefined;
  /** Sends what was written and makes the writer ready for more. */
  send(writer: Writer): void;
  /** To be called after `busy` was cleared: goes on reading. */
  regulate(): void;
  /** The stream goes on in another protocol. */
  takeOver(begin: (connection: Connection) => { received(bytes: Uint8Array): void; close(): void }): void;
  /** Closes once everything was sent. */
  finish(): void;
  /** Closes at once. */
  drop(): void;
}
