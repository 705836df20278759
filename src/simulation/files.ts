/**
 * `Files` of one simulated process, on a simulated disk. What a power failure can leave is told in
 * `file-content.ts` and `folder.ts`, what a failing operation does in `faults.ts`.
 *
 * An operation passes three moments: it is called; it takes effect, from when on other operations see it; it
 * resolves, from when on what it promises is durable. Without a scheduler it takes effect at once and resolves in
 * the next microtask; with one, both come after times that `latencyMs` gives.
 *
 * | end of the process      | operations that took effect   | operations called that did not          | durable things |
 * | ----------------------- | ----------------------------- | --------------------------------------- | -------------- |
 * | `kill`                  | stay, on the disk as shown    | done, not done, or a write done in part | stay           |
 * | `crash` (power failure) | like anything that is not synced, if they were not durable                | stay           |
 *
 * After either the old object is dead: nothing resolves any more. `stopAt` stops everything at one operation,
 * so that a test can try every moment: that operation has been called, and nothing else happens any more.
 */

import { assert } from '../lib/assert.ts';
import { DqliteError } from '../lib/errors.ts';
import { SeededRandom } from '../lib/random.ts';
import { FileError, type DirectoryLock, type File, type Files, type OpenOptions } from '../host/types.ts';
import { Disk, resolvePath, splitPath } from './disk.ts';
import { FaultPlan, type Fault, type OperationKind } from './faults.ts';
import { FileContent } from './file-content.ts';
import { SimulatedFile } from './file.ts';
import type { Folder } from './folder.ts';
import { simulatedError, type Operation, type Performer, type Place } from './operation.ts';
import type { Scheduler } from './scheduler.ts';

export interface SimulatedFilesOptions {
  readonly disk?: Disk;
  /** For the parts of writes that fail or are cut off. */
  readonly random?: SeededRandom;
  /** With a scheduler, operations take the time that `latencyMs` gives, half of it before they take effect. */
  readonly scheduler?: Scheduler;
  readonly latencyMs?: (kind: OperationKind, size: number) => number;
}

type Outcome<Result> =
  | { readonly done: true; readonly result: Result }
  | { readonly done: false; readonly error: Error };

export class SimulatedFiles implements Files, Performer {
  readonly disk: Disk;
  /** Resolves when the operation of `stopAt` was called. */
  readonly stopped: Promise<void>;
  readonly #options: SimulatedFilesOptions;
  readonly #random: SeededRandom;
  readonly #faults = new FaultPlan();
  readonly #place: Place;
  /** Called, but without effect so far. */
  readonly #waiting = new Set<Operation<unknown>>();
  #halted = false;
  #operationCount = 0;
  #lastOperation = 'nothing';
  #stopAt = Infinity;
  #resolveStopped: () => void = () => {};

  constructor(options: SimulatedFilesOptions = {}) {
    this.#options = options;
    this.disk = options.disk ?? new Disk();
    this.#random = options.random ?? new SeededRandom(0);
    this.#place = { disk: this.disk, content: content => content };
    this.stopped = new Promise(resolve => (this.#resolveStopped = resolve));
  }

  /** Operations called so far; reading a lock or joining a path is none. */
  get operationCount(): number {
    return this.#operationCount;
  }

  /** The last operation called, in words. */
  get lastOperation(): string {
    return this.#lastOperation;
  }

  /** How many operations have failed by a fault. */
  get failureCount(): number {
    return this.#faults.failures;
  }

  inject(fault: Fault): void {
    this.#faults.add(fault);
  }

  /** No more faults, and space again. */
  heal(): void {
    this.#faults.clear();
    this.disk.capacity = Infinity;
  }

  /** Stops everything when the operation with this number is called, counted from 1. */
  stopAt(operation: number): void {
    this.#stopAt = operation;
  }

  /** A process on an independent copy of the disk, as the system shows it at this moment. */
  snapshot(): SimulatedFiles {
    return new SimulatedFiles({ ...this.#options, disk: this.disk.clone().disk });
  }

  /** The process ends; another one finds everything that this one gave to the operating system. */
  kill(random: SeededRandom): SimulatedFiles {
    return new SimulatedFiles({ ...this.#options, disk: this.#diskLeft(random) });
  }

  /** The power fails; this is one of the possible outcomes. Can be asked for several. */
  crash(random: SeededRandom): SimulatedFiles {
    return new SimulatedFiles({ ...this.#options, disk: this.#diskLeft(random).afterPowerFailure(random) });
  }

  async open(path: string, { mode, durable = false }: OpenOptions): Promise<File> {
    const content = await this.perform<FileContent>({
      kind: mode === 'create' ? 'create' : 'open',
      path,
      begin: place => {
        const { folder, name } = this.#find(place, path);
        const present = folder.get(name);
        if (mode === 'create') {
          if (present !== undefined) throw simulatedError('EEXIST', path);
          const created = new FileContent();
          folder.change([[name, created]]);
          return created;
        }
        if (place.disk.folder(resolvePath(path)) !== undefined) throw simulatedError('OTHER', path, 'is a directory');
        if (present === undefined) throw simulatedError('ENOENT', path);
        return present;
      },
    });
    return new SimulatedFile(this, path, content, mode !== 'read', durable);
  }

  list(path: string): Promise<string[]> {
    return this.perform({
      kind: 'list',
      path,
      begin: ({ disk }) => {
        const resolved = resolvePath(path);
        const folder = disk.folder(resolved);
        if (folder === undefined) {
          const { folder: parent, name } = splitPath(resolved);
          const isFile = disk.folder(parent)?.get(name) !== undefined;
          throw isFile ? simulatedError('OTHER', path, 'is not a directory') : simulatedError('ENOENT', path);
        }
        return this.#shuffled([...folder.names, ...disk.subfolders(resolved).map(other => splitPath(other).name)]);
      },
    });
  }

  makeDirectory(path: string): Promise<void> {
    return this.perform<void>({
      kind: 'makeDirectory',
      path,
      begin: ({ disk }) => {
        let made = '';
        for (const part of resolvePath(path).split('/').slice(1)) {
          if (disk.folder(made === '' ? '/' : made)?.get(part) !== undefined) throw simulatedError('EEXIST', path);
          made += `/${part}`;
          if (part !== '') disk.makeFolder(made);
        }
      },
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.perform<void>({
      kind: 'rename',
      path: from,
      begin: place => {
        const source = this.#find(place, from);
        const target = this.#find(place, to);
        assert(source.folder === target.folder, 'the simulated disk renames within one folder only');
        const content = source.folder.get(source.name);
        if (content === undefined) throw simulatedError('ENOENT', from);
        source.folder.change([
          [source.name, undefined],
          [target.name, content],
        ]);
      },
    });
  }

  remove(path: string): Promise<void> {
    return this.perform<void>({
      kind: 'remove',
      path,
      begin: place => {
        const { folder, name } = this.#find(place, path);
        if (folder.get(name) === undefined) throw simulatedError('ENOENT', path);
        folder.change([[name, undefined]]);
      },
    });
  }

  async syncDirectory(path: string): Promise<void> {
    await this.perform<{ folder: Folder; lastChange: number }>({
      kind: 'syncDirectory',
      path,
      begin: ({ disk }) => {
        const folder = disk.folder(resolvePath(path));
        if (folder === undefined) throw simulatedError('ENOENT', path);
        return { folder, lastChange: folder.lastChange };
      },
      resolved: ({ folder, lastChange }) => folder.synced(lastChange),
    });
  }

  join(...parts: string[]): string {
    const path = resolvePath(parts.join('/'));
    return parts[0]?.startsWith('/') === true ? path : path.slice(1);
  }

  async lock(path: string): Promise<DirectoryLock> {
    await (this.#halted ? new Promise(() => {}) : Promise.resolve());
    const { locks } = this.disk;
    const resolved = resolvePath(path);
    if (this.disk.folder(resolved) === undefined) throw simulatedError('ENOENT', path);
    if (locks.has(resolved)) {
      throw new DqliteError('LOCKED', `${path} is in use by another simulated process`, { hint: 'stop that process' });
    }
    const owner = {};
    locks.set(resolved, owner);
    return {
      release: async () => {
        await Promise.resolve();
        if (locks.get(resolved) === owner) locks.delete(resolved);
      },
    };
  }

  /** Carries out an operation of this process, or of one of its files. */
  perform<Result>(operation: Operation<Result>): Promise<Result> {
    const { kind, path, size = 0 } = operation;
    return new Promise((resolve, reject) => {
      if (this.#halted) return;
      this.#operationCount++;
      this.#lastOperation = `${kind} ${path}${size === 0 ? '' : `, ${size} bytes`}`;
      const waiting = operation as Operation<unknown>;
      this.#waiting.add(waiting);
      if (this.#operationCount >= this.#stopAt) {
        this.#halted = true;
        this.#resolveStopped();
        return;
      }
      const fault = this.#faults.next(kind);
      const latencyMs = this.#options.latencyMs?.(kind, size) ?? 0;
      this.#after(latencyMs / 2, true, () => {
        this.#waiting.delete(waiting);
        const outcome = this.#outcome(operation, fault);
        this.#after(latencyMs / 2, false, () => {
          if (!outcome.done) {
            reject(outcome.error);
            return;
          }
          operation.resolved?.(outcome.result);
          resolve(outcome.result);
        });
      });
    });
  }

  #outcome<Result>(operation: Operation<Result>, fault: Fault['code'] | undefined): Outcome<Result> {
    const { kind, path, size = 0 } = operation;
    try {
      if (fault === undefined) return { done: true, result: operation.begin(this.#place, size) };
      const all = fault === 'EIO' && this.#random.chance(0.3);
      if (kind === 'write') operation.begin(this.#place, all ? size : this.#random.below(size + 1));
      if (kind === 'close') operation.begin(this.#place, size);
      if (fault === 'EIO') operation.failed?.();
      return { done: false, error: simulatedError(fault, path) };
    } catch (error) {
      return { done: false, error: error as Error };
    }
  }

  #after(delayMs: number, atOnce: boolean, run: () => void): void {
    const unlessHalted = (): void => {
      if (!this.#halted) run();
    };
    const { scheduler } = this.#options;
    if (scheduler !== undefined) scheduler.schedule(delayMs, unlessHalted);
    else if (atOnce) run();
    else queueMicrotask(unlessHalted);
  }

  /** What another process would find. */
  #diskLeft(random: SeededRandom): Disk {
    this.#halted = true;
    const { disk, map } = this.disk.clone();
    for (const operation of this.#waiting) {
      if (random.chance(0.4)) continue;
      const { size = 0 } = operation;
      try {
        operation.begin({ disk, content: map }, random.chance(0.5) ? size : random.below(size + 1));
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
      }
    }
    return disk;
  }

  /** Nobody may rely on the order of names. */
  #shuffled(names: string[]): string[] {
    for (let count = names.length; count > 1; count--) {
      const position = this.#random.below(count);
      [names[position], names[count - 1]] = [names[count - 1]!, names[position]!];
    }
    return names;
  }

  #find({ disk }: Place, path: string): { folder: Folder; name: string } {
    const { folder: folderPath, name } = splitPath(resolvePath(path));
    const folder = disk.folder(folderPath);
    if (folder === undefined) throw simulatedError('ENOENT', path);
    return { folder, name };
  }
}
