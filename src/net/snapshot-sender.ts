/**
 * Sends a snapshot on a connection of its own, so that heartbeats never queue behind a gigabyte (design rule 16; C
 * nodes read several connections of one peer).
 */

import type { Connection, Net } from '../host/types.ts';
import type { Peer } from '../raft/index.ts';
import { encodeConnect } from './peer-link.ts';

const CONNECT_MS = 5000;
/** Bytes handed to the connection before it has taken some. */
const MAX_PENDING_BYTES = 1024 * 1024;

/** Resolves when the network has taken everything. Rejects when the connection cannot be made, or is lost. */
export async function sendSnapshot(
  net: Net,
  self: Peer,
  to: Peer,
  header: Uint8Array,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const attach = await net.connect(to.address, CONNECT_MS);
  let wake: (() => void) | undefined;
  let isLost = false;
  const lost = (): void => {
    isLost = true;
    wake?.();
  };
  const connection: Connection = attach({
    received() {},
    drained: () => wake?.(),
    ended: lost,
    closed: lost,
  });
  const taken = async (limit: number): Promise<void> => {
    while (connection.pendingBytes > limit && !isLost) await new Promise<void>(resolve => (wake = resolve));
    if (isLost) throw new Error(`the connection to ${to.address} was lost`);
  };
  try {
    connection.send(encodeConnect(self));
    connection.send(header);
    for await (const chunk of chunks) {
      connection.send(chunk);
      await taken(MAX_PENDING_BYTES);
    }
    await taken(0);
    connection.end();
  } catch (error) {
    connection.destroy();
    throw error;
  }
}
