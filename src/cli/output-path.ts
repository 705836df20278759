/** Names of files that a command is to write. */

import { lstatSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DqliteError } from '../lib/errors.ts';

/**
 * Throws DqliteError CONFIGURATION if the folder is not there, and for what exists and is no ordinary file: a device, a
 * folder, a link. It would be replaced.
 */
export function checkOutputPath(path: string): void {
  const folder = statSync(dirname(path), { throwIfNoEntry: false });
  if (folder?.isDirectory() !== true) {
    const what = folder === undefined ? 'does not exist' : 'is not a folder';
    throw new DqliteError('CONFIGURATION', `${path} cannot be written: ${dirname(path)} ${what}`);
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) {
    throw new DqliteError('CONFIGURATION', `${path} is not an ordinary file, and would be replaced by one`, {
      hint: 'choose another name',
    });
  }
}
