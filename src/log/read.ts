/** Reading files through the host: whole small ones, and big ones by a `FileScan` in bounded memory. */

import type { FileScan } from '../format/index.ts';
import { FileError, type File, type Files } from '../host/types.ts';

/** What reading needs of a file. */
export type Readable = Pick<File, 'path' | 'read' | 'size'>;

/** A file's bytes; undefined if it does not exist. For files of known small size. */
export async function readSmallFile(files: Files, path: string): Promise<Uint8Array | undefined> {
  let file: File;
  try {
    file = await files.open(path, { mode: 'read' });
  } catch (error) {
    if (error instanceof FileError && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return await readExactly(file, 0, await file.size());
  } finally {
    await file.close();
  }
}

/** `size` bytes from `offset` on; fewer is an error, the caller knows the file's size. */
export async function readExactly(file: Readable, offset: number, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size;) {
    const count = await file.read(bytes.subarray(done), offset + done);
    if (count === 0) throw new FileError('EIO', file.path, `${file.path} ended at ${offset + done} while being read`);
    done += count;
  }
  return bytes;
}

/** Answers the requests of a scan from a file. */
export async function runScan<Result>(file: Readable, scan: FileScan<Result>): Promise<Result> {
  let step = scan.next();
  while (step.done !== true) step = scan.next(await readExactly(file, step.value.offset, step.value.size));
  return step.value;
}
