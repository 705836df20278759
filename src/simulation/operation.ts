/** What files and open files of a simulated process have in common: an operation that takes effect, then resolves. */

import { FileError, type FileErrorCode } from '../host/types.ts';
import type { Disk } from './disk.ts';
import type { OperationKind } from './faults.ts';
import type { ContentMap } from './folder.ts';

/** Where an operation takes effect: this disk, or a copy on which a process that ended had begun it. */
export interface Place {
  readonly disk: Disk;
  readonly content: ContentMap;
}

export interface Operation<Result> {
  readonly kind: OperationKind;
  readonly path: string;
  /** Bytes to be written. */
  readonly size?: number;
  /** Takes effect; a write with less than its size does so in part. Throws FileError. */
  readonly begin: (place: Place, size: number) => Result;
  /** What the operation promises is true from now on. */
  readonly resolved?: (result: Result) => void;
  /** It failed with EIO after it may have written something. */
  readonly failed?: () => void;
}

const MESSAGES: Readonly<Record<FileErrorCode, string>> = {
  ENOENT: 'no such file or directory',
  EEXIST: 'the file exists',
  ENOSPC: 'no space left on device',
  EMFILE: 'too many open files',
  EIO: 'input/output error',
  EACCES: 'permission denied',
  OTHER: 'not possible',
};

export function simulatedError(code: FileErrorCode, path: string, what: string = MESSAGES[code]): FileError {
  return new FileError(code, path, `${path}: ${what} (simulated)`);
}

/** Carries out operations: the process that an open file belongs to. */
export interface Performer {
  perform<Result>(operation: Operation<Result>): Promise<Result>;
}
