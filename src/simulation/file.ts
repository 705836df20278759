/** An open file of a simulated process. Checks that the owner keeps to the contract: one operation at a time. */

import { assert } from '../lib/assert.ts';
import type { File } from '../host/types.ts';
import { SECTOR_SIZE, type FileContent } from './file-content.ts';
import { simulatedError, type Operation, type Performer } from './operation.ts';

export class SimulatedFile implements File {
  readonly path: string;
  readonly #process: Performer;
  readonly #content: FileContent;
  readonly #writable: boolean;
  readonly #durable: boolean;
  #reads = 0;
  /** What the one operation under way is, other than reads. */
  #busy: string | undefined = undefined;
  #closed = false;

  constructor(process: Performer, path: string, content: FileContent, writable: boolean, durable: boolean) {
    this.#process = process;
    this.path = path;
    this.#content = content;
    this.#writable = writable;
    this.#durable = durable;
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    assert(!this.#closed, `${this.path}: read after close`);
    this.#reads++;
    try {
      return await this.#process.perform<number>({
        kind: 'read',
        path: this.path,
        begin: place => place.content(this.#content).read(target, offset),
      });
    } finally {
      this.#reads--;
    }
  }

  async write(pieces: readonly Uint8Array[], offset: number): Promise<void> {
    const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
    let sequence = 0;
    await this.#exclusively<void>({
      kind: 'write',
      path: this.path,
      size,
      begin: ({ disk, content: map }, allowed) => {
        this.#checkWritable();
        const content = map(this.#content);
        const space = disk.capacity === Infinity ? Infinity : disk.capacity - disk.usedBytes + content.size - offset;
        const fits = Math.min(allowed, Math.max(space, Math.min(size, content.size - offset), 0));
        sequence = content.write(firstBytes(pieces, fits === size ? size : wholeSectors(offset, fits)), offset);
        if (fits < allowed) throw simulatedError('ENOSPC', this.path);
      },
      resolved: () => {
        if (this.#durable) this.#content.wroteDurably(sequence, offset, size);
      },
      failed: () => {
        if (this.#durable) this.#content.syncFailed(sequence);
      },
    });
  }

  async sync(): Promise<void> {
    await this.#exclusively<number>({
      kind: 'sync',
      path: this.path,
      begin: place => place.content(this.#content).lastChange,
      resolved: sequence => this.#content.synced(sequence),
      failed: () => this.#content.syncFailed(this.#content.lastChange),
    });
  }

  truncate(size: number): Promise<void> {
    return this.#exclusively<void>({
      kind: 'truncate',
      path: this.path,
      begin: ({ disk, content: map }) => {
        this.#checkWritable();
        const content = map(this.#content);
        if (disk.usedBytes - content.size + size > disk.capacity) throw simulatedError('ENOSPC', this.path);
        content.truncate(size);
      },
    });
  }

  size(): Promise<number> {
    return this.#exclusively<number>({
      kind: 'size',
      path: this.path,
      begin: place => place.content(this.#content).size,
    });
  }

  async close(): Promise<void> {
    assert(this.#reads === 0, `${this.path}: close during a read`);
    const closing = this.#exclusively<void>({ kind: 'close', path: this.path, begin: () => {} });
    this.#closed = true;
    await closing;
  }

  async #exclusively<Result>(operation: Operation<Result>): Promise<Result> {
    assert(!this.#closed, `${this.path}: ${operation.kind} after close`);
    assert(this.#busy === undefined, `${this.path}: ${operation.kind} during ${this.#busy}`);
    this.#busy = operation.kind;
    try {
      return await this.#process.perform(operation);
    } finally {
      this.#busy = undefined;
    }
  }

  #checkWritable(): void {
    if (!this.#writable) throw simulatedError('OTHER', this.path, 'it is open for reading only');
  }
}

/** A write that is cut off ends where a sector of the file ends. */
function wholeSectors(offset: number, size: number): number {
  return Math.max(0, size - ((offset + size) % SECTOR_SIZE));
}

function firstBytes(pieces: readonly Uint8Array[], size: number): Uint8Array[] {
  const first: Uint8Array[] = [];
  let left = size;
  for (const piece of pieces) {
    if (left === 0) break;
    const part = piece.subarray(0, left);
    first.push(part);
    left -= part.length;
  }
  return first;
}
