/**
 * Reading entries back from the segments. A batch is checked as a whole before the first of its entries is given;
 * the file that was read last stays open. One call at a time, in their order: so a segment that is removed after
 * `forget` has resolved was not missing to any read before.
 */

import { findLaterBatch } from '../format/index.ts';
import { FileError, type File, type Files } from '../host/types.ts';
import type { Entry, Index } from '../raft/index.ts';
import { damaged } from './damage.ts';
import { ReadAhead } from './read-ahead.ts';
import { readExactly, runScan } from './read.ts';
import type { SegmentIndex } from './segment-index.ts';

export interface WantedEntry {
  readonly segment: SegmentIndex;
  readonly index: Index;
}

interface OpenSegment {
  readonly segment: SegmentIndex;
  readonly file: File;
  /** Where the batch begins that was checked last. */
  checkedOffset: number;
}

export class SegmentReader {
  readonly #files: Files;
  readonly #directory: string;
  #open: OpenSegment | undefined = undefined;
  /** Settles when the calls so far are done. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** Rejects with DqliteError DAMAGED if the entries are not what was written, else with `FileError`. */
  read(wanted: readonly WantedEntry[]): Promise<Entry[]> {
    return this.#inTurn(async () => {
      const entries: Entry[] = [];
      let ahead: ReadAhead | undefined;
      let current: SegmentIndex | undefined;
      for (const { segment, index } of wanted) {
        const open = await this.#openFor(segment);
        if (ahead === undefined || segment !== current) ahead = new ReadAhead(open.file);
        current = segment;
        await this.#check(open, ahead, index);
        const { term, type, offset, size } = segment.locate(index);
        entries.push({ term, type, data: await readExactly(ahead, offset, size) });
      }
      return entries;
    });
  }

  /** Closes the segment's file, which is going to be removed. */
  forget(segment: SegmentIndex): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#open?.segment === segment) await this.#closeFile();
    });
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#closeFile());
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #openFor(segment: SegmentIndex): Promise<OpenSegment> {
    if (this.#open?.segment === segment) return this.#open;
    await this.#closeFile();
    this.#open = { segment, file: await this.#openFile(segment), checkedOffset: -1 };
    return this.#open;
  }

  /** The segment may get its final name meanwhile. */
  async #openFile(segment: SegmentIndex): Promise<File> {
    for (;;) {
      const { name } = segment;
      try {
        return await this.#files.open(this.#files.join(this.#directory, name), { mode: 'read' });
      } catch (error) {
        if (!(error instanceof FileError) || error.code !== 'ENOENT') throw error;
        await segment.renamed;
        if (segment.name === name) throw this.#damage(segment, 0, segment.firstIndex, 'the file is gone', error);
      }
    }
  }

  async #check(open: OpenSegment, file: ReadAhead, index: Index): Promise<void> {
    const { segment } = open;
    const { offset, end } = segment.batchOf(index);
    if (open.checkedOffset === offset) return;
    if ((await file.size()) < end) throw this.#damage(segment, offset, index, 'the file ends inside the batch there');
    const intact = await runScan(file, findLaterBatch(end, offset));
    if (intact !== offset) throw this.#damage(segment, offset, index, 'the batch there is not what was written');
    open.checkedOffset = offset;
  }

  async #closeFile(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.file.close();
  }

  #damage({ name, lastIndex }: SegmentIndex, offset: number, index: Index, what: string, cause?: unknown): Error {
    const lost = `entries ${index} to ${lastIndex} are concerned`;
    return damaged({ directory: this.#directory, file: name, offset, what, lost }, cause);
  }
}
