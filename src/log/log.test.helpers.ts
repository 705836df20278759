/** What the tests of this folder share: logs on simulated disks, entries that can be recognised, snapshots. */

import assert from 'node:assert/strict';
import {
  encodeDatabaseHeader,
  encodeSnapshotHeader,
  parseFileName,
  snapshotContentSize,
  type SnapshotSink,
} from '../format/index.ts';
import type { Clock, Files, Logger } from '../host/types.ts';
import { encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { SeededRandom } from '../lib/random.ts';
import type { Configuration, Entry, EntryType, Index, Term } from '../raft/index.ts';
import { Scheduler, SimulatedClock, SimulatedFiles } from '../simulation/index.ts';
import { Log, type Retention, type SnapshotContent } from './index.ts';

export const DIRECTORY = '/data';

export const configuration: Configuration = { servers: [{ id: 1n, address: '127.0.0.1:9001', role: 'voter' }] };

export const keepNothing: Retention = { entries: 0, bytes: 0 };

/** Keeps what is logged as "level: message". */
export class RecordingLogger implements Logger {
  readonly lines: string[] = [];

  debug(fields: object, message: string): void {
    this.#note('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.#note('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.#note('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.#note('error', fields, message);
  }

  fatal(fields: object, message: string): void {
    this.#note('fatal', fields, message);
  }

  #note(level: string, fields: object, message: string): void {
    this.lines.push(`${level}: ${message} ${JSON.stringify(fields)}`);
  }
}

export interface Opening {
  readonly segmentSize?: number;
  readonly logger?: Logger;
  readonly directory?: string;
  readonly clock?: Clock;
}

export function openLog(files: Files, options: Opening = {}): Promise<Log> {
  return Log.open({
    files,
    clock: options.clock ?? new SimulatedClock(new Scheduler()),
    directory: options.directory ?? DIRECTORY,
    logger: options.logger ?? new RecordingLogger(),
    segmentSize: options.segmentSize,
  });
}

/** A new directory with its first entry. */
export async function newLog(files: Files = new SimulatedFiles(), options: Opening = {}): Promise<Log> {
  const log = await openLog(files, options);
  await log.bootstrap(configuration);
  return log;
}

/** What a log does in the background takes promise callbacks only, on a simulated disk without latency. */
export function backgroundDone(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}

/** The same number gives the same bytes. */
export function entryOf(number: number, size: number, term: Term = 1, type: EntryType = 'command'): Entry {
  const data = Buffer.alloc(size);
  new SeededRandom(number).fill(data);
  return { term, type, data };
}

export function entriesOf(firstNumber: number, sizes: readonly number[]): Entry[] {
  return sizes.map((size, position) => entryOf(firstNumber + position, size));
}

export function readAll(log: Log): Promise<Entry[]> {
  return log.readEntries(log.firstIndex, log.lastIndex, Infinity);
}

/** Compares without printing megabytes. */
export function assertEntries(actual: readonly Entry[], expected: readonly Entry[], what = 'entries'): void {
  assert.equal(actual.length, expected.length, `${what}: count`);
  for (const [position, entry] of expected.entries()) {
    const { term, type, data } = actual[position]!;
    assert.deepEqual([term, type, data.length], [entry.term, entry.type, entry.data.length], `${what}: ${position}`);
    assert.ok(Buffer.from(data).equals(entry.data), `${what}: bytes of ${position}`);
  }
}

export async function readFile(files: Files, name: string, directory: string = DIRECTORY): Promise<Buffer> {
  const file = await files.open(files.join(directory, name), { mode: 'read' });
  const bytes = Buffer.alloc(await file.size());
  assert.equal(await file.read(bytes, 0), bytes.length);
  await file.close();
  return bytes;
}

/** Makes or replaces a file, durably. */
export async function writeFile(
  files: Files,
  name: string,
  bytes: Uint8Array,
  directory: string = DIRECTORY,
): Promise<void> {
  const path = files.join(directory, name);
  if ((await files.list(directory)).includes(name)) await files.remove(path);
  const file = await files.open(path, { mode: 'create' });
  await file.write([bytes], 0);
  await file.sync();
  await file.close();
  await files.syncDirectory(directory);
}

/** The files that dqlite knows, sorted. */
export async function listDirectory(files: Files, directory: string = DIRECTORY): Promise<string[]> {
  const names = await files.list(directory);
  return names.filter(name => name.startsWith('metadata') || parseFileName(name) !== undefined).sort();
}

/** All files and their bytes, to compare. */
export async function contentsOf(files: Files, directory: string = DIRECTORY): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for (const name of (await files.list(directory)).sort()) {
    contents.set(name, (await readFile(files, name, directory)).toString('latin1'));
  }
  return contents;
}

/** A database of some pages, recognisable by a number. */
export function snapshotOf(number: number, pageCount = 3): SnapshotContent & { readonly pages: readonly Buffer[] } {
  const extent = { name: encodeUtf8(`db-${number}`), pageCount };
  const pages = Array.from({ length: pageCount }, (_, page) => Buffer.from(entryOf(number * 100 + page, 4096).data));
  return {
    size: snapshotContentSize([extent]),
    pages,
    *pieces() {
      yield encodeSnapshotHeader(1);
      yield encodeDatabaseHeader(extent);
      // One buffer for all pages: it stays unchanged until the next is asked for, and no longer.
      const page = new Uint8Array(4096);
      for (const bytes of pages) {
        page.set(bytes);
        yield page;
      }
    },
  };
}

export async function readSnapshotOf(log: Log): Promise<{ name: string; pages: Buffer[] }> {
  const result = { name: '', pages: [] as Buffer[] };
  const sink: SnapshotSink = {
    beginDatabase: name => (result.name = Buffer.from(name).toString()),
    page: (_number, bytes) => result.pages.push(Buffer.from(bytes)),
    endDatabase: () => {},
  };
  await log.readSnapshot(sink);
  return result;
}

export function metaOf(index: Index, term: Term = 1): Parameters<Log['writeSnapshot']>[0] {
  return { term, index, configuration, configurationIndex: 1 };
}

export async function assertDamaged(opening: Promise<unknown>, pattern: RegExp): Promise<void> {
  await assert.rejects(opening, (error: unknown) => {
    assert.ok(error instanceof DqliteError, String(error));
    assert.equal(error.code, 'DAMAGED', error.message);
    assert.match(error.message, pattern);
    assert.ok(error.hint !== undefined);
    return true;
  });
}
