/**
 * The log of a data directory, read by the rules of a start, but nothing is locked, closed, cut or removed: also while
 * a node uses the directory. What is read then is the state at one moment of the last few.
 */

import type { SnapshotSink } from '../format/index.ts';
import { messageOf } from '../lib/errors.ts';
import { decodeConfiguration, type Configuration, type Entry, type Index, type Term } from '../raft/index.ts';
import { FrozenFiles } from './frozen-files.ts';
import { loadDirectory, type LoadedDirectory, type LoadOptions } from './load-directory.ts';
import { isDirectoryFile } from './own-files.ts';
import type { SegmentIndex } from './segment-index.ts';
import { SegmentReader, type WantedEntry } from './segment-reader.ts';
import type { Snapshot } from './snapshot-store.ts';

/** What there is to replay. `Log` is one too. */
export interface LogContent {
  /** The newest snapshot. */
  readonly snapshot: Snapshot | undefined;
  readonly lastIndex: Index;
  readSnapshot(sink: SnapshotSink): Promise<void>;
  /** At least one entry, and then as many as fit in `maxBytes` of data. */
  readEntries(first: Index, last: Index, maxBytes: number): Promise<Entry[]>;
  /** Bytes of entry data after an index. */
  bytesAfter(index: Index): number;
}

/** A node that writes can make a good directory look damaged, but hardly twice in the same way. */
const ATTEMPTS = 20;

export class ReadOnlyLog implements LogContent {
  readonly #frozen: FrozenFiles;
  readonly #loaded: LoadedDirectory;
  readonly #segments: readonly SegmentIndex[];
  readonly #reader: SegmentReader;

  private constructor(frozen: FrozenFiles, directory: string, loaded: LoadedDirectory) {
    this.#frozen = frozen;
    this.#loaded = loaded;
    this.#segments = loaded.segments.segments;
    this.#reader = new SegmentReader(frozen, directory);
  }

  /** Rejects with DqliteError DAMAGED, or with `FileError`. */
  static async open(options: LoadOptions): Promise<ReadOnlyLog> {
    let lastMessage: string | undefined;
    for (let attempt = 1; ; attempt++) {
      const frozen = await FrozenFiles.of(options.files, options.directory, isDirectoryFile);
      try {
        return new ReadOnlyLog(frozen, options.directory, await loadDirectory({ ...options, files: frozen }));
      } catch (error) {
        await frozen.release();
        const message = messageOf(error);
        if (message === lastMessage || attempt === ATTEMPTS) throw error;
        lastMessage = message;
      }
    }
  }

  get snapshot(): Snapshot | undefined {
    return this.#loaded.snapshot;
  }

  /** The oldest entry on disk. */
  get firstIndex(): Index {
    return this.#loaded.segments.firstIndex;
  }

  get lastIndex(): Index {
    return this.#segments[this.#segments.length - 1]?.lastIndex ?? this.firstIndex - 1;
  }

  /** The segments that hold the entries, in order. */
  get segments(): readonly SegmentIndex[] {
    return this.#segments;
  }

  get term(): number {
    return this.#loaded.metadata.term;
  }

  /** The term of the last entry, and the newest configuration, committed or not. Rejects with DecodeError. */
  async end(): Promise<{ readonly lastTerm: Term; readonly configuration: Configuration | undefined }> {
    const { snapshot, lastIndex } = this;
    const lastSegment = this.#segments[this.#segments.length - 1];
    const lastTerm = lastSegment?.locate(lastIndex).term ?? snapshot?.term ?? 0;
    for (let index = lastIndex; index > (snapshot?.configurationIndex ?? 0) && index >= this.firstIndex; index--) {
      const segment = this.#segments.find(({ lastIndex: last }) => last >= index)!;
      if (segment.locate(index).type !== 'change') continue;
      const [entry] = await this.readEntries(index, index, 1);
      return { lastTerm, configuration: decodeConfiguration(entry!.data) };
    }
    return { lastTerm, configuration: snapshot?.configuration };
  }

  readSnapshot(sink: SnapshotSink): Promise<void> {
    return this.#loaded.snapshots.read(this.snapshot!, sink);
  }

  readEntries(first: Index, last: Index, maxBytes: number): Promise<Entry[]> {
    const wanted: WantedEntry[] = [];
    let bytes = 0;
    let position = this.#segments.findIndex(({ lastIndex }) => lastIndex >= first);
    for (let index = first; index <= last; index++) {
      if (this.#segments[position]!.lastIndex < index) position++;
      const segment = this.#segments[position]!;
      bytes += segment.locate(index).size;
      if (wanted.length > 0 && bytes > maxBytes) break;
      wanted.push({ segment, index });
    }
    return this.#reader.read(wanted);
  }

  bytesAfter(index: Index): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytesFrom(index + 1), 0);
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#frozen.release();
  }
}
