/** Names of files that a command is to write. */

import { lstatSync } from 'node:fs';
import { UsageError } from './usage.ts';

/** Throws UsageError for what exists and is no ordinary file: a device, a folder, a link. It would be replaced. */
export function checkOutputPath(path: string, usage: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) {
    throw new UsageError(`${path} is not an ordinary file, and would be replaced by one: choose another name`, usage);
  }
}
