/** Text in and out of the shell: streams as lines, output that waits for whoever reads it. */

import { createReadStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { systemText } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import { withoutControls } from './sql-width.ts';

/** Whoever read the output has gone. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed';
}

export class Output {
  readonly #stream: Writable;
  readonly isTerminal: boolean;
  #isClosed = false;

  constructor(stream: Writable & { readonly isTTY?: boolean }) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
    stream.on('error', () => {
      this.#isClosed = true;
    });
  }

  /**
   * Resolves when more can be written. Rejects with OutputClosed. What data would do to a terminal is shown there instead:
   * nothing that is printed here has control sequences of its own.
   */
  async write(text: string): Promise<void> {
    if (text === '') return;
    if (this.#isClosed || this.#stream.destroyed) throw new OutputClosed();
    if (this.#stream.write(this.isTerminal ? withoutControls(text) : text)) return;
    await new Promise<void>(resolve => {
      const go = (): void => {
        this.#stream.off('drain', go).off('close', go).off('error', go);
        resolve();
      };
      this.#stream.on('drain', go).on('close', go).on('error', go);
    });
    if (this.#isClosed) throw new OutputClosed();
  }
}

/** The text of a stream of UTF-8, in pieces. Rejects with DqliteError USAGE for other bytes. */
export async function* textOf(bytes: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let lines = 1;
  const decode = (piece?: Uint8Array): string => {
    try {
      return decoder.decode(piece, { stream: piece !== undefined });
    } catch {
      throw new DqliteError('USAGE', `${name}, at or behind line ${lines}: this is not UTF-8`);
    }
  };
  for await (const piece of bytes) {
    const text = decode(piece);
    lines += text.split('\n').length - 1;
    yield text;
  }
  yield decode();
}

/** The lines of a text in pieces, with their ends; the last may have none. */
export async function* linesOf(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let rest: string[] = [];
  for await (const piece of pieces) {
    let position = 0;
    for (let end = piece.indexOf('\n'); end !== -1; end = piece.indexOf('\n', position)) {
      yield [...rest, piece.slice(position, end + 1)].join('');
      rest = [];
      position = end + 1;
    }
    if (position < piece.length) rest.push(piece.slice(position));
  }
  if (rest.length > 0) yield rest.join('');
}

/** The text of a file, in pieces. Rejects with DqliteError IO. */
export async function* fileText(path: string): AsyncGenerator<string> {
  try {
    yield* textOf(createReadStream(path), path);
  } catch (error) {
    if (error instanceof DqliteError) throw error;
    throw new DqliteError('IO', `cannot read ${path}: ${systemText(error)}`, { cause: error });
  }
}
