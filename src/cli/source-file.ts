/** Opening an SQLite file to be imported, without touching what lies beside it. */

import fs from 'node:fs';
import { systemText } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import type { SyncFile } from '../tools/index.ts';

/** What every rollback journal that must be played back begins with (SQLite file format, section 3). */
const JOURNAL_MAGIC = 'd9d505f920a163d7';

export interface SourceFiles {
  readonly main: SyncFile;
  readonly wal: SyncFile | undefined;
  /** Throws DqliteError if the files are not what they were when they were opened. */
  check(): void;
  close(): void;
}

class DescriptorFile implements SyncFile {
  readonly descriptor: number;
  readonly size: number;
  readonly #modifiedMs: number;

  constructor(path: string) {
    this.descriptor = fs.openSync(path, 'r');
    const stats = fs.fstatSync(this.descriptor);
    if (!stats.isFile()) {
      fs.closeSync(this.descriptor);
      throw new DqliteError('CONFIGURATION', `${path} is not a file`);
    }
    this.size = stats.size;
    this.#modifiedMs = stats.mtimeMs;
  }

  read(target: Uint8Array, offset: number): number {
    return fs.readSync(this.descriptor, target, 0, target.length, offset);
  }

  get hasChanged(): boolean {
    const { size, mtimeMs } = fs.fstatSync(this.descriptor);
    return size !== this.size || mtimeMs !== this.#modifiedMs;
  }
}

/** Throws DqliteError CONFIGURATION or IO. */
export function openSource(path: string): SourceFiles {
  const main = openFile(path);
  try {
    refuseJournal(path);
    const walPath = `${path}-wal`;
    const wal = fs.existsSync(walPath) ? openFile(walPath) : undefined;
    return {
      main,
      wal,
      check() {
        if (!main.hasChanged && wal?.hasChanged !== true && fs.existsSync(walPath) === (wal !== undefined)) return;
        throw new DqliteError('CONFIGURATION', `${path} was changed while it was read`, {
          hint: 'stop the programs that write to it, or import a copy',
        });
      },
      close() {
        fs.closeSync(main.descriptor);
        if (wal !== undefined) fs.closeSync(wal.descriptor);
      },
    };
  } catch (error) {
    fs.closeSync(main.descriptor);
    throw error;
  }
}

function openFile(path: string): DescriptorFile {
  try {
    return new DescriptorFile(path);
  } catch (error) {
    if (error instanceof DqliteError) throw error;
    throw new DqliteError('IO', `${path} cannot be opened: ${systemText(error)}`, { cause: error });
  }
}

/** A hot journal: the file holds half a transaction, or another program is in the middle of one. */
function refuseJournal(path: string): void {
  const journal = `${path}-journal`;
  if (!fs.existsSync(journal)) return;
  const start = new Uint8Array(8);
  const file = openFile(journal);
  const size = file.read(start, 0);
  fs.closeSync(file.descriptor);
  if (size < start.length || Buffer.from(start).toString('hex') !== JOURNAL_MAGIC) return;
  throw new DqliteError(
    'CONFIGURATION',
    `${journal} exists: ${path} is being written, or a crash has left it half-way`,
    {
      hint: 'stop the program that writes to it; if there is none, open the file once with sqlite3, which mends it',
    },
  );
}
