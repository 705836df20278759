/**
 * Page 1 of a database file for everybody. What dqlite stores says that the database is in WAL mode; a plain file is
 * in rollback mode, so that SQLite opens it without making `-wal` and `-shm` files beside it, from read-only media
 * too. SQLite believes the size in the header if two counters agree (file format, section 1.3.7).
 */

import { restate } from '../pages/index.ts';

const FORMAT_VERSIONS_OFFSET = 18;
const ROLLBACK_MODE = 1;

/** A copy of page 1, as a plain file of `pageCount` pages has it. */
export function plainFirstPage(page: Uint8Array, pageCount: number): Uint8Array {
  const plain = page.slice();
  plain.fill(ROLLBACK_MODE, FORMAT_VERSIONS_OFFSET, FORMAT_VERSIONS_OFFSET + 2);
  restate(plain, pageCount);
  return plain;
}
