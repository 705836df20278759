/** A database of a running server as a plain SQLite file: what DUMP sends, with its write-ahead log merged in. */

import type { Host } from '../host/index.ts';
import { LeaderAccess } from '../client/internal.ts';
import { DqliteError } from '../lib/errors.ts';
import { checkOutput, writeOutput } from './output-file.ts';
import { plainFirstPage } from './plain-page.ts';
import { readWal, type SyncFile, type WalOverlay } from './wal-overlay.ts';

export interface ExportOptions {
  readonly host: Host;
  readonly servers: readonly string[];
  readonly database: string;
  readonly path: string;
  /** Whether a file of that name may be replaced. */
  readonly force: boolean;
  readonly onProgress: (written: number, total: number) => void;
}

interface DumpedDatabase {
  readonly main: Uint8Array;
  /** C dqlite 1.11 keeps a part of the content here; empty otherwise. */
  readonly wal: Uint8Array;
}

const PAGE_SIZE = 4096;
const NOTHING = new Uint8Array(0);
/** dqlite's own code for a database that the node does not have. */
const NO_SUCH_DATABASE = 1002;

/** Gives the number of pages. Rejects with DqliteError, or with `FileError`; then there is no file. */
export async function exportDatabase({ host, servers, database, path, ...options }: ExportOptions): Promise<number> {
  const output = { files: host.files, random: host.random, path, force: options.force };
  await checkOutput(output);
  const dumped = await dump(host, servers, database);
  const overlay = overlayOf(dumped);
  const pageCount = overlay?.pageCount ?? dumped.main.length / PAGE_SIZE;
  const total = pageCount * PAGE_SIZE;
  await writeOutput(output, plainPages(dumped, overlay, pageCount), written => options.onProgress(written, total));
  return pageCount;
}

async function dump(host: Host, servers: readonly string[], database: string): Promise<DumpedDatabase> {
  const { cluster } = new LeaderAccess(host, servers);
  try {
    const [{ content: main } = { content: NOTHING }, { content: wal } = { content: NOTHING }] =
      await cluster.dump(database);
    if (main.length + wal.length > 0) return { main, wal };
  } catch (error) {
    if (!(error instanceof DqliteError) || error.sqliteCode !== NO_SUCH_DATABASE) throw error;
  }
  throw new DqliteError('CONFIGURATION', `the cluster has no database "${database}"`, {
    hint: 'names are compared letter by letter',
  });
}

function overlayOf({ main, wal }: DumpedDatabase): WalOverlay | undefined {
  const overlay = wal.length === 0 ? undefined : readWal(inMemory(wal));
  const isWhole = main.length % PAGE_SIZE === 0 && (main.length > 0 || overlay !== undefined);
  if (isWhole && (overlay === undefined || overlay.pageSize === PAGE_SIZE)) return overlay;
  throw new DqliteError('PROTOCOL', `what the server sent is not a database: ${main.length} bytes`);
}

function inMemory(bytes: Uint8Array): SyncFile {
  return {
    size: bytes.length,
    read(target, offset) {
      const piece = bytes.subarray(offset, offset + target.length);
      target.set(piece);
      return piece.length;
    },
  };
}

function* plainPages(
  { main, wal }: DumpedDatabase,
  overlay: WalOverlay | undefined,
  pageCount: number,
): Generator<Uint8Array> {
  for (let number = 1; number <= pageCount; number++) {
    const place = overlay?.pages.get(number);
    const bytes = place === undefined ? main : wal;
    const offset = place ?? (number - 1) * PAGE_SIZE;
    const page = bytes.subarray(offset, offset + PAGE_SIZE);
    if (page.length < PAGE_SIZE) throw new DqliteError('PROTOCOL', `page ${number} is missing in what the server sent`);
    yield number === 1 ? plainFirstPage(page, pageCount) : page;
  }
}
