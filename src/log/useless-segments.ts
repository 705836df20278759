/** Closed segments that a snapshot has made useless, on their way out. */

import type { Files } from '../host/types.ts';
import type { Index } from '../raft/index.ts';
import type { ClosedName } from './load-segments.ts';
import { removeIfThere } from './remove.ts';

export class UselessSegments {
  readonly #files: Files;
  readonly #directory: string;
  /** Oldest first. */
  readonly #names: ClosedName[];
  /** Settles when nothing is being removed any more. Never rejects. */
  #idle: Promise<void> = Promise.resolve();

  constructor(files: Files, directory: string, names: readonly ClosedName[]) {
    this.#files = files;
    this.#directory = directory;
    this.#names = [...names];
  }

  /** The last entry in any of them, 0 if there are none. */
  get lastIndex(): Index {
    return this.#names[this.#names.length - 1]?.last ?? 0;
  }

  add(name: ClosedName): void {
    this.#names.push(name);
  }

  /** Resolves when all are gone for good. */
  remove(): Promise<void> {
    const removed = this.#idle.then(() => this.#remove());
    this.#idle = removed.catch(() => {});
    return removed;
  }

  async #remove(): Promise<void> {
    for (let oldest = this.#names[0]; oldest !== undefined; oldest = this.#names[0]) {
      // The newest goes when the others are gone for good: it tells where the open segment after it begins.
      const isNewest = this.#names.length === 1;
      if (isNewest) await this.#files.syncDirectory(this.#directory);
      await removeIfThere(this.#files, this.#files.join(this.#directory, oldest.name));
      if (isNewest) await this.#files.syncDirectory(this.#directory);
      this.#names.shift();
    }
  }
}
