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
import { isLz4Frame, Lz4FrameDecoder, StoredFrameWriter } from '../lib/lz4.ts';
import { damaged } from './damage.ts';
import { readExactly, readSmallFile } from './read.ts';

/** How many snapshots stay on disk. */
const KEPT = 2;
/** Bytes read and given to the decoder at once: a few milliseconds of work. */
const READ_SIZE = 1024 * 1024;
/** Bytes written at once, each write synced, so that a snapshot does not flood the disk's queue. */
const WRITE_SIZE = 1024 * 1024;

export interface Snapshot extends SnapshotName, SnapshotMeta {}

/** Content to be written, in pieces that stay unchanged until the next is asked for. */
export interface SnapshotContent {
  readonly size: number;
  pieces(): Iterable<Uint8Array>;
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

  /** The newest snapshot, if there is one. Removes what interrupted writes left. */
  async latest(names: readonly string[]): Promise<Snapshot | undefined> {
    const complete = await this.#complete(names);
    const newest = complete[complete.length - 1];
    if (newest === undefined) return undefined;
    const name = formatFileName({ kind: 'snapshotMeta', ...newest });
    const bytes = await readSmallFile(this.#files, this.#path(name));
    try {
      return { ...newest, ...decodeSnapshotMeta(bytes ?? new Uint8Array(0)) };
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

  /** Writes a snapshot; durable and the newest one when it resolves. */
  async write(snapshot: Omit<Snapshot, 'timestampMs'>, content: SnapshotContent): Promise<void> {
    const named = { ...snapshot, timestampMs: Math.floor(this.#clock.wallMs()) };
    const metaName = formatFileName({ kind: 'snapshotMeta', ...named });
    const name = formatFileName({ kind: 'snapshot', ...named });
    await this.#writeFile(metaName, [encodeSnapshotMeta(snapshot)]);
    try {
      await this.#writeFile(name, framed(content));
    } catch (error) {
      await this.#removeQuietly(metaName);
      throw error;
    }
    await this.#removeOld();
  }

  async #removeOld(): Promise<void> {
    const complete = await this.#complete(await this.#files.list(this.#directory));
    const old = complete.slice(0, -KEPT);
    if (old.length === 0) return;
    for (const snapshot of old) {
      await this.#files.remove(this.#path(formatFileName({ kind: 'snapshot', ...snapshot })));
      await this.#files.remove(this.#path(formatFileName({ kind: 'snapshotMeta', ...snapshot })));
    }
    await this.#files.syncDirectory(this.#directory);
  }

  /** Snapshots with both files, oldest first. A half of one is a leftover. */
  async #complete(names: readonly string[]): Promise<SnapshotName[]> {
    const snapshots: SnapshotName[] = [];
    for (const name of names) {
      const parsed = parseFileName(name);
      if (parsed?.kind === 'snapshot') {
        const { term, index, timestampMs } = parsed;
        if (names.includes(`${name}.meta`)) snapshots.push({ term, index, timestampMs });
        else this.#logger.warn({ file: name }, 'a snapshot without its .meta file is left alone');
      } else if (parsed?.kind === 'snapshotMeta' && !names.includes(name.slice(0, -'.meta'.length))) {
        // The .meta file is written first: this snapshot was never finished.
        await this.#removeQuietly(name);
      }
    }
    return snapshots.sort((a, b) => a.term - b.term || a.index - b.index || a.timestampMs - b.timestampMs);
  }

  async #writeFile(name: string, pieces: Iterable<Uint8Array>): Promise<void> {
    const temporary = this.#path(formatFileName({ kind: 'temporary', of: name }));
    const file = await this.#files.open(temporary, { mode: 'create', durable: true });
    try {
      await writeAll(file, pieces);
      await file.sync();
    } catch (error) {
      await file.close();
      await this.#removeQuietly(formatFileName({ kind: 'temporary', of: name }));
      throw error;
    }
    await file.close();
    await this.#files.rename(temporary, this.#path(name));
    await this.#files.syncDirectory(this.#directory);
  }

  async #removeQuietly(name: string): Promise<void> {
    try {
      await this.#files.remove(this.#path(name));
    } catch (error) {
      this.#logger.warn({ file: name, error }, 'an unfinished file could not be removed');
    }
  }

  #path(name: string): string {
    return this.#files.join(this.#directory, name);
  }
}

async function writeAll(file: File, pieces: Iterable<Uint8Array>): Promise<void> {
  let offset = 0;
  let gathered: Uint8Array[] = [];
  let size = 0;
  for (const piece of pieces) {
    gathered.push(piece);
    size += piece.length;
    if (size < WRITE_SIZE) continue;
    await file.write(gathered, offset);
    offset += size;
    gathered = [];
    size = 0;
  }
  if (size > 0) await file.write(gathered, offset);
}

function* framed(content: SnapshotContent): Generator<Uint8Array> {
  const frame = new StoredFrameWriter(content.size);
  yield frame.header();
  for (const piece of content.pieces()) yield* frame.push(piece);
  yield frame.finish();
}

function lostOf({ term, index }: SnapshotName): string {
  return `the state up to entry ${index} of term ${term} is in no other file`;
}
