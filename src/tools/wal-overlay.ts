/**
 * The pages that a write-ahead log holds over a database file, by the rules by which SQLite recovers one: frames count
 * up to the last whole transaction, and the log ends at the first frame that does not check.
 */

import { WAL_FRAME_HEADER_SIZE, WAL_HEADER_SIZE, WalReader } from '../format/index.ts';
import { DecodeError } from '../lib/bytes.ts';

/** A file that is read without waiting: SQLite's callbacks cannot wait. */
export interface SyncFile {
  readonly size: number;
  /** Reads up to `target.length` bytes; fewer only at the end of the file. Gives how many. */
  read(target: Uint8Array, offset: number): number;
}

export interface WalOverlay {
  readonly pageSize: number;
  /** Size of the database in pages. */
  readonly pageCount: number;
  /** Where in the log the newest image of a page begins. */
  readonly pages: ReadonlyMap<number, number>;
}

/** Undefined if there is no whole transaction in it. */
export function readWal(wal: SyncFile): WalOverlay | undefined {
  if (wal.size < WAL_HEADER_SIZE) return undefined;
  const header = new Uint8Array(WAL_HEADER_SIZE);
  wal.read(header, 0);
  const pageSize = new DataView(header.buffer).getUint32(8);
  const frameSize = WAL_FRAME_HEADER_SIZE + pageSize;
  if (pageSize < 512 || pageSize > 65536) return undefined;
  const pages = new Map<number, number>();
  let pageCount = 0;
  try {
    const reader = new WalReader(header, pageSize, 0);
    const frame = new Uint8Array(frameSize);
    let open = new Map<number, number>();
    for (let offset = WAL_HEADER_SIZE; offset + frameSize <= wal.size; offset += frameSize) {
      if (wal.read(frame, offset) < frameSize) break;
      const { pageNumber, commitPages } = reader.frame(frame, offset);
      open.set(pageNumber, offset + WAL_FRAME_HEADER_SIZE);
      if (commitPages === 0) continue;
      pageCount = commitPages;
      for (const [page, place] of open) pages.set(page, place);
      open = new Map();
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return pageCount === 0 ? undefined : { pageSize, pageCount, pages };
}
