/**
 * A simulated disk: folders and the files in them. What is left of it when the power fails is told in
 * `file-content.ts` and `folder.ts`. Making a folder is durable at once, which is kinder than a real disk.
 */

import type { SeededRandom } from '../lib/random.ts';
import type { FileContent } from './file-content.ts';
import { Folder, type ContentMap } from './folder.ts';

export class Disk {
  readonly #folders = new Map<string, Folder>([['/', new Folder()]]);
  /** Folders taken by a process, which is the value. */
  readonly locks: Map<string, object> = new Map();
  /** Bytes that all files with a name may have together. */
  capacity: number = Infinity;

  /** By a path as `resolvePath` gives it. */
  folder(path: string): Folder | undefined {
    return this.#folders.get(path);
  }

  makeFolder(path: string): void {
    if (!this.#folders.has(path)) this.#folders.set(path, new Folder());
  }

  /** Folders directly inside a folder. */
  subfolders(path: string): string[] {
    return [...this.#folders.keys()].filter(other => other !== '/' && splitPath(other).folder === path);
  }

  get usedBytes(): number {
    let size = 0;
    for (const folder of this.#folders.values()) for (const content of folder.contents()) size += content.size;
    return size;
  }

  /** An independent copy, and what became of each file. Nobody holds locks on it. */
  clone(): { disk: Disk; map: ContentMap } {
    const map = memoized(content => content.clone());
    return { disk: this.#transform(folder => folder.clone(map)), map };
  }

  /** One of the possible outcomes of a power failure. */
  afterPowerFailure(random: SeededRandom): Disk {
    const map = memoized(content => content.afterPowerFailure(random));
    return this.#transform(folder => folder.afterPowerFailure(random, map));
  }

  #transform(change: (folder: Folder) => Folder): Disk {
    const disk = new Disk();
    disk.capacity = this.capacity;
    for (const [path, folder] of this.#folders) disk.#folders.set(path, change(folder));
    return disk;
  }
}

/** A file may have two names, before and after a rename, and stays one file. */
function memoized(make: ContentMap): ContentMap {
  const made = new Map<FileContent, FileContent>();
  return content => {
    let result = made.get(content);
    if (result === undefined) {
      result = make(content);
      made.set(content, result);
    }
    return result;
  };
}

/** An absolute path without `.` and `..`; relative ones begin at the root. */
export function resolvePath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** The folder of a resolved path, and the last name. */
export function splitPath(path: string): { folder: string; name: string } {
  const slash = path.lastIndexOf('/');
  return { folder: slash === 0 ? '/' : path.slice(0, slash), name: path.slice(slash + 1) };
}
