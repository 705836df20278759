/**
 * Writing text (wire spec section 2.1). Text ends at its first NUL and the padding is counted from there: a
 * NUL inside would not only cut the value, it would displace everything behind it for the reader. So a NUL is
 * either refused or the text is cut here; which of the two is the caller's choice by name.
 */

import type { Writer } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';

/** Writes text that must arrive whole. Throws `DqliteError` USAGE if a NUL is inside. */
export function writeText(writer: Writer, text: Uint8Array): void {
  if (text.includes(0)) {
    throw new DqliteError('USAGE', 'text with a NUL character inside cannot be sent', {
      hint: 'Send it as a BLOB.',
    });
  }
  writer.textBytes(text);
}

/** Writes text up to its first NUL, as C dqlite does with SQLite's texts. */
export function writeTextCut(writer: Writer, text: Uint8Array): void {
  const end = text.indexOf(0);
  writer.textBytes(end === -1 ? text : text.subarray(0, end));
}
