/**
 * Closing segments in the background: cut at the last batch, renamed to the range of their entries. Strictly in their
 * order, for open segments count on from the last closed one: a later segment must not get its name while an
 * earlier one has none. What cannot be closed is safe, the next start finds it as an open segment.
 */

import { formatFileName } from '../format/index.ts';
import { mayPass, type Files, type Logger } from '../host/types.ts';
import { messageOf } from '../lib/errors.ts';
import { removeIfThere } from './remove.ts';
import type { SegmentIndex } from './segment-index.ts';
import type { SegmentWriter } from './segment-writer.ts';

/** A segment that entries are or were appended to. */
export interface WrittenSegment {
  readonly writer: SegmentWriter;
  readonly index: SegmentIndex;
}

export interface SegmentCloserOptions {
  readonly files: Files;
  readonly directory: string;
  readonly logger: Logger;
}

export class SegmentCloser {
  readonly #options: SegmentCloserOptions;
  /** An empty segment was removed. */
  readonly #removed: (segment: WrittenSegment) => void;
  /** Oldest first. */
  readonly #waiting: WrittenSegment[] = [];
  #idle: Promise<void> = Promise.resolve();
  /** Something went wrong that must not be tried again: segments stay open until the next start. */
  #failed = false;
  #error: unknown = undefined;

  constructor(options: SegmentCloserOptions, removed: (segment: WrittenSegment) => void) {
    this.#options = options;
    this.#removed = removed;
  }

  /** Settles when nothing is being closed any more. Never rejects. */
  get idle(): Promise<void> {
    return this.#idle;
  }

  /** The oldest segment that is not closed. */
  get oldest(): WrittenSegment | undefined {
    return this.#waiting[0];
  }

  /** Why the oldest segment could not be closed at the last attempt; undefined if there will be no other. */
  get error(): unknown {
    return this.#failed ? undefined : this.#error;
  }

  /** Closes a segment, or removes it if it is empty, after those that wait already. */
  add(segment: WrittenSegment): void {
    this.#waiting.push(segment);
    this.tryAgain();
  }

  /** A disk that was full may have space now. */
  tryAgain(): void {
    this.#idle = this.#idle.then(() => this.#closeAll());
  }

  /** Closes the files of what could not be closed otherwise. */
  async abandon(): Promise<void> {
    for (const { writer } of this.#waiting) await writer.abandon();
  }

  async #closeAll(): Promise<void> {
    for (;;) {
      const oldest = this.#waiting[0];
      if (oldest === undefined || this.#failed) return;
      try {
        await this.#close(oldest);
        this.#error = undefined;
        this.#waiting.shift();
      } catch (error) {
        this.#error = error;
        this.#failed = !mayPass(error) || oldest.writer.syncFailed;
        const fields = { file: oldest.writer.name, error: messageOf(error), triedAgain: !this.#failed };
        this.#options.logger.error(fields, 'a full segment could not be closed');
        return;
      }
    }
  }

  async #close(segment: WrittenSegment): Promise<void> {
    const { files, directory } = this.#options;
    const { writer, index } = segment;
    if (index.isEmpty) {
      await writer.abandon();
      await removeIfThere(files, files.join(directory, writer.name));
      this.#removed(segment);
    } else {
      await writer.finish();
      const name = formatFileName({ kind: 'closed', first: index.firstIndex, last: index.lastIndex });
      if (index.name !== name) await this.#rename(index, name);
    }
    await files.syncDirectory(directory);
  }

  async #rename(index: SegmentIndex, name: string): Promise<void> {
    const { files, directory } = this.#options;
    const renamed = files.rename(files.join(directory, index.name), files.join(directory, name)).then(() => {
      index.name = name;
    });
    index.renamed = renamed.catch(() => {});
    await renamed;
  }
}
