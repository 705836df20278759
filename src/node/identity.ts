/**
 * Who a data directory belongs to. A node that answers with another id or address than the directory's would be
 * somebody else to its cluster, so a contradiction is refused.
 */

import { FileError, type Files } from '../host/types.ts';
import { decodeUtf8, encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import type { Configuration, ServerId } from '../raft/index.ts';

export interface Identity {
  readonly id: ServerId;
  /** What clients and peers dial, compared byte by byte. */
  readonly address: string;
}

/** Ids of a node that founds a cluster by itself in an empty directory (docs/files.md, section 5.5). */
export const FOUNDER_IDS: readonly ServerId[] = [1n, 0x2dc171858c3155ben];

/** The file in which go-dqlite's application layer keeps the same (raft and disk spec section 5.10). */
const INFO_FILE = 'info.yaml';

/** Says whose directory this is as long as its log does not: a joining node may get the log in parts. */
const ID_FILE = 'dqlite-node-id';

/** Notes in a new directory whose it is. */
export async function writeIdFile(files: Files, directory: string, self: Identity): Promise<void> {
  const path = files.join(directory, ID_FILE);
  const noted = await readText(files, path);
  if (noted !== undefined) return; // by a start before; `checkConfiguration` looks whether it is the same node
  const temporary = `${path}.new`;
  if ((await files.list(directory)).includes(`${ID_FILE}.new`)) await files.remove(temporary);
  const file = await files.open(temporary, { mode: 'create' });
  try {
    await file.write([encodeUtf8(idText(self))], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(temporary, path);
  await files.syncDirectory(directory);
}

function idText({ id, address }: Identity): string {
  return `${id} ${address}\n`;
}

/**
 * Rejects with DqliteError CONFIGURATION if the directory's configuration names this node otherwise, or does not name
 * it although nothing says that the directory is this node's.
 */
export async function checkConfiguration(
  files: Files,
  directory: string,
  self: Identity,
  configuration: Configuration,
): Promise<void> {
  const { servers } = configuration;
  const byId = servers.find(server => server.id === self.id);
  if (byId?.address === self.address) return;
  const noted = await readText(files, files.join(directory, ID_FILE));
  if (noted !== undefined && noted !== idText(self)) {
    throw new DqliteError(
      'CONFIGURATION',
      `${directory}: it belongs to node ${noted.trim()}, not ${idText(self).trim()}`,
      {
        hint: 'start the node with the id and address that the directory was made with, or use another directory',
      },
    );
  }
  if (servers.length === 0 || (byId === undefined && noted !== undefined)) return;
  const members = servers.map(({ id, address }) => `${id} at ${address}`).join(', ');
  const what =
    byId === undefined
      ? `id ${self.id} is not a member of the cluster in this directory, which has ${members}`
      : `node ${self.id} has the address ${byId.address} in this directory, not ${self.address}`;
  throw new DqliteError('CONFIGURATION', `${directory}: ${what}`, {
    hint: 'start the node with the id and address that the directory was made with, or use another directory',
  });
}

/** The same for `info.yaml`, if it is there. */
export async function checkInfoFile(files: Files, directory: string, self: Identity): Promise<void> {
  const text = await readText(files, files.join(directory, INFO_FILE));
  if (text === undefined) return;
  const info = await parseInfo(directory, text);
  if (typeof info !== 'object' || info === null) return;
  const { ID: id, Address: address } = info as { ID?: unknown; Address?: unknown };
  if ((id === undefined || id === self.id) && (address === undefined || address === self.address)) return;
  throw new DqliteError(
    'CONFIGURATION',
    `${directory}: ${INFO_FILE} says node ${String(id)} at ${String(address)}, not ${self.id} at ${self.address}`,
    { hint: 'start the node with the id and address that the directory was made with, or use another directory' },
  );
}

/** Few directories have one, and the parser takes longer to load than everything else that is needed at a start. */
async function parseInfo(directory: string, text: string): Promise<unknown> {
  const { parse } = await import('yaml');
  try {
    return parse(text, { intAsBigInt: true });
  } catch (error) {
    // What follows the first line of the message is an excerpt.
    const [what] = messageOf(error).split(/:?\n/);
    throw new DqliteError('CONFIGURATION', `${directory}: ${INFO_FILE} cannot be read: ${what}`, {
      cause: error,
      hint: 'restore the file, or remove it: the directory itself knows the node too',
    });
  }
}

async function readText(files: Files, path: string): Promise<string | undefined> {
  try {
    const file = await files.open(path, { mode: 'read' });
    try {
      const bytes = new Uint8Array(await file.size());
      await file.read(bytes, 0);
      return decodeUtf8(bytes);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof FileError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
