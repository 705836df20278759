/**
 * Reading FAILURE bodies (wire spec sections 4.2, 4.3). The clean form is a code and a message. When a query fails
 * while stepping, C servers append both to what they had already written of the rows, so the body is read from its end:
 * the message is the last word with the words before it that hold no NUL byte, the code is the word in front. A clean
 * body reads the same, because a code's highest byte is 0.
 */

import { DecodeError, Reader, WORD_SIZE, decodeUtf8, pad8, textLength } from '../lib/bytes.ts';

export interface Failure {
  readonly code: number;
  readonly message: string;
}

/** Throws `DecodeError` if the body does not end in a code and a text. */
export function decodeFailure(body: Uint8Array): Failure {
  const lastWord = body.length - WORD_SIZE;
  const length = lastWord < 0 ? -1 : textLength(body, lastWord, body.length);
  if (length === -1) throw new DecodeError('failure without message', Math.max(0, lastWord));
  const nul = lastWord === 0 ? -1 : body.lastIndexOf(0, lastWord - 1);
  if (nul === -1) throw new DecodeError('failure without code', 0);
  const start = pad8(nul + 1);
  const code = new Reader(body, start - WORD_SIZE).safeUint64('failure code');
  return { code, message: decodeUtf8(body.subarray(start, lastWord + length)) };
}
