/** Removing files through the host. */

import { FileError, type Files } from '../host/types.ts';

/** A file that is not there is no error: an attempt before may have failed after it took effect. */
export async function removeIfThere(files: Files, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (error) {
    if (!(error instanceof FileError) || error.code !== 'ENOENT') throw error;
  }
}
