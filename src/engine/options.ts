/** Settings and limits of the engine. Each limit is met with an error that names it. */

import type { SqliteLimits } from '../sqlite/index.ts';

export interface EngineOptions {
  /** How long a write waits for the write lock before it fails with 5 `database is locked`. */
  readonly busyTimeoutMs: number;
  /** How long a client may leave a write transaction idle before it is rolled back; 0: for ever. */
  readonly transactionIdleTimeoutMs: number;
  /** Longest time that one step of a statement may take, all other clients waiting; 0: no limit. */
  readonly maxStepMs: number;
  /** Rows of a RETURNING clause that are kept until the write is committed, in bytes. */
  readonly maxSpoolBytes: number;
  /** Largest row that is sent. */
  readonly maxRowBytes: number;
  /** Prepared statements of one client connection. */
  readonly maxStatements: number;
  /** Memory of page versions that only old reads need, before the oldest of them are ended. */
  readonly maxOldVersionBytes: number;
  /** VACUUM needs the database twice more in memory: larger ones are refused. */
  readonly maxVacuumBytes: number;
  readonly sqlite: SqliteLimits;
}

const MIB = 1024 * 1024;

export const defaultEngineOptions: EngineOptions = {
  busyTimeoutMs: 5000,
  transactionIdleTimeoutMs: 30_000,
  maxStepMs: 2000,
  maxSpoolBytes: 8 * MIB,
  maxRowBytes: 256 * MIB,
  maxStatements: 10_000,
  maxOldVersionBytes: 256 * MIB,
  maxVacuumBytes: 64 * MIB,
  sqlite: {
    maxValueBytes: 128 * MIB,
    maxTransactionBytes: 64 * MIB,
    heapBytes: 1024 * MIB,
    tempBytesPerConnection: 256 * MIB,
    tempBytes: 1024 * MIB,
    cacheKib: 1024,
  },
};

/** Pages of distinct content at which a batch is sealed although the slot is taken. */
export const BATCH_BYTES: number = 4 * MIB;
/** Sealed bytes waiting for a slot, above which writes of a database wait. */
export const MAX_SEALED_BYTES: number = 32 * MIB;
/** Entry bytes gathered into one slot. */
export const SLOT_BYTES: number = 8 * MIB;
/** Up to here a write to the disk costs about the same, whatever its size. */
export const SMALL_BATCH_BYTES: number = 64 * 1024;
/** Longest time that rows are produced without a pause for other clients. */
export const SLICE_MS = 10;
/** A read is ended for its memory only if it is at least this old. */
export const OLD_READ_MS = 10_000;
