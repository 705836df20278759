/** `for await` over a stream of rows: takes the connection with the first row, gives it back after the last. */

import { DqliteError } from '../lib/errors.ts';
import type { RowStream } from './row-stream.ts';

/** A stream that was opened. */
export interface OpenedStream {
  readonly stream: RowStream;
  /** Gives everything back when the stream is over; rejects with why it ended, if not as it should. */
  end(): Promise<void>;
}

const DONE: IteratorResult<unknown> = { done: true, value: undefined };

export class RowIterator implements AsyncIterableIterator<unknown> {
  readonly #open: () => Promise<OpenedStream>;
  #opened: OpenedStream | undefined = undefined;
  #isOver = false;
  /** Calls that have to wait go one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(open: () => Promise<OpenedStream>) {
    this.#open = open;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  next(): Promise<IteratorResult<unknown>> {
    const opened = this.#opened;
    if (opened !== undefined && !this.#isOver) {
      try {
        const value = opened.stream.take();
        if (value !== undefined) return Promise.resolve({ done: false, value });
      } catch (error) {
        return this.#failed(opened, error);
      }
    }
    const result = this.#tail.then(() => this.#next());
    this.#tail = result.catch(() => {});
    return result;
  }

  async #next(): Promise<IteratorResult<unknown>> {
    if (this.#isOver) return DONE;
    let opened = this.#opened;
    if (opened === undefined) {
      try {
        opened = this.#opened = await this.#open();
      } catch (error) {
        this.#isOver = true;
        throw error;
      }
    }
    const { stream } = opened;
    for (;;) {
      let value: unknown;
      try {
        value = stream.take();
      } catch (error) {
        return this.#failed(opened, error);
      }
      if (value !== undefined) return { done: false, value };
      if (stream.end !== undefined) break;
      await stream.more();
    }
    this.#isOver = true;
    await opened.end();
    return DONE;
  }

  /** A row cannot be given. */
  async #failed(opened: OpenedStream, error: unknown): Promise<never> {
    this.#isOver = true;
    opened.stream.stop();
    await opened.end().catch(() => {});
    if (error instanceof RangeError) throw error;
    throw new DqliteError('PROTOCOL', 'the server sent rows that cannot be understood', { cause: error });
  }

  /** The loop was left. Resolves when the connection is free for others. */
  async return(): Promise<IteratorResult<unknown>> {
    await this.#tail;
    const opened = this.#opened;
    if (this.#isOver || opened === undefined) {
      this.#isOver = true;
      return DONE;
    }
    this.#isOver = true;
    opened.stream.stop();
    await opened.end().catch(() => {});
    return DONE;
  }
}
