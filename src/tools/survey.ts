/**
 * What is in a data directory, file by file, whether or not a node could start from it: a damaged file is described
 * as far as it can be read. Nothing is changed; a node may be using the directory.
 */

import {
  decodeMetadata,
  decodeSnapshotMeta,
  parseFileName,
  scanSegment,
  type SegmentVerdict,
  type SnapshotName,
} from '../format/index.ts';
import type { Clock, Files, Logger } from '../host/types.ts';
import { DecodeError, decodeUtf8 } from '../lib/bytes.ts';
import { messageOf } from '../lib/errors.ts';
import { describe, FrozenFiles, isDirectoryFile, readExactly, readSmallFile, runScan } from '../log/index.ts';
import { SegmentIndex, SnapshotStore } from '../log/index.ts';
import { decodeConfiguration, type Configuration, type EntryType } from '../raft/index.ts';
import { decodeCommand } from '../wire/index.ts';

export interface MetadataReport {
  readonly file: string;
  readonly version?: number;
  readonly term?: number;
  /** 0: nobody. */
  readonly vote?: bigint;
  /** Why it cannot be read. */
  readonly damage?: string;
}

export interface SnapshotReport {
  readonly file: string;
  readonly term: number;
  readonly index: number;
  /** Bytes on disk. */
  readonly size: number;
  readonly configurationIndex?: number;
  readonly configuration?: Configuration;
  readonly databases: readonly { readonly name: string; readonly pages: number }[];
  readonly damage?: string;
}

export interface SegmentReport {
  readonly file: string;
  readonly kind: 'closed' | 'open';
  /** Bytes on disk, and how many of them hold entries. */
  readonly size: number;
  readonly used: number;
  readonly firstIndex: number;
  /** One less than `firstIndex` if there is no entry. */
  readonly lastIndex: number;
  readonly batches: number;
  readonly terms: readonly number[];
  /** How the file ends after its last good entry. */
  readonly end: SegmentVerdict['kind'];
  readonly endOffset: number;
  readonly endWords: string;
  /** What a closed segment holds is not what its name says, or does not check. */
  readonly damage?: string;
}

export interface EntryReport {
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  readonly file: string;
  readonly offset: number;
  /** Bytes of data. */
  readonly size: number;
  /** The two checksums of the batch that holds it; an entry whose batch has wrong ones is not listed at all. */
  readonly checksum: 'ok';
  readonly command?: 'open' | 'frames' | 'undo' | 'checkpoint';
  readonly database?: string;
  /** Of a FRAMES command. */
  readonly pageNumbers?: readonly number[];
  /** Of a configuration. */
  readonly configuration?: Configuration;
  /** Why the data means nothing to this program. */
  readonly damage?: string;
}

export interface DatabaseReport {
  readonly name: string;
  /** Log entries that change it, and the page images in them. */
  readonly transactions: number;
  readonly pageImages: number;
  /** Pages in the newest readable snapshot. */
  readonly snapshotPages?: number;
}

export interface Survey {
  readonly directory: string;
  readonly metadata: readonly MetadataReport[];
  /** Oldest first. */
  readonly snapshots: readonly SnapshotReport[];
  readonly segments: readonly SegmentReport[];
  readonly configurations: readonly { readonly index: number; readonly configuration: Configuration }[];
  readonly databases: readonly DatabaseReport[];
  readonly otherFiles: readonly { readonly file: string; readonly what: string }[];
}

export interface SurveyOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly directory: string;
  /** Called with each entry whose checksums are right, in order. */
  readonly onEntry?: ((entry: EntryReport) => void) | undefined;
  /** Bytes of files read so far, and of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

const META_SUFFIX = '.meta';

/** Rejects with `FileError`. */
export async function survey(options: SurveyOptions): Promise<Survey> {
  const names = await options.files.list(options.directory);
  const frozen = await FrozenFiles.of(options.files, options.directory, isDirectoryFile);
  try {
    return await new Surveyor(options, frozen).survey(names);
  } finally {
    await frozen.release();
  }
}

/** A segment, and where its good entries lie. */
export interface SurveyedSegment {
  readonly report: SegmentReport;
  readonly index: SegmentIndex;
}

class Surveyor {
  readonly #options: SurveyOptions;
  readonly #frozen: FrozenFiles;
  readonly #configurations: { index: number; configuration: Configuration }[] = [];
  readonly #databases = new Map<string, { transactions: number; pageImages: number }>();
  #total = 0;
  #done = 0;

  constructor(options: SurveyOptions, frozen: FrozenFiles) {
    this.#options = options;
    this.#frozen = frozen;
  }

  async survey(allNames: readonly string[]): Promise<Survey> {
    const { directory } = this.#options;
    const names = (await this.#frozen.list(directory)).sort();
    for (const name of names) if (isLong(name)) this.#total += await this.#sizeOf(name);
    const metadata: MetadataReport[] = [];
    for (const file of ['metadata1', 'metadata2']) if (names.includes(file)) metadata.push(await this.#metadata(file));
    const snapshots = await this.#snapshots(names);
    const segments: SegmentReport[] = [];
    for (const { report, index } of await surveySegments(this.#frozen, directory, names, size => this.#read(size))) {
      segments.push(report);
      await this.#entries(index, report.file);
    }
    const newest = snapshots.filter(({ damage }) => damage === undefined).at(-1);
    for (const { name } of newest?.databases ?? []) this.#database(name);
    return {
      directory,
      metadata,
      snapshots,
      segments,
      configurations: this.#configurations,
      databases: [...this.#databases].map(([name, counts]) => {
        const pages = newest?.databases.find(database => database.name === name)?.pages;
        return { name, ...counts, ...(pages === undefined ? {} : { snapshotPages: pages }) };
      }),
      otherFiles: [...allNames].sort().flatMap(file => {
        const what = purposeOf(file, names);
        return what === undefined ? [] : [{ file, what }];
      }),
    };
  }

  #read(size: number): void {
    this.#done += size;
    this.#options.onProgress?.(this.#done, this.#total);
  }

  async #metadata(file: string): Promise<MetadataReport> {
    const bytes = (await readSmallFile(this.#frozen, this.#path(file))) ?? new Uint8Array(0);
    try {
      return { file, ...decodeMetadata(bytes) };
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return { file, damage: error.message };
    }
  }

  async #snapshots(names: readonly string[]): Promise<SnapshotReport[]> {
    const found: SnapshotName[] = [];
    for (const name of names) {
      const parsed = parseFileName(name);
      if (parsed?.kind === 'snapshot') found.push(parsed);
    }
    found.sort((a, b) => a.term - b.term || a.index - b.index || a.timestampMs - b.timestampMs);
    const reports: SnapshotReport[] = [];
    for (const snapshot of found) reports.push(await this.#snapshot(snapshot));
    return reports;
  }

  async #snapshot(snapshot: SnapshotName): Promise<SnapshotReport> {
    const { clock, directory, logger } = this.#options;
    const file = `snapshot-${snapshot.term}-${snapshot.index}-${snapshot.timestampMs}`;
    const size = await this.#sizeOf(file);
    const { term, index } = snapshot;
    const databases: { name: string; pages: number }[] = [];
    const base = { file, term, index, size, databases };
    let meta: { configurationIndex?: number; configuration?: Configuration } = {};
    try {
      const bytes = await readSmallFile(this.#frozen, this.#path(file + META_SUFFIX));
      if (bytes === undefined) return { ...base, damage: `its ${META_SUFFIX} file is missing` };
      meta = decodeSnapshotMeta(bytes);
      let name = '';
      await new SnapshotStore(this.#frozen, directory, clock, logger).read(snapshot, {
        beginDatabase: bytesOfName => (name = decodeUtf8(bytesOfName)),
        page: () => {},
        endDatabase: pages => databases.push({ name, pages }),
      });
    } catch (error) {
      return { ...base, ...meta, damage: messageOf(error).replace(`${directory}: `, '') };
    }
    this.#read(size);
    return { ...base, ...meta };
  }

  /** Looks into the entries of a segment. */
  async #entries(segment: SegmentIndex, name: string): Promise<void> {
    if (segment.isEmpty) return;
    const file = await this.#frozen.open(this.#path(name), { mode: 'read' });
    for (let index = segment.firstIndex; index <= segment.lastIndex; index++) {
      const { term, type, offset, size } = segment.locate(index);
      const content = type === 'barrier' ? {} : contentOf(type, await readExactly(file, offset, size));
      if (content.configuration !== undefined) {
        this.#configurations.push({ index, configuration: content.configuration });
      }
      if (content.pageNumbers !== undefined) {
        const database = this.#database(content.database!);
        database.transactions++;
        database.pageImages += content.pageNumbers.length;
      }
      this.#options.onEntry?.({ index, term, type, file: name, offset, size, checksum: 'ok', ...content });
    }
  }

  #database(name: string): { transactions: number; pageImages: number } {
    let database = this.#databases.get(name);
    if (database === undefined) {
      database = { transactions: 0, pageImages: 0 };
      this.#databases.set(name, database);
    }
    return database;
  }

  async #sizeOf(name: string): Promise<number> {
    return (await this.#frozen.open(this.#path(name), { mode: 'read' })).size();
  }

  #path(name: string): string {
    return this.#frozen.join(this.#options.directory, name);
  }
}

/** Snapshots and segments, which can be long. */
function isLong(name: string): boolean {
  const kind = parseFileName(name)?.kind;
  return kind === 'closed' || kind === 'open' || kind === 'snapshot';
}

/** All segments, closed ones first; open ones are numbered on from there, as at a start. */
export async function surveySegments(
  files: Files,
  directory: string,
  names: readonly string[],
  onRead: (size: number) => void,
): Promise<SurveyedSegment[]> {
  const closed: { name: string; first: number; last: number }[] = [];
  const open: { name: string; counter: number }[] = [];
  let snapshotIndex = 0;
  for (const name of names) {
    const parsed = parseFileName(name);
    if (parsed?.kind === 'closed') closed.push({ name, first: parsed.first, last: parsed.last });
    else if (parsed?.kind === 'open') open.push({ name, counter: parsed.counter });
    else if (parsed?.kind === 'snapshot') snapshotIndex = Math.max(snapshotIndex, parsed.index);
  }
  closed.sort((a, b) => a.first - b.first || a.last - b.last);
  open.sort((a, b) => a.counter - b.counter);
  const surveyed: SurveyedSegment[] = [];
  for (const { name, first, last } of closed) {
    surveyed.push(await surveySegment(files, directory, name, first, last));
    onRead(surveyed.at(-1)!.report.size);
  }
  let next = Math.max(snapshotIndex, closed.at(-1)?.last ?? 0) + 1;
  for (const { name } of open) {
    const one = await surveySegment(files, directory, name, next, undefined);
    surveyed.push(one);
    onRead(one.report.size);
    next = one.index.lastIndex + 1;
  }
  return surveyed;
}

/** `last` is what the name of a closed segment says. */
async function surveySegment(
  files: Files,
  directory: string,
  name: string,
  first: number,
  last: number | undefined,
): Promise<SurveyedSegment> {
  const file = await files.open(files.join(directory, name), { mode: 'read' });
  const size = await file.size();
  const index = new SegmentIndex(name, first);
  const terms = new Set<number>();
  let batches = 0;
  const scan = scanSegment(size, batch => {
    batches++;
    index.beginBatch(batch.offset);
    for (const entry of batch.entries) {
      index.add(entry.term, entry.type, entry.dataOffset, entry.dataSize);
      terms.add(entry.term);
    }
    index.end = batch.end;
  });
  const verdict = await runScan(file, scan);
  const endWords = describe(verdict);
  const whole = verdict.kind === 'complete' && index.lastIndex === last;
  const counted = `it holds entries up to ${index.lastIndex}, not ${last}`;
  const damage = last === undefined || whole ? undefined : verdict.kind === 'complete' ? counted : endWords;
  const report: SegmentReport = {
    file: name,
    kind: last === undefined ? 'open' : 'closed',
    size,
    used: index.end,
    firstIndex: first,
    lastIndex: index.lastIndex,
    batches,
    terms: [...terms],
    end: verdict.kind,
    endOffset: 'end' in verdict ? verdict.end : 0,
    endWords,
    ...(damage === undefined ? {} : { damage }),
  };
  return { report, index };
}

/** What the data of an entry says. */
function contentOf(
  type: EntryType,
  data: Uint8Array,
): Pick<EntryReport, 'command' | 'database' | 'pageNumbers' | 'configuration' | 'damage'> {
  try {
    if (type === 'change') return { configuration: decodeConfiguration(data) };
    const command = decodeCommand(data);
    switch (command.kind) {
      case 'frames': {
        const pageNumbers = Array.from({ length: command.count }, (_, page) => command.pageNumber(page));
        return { command: 'frames', database: decodeUtf8(command.name), pageNumbers };
      }
      case 'open':
      case 'checkpoint':
        return { command: command.kind, database: decodeUtf8(command.name) };
      case 'undo':
        return { command: 'undo' };
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { damage: error.message };
  }
}

const KNOWN_FILES: Readonly<Record<string, string>> = {
  'dqlite-lock': 'lock file of C dqlite',
  'dqlite-node-id': 'says whose directory it is, until the log does',
  'dqlite-node-lock': 'lock file of a node of ours: it is running, or was killed',
  'info.yaml': "id, address and role, of go-dqlite's application layer",
  'cluster.yaml': "addresses of the cluster, of go-dqlite's application layer",
  join: 'written while a node joins its cluster',
  'server-info': 'id and address, of C dqlite_server',
  'node-store': 'addresses of the cluster, of C dqlite_server',
  database: 'folder of the experimental disk mode of dqlite 1.13 to 1.18',
};

/** Of files that are neither metadata nor a segment nor a snapshot with both halves. */
function purposeOf(file: string, names: readonly string[]): string | undefined {
  const parsed = parseFileName(file);
  if (parsed === undefined) {
    if (/^metadata[12]$/.test(file)) return undefined;
    if (file.startsWith('torn-')) return 'a torn write that was cut, kept until the next clean start';
    if (file.startsWith('corrupt-')) return 'a damaged segment that C dqlite set aside; its entries are lost to it';
    return KNOWN_FILES[file] ?? 'not a file of dqlite';
  }
  if (parsed.kind === 'temporary') return 'left by an interrupted write; the next start removes it';
  if (parsed.kind === 'snapshotMeta' && !names.includes(file.slice(0, -META_SUFFIX.length))) {
    return 'of a snapshot that was not finished; the next start removes it';
  }
  return undefined;
}
