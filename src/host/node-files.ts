/** `Files` on the file system of the operating system. */

import fs from 'node:fs';
import path from 'node:path';
import { DqliteError } from '../lib/errors.ts';
import { lockDirectory } from './node-lock.ts';
import { codeOf, systemText } from './system-text.ts';
import { FileError, type DirectoryLock, type File, type FileErrorCode, type Files, type OpenOptions } from './types.ts';

/** Buffers per vectored write; the operating systems take 1024. */
const MAX_PIECES = 512;
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

const isLinux = process.platform === 'linux';
const isWindows = process.platform === 'win32';

/** A quota is a full disk to us. */
const ALIASES: Readonly<Record<string, FileErrorCode>> = { EDQUOT: 'ENOSPC', ENFILE: 'EMFILE' };
const KNOWN_CODES: ReadonlySet<string> = new Set(['ENOENT', 'EEXIST', 'ENOSPC', 'EMFILE', 'EIO', 'EACCES']);

function fileError(error: NodeJS.ErrnoException, target: string): FileError {
  const errno = ALIASES[codeOf(error)] ?? codeOf(error);
  const code = KNOWN_CODES.has(errno) ? (errno as FileErrorCode) : 'OTHER';
  return new FileError(code, target, `${target}: ${systemText(error)}`, error);
}

/** Runs a callback-style function of node:fs. */
function call<T>(
  target: string,
  start: (done: (error: NodeJS.ErrnoException | null, value: T) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(fileError(error, target))));
  });
}

function run(target: string, start: (done: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start(error => (error === null ? resolve() : reject(fileError(error, target))));
  });
}

/** Beyond this size other requests are worth more than the wake-ups of another thread. */
const MAX_BLOCKING_BYTES = 1024 * 1024;
/** A wait that nobody notices. After a longer one, of a disk that is busy or stalls, none is tried for so many times its length. */
const QUICK_MS = 5;
const PAUSE_FACTOR = 20;

/**
 * Writes on this thread. While the disk is quick, waiting for it costs less than waking the thread of a pool and being
 * woken by it, twice 50 to 150 µs on a virtual machine.
 */
class BlockingWrites {
  #notBeforeMs = 0;

  /** Gives how many bytes were written; undefined if this is no time to wait. Throws what node:fs throws. */
  write(descriptor: number, pieces: readonly Uint8Array[], offset: number): number | undefined {
    const startMs = performance.now();
    if (startMs < this.#notBeforeMs || pieces.length > MAX_PIECES) return undefined;
    if (pieces.reduce((sum, { length }) => sum + length, 0) > MAX_BLOCKING_BYTES) return undefined;
    const written = fs.writevSync(descriptor, pieces, offset);
    const endMs = performance.now();
    const tookMs = endMs - startMs;
    if (tookMs > QUICK_MS) this.#notBeforeMs = endMs + PAUSE_FACTOR * tookMs;
    return written;
  }
}

class NodeFile implements File {
  readonly path: string;
  readonly #descriptor: number;
  /** Writes must be followed by a sync, because the file could not be opened so that they need none. */
  readonly #syncWrites: boolean;
  readonly #blockingWrites: BlockingWrites;

  constructor(target: string, descriptor: number, syncWrites: boolean, blockingWrites: BlockingWrites) {
    this.path = target;
    this.#descriptor = descriptor;
    this.#syncWrites = syncWrites;
    this.#blockingWrites = blockingWrites;
  }

  read(target: Uint8Array, offset: number): Promise<number> {
    return call(this.path, done => fs.read(this.#descriptor, target, 0, target.length, offset, done));
  }

  async write(all: readonly Uint8Array[], offset: number, blocking = false): Promise<void> {
    let pieces = all;
    let position = offset;
    if (blocking && !this.#syncWrites) {
      const written = this.#writeBlocking(pieces, offset);
      if (written !== undefined) {
        pieces = after(pieces, written);
        position += written;
      }
    }
    for (let start = 0; start < pieces.length; start += MAX_PIECES) {
      let rest = pieces.slice(start, start + MAX_PIECES);
      while (rest.length > 0) {
        const vector = rest;
        const written = await call<number>(this.path, done => fs.writev(this.#descriptor, vector, position, done));
        position += written;
        rest = after(rest, written);
      }
    }
    if (this.#syncWrites) await this.sync();
  }

  #writeBlocking(pieces: readonly Uint8Array[], offset: number): number | undefined {
    try {
      return this.#blockingWrites.write(this.#descriptor, pieces, offset);
    } catch (error) {
      throw fileError(error as NodeJS.ErrnoException, this.path);
    }
  }

  sync(): Promise<void> {
    return run(this.path, done => fs.fsync(this.#descriptor, done));
  }

  truncate(size: number): Promise<void> {
    return run(this.path, done => fs.ftruncate(this.#descriptor, size, done));
  }

  async size(): Promise<number> {
    const stats = await call<fs.Stats>(this.path, done => fs.fstat(this.#descriptor, done));
    return stats.size;
  }

  close(): Promise<void> {
    return run(this.path, done => fs.close(this.#descriptor, done));
  }
}

/** What is left of the pieces after `size` bytes of them. */
function after(pieces: readonly Uint8Array[], size: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skipped = size;
  for (const piece of pieces) {
    if (skipped >= piece.length) {
      skipped -= piece.length;
      continue;
    }
    rest.push(skipped > 0 ? piece.subarray(skipped) : piece);
    skipped = 0;
  }
  return rest;
}

export class NodeFiles implements Files {
  readonly #blockingWrites = new BlockingWrites();

  async open(target: string, { mode, durable = false }: OpenOptions): Promise<File> {
    const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_DSYNC } = fs.constants;
    let flags = mode === 'read' ? O_RDONLY : mode === 'write' ? O_RDWR : O_RDWR | O_CREAT | O_EXCL;
    // One system call instead of two. Elsewhere O_DSYNC does not reach the platter (macOS) or does not exist.
    if (durable && isLinux) flags |= O_DSYNC;
    const descriptor = await call<number>(target, done => fs.open(target, flags, FILE_MODE, done));
    return new NodeFile(target, descriptor, durable && !isLinux, this.#blockingWrites);
  }

  list(directory: string): Promise<string[]> {
    return call<string[]>(directory, done => fs.readdir(directory, done));
  }

  /** Level by level: Node's own recursion never ends where a folder answers ENOENT for whatever is made in it, as /proc does. */
  async makeDirectory(directory: string): Promise<void> {
    const make = async (): Promise<void> => {
      await run(directory, done => fs.mkdir(directory, { mode: DIRECTORY_MODE }, done));
      try {
        await this.syncDirectory(path.dirname(directory));
      } catch (error) {
        // Whoever may make something in a folder need not be allowed to read it.
        if (!(error instanceof FileError) || error.code !== 'EACCES') throw error;
      }
    };
    try {
      await make();
    } catch (error) {
      const stats = await call<fs.Stats>(directory, done => fs.stat(directory, done)).catch(() => undefined);
      if (stats?.isDirectory() === true) return;
      if (stats !== undefined) throw new FileError('EEXIST', directory, `${directory}: not a directory`, error);
      const parent = path.dirname(directory);
      if (!(error instanceof FileError) || error.code !== 'ENOENT' || parent === directory) throw error;
      await this.makeDirectory(parent);
      await make();
    }
  }

  rename(from: string, to: string): Promise<void> {
    return run(from, done => fs.rename(from, to, done));
  }

  remove(target: string): Promise<void> {
    return run(target, done => fs.unlink(target, done));
  }

  async syncDirectory(directory: string): Promise<void> {
    // Windows has no such thing: its file systems order renames themselves.
    if (isWindows) return;
    const descriptor = await call<number>(directory, done => fs.open(directory, fs.constants.O_RDONLY, done));
    try {
      await run(directory, done => fs.fsync(descriptor, done));
    } finally {
      await run(directory, done => fs.close(descriptor, done));
    }
  }

  join(...parts: string[]): string {
    return path.join(...parts);
  }

  async lock(directory: string): Promise<DirectoryLock> {
    try {
      return await lockDirectory(directory);
    } catch (error) {
      if (error instanceof DqliteError) throw error;
      throw fileError(error as NodeJS.ErrnoException, directory);
    }
  }
}
