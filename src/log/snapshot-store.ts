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
import { isLz4Frame, lz4ContentSize, Lz4FrameDecoder } from '../lib/lz4.ts';
import { damaged } from './damage.ts';
import { readExactly, readSmallFile } from './read.ts';
import { removeIfThere } from './remove.ts';
import { SnapshotFile } from './snapshot-file.ts';

/** How many snapshots stay on disk. */
const KEPT = 2;
const META_SUFFIX = '.meta';
/** Bytes read and given to the decoder at once: a few milliseconds of work. */
const READ_SIZE = 1024 * 1024;
/** Enough of a file to see whether it is an LZ4 frame, and how much it holds. */
const FRAME_START_SIZE = 32;

export interface Snapshot extends SnapshotName, SnapshotMeta {}

/** Content to be written, in pieces of at most a page that stay unchanged until the next is asked for. */
export interface SnapshotContent {
  readonly size: number;
  pieces(): Iterable<Uint8Array>;
}

/** A snapshot on its way to another node: its content, not compressed. */
export interface SnapshotStream {
  /** Bytes of the content. */
  readonly size: number;
  /** The content in order. Rejects with DqliteError DAMAGED. */
  chunks(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** A snapshot that comes from another node, in a temporary file until it is published or discarded. */
export interface ReceivedSnapshot {
  readonly snapshot: Snapshot;
  /** The next bytes of the content, which are free again when it resolves. Rejects with DecodeError if they make no snapshot. */
  push(bytes: Uint8Array): Promise<void>;
  /** To be called after the last byte. Rejects as `push` does. */
  finish(): Promise<void>;
  /** Removes what has arrived. */
  discard(): Promise<void>;
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
  #lastTimestampMs = 0;

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
    // C dqlite's times count from another point: newer snapshots must have later ones.
    this.#lastTimestampMs = newest.timestampMs;
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
    const stream = await this.open(snapshot);
    try {
      const reader = new SnapshotContentReader(sink);
      for await (const chunk of stream.chunks()) this.#checked(snapshot, () => reader.push(chunk));
      this.#checked(snapshot, () => reader.finish());
    } finally {
      await stream.close();
    }
  }

  /** Opens a snapshot for reading its content, which also stays readable when the snapshot is removed meanwhile. */
  async open(snapshot: SnapshotName): Promise<SnapshotStream> {
    const name = formatFileName({ kind: 'snapshot', ...snapshot });
    const file = await this.#files.open(this.#path(name), { mode: 'read' });
    try {
      const fileSize = await file.size();
      const start = await readExactly(file, 0, Math.min(fileSize, FRAME_START_SIZE));
      const isFrame = isLz4Frame(start);
      const size = isFrame ? this.#checked(snapshot, () => lz4ContentSize(start)) : fileSize;
      return {
        size,
        chunks: () => this.#chunks(snapshot, file, fileSize, isFrame),
        close: () => file.close(),
      };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async *#chunks(snapshot: SnapshotName, file: File, fileSize: number, isFrame: boolean): AsyncGenerator<Uint8Array> {
    const content: Uint8Array[] = [];
    // What the decoder gives is a view of its window.
    const decoder = isFrame ? new Lz4FrameDecoder(piece => content.push(piece.slice())) : undefined;
    for (let offset = 0; offset < fileSize; offset += READ_SIZE) {
      const bytes = await readExactly(file, offset, Math.min(fileSize - offset, READ_SIZE));
      if (decoder === undefined) {
        yield bytes;
        continue;
      }
      this.#checked(snapshot, () => decoder.push(bytes));
      yield* content.splice(0);
    }
    this.#checked(snapshot, () => decoder?.finish());
    yield* content.splice(0);
  }

  #checked<Result>(snapshot: SnapshotName, work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const file = formatFileName({ kind: 'snapshot', ...snapshot });
      throw damaged({ directory: this.#directory, file, what: error.message, lost: lostOf(snapshot) }, error);
    }
  }

  /** Writes a snapshot; durable and the newest one when it resolves. Then the oldest are removed. */
  async write(meta: Omit<Snapshot, 'timestampMs'>, content: SnapshotContent): Promise<Snapshot> {
    const snapshot = this.#named(meta);
    const file = await this.#createTemporary(snapshot, content.size);
    try {
      for (const piece of content.pieces()) await file.push(piece);
      await file.finish();
      await this.#publish(snapshot);
    } catch (error) {
      await file.abandon();
      await this.#removeUnfinished(snapshot);
      throw error;
    }
    // From here on it is there: without its .meta file it would be damage.
    await this.settle();
    return snapshot;
  }

  /** Begins to receive a snapshot of `size` bytes. */
  async receive(meta: Omit<Snapshot, 'timestampMs'>, size: number): Promise<ReceivedSnapshot> {
    const snapshot = this.#named(meta);
    const file = await this.#createTemporary(snapshot, size);
    const reader = new SnapshotContentReader({ beginDatabase() {}, page() {}, endDatabase() {} });
    return {
      snapshot,
      push: async bytes => {
        reader.push(bytes);
        await file.push(bytes);
      },
      finish: async () => {
        reader.finish();
        await file.finish();
      },
      discard: async () => {
        await file.abandon();
        await this.#removeUnfinished(snapshot);
      },
    };
  }

  /** Gives a received snapshot its name. To be followed by `settle`, or if it rejects by `unpublish`. */
  publish({ snapshot }: ReceivedSnapshot): Promise<void> {
    return this.#publish(snapshot);
  }

  /** After a `publish` that rejected: the snapshot is gone for good when it resolves. Can be tried again. */
  async unpublish({ snapshot }: ReceivedSnapshot): Promise<void> {
    const name = formatFileName({ kind: 'snapshot', ...snapshot });
    const metaName = formatFileName({ kind: 'snapshotMeta', ...snapshot });
    // The data first: without its .meta file it would be damage.
    for (const path of [this.#path(name), this.#path(metaName)]) {
      await removeIfThere(this.#files, path);
      await this.#files.syncDirectory(this.#directory);
    }
    await this.#removeUnfinished(snapshot);
  }

  /** After a snapshot got its name: durable and the newest one when it resolves. Can be tried again. */
  async settle(): Promise<void> {
    await this.#files.syncDirectory(this.#directory);
    await this.#removeOld();
  }

  /** With a time that is later than those of all snapshots before. */
  #named(snapshot: Omit<Snapshot, 'timestampMs'>): Snapshot {
    this.#lastTimestampMs = Math.max(this.#lastTimestampMs + 1, Math.floor(this.#clock.wallMs()));
    return { ...snapshot, timestampMs: this.#lastTimestampMs };
  }

  async #createTemporary(snapshot: Snapshot, size: number): Promise<SnapshotFile> {
    const path = this.#temporaryPath(formatFileName({ kind: 'snapshot', ...snapshot }));
    return SnapshotFile.create(await this.#files.open(path, { mode: 'create', durable: true }), size);
  }

  /** First the .meta file, then the data, which is in its temporary file already. */
  async #publish(snapshot: Snapshot): Promise<void> {
    const name = formatFileName({ kind: 'snapshot', ...snapshot });
    const metaName = formatFileName({ kind: 'snapshotMeta', ...snapshot });
    const meta = await this.#files.open(this.#temporaryPath(metaName), { mode: 'create', durable: true });
    try {
      await meta.write([encodeSnapshotMeta(snapshot)], 0);
      await meta.sync();
    } finally {
      await meta.close();
    }
    await this.#files.rename(this.#temporaryPath(metaName), this.#path(metaName));
    await this.#files.syncDirectory(this.#directory);
    await this.#files.rename(this.#temporaryPath(name), this.#path(name));
  }

  async #removeUnfinished(snapshot: Snapshot): Promise<void> {
    const name = formatFileName({ kind: 'snapshot', ...snapshot });
    const metaName = formatFileName({ kind: 'snapshotMeta', ...snapshot });
    await this.#removeQuietly(this.#temporaryPath(name), this.#temporaryPath(metaName), this.#path(metaName));
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

function compareAge(a: SnapshotName, b: SnapshotName): number {
  return a.term - b.term || a.index - b.index || a.timestampMs - b.timestampMs;
}

function lostOf({ term, index }: SnapshotName): string {
  return `the state up to entry ${index} of term ${term} is in no other file`;
}
