/**
 * The durable log: the data directory of a node, file for file as C dqlite keeps it (raft and disk spec section
 * 5). Append is one batch, one write, one sync; the owner keeps at most one append outstanding (design rule 22),
 * so that a torn tail is at most one batch.
 *
 * Segments are filled in turn as `open-N`; a full one is closed (cut, renamed to its index range) in the
 * background while the next, prepared beforehand, is written to.
 *
 * Relies on: nobody else writes to the directory (`Files.lock`). Guarantees: what `append` resolved for is read
 * back by `open` after any crash.
 */

import { assert } from '../lib/assert.ts';
import { crc32 } from '../lib/crc32.ts';
import { messageOf } from '../lib/errors.ts';
import {
  batchHeaderSize,
  encodeBatchHeader,
  formatFileName,
  OPEN_SEGMENT_SIZE,
  parseFileName,
  type SnapshotSink,
} from '../format/index.ts';
import type { Clock, DirectoryLock, File, Files, Logger } from '../host/types.ts';
import {
  decodeConfiguration,
  encodeConfiguration,
  RaftLog,
  type Configuration,
  type Entry,
  type Index,
  type LoadedState,
  type ServerId,
  type Term,
} from '../raft/index.ts';
import { DecodeError } from '../lib/bytes.ts';
import { damaged } from './damage.ts';
import { SegmentLoader } from './load-segments.ts';
import { MetadataStore } from './metadata-store.ts';
import { readExactly } from './read.ts';
import { SegmentIndex } from './segment-index.ts';
import { SegmentWriter } from './segment-writer.ts';
import { SnapshotStore, type Snapshot, type SnapshotContent } from './snapshot-store.ts';

/** The next segment is prepared once the present one is this full. */
const PREPARE_AT: number = OPEN_SEGMENT_SIZE * 0.75;
/** Data that is checksummed without letting other work run in between. */
const CRC_SLICE_SIZE = 4 * 1024 * 1024;

export interface LogOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly directory: string;
  readonly logger: Logger;
}

/** What stays on disk before a snapshot: at most this many entries and bytes, in whole segments (design rule 16). */
export interface Retention {
  readonly entries: number;
  readonly bytes: number;
}

interface Active {
  readonly writer: SegmentWriter;
  readonly index: SegmentIndex;
}

export class Log {
  readonly #options: LogOptions;
  readonly #files: Files;
  readonly #lock: DirectoryLock;
  readonly #metadata: MetadataStore;
  readonly #snapshots: SnapshotStore;
  /** All segments with entries, in order; the active one last. */
  #segments: SegmentIndex[];
  #active: Active | undefined = undefined;
  #prepared: Promise<SegmentWriter> | undefined = undefined;
  #counter = 0;
  /** Closings of full segments, one after the other. */
  #closing: Promise<void> = Promise.resolve();
  #firstIndex: Index;
  #lastIndex: Index;
  #appending = false;
  #bytesWritten = 0;
  /** File that old entries were read from last. */
  #readFile: { readonly segment: SegmentIndex; readonly file: File } | undefined = undefined;
  readonly snapshot: Snapshot | undefined;

  private constructor(
    options: LogOptions,
    lock: DirectoryLock,
    metadata: MetadataStore,
    snapshots: SnapshotStore,
    snapshot: Snapshot | undefined,
    loaded: { segments: SegmentIndex[]; firstIndex: Index },
  ) {
    this.#options = options;
    this.#files = options.files;
    this.#lock = lock;
    this.#metadata = metadata;
    this.#snapshots = snapshots;
    this.snapshot = snapshot;
    this.#segments = loaded.segments;
    this.#firstIndex = loaded.firstIndex;
    this.#lastIndex = loaded.segments[loaded.segments.length - 1]?.lastIndex ?? loaded.firstIndex - 1;
  }

  /** Opens a directory, making it if it is not there. Rejects with DqliteError DAMAGED, LOCKED or IO. */
  static async open(options: LogOptions): Promise<Log> {
    const { files, clock, directory, logger } = options;
    await files.makeDirectory(directory);
    const lock = await files.lock(directory);
    try {
      for (const name of await files.list(directory)) {
        if (parseFileName(name)?.kind === 'temporary') await files.remove(files.join(directory, name));
      }
      const metadata = await MetadataStore.load(files, directory);
      const names = await files.list(directory);
      const snapshots = new SnapshotStore(files, directory, clock, logger);
      const snapshot = await snapshots.latest(names);
      const loaded = await new SegmentLoader(files, directory, logger).load(names, snapshot?.index ?? 0);
      return new Log(options, lock, metadata, snapshots, snapshot, loaded);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Nothing was ever stored here. */
  get isNew(): boolean {
    return this.#metadata.isNew && this.snapshot === undefined && this.#segments.length === 0;
  }

  get lastIndex(): Index {
    return this.#lastIndex;
  }

  /** The oldest entry on disk. */
  get firstIndex(): Index {
    return this.#firstIndex;
  }

  /** Bytes of entries appended since this log was opened. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  get term(): Term {
    return this.#metadata.term;
  }

  /** Makes a new directory that of a cluster's first member (raft and disk spec section 5.5). */
  async bootstrap(configuration: Configuration): Promise<void> {
    assert(this.isNew, 'only a new directory can be bootstrapped');
    await this.#metadata.store(1, undefined);
    await this.append([{ term: 1, type: 'change', data: encodeConfiguration(configuration) }]);
    await this.#rotate();
    await this.#closing;
  }

  /** What the consensus core starts from. Reads the configurations in the log. */
  async loadState(): Promise<LoadedState> {
    const { snapshot } = this;
    const log = new RaftLog(this.#firstIndex - 1, this.#termBefore());
    const configurations: { index: Index; configuration: Configuration }[] = [];
    for (const segment of this.#segments) {
      for (let index = segment.firstIndex; index <= segment.lastIndex; index++) {
        const { term, type } = segment.locate(index);
        log.appendStored(term);
        if (type === 'change')
          configurations.push({ index, configuration: await this.#readConfiguration(segment, index) });
      }
    }
    // The snapshot's configuration is committed; of those in the log only the last can be uncommitted, and
    // the one at index 1 never is (raft and disk spec section 5.6, step 10).
    const after = configurations.filter(({ index }) => index > (snapshot?.configurationIndex ?? 0));
    const last = after.pop();
    const first = after.pop();
    const lastIsCommitted = last?.index === 1;
    const committed = lastIsCommitted ? last : (first ?? snapshotConfiguration(snapshot));
    const uncommitted = lastIsCommitted ? undefined : last;
    return {
      term: this.#metadata.term,
      votedFor: this.#metadata.vote,
      snapshotIndex: snapshot?.index ?? 0,
      snapshotTerm: snapshot?.term ?? 0,
      log,
      committedConfiguration: committed?.configuration,
      committedConfigurationIndex: committed?.index ?? 0,
      uncommittedConfiguration: uncommitted?.configuration,
      uncommittedConfigurationIndex: uncommitted?.index ?? 0,
    };
  }

  /** Reads the last snapshot. Rejects with DqliteError DAMAGED. */
  async readSnapshot(sink: SnapshotSink): Promise<void> {
    assert(this.snapshot !== undefined, 'there is no snapshot');
    await this.#snapshots.read(this.snapshot, sink);
  }

  storeTermAndVote(term: Term, vote: ServerId | undefined): Promise<void> {
    return this.#metadata.store(term, vote);
  }

  /**
   * Writes entries after the last one as one batch. Resolves when they are durable. Rejects with `FileError`; then
   * none of them is in the log, and nothing can be appended until `recover` has resolved.
   */
  async append(entries: readonly Entry[]): Promise<void> {
    assert(!this.#appending, 'one append at a time');
    this.#appending = true;
    const data = entries.map(entry => entry.data);
    const header = encodeBatchHeader(entries, await this.#dataCrc(data));
    const size = data.reduce((sum, piece) => sum + piece.length, header.length);
    if (this.#active?.writer.isFullFor(size) === true) await this.#rotate();
    this.#active ??= await this.#activate();
    const { writer, index } = this.#active;
    let offset = writer.dataOffset(batchHeaderSize(entries.length));
    await writer.write(header, data);
    for (const entry of entries) {
      index.add(entry.term, entry.type, offset, entry.data.length);
      offset += entry.data.length;
    }
    index.end = writer.used;
    this.#lastIndex += entries.length;
    this.#bytesWritten += size;
    if (writer.used > PREPARE_AT) this.#prepare();
    this.#appending = false;
  }

  /** After a failed `append`: removes what it left and makes sure that there is space to go on. */
  async recover(): Promise<void> {
    const active = this.#active;
    if (active !== undefined) {
      await active.writer.repair();
      await this.#rotate();
      await this.#closing;
    }
    this.#prepared = undefined;
    this.#active = await this.#activate();
    this.#appending = false;
  }

  /**
   * Reads entries back from the disk, at least one and then as many as fit in `maxBytes` of data.
   * Rejects with DqliteError DAMAGED if they are not what was written.
   */
  async readEntries(first: Index, last: Index, maxBytes: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = first; index <= last && (entries.length === 0 || bytes < maxBytes); index++) {
      const segment = this.#segmentOf(index);
      const { term, type, offset, size } = segment.locate(index);
      const data = await readExactly(await this.#openForReading(segment), offset, size);
      entries.push({ term, type, data });
      bytes += size;
    }
    return entries;
  }

  /** Writes a snapshot of the state at `index`, then removes what is older than needed. */
  async writeSnapshot(
    snapshot: Omit<Snapshot, 'timestampMs'>,
    content: SnapshotContent,
    retention: Retention,
  ): Promise<void> {
    await this.#snapshots.write(snapshot, content);
    await this.#removeSegmentsBefore(this.#firstKept(snapshot.index, retention));
  }

  /** Bytes of entry data after an index. */
  bytesAfter(index: Index): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytesFrom(index + 1), 0);
  }

  /** Closes the directory: afterwards no open segments remain. */
  async close(): Promise<void> {
    if (!this.#appending && this.#active !== undefined) await this.#rotate();
    else await this.#active?.writer.abandon();
    await this.#closing;
    await this.#discardPrepared();
    await this.#readFile?.file.close();
    await this.#metadata.close();
    await this.#lock.release();
  }

  /** The CRC of all data of a batch, in slices that leave time for other work. */
  async #dataCrc(data: readonly Uint8Array[]): Promise<number> {
    let crc = 0;
    let sinceYield = 0;
    for (const piece of data) {
      for (let start = 0; start < piece.length; start += CRC_SLICE_SIZE) {
        const slice = piece.subarray(start, start + CRC_SLICE_SIZE);
        if (sinceYield + slice.length > CRC_SLICE_SIZE && sinceYield > 0) {
          await new Promise<void>(resolve => this.#options.clock.defer(resolve));
          sinceYield = 0;
        }
        crc = crc32(slice, crc);
        sinceYield += slice.length;
      }
    }
    return crc;
  }

  #segmentOf(index: Index): SegmentIndex {
    assert(index >= this.#firstIndex && index <= this.#lastIndex, `entry ${index} is not in the log`);
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#segments[middle]!.firstIndex <= index) low = middle;
      else high = middle - 1;
    }
    return this.#segments[low]!;
  }

  /** Makes the prepared segment, or a new one, the active one. */
  async #activate(): Promise<Active> {
    this.#prepare();
    const writer = await this.#prepared!;
    this.#prepared = undefined;
    const index = new SegmentIndex(writer.name, this.#lastIndex + 1, 0);
    this.#segments.push(index);
    return { writer, index };
  }

  #prepare(): void {
    if (this.#prepared !== undefined) return;
    const name = formatFileName({ kind: 'open', counter: ++this.#counter });
    this.#prepared = this.#createSegment(name);
    // A failure is met where the segment is needed; until then nobody waits for this promise.
    this.#prepared.catch(() => {
      this.#prepared = undefined;
    });
  }

  async #createSegment(name: string): Promise<SegmentWriter> {
    const path = this.#path(name);
    const file = await this.#files.open(path, { mode: 'create', durable: true });
    try {
      const writer = await SegmentWriter.create(name, file);
      await this.#files.syncDirectory(this.#options.directory);
      return writer;
    } catch (error) {
      await file.close();
      await this.#files.remove(path);
      throw error;
    }
  }

  /** Retires the active segment; it is closed in the background. */
  async #rotate(): Promise<void> {
    const active = this.#active;
    if (active === undefined) return;
    this.#active = undefined;
    const previous = this.#closing;
    this.#closing = this.#closeSegment(active, previous);
    // One closing behind is enough: more would pile up files if the disk is slow.
    await previous;
  }

  async #closeSegment({ writer, index }: Active, previous: Promise<void>): Promise<void> {
    await previous;
    try {
      if (index.isEmpty) {
        await writer.abandon();
        this.#segments = this.#segments.filter(segment => segment !== index);
        await this.#files.remove(this.#path(writer.name));
      } else {
        await writer.finish();
        const name = formatFileName({ kind: 'closed', first: index.firstIndex, last: index.lastIndex });
        await this.#files.rename(this.#path(writer.name), this.#path(name));
        index.name = name;
      }
      await this.#files.syncDirectory(this.#options.directory);
    } catch (error) {
      // Its content is safe: the next start finds it as an open segment.
      this.#options.logger.error({ file: writer.name, error: messageOf(error) }, 'a full segment could not be closed');
    }
  }

  async #discardPrepared(): Promise<void> {
    if (this.#prepared === undefined) return;
    try {
      const writer = await this.#prepared;
      await writer.abandon();
      await this.#files.remove(this.#path(writer.name));
      await this.#files.syncDirectory(this.#options.directory);
    } catch (error) {
      this.#options.logger.warn({ error: messageOf(error) }, 'a prepared segment could not be removed');
    }
  }

  /** The first entry that must stay on disk when there is a snapshot at `index`. */
  #firstKept(index: Index, retention: Retention): Index {
    let first = index + 1;
    let bytes = 0;
    while (first > this.#firstIndex && index - first < retention.entries) {
      bytes += this.#segmentOf(first - 1).locate(first - 1).size;
      if (bytes > retention.bytes) break;
      first--;
    }
    return first;
  }

  async #removeSegmentsBefore(first: Index): Promise<void> {
    let removed = 0;
    for (const segment of this.#segments) {
      if (
        segment.lastIndex >= first ||
        segment === this.#active?.index ||
        parseFileName(segment.name)?.kind !== 'closed'
      )
        break;
      if (this.#readFile?.segment === segment) {
        await this.#readFile.file.close();
        this.#readFile = undefined;
      }
      await this.#files.remove(this.#path(segment.name));
      removed++;
    }
    if (removed === 0) return;
    this.#segments.splice(0, removed);
    this.#firstIndex = this.#segments[0]?.firstIndex ?? this.#lastIndex + 1;
    await this.#files.syncDirectory(this.#options.directory);
  }

  async #openForReading(segment: SegmentIndex): Promise<File> {
    if (this.#readFile?.segment === segment) return this.#readFile.file;
    await this.#readFile?.file.close();
    this.#readFile = undefined;
    const file = await this.#files.open(this.#path(segment.name), { mode: 'read' });
    this.#readFile = { segment, file };
    return file;
  }

  async #readConfiguration(segment: SegmentIndex, index: Index): Promise<Configuration> {
    const [entry] = await this.readEntries(index, index, 1);
    try {
      return decodeConfiguration(entry!.data);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const { offset } = segment.locate(index);
      const { directory } = this.#options;
      throw damaged(
        {
          directory,
          file: segment.name,
          offset,
          what: error.message,
          lost: `entry ${index}, a cluster configuration, is concerned`,
        },
        error,
      );
    }
  }

  /** Term of the entry before the first one on disk: the snapshot's, if it ends there; otherwise nobody asks. */
  #termBefore(): Term {
    return this.snapshot?.index === this.#firstIndex - 1 ? this.snapshot.term : 0;
  }

  #path(name: string): string {
    return this.#files.join(this.#options.directory, name);
  }
}

function snapshotConfiguration(
  snapshot: Snapshot | undefined,
): { index: Index; configuration: Configuration } | undefined {
  return snapshot === undefined
    ? undefined
    : { index: snapshot.configurationIndex, configuration: snapshot.configuration };
}
