/**
 * A data directory as it is at one moment, for reading only, although a node may be writing to it. All of its files
 * are opened at once and stay open: a segment that gets its final name meanwhile, or a snapshot that is removed, can
 * be read to the end. Nothing here can write.
 */

import { assert } from '../lib/assert.ts';
import { FileError, type DirectoryLock, type File, type Files, type OpenOptions } from '../host/types.ts';

/** A node renames or removes a file every few milliseconds at most: one of so many listings is not disturbed. */
const ATTEMPTS = 100;

export class FrozenFiles implements Files {
  readonly #files: Files;
  readonly #directory: string;
  #open = new Map<string, File>();

  private constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** Opens the files that `isWanted` by their names. Rejects with `FileError`. */
  static async of(files: Files, directory: string, isWanted: (name: string) => boolean): Promise<FrozenFiles> {
    const frozen = new FrozenFiles(files, directory);
    for (let attempt = 1; ; attempt++) {
      const names = (await files.list(directory)).filter(isWanted);
      const opened = await frozen.#openAll(names);
      const after = (await files.list(directory)).filter(isWanted);
      // What was renamed while the names were read can be missing from them: two equal lists, and nothing was.
      if (opened === undefined && sameNames(names, after)) return frozen;
      await frozen.release();
      if (attempt < ATTEMPTS) continue;
      throw opened ?? new FileError('OTHER', directory, `${directory} changes faster than it can be read`);
    }
  }

  /** Opens all, or gives the error. Names whose files are gone again are errors too. */
  async #openAll(names: readonly string[]): Promise<FileError | undefined> {
    for (const name of names) {
      try {
        this.#open.set(name, await this.#files.open(this.#files.join(this.#directory, name), { mode: 'read' }));
      } catch (error) {
        if (error instanceof FileError && error.code === 'ENOENT') return error;
        await this.release();
        throw error;
      }
    }
    return undefined;
  }

  /** Closes the files. */
  async release(): Promise<void> {
    const files = [...this.#open.values()];
    this.#open = new Map();
    for (const file of files) await file.close();
  }

  list(directory: string): Promise<string[]> {
    assert(directory === this.#directory, `${directory} is not what was frozen`);
    return Promise.resolve([...this.#open.keys()]);
  }

  open(path: string, { mode }: OpenOptions): Promise<File> {
    assert(mode === 'read', `${path} is for reading only`);
    for (const [name, file] of this.#open) {
      if (this.#files.join(this.#directory, name) === path) return Promise.resolve(new SharedFile(file));
    }
    return Promise.reject(new FileError('ENOENT', path, `${path} does not exist`));
  }

  join(...parts: string[]): string {
    return this.#files.join(...parts);
  }

  makeDirectory(path: string): Promise<void> {
    return refuse(path);
  }

  rename(from: string, _to: string): Promise<void> {
    return refuse(from);
  }

  remove(path: string): Promise<void> {
    return refuse(path);
  }

  syncDirectory(path: string): Promise<void> {
    return refuse(path);
  }

  lock(path: string): Promise<DirectoryLock> {
    return refuse(path);
  }
}

/** A file that stays open when one of its users closes it. */
class SharedFile implements File {
  readonly path: string;
  readonly #file: File;

  constructor(file: File) {
    this.path = file.path;
    this.#file = file;
  }

  read(target: Uint8Array, offset: number): Promise<number> {
    return this.#file.read(target, offset);
  }

  size(): Promise<number> {
    return this.#file.size();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  write(): Promise<void> {
    return refuse(this.path);
  }

  sync(): Promise<void> {
    return refuse(this.path);
  }

  truncate(): Promise<void> {
    return refuse(this.path);
  }
}

function refuse(path: string): never {
  assert(false, `${path} is for reading only`);
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  const others = new Set(b);
  return a.length === b.length && a.every(name => others.has(name));
}
