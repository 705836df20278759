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
import { DqliteError, messageOf } from '../lib/errors.ts';
import {
  encodeBatchHeader,
  formatFileName,
  OPEN_SEGMENT_SIZE,
  parseFileName,
  type SnapshotSink,
} from '../format/index.ts';
import {
  FileError,
  mayPass,
  type Clock,
  type DirectoryLock,
  type FileErrorCode,
  type Files,
  type Logger,
} from '../host/types.ts';
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
import { loadDirectory } from './load-directory.ts';
import type { SegmentLoader } from './load-segments.ts';
import type { MetadataStore } from './metadata-store.ts';
import { removeIfThere } from './remove.ts';
import { SegmentCloser, type WrittenSegment } from './segment-closer.ts';
import { SegmentIndex } from './segment-index.ts';
import { SegmentReader, type WantedEntry } from './segment-reader.ts';
import { SegmentWriter } from './segment-writer.ts';
import type { SnapshotStore, ReceivedSnapshot, Snapshot, SnapshotContent, SnapshotStream } from './snapshot-store.ts';
import { removeFromEnd, writeClosedSegment } from './truncation.ts';
import { UselessSegments } from './useless-segments.ts';

/** The next segment is prepared once this part of the present one is full. */
const PREPARE_AT = 0.25;
/** Data that is checksummed without letting other work run in between. */
const CRC_SLICE_SIZE = 4 * 1024 * 1024;

export interface LogOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly directory: string;
  readonly logger: Logger;
  /** Bytes that a segment is filled up to; smaller in tests only. */
  readonly segmentSize?: number | undefined;
}

/** What stays on disk before a snapshot: at most this many entries and bytes, in whole segments (design rule 16). */
export interface Retention {
  readonly entries: number;
  readonly bytes: number;
  /** Everything from this entry on stays in any case. */
  readonly from?: Index | undefined;
}

/** `failed`: after an append or truncation that failed nothing can be appended until `recover` has resolved. */
type State = 'idle' | 'appending' | 'failed';

const OPEN_HINTS: Readonly<Partial<Record<FileErrorCode, string>>> = {
  EACCES: 'the user that runs the node must own the directory, or be allowed to read and write in it',
  EEXIST: 'name a directory, or one that does not exist yet',
  ENOSPC: 'the disk is full: make room on it',
};

export class Log {
  readonly #options: LogOptions;
  readonly #files: Files;
  readonly #segmentSize: number;
  readonly #lock: DirectoryLock;
  readonly #metadata: MetadataStore;
  readonly #snapshots: SnapshotStore;
  readonly #reader: SegmentReader;
  /** All segments with entries, in order; the active one last. */
  #segments: SegmentIndex[];
  readonly #useless: UselessSegments;
  readonly #closer: SegmentCloser;
  #active: WrittenSegment | undefined = undefined;
  #prepared: Promise<SegmentWriter> | undefined = undefined;
  #counter = 0;
  #firstIndex: Index;
  #lastIndex: Index;
  #state: State = 'idle';
  #isRepaired = false;
  /** Settles when no append is in progress. Never rejects. */
  #appended: Promise<void> = Promise.resolve();
  /** The active segment is to be retired once no append is in progress. */
  #retireWanted = false;
  /** What was begun and failed: `recover` finishes it. */
  #unfinished: (() => Promise<void>) | undefined = undefined;
  #bytesWritten = 0;
  #snapshot: Snapshot | undefined;

  private constructor(
    options: LogOptions,
    lock: DirectoryLock,
    metadata: MetadataStore,
    snapshots: SnapshotStore,
    snapshot: Snapshot | undefined,
    loaded: SegmentLoader,
  ) {
    this.#options = options;
    this.#files = options.files;
    this.#segmentSize = options.segmentSize ?? OPEN_SEGMENT_SIZE;
    this.#lock = lock;
    this.#metadata = metadata;
    this.#snapshots = snapshots;
    this.#snapshot = snapshot;
    this.#reader = new SegmentReader(options.files, options.directory);
    this.#segments = [...loaded.segments];
    this.#useless = new UselessSegments(options.files, options.directory, loaded.superseded);
    this.#closer = new SegmentCloser(options, ({ index }) => {
      this.#segments = this.#segments.filter(segment => segment !== index);
    });
    this.#firstIndex = loaded.firstIndex;
    this.#lastIndex = this.#segments[this.#segments.length - 1]?.lastIndex ?? loaded.firstIndex - 1;
  }

  /**
   * Opens a directory, making it if it is not there. Rejects with DqliteError DAMAGED, LOCKED or IO; a damaged
   * directory is left as it was found.
   */
  static async open(options: LogOptions): Promise<Log> {
    const { files, directory } = options;
    try {
      await files.makeDirectory(directory);
      const lock = await files.lock(directory);
      try {
        return await Log.#load(options, lock);
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      const reason = error.path === directory ? error.message.replace(`${directory}: `, '') : error.message;
      throw new DqliteError('IO', `${directory} cannot be opened: ${reason}`, {
        cause: error,
        hint: OPEN_HINTS[error.code],
      });
    }
  }

  static async #load(options: LogOptions, lock: DirectoryLock): Promise<Log> {
    const { files, directory, logger } = options;
    const loaded = await loadDirectory(options);
    const { names, metadata, snapshots, snapshot, leftovers, unfinishedIndex, segments } = loaded;
    try {
      // What an earlier process renamed may not be durable yet.
      await files.syncDirectory(directory);
      await metadata.settle();
      if (unfinishedIndex > (snapshot?.index ?? 0)) {
        logger.warn({ files: leftovers }, 'a snapshot was not finished: the one before it is used');
      }
      const useless = [...names.filter(name => parseFileName(name)?.kind === 'temporary'), ...leftovers];
      for (const name of useless) await files.remove(files.join(directory, name));
      // A snapshot that was received tells nothing of the entries here: it must not come back after the next of them.
      if (useless.length > 0) await files.syncDirectory(directory);
      await segments.settle(names);
      return new Log(options, lock, metadata, snapshots, snapshot, segments);
    } catch (error) {
      await metadata.close();
      throw error;
    }
  }

  /** No entry was ever stored here, and no vote: at most a `bootstrap` was begun. */
  get isNew(): boolean {
    const { term, vote } = this.#metadata;
    return term <= 1 && vote === undefined && this.#snapshot === undefined && this.#segments.length === 0;
  }

  /** The newest snapshot. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
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
    if (this.#metadata.term < 1) await this.#metadata.store(1, undefined);
    await this.append([{ term: 1, type: 'change', data: encodeConfiguration(configuration) }]);
    this.#retire();
    await this.#closer.idle;
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
      snapshotConfiguration: snapshot?.configuration,
      snapshotConfigurationIndex: snapshot?.configurationIndex ?? 0,
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
   * nothing can be appended until `recover` has resolved. None of the entries is in the log, but after an error other
   * than ENOSPC and EMFILE, or if `isRepaired` is false, the next start may find them. `mayBlock` is asked once
   * there is something to write: `blocking` of `File`.
   */
  append(entries: readonly Entry[], mayBlock = (): boolean => false): Promise<void> {
    assert(this.#state === 'idle', this.#state === 'failed' ? 'an append has failed' : 'one append at a time');
    this.#state = 'appending';
    const done = this.#append(entries, mayBlock).then(
      () => {
        this.#state = 'idle';
        if (this.#retireWanted) this.#retire();
      },
      async (error: unknown) => {
        this.#isRepaired = mayPass(error) && (await this.#repair());
        this.#state = 'failed';
        throw error;
      },
    );
    this.#appended = done.catch(() => {});
    return done;
  }

  /** Whether nothing is left on the disk of the batch that failed. */
  get isRepaired(): boolean {
    return this.#isRepaired;
  }

  /**
   * After a failed `append`, `truncate` or `installSnapshot`: finishes or takes back what was begun and makes sure that
   * there is space to go on.
   */
  async recover(): Promise<void> {
    assert(this.#state === 'failed', 'nothing has failed');
    if (this.#unfinished !== undefined) {
      await this.#unfinished();
      this.#unfinished = undefined;
    } else if (this.#active !== undefined) {
      await this.#active.writer.repair();
      this.#retire();
      await this.#closer.idle;
    }
    this.#active = await this.#activate();
    this.#state = 'idle';
  }

  /**
   * Removes the entries from `from` on, which must not be committed anywhere. Durable when it resolves. Rejects with
   * `FileError` or DqliteError; then nothing can be appended until `recover` has resolved.
   */
  async truncate(from: Index): Promise<void> {
    assert(this.#state === 'idle', 'a truncation waits for appends');
    assert(from >= this.#firstIndex && from > (this.#snapshot?.index ?? 0), `entry ${from} cannot be taken back`);
    await this.#finishing(() => this.#truncate(from));
  }

  async #truncate(from: Index): Promise<void> {
    await this.#closeAll();
    const { directory } = this.#options;
    const cut = this.#segments.filter(({ lastIndex }) => lastIndex >= from);
    const kept = this.#segments.filter(({ lastIndex }) => lastIndex < from);
    const first = cut[0];
    if (first !== undefined && first.firstIndex < from) {
      const entries = await this.readEntries(first.firstIndex, from - 1, Infinity);
      kept.push(await writeClosedSegment(this.#files, directory, first.firstIndex, entries));
    }
    for (const segment of cut) await this.#reader.forget(segment);
    this.#segments = kept;
    this.#lastIndex = Math.min(this.#lastIndex, from - 1);
    const names = cut.map(({ name }) => name);
    await this.#finishing(() => removeFromEnd(this.#files, directory, names));
  }

  /** Runs a step that must be finished before anything else can be written; if it fails, `recover` tries it again. */
  async #finishing(step: () => Promise<void>): Promise<void> {
    this.#state = 'appending';
    this.#unfinished = step;
    const done = step().then(
      () => {
        this.#unfinished = undefined;
        this.#state = 'idle';
      },
      (error: unknown) => {
        this.#state = 'failed';
        throw error;
      },
    );
    this.#appended = done.catch(() => {});
    await done;
  }

  /**
   * Reads entries back from the disk, at least one and then as many as fit in `maxBytes` of data.
   * Rejects with DqliteError DAMAGED if they are not what was written, with `FileError` if they cannot be read.
   */
  readEntries(first: Index, last: Index, maxBytes: number): Promise<Entry[]> {
    const wanted: WantedEntry[] = [];
    let bytes = 0;
    for (let index = first; index <= last; index++) {
      const segment = this.#segmentOf(index);
      bytes += segment.locate(index).size;
      if (wanted.length > 0 && bytes > maxBytes) break;
      wanted.push({ segment, index });
    }
    return this.#reader.read(wanted);
  }

  /**
   * Writes a snapshot of the state at `index`, then removes what is older than needed. Appending goes on meanwhile.
   * Rejects with `FileError` or DqliteError IO; then the snapshots before are still there.
   */
  async writeSnapshot(
    snapshot: Omit<Snapshot, 'timestampMs'>,
    content: SnapshotContent,
    retention: Retention,
  ): Promise<void> {
    assert(snapshot.index <= this.#lastIndex, 'a snapshot holds entries that are on disk only');
    await this.#closeActive();
    this.#snapshot = await this.#snapshots.write(snapshot, content);
    await this.#removeSegmentsBefore(this.#firstKept(snapshot.index, retention));
  }

  /** Begins to receive a snapshot of `size` bytes from another node. Several may be under way. */
  receiveSnapshot(snapshot: Omit<Snapshot, 'timestampMs'>, size: number): Promise<ReceivedSnapshot> {
    return this.#snapshots.receive(snapshot, size);
  }

  /**
   * Makes a snapshot that was received as a whole the beginning of the log: all entries are removed. To be called when
   * the entry at the snapshot's index is not in the log. Nothing may be appended meanwhile. Rejects with `FileError`
   * or DqliteError; then nothing can be appended until `recover` has resolved, or nothing has changed.
   */
  async installSnapshot(received: ReceivedSnapshot): Promise<void> {
    const { index } = received.snapshot;
    assert(this.#state === 'idle' && index > (this.#snapshot?.index ?? 0), 'a snapshot from the future');
    // Entries from there on cannot be committed, those before it the snapshot has: a crash in between loses nothing.
    if (this.#lastIndex >= index) await this.truncate(Math.max(index, this.#firstIndex));
    await this.#finishing(() => this.#closeAll());
    try {
      await this.#finishing(() => this.#snapshots.publish(received));
    } catch (error) {
      // Whether it has its name or not must be certain before anything else is written.
      this.#unfinished = () => this.#snapshots.unpublish(received);
      throw error;
    }
    this.#snapshot = received.snapshot;
    this.#lastIndex = index;
    await this.#finishing(async () => {
      await this.#snapshots.settle();
      await this.#removeSegmentsBefore(index + 1);
      this.#firstIndex = index + 1;
    });
  }

  /** The newest snapshot as it travels to another node. To be closed. */
  openSnapshot(): Promise<SnapshotStream> {
    assert(this.snapshot !== undefined, 'there is no snapshot');
    return this.#snapshots.open(this.snapshot);
  }

  /** Bytes of entry data after an index. */
  bytesAfter(index: Index): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytesFrom(index + 1), 0);
  }

  /** Closes the directory: afterwards no open segments remain, unless writing has failed. */
  async close(): Promise<void> {
    await this.#appended;
    try {
      if (this.#state === 'idle') this.#retire();
      await this.#closer.idle;
      await this.#discardPrepared();
      await this.#active?.writer.abandon();
      await this.#closer.abandon();
      await this.#reader.close();
      await this.#metadata.close();
    } finally {
      await this.#lock.release();
    }
  }

  async #append(entries: readonly Entry[], mayBlock: () => boolean): Promise<void> {
    // After what else the caller does at this time: it sends the entries to others, who write them meanwhile.
    await Promise.resolve();
    const data = entries.map(entry => entry.data);
    const header = encodeBatchHeader(entries, await this.#dataCrc(data));
    const size = data.reduce((sum, piece) => sum + piece.length, header.length);
    if (this.#active?.writer.isFullFor(size) === true) {
      // One closing behind is enough: more would pile up files if the disk is slow.
      const previous = this.#closer.idle;
      this.#retire();
      await previous;
    }
    this.#active ??= await this.#activate();
    const { writer, index } = this.#active;
    const { batchOffset } = writer;
    await writer.write(header, data, mayBlock());
    index.beginBatch(batchOffset);
    let offset = batchOffset + header.length;
    for (const entry of entries) {
      index.add(entry.term, entry.type, offset, entry.data.length);
      offset += entry.data.length;
    }
    index.end = writer.used;
    this.#lastIndex += entries.length;
    this.#bytesWritten += size;
    if (writer.used > this.#segmentSize * PREPARE_AT) this.#prepare(true);
  }

  /** Space may have lacked for the zeros after a batch only: then the whole batch is there. Whether it is removed. */
  async #repair(): Promise<boolean> {
    try {
      await this.#active?.writer.repair();
      return true;
    } catch {
      return false;
    }
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
  async #activate(): Promise<WrittenSegment> {
    // Open segments count on from the last closed one: what is older than the snapshot must not be that.
    const { lastIndex } = this.#useless;
    const isAlone = this.#segments.length === 0 && lastIndex > 0;
    if (isAlone && lastIndex < (this.#snapshot?.index ?? 0)) await this.#useless.remove();
    this.#prepare();
    const writer = await this.#prepared!;
    this.#prepared = undefined;
    await writer.begin();
    const index = new SegmentIndex(writer.name, this.#lastIndex + 1);
    this.#segments.push(index);
    return { writer, index };
  }

  /** `isAhead`: allocates the segment as a whole, if there is time; the rate of writing shows that it will be needed. */
  #prepare(isAhead = false): void {
    if (this.#prepared !== undefined) return;
    const name = formatFileName({ kind: 'open', counter: ++this.#counter });
    this.#prepared = this.#createSegment(name, isAhead);
    // A failure is met where the segment is needed; until then nobody waits for this promise.
    this.#prepared.catch(() => {
      this.#prepared = undefined;
    });
  }

  async #createSegment(name: string, isAhead: boolean): Promise<SegmentWriter> {
    const { directory, logger } = this.#options;
    const file = await this.#files.open(this.#path(name), { mode: 'create', durable: true });
    try {
      const writer = await SegmentWriter.create(name, file, this.#segmentSize);
      await this.#files.syncDirectory(directory);
      if (isAhead) writer.fill();
      return writer;
    } catch (error) {
      try {
        await file.close();
        await removeIfThere(this.#files, this.#path(name));
      } catch (second) {
        logger.warn({ file: name, error: messageOf(second) }, 'an unfinished segment could not be removed');
      }
      throw error;
    }
  }

  /** The active segment is closed in the background, or removed if it is empty. */
  #retire(): void {
    this.#retireWanted = false;
    const active = this.#active;
    this.#active = undefined;
    if (active !== undefined) this.#closer.add(active);
    else this.#closer.tryAgain();
  }

  /**
   * Closes the active segment, so that every entry so far is in a closed one: open segments do not say which entries
   * they hold, and once there is a snapshot they are taken for what follows it.
   */
  async #closeActive(): Promise<void> {
    if (this.#active?.index.isEmpty === true) {
      this.#closer.tryAgain();
    } else {
      this.#retireWanted = true;
      // The next append shall not have to wait for a segment.
      this.#prepare();
    }
    while (this.#retireWanted && this.#state === 'appending') await this.#appended;
    if (this.#retireWanted && this.#state === 'idle') this.#retire();
    this.#retireWanted = false;
    await this.#closer.idle;
    const failed = this.#state === 'failed' && this.#active?.index.isEmpty === false ? this.#active : undefined;
    this.#checkClosed(failed ?? this.#closer.oldest);
  }

  /** Closes the active segment while nothing is being appended; removes it if it is empty. */
  async #closeAll(): Promise<void> {
    this.#retire();
    await this.#closer.idle;
    this.#checkClosed(this.#closer.oldest);
  }

  #checkClosed(open: WrittenSegment | undefined): void {
    if (open === undefined) return;
    throw new DqliteError('IO', `${this.#path(open.index.name)} could not be closed`, {
      hint: 'restart this node once the disk is well',
      cause: this.#closer.error,
    });
  }

  async #discardPrepared(): Promise<void> {
    if (this.#prepared === undefined) return;
    try {
      const writer = await this.#prepared;
      await writer.begin();
      await writer.abandon();
      await removeIfThere(this.#files, this.#path(writer.name));
      await this.#files.syncDirectory(this.#options.directory);
    } catch (error) {
      this.#options.logger.warn({ error: messageOf(error) }, 'a prepared segment could not be removed');
    }
  }

  /** The first entry that must stay on disk when there is a snapshot at `index`. */
  #firstKept(index: Index, retention: Retention): Index {
    let first = index + 1;
    let bytes = 0;
    while (first > this.#firstIndex && index + 1 - first < retention.entries) {
      bytes += this.#segmentOf(first - 1).locate(first - 1).size;
      if (bytes > retention.bytes) break;
      first--;
    }
    return Math.min(first, retention.from ?? first);
  }

  async #removeSegmentsBefore(first: Index): Promise<void> {
    for (;;) {
      const segment = this.#segments[0];
      if (segment === undefined || segment.lastIndex >= first || segment === this.#active?.index) break;
      this.#segments.shift();
      this.#firstIndex = this.#segments[0]?.firstIndex ?? this.#lastIndex + 1;
      await this.#reader.forget(segment);
      this.#useless.add({ name: segment.name, first: segment.firstIndex, last: segment.lastIndex });
    }
    try {
      await this.#useless.remove();
    } catch (error) {
      this.#options.logger.warn({ error: messageOf(error) }, 'old segments could not be removed');
    }
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
