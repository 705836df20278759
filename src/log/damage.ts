/**
 * Errors of a data directory that cannot be used as it is: which file, where in it, which log entries are
 * concerned, and what can be done. Nothing is ever repaired by guessing (design rule 27).
 */

import { DqliteError } from '../lib/errors.ts';

export interface Damage {
  readonly directory: string;
  readonly file: string;
  readonly offset?: number | undefined;
  readonly what: string;
  /** What is lost or in doubt. */
  readonly lost: string;
}

export function damaged({ directory, file, offset, what, lost }: Damage, cause?: unknown): DqliteError {
  const where = offset === undefined ? file : `${file} at offset ${offset}`;
  return new DqliteError('DAMAGED', `${directory}: ${where}: ${what}; ${lost}`, {
    hint:
      'in a cluster, remove this node and let one with an empty directory, and with another id than 1, join in its ' +
      'place; otherwise restore the directory from a backup. The files were left as they are',
    cause,
  });
}
