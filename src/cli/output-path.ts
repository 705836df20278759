/** Names of files that a command is to write. */

import { lstatSync } from 'node:fs';
import { DqliteError } from '../lib/errors.ts';

/** Throws DqliteError CONFIGURATION for what exists and is no ordinary file: a device, a folder, a link. It would be replaced. */
export function checkOutputPath(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) {
    throw new DqliteError('CONFIGURATION', `${path} is not an ordinary file, and would be replaced by one`, {
      hint: 'choose another name',
    });
  }
}
