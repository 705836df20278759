/**
 * DUMP: a database as a file, piece by piece while it is sent (wire spec section 4.5). Everything is in the main
 * file; the second one, which C dqlite's clients expect to be the WAL, is empty.
 */

import { encodeUtf8, type Writer } from '../lib/bytes.ts';
import type { DatabaseImage } from '../engine/index.ts';
import { responseType, writeHeader } from '../wire/index.ts';

/** dqlite cuts the names at this length. */
const MAX_FILE_NAME_SIZE = 1019;
const WAL_SUFFIX = encodeUtf8('-wal');

export class DumpStream {
  readonly #image: DatabaseImage;
  readonly #pages: Iterator<Uint8Array>;
  #started = false;

  /** Takes over the image: releases it in the end. */
  constructor(image: DatabaseImage) {
    this.#image = image;
    this.#pages = image.pages();
  }

  /** All of it is one message. */
  get mayStop(): boolean {
    return false;
  }

  /** Appends up to about `size` bytes. True at the end. */
  fill(writer: Writer, size: number): boolean {
    if (!this.#started) this.#begin(writer);
    while (writer.offset < size) {
      const page = this.#pages.next();
      if (page.done === true) {
        writer.textBytes(walName(this.#image.name));
        writer.safeUint64(0);
        return true;
      }
      writer.raw(page.value);
    }
    return false;
  }

  close(): void {
    this.#image.release();
  }

  /** The message's header, which states the size of everything, and the first file's. */
  #begin(writer: Writer): void {
    this.#started = true;
    const { name, size } = this.#image;
    const header = writer.offset;
    writeHeader(writer, { type: responseType.files, schema: 0, bodySize: 0 });
    const body = writer.offset;
    writer.safeUint64(2);
    writer.textBytes(name.subarray(0, MAX_FILE_NAME_SIZE));
    writer.safeUint64(size);
    const prefix = writer.offset - body;
    writer.textBytes(walName(name));
    const suffix = writer.offset - body - prefix + 8;
    writer.offset = body + prefix;
    writer.view.setUint32(header, (prefix + size + suffix) / 8, true);
  }
}

function walName(name: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(name.length + WAL_SUFFIX.length);
  bytes.set(name);
  bytes.set(WAL_SUFFIX, name.length);
  return bytes.subarray(0, MAX_FILE_NAME_SIZE);
}
