/**
 * Snapshots on disk (raft and disk spec section 5.8): a `.meta` file with the configuration, then the data,
 * an LZ4 frame of stored blocks, both by way of a temporary file. The two newest are kept.
 */

import {
  decodeSnapshotMeta,
  encodeSnapshotMeta,
  formatFileName,
  parseFileName,
  SnapshotContentReader,
  type SnapshotMeta,
  type SnapshotName,
  type SnapshotSink,
} from '../format/index.ts';
import type { Clock, File, Files, Logger } from '../host/types.ts';
import { DecodeError } from '../lib/bytes.ts';
import { messageOf } from '../lib/errors.ts';
import type { Index } from '../raft/index.ts';
import { isLz4Frame, Lz4FrameDecoder, StoredFrameWriter } from '../lib/lz4.ts';
import { damaged } from './damage.ts';
import { readExactly, readSmallFile } from './read.ts';
import { removeIfThere } from './remove.ts';

/** How many snapshots stay on disk. */
const KEPT = 2;
const META_SUFFIX = '.meta';
/** Bytes read and given to the decoder at once: a few milliseconds of work. */
const READ_SIZE = 1024 * 1024;
/** Bytes written at once, each write synced, so that a snapshot does not flood the disk's queue. */
const WRITE_SIZE = 256 * 1024;
/** Room for one more piece, a page or a header, and what the frame adds. */
const BUFFER_SIZE = WRITE_SIZE + 16 * 1024;

export interface Snapshot extends SnapshotName, SnapshotMeta {}

/** Content to be written, in pieces of at most a page that stay unchanged until the next is asked for. */
export interface SnapshotContent {
  readonly size: number;
  pieces(): Iterable<Uint8Array>;
}

interface Leftovers {
  /** Halves of snapshots, to be removed. */
  readonly leftovers: readonly string[];
  /** The highest index of a snapshot that was not finished, 0 if there is none. */
  readonly unfinishedIndex: Index;
}

export interface Latest extends Leftovers {
  readonly snapshot: Snapshot | undefined;
}

interface Inventory extends Leftovers {
  /** Oldest first. */
  readonly complete: SnapshotName[];
}

export class SnapshotStore {
  readonly #files: Files;
  readonly #directory: string;
  readonly #logger: Logger;
  readonly #clock: Clock;

  constructor(files: Files, directory: string, clock: Clock, logger: Logger) {
    this.#files = files;
    this.#directory = directory;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** The newest snapshot, if there is one. Changes nothing. */
  async latest(names: readonly string[]): Promise<Latest> {
    const { complete, leftovers, unfinishedIndex } = this.#inventory(names);
    const newest = complete[complete.length - 1];
    if (newest === undefined) return { snapshot: undefined, leftovers, unfinishedIndex };
    const name = formatFileName({ kind: 'snapshotMeta', ...newest });
    const bytes = await readSmallFile(this.#files, this.#path(name));
    try {
      const meta = decodeSnapshotMeta(bytes ?? new Uint8Array(0));
      return { snapshot: { ...newest, ...meta }, leftovers, unfinishedIndex };
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw damaged(
        { directory: this.#directory, file: name, offset: error.offset, what: error.message, lost: lostOf(newest) },
        error,
      );
    }
  }

  /** Gives the content of a snapshot to a sink, yielding to other work in between. */
  async read(snapshot: SnapshotName, sink: SnapshotSink): Promise<void> {
    const name = formatFileName({ kind: 'snapshot', ...snapshot });
    const file = await this.#files.open(this.#path(name), { mode: 'read' });
    try {
      const size = await file.size();
      const reader = new SnapshotContentReader(sink);
      const first = await readExactly(file, 0, Math.min(size, READ_SIZE));
      const decoder = isLz4Frame(first) ? new Lz4FrameDecoder(content => reader.push(content)) : undefined;
      const push = (bytes: Uint8Array): void => (decoder === undefined ? reader.push(bytes) : decoder.push(bytes));
      push(first);
      for (let offset = first.length; offset < size; offset += READ_SIZE) {
        push(await readExactly(file, offset, Math.min(size - offset, READ_SIZE)));
      }
      decoder?.finish();
      reader.finish();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw damaged({ directory: this.#directory, file: name, what: error.message, lost: lostOf(snapshot) }, error);
    } finally {
      await file.close();
    }
  }

  /** Writes a snapshot; durable and the newest one when it resolves. Then the oldest are removed. */
  async write(snapshot: Omit<Snapshot, 'timestampMs'>, content: SnapshotContent): Promise<Snapshot> {
    const named = { ...snapshot, timestampMs: Math.floor(this.#clock.wallMs()) };
    const metaName = formatFileName({ kind: 'snapshotMeta', ...named });
    const name = formatFileName({ kind: 'snapshot', ...named });
    try {
      await this.#writeTemporary(metaName, file => file.write([encodeSnapshotMeta(snapshot)], 0));
      await this.#publish(metaName);
      await this.#writeTemporary(name, file => writeFrame(file, content));
      await this.#files.rename(this.#temporaryPath(name), this.#path(name));
    } catch (error) {
      await this.#removeQuietly(this.#temporaryPath(name), this.#temporaryPath(metaName), this.#path(metaName));
      throw error;
    }
    // From here on the snapshot is there: without its .meta file it would be damage.
    await this.#files.syncDirectory(this.#directory);
    await this.#removeOld();
    return named;
  }

  async #removeOld(): Promise<void> {
    try {
      const names = await this.#files.list(this.#directory);
      for (const { term, index, timestampMs } of this.#inventory(names).complete.slice(0, -KEPT)) {
        const name = formatFileName({ kind: 'snapshot', term, index, timestampMs });
        await this.#removeQuietly(this.#path(name), this.#path(`${name}${META_SUFFIX}`));
      }
    } catch (error) {
      // The new snapshot is whole: it counts.
      this.#logger.warn({ error: messageOf(error) }, 'older snapshots could not be removed');
    }
  }

  /**
   * Snapshots with both files, oldest first, and halves of one: a .meta file alone is of a snapshot that was not
   * finished, a data file alone of one that was being removed, because a newer one is there. Throws DqliteError
   * DAMAGED if none is.
   */
  #inventory(names: readonly string[]): Inventory {
    const all = new Set(names);
    const complete: SnapshotName[] = [];
    const dataOnly: { name: string; snapshot: SnapshotName }[] = [];
    const leftovers: string[] = [];
    let unfinishedIndex = 0;
    for (const name of names) {
      const parsed = parseFileName(name);
      if (parsed?.kind === 'snapshot') {
        const { term, index, timestampMs } = parsed;
        const snapshot = { term, index, timestampMs };
        if (all.has(`${name}${META_SUFFIX}`)) complete.push(snapshot);
        else dataOnly.push({ name, snapshot });
      } else if (parsed?.kind === 'snapshotMeta' && !all.has(name.slice(0, -META_SUFFIX.length))) {
        leftovers.push(name);
        unfinishedIndex = Math.max(unfinishedIndex, parsed.index);
      }
    }
    complete.sort(compareAge);
    const newest = complete[complete.length - 1];
    for (const { name, snapshot } of dataOnly) {
      if (newest === undefined || compareAge(snapshot, newest) > 0) {
        const what = `its ${META_SUFFIX} file is missing`;
        throw damaged({ directory: this.#directory, file: name, offset: undefined, what, lost: lostOf(snapshot) });
      }
      leftovers.push(name);
    }
    return { complete, leftovers, unfinishedIndex };
  }

  async #writeTemporary(name: string, write: (file: File) => Promise<void>): Promise<void> {
    const file = await this.#files.open(this.#temporaryPath(name), { mode: 'create', durable: true });
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** Gives a temporary file its name. */
  async #publish(name: string): Promise<void> {
    await this.#files.rename(this.#temporaryPath(name), this.#path(name));
    await this.#files.syncDirectory(this.#directory);
  }

  /** Removes files that need not be there. */
  async #removeQuietly(...paths: string[]): Promise<void> {
    for (const path of paths) {
      try {
        await removeIfThere(this.#files, path);
      } catch (error) {
        this.#logger.warn({ file: path, error: messageOf(error) }, 'a file that is not needed could not be removed');
      }
    }
  }

  #temporaryPath(name: string): string {
    return this.#path(formatFileName({ kind: 'temporary', of: name }));
  }

  #path(name: string): string {
    return this.#files.join(this.#directory, name);
  }
}

/** Writes content as an LZ4 frame, by way of a buffer: many small pieces, few writes. */
async function writeFrame(file: File, content: SnapshotContent): Promise<void> {
  const frame = new StoredFrameWriter(content.size);
  const buffer = new Uint8Array(BUFFER_SIZE);
  let filled = 0;
  let offset = 0;
  const emit = (piece: Uint8Array): void => {
    buffer.set(piece, filled);
    filled += piece.length;
  };
  const flush = async (): Promise<void> => {
    await file.write([buffer.subarray(0, filled)], offset);
    offset += filled;
    filled = 0;
  };
  emit(frame.header());
  for (const piece of content.pieces()) {
    frame.push(piece, emit);
    if (filled >= WRITE_SIZE) await flush();
  }
  emit(frame.finish());
  await flush();
}

function compareAge(a: SnapshotName, b: SnapshotName): number {
  return a.term - b.term || a.index - b.index || a.timestampMs - b.timestampMs;
}

function lostOf({ term, index }: SnapshotName): string {
  return `the state up to entry ${index} of term ${term} is in no other file`;
}
