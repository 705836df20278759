/**
 * A file that appears whole or not at all: it is written under another name beside, made durable and then renamed.
 * What has the name already is replaced only on request.
 */

import { FileError, type Files, type Random } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';

/** SQLite would apply a journal that lies beside a new database file, and so ruin it. */
const JOURNAL_SUFFIXES = ['-wal', '-journal'];
/** Small pieces are written together. */
const WRITE_BYTES = 1024 * 1024;

export interface OutputOptions {
  readonly files: Files;
  readonly random: Random;
  readonly path: string;
  /** Whether a file of that name may be replaced. */
  readonly force: boolean;
}

/** Rejects with DqliteError CONFIGURATION if the file must not be written. */
export async function checkOutput({ files, path, force }: OutputOptions): Promise<void> {
  if (!force && (await exists(files, path))) {
    throw new DqliteError('CONFIGURATION', `${path} exists already`, { hint: 'choose another name, or add --force' });
  }
  for (const suffix of JOURNAL_SUFFIXES) {
    if (!(await exists(files, path + suffix))) continue;
    throw new DqliteError('CONFIGURATION', `${path}${suffix} exists: SQLite would take it for part of ${path}`, {
      hint: 'it belongs to another database of that name: remove it, or choose another name',
    });
  }
}

/**
 * Writes the pieces, which stay unchanged until it resolves, one after the other. Rejects with `FileError` or DqliteError
 * CONFIGURATION; then the file is as it was.
 */
export async function writeOutput(
  options: OutputOptions,
  pieces: Iterable<Uint8Array>,
  onProgress: (written: number) => void,
): Promise<void> {
  const { files, random, path } = options;
  const temporary = `${path}.part-${random.uint32().toString(16)}`;
  const file = await files.open(temporary, { mode: 'create' });
  try {
    try {
      let offset = 0;
      let gathered: Uint8Array[] = [];
      let size = 0;
      const flush = async (): Promise<void> => {
        if (size > 0) await file.write(gathered, offset);
        offset += size;
        gathered = [];
        size = 0;
        onProgress(offset);
      };
      for (const piece of pieces) {
        gathered.push(piece);
        size += piece.length;
        if (size >= WRITE_BYTES) await flush();
      }
      await flush();
      await file.sync();
    } finally {
      await file.close();
    }
    // Somebody else may have made it meanwhile.
    await checkOutput(options);
    await files.rename(temporary, path);
  } catch (error) {
    await files.remove(temporary);
    throw error;
  }
}

async function exists(files: Files, path: string): Promise<boolean> {
  try {
    const file = await files.open(path, { mode: 'read' });
    await file.close();
    return true;
  } catch (error) {
    if (error instanceof FileError && error.code === 'ENOENT') return false;
    throw error;
  }
}
