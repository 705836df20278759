/**
 * Reading segments: every batch with all its checks, in bounded memory, and a precise verdict on how the
 * file ends. Whether an end is fine, a torn tail or damage is for the log to decide, which knows if the
 * segment is open or closed (raft and disk spec section 5.7); `findLaterBatch` helps it to tell the two
 * last apart.
 */

import { DecodeError, Reader, WORD_SIZE } from '../lib/bytes.ts';
import { crc32 } from '../lib/crc32.ts';
import { type FileScan, FileWindow } from './file-window.ts';
import {
  BATCH_ENTRIES_MAX,
  BATCH_PREFIX_SIZE,
  batchDataCrc,
  batchHeaderSize,
  CRCS_SIZE,
  decodeDescriptors,
  DESCRIPTOR_SIZE,
  isBatchHeaderIntact,
  SEGMENT_FORMAT,
  SEGMENT_HEADER_SIZE,
  type StoredEntry,
} from './segment.ts';

/** A batch whose CRCs are both right. */
export interface Batch {
  readonly kind: 'batch';
  /** Where its header begins. */
  readonly offset: number;
  /** Where the next batch begins. */
  readonly end: number;
  readonly entries: readonly StoredEntry[];
}

/**
 * Why there is no further batch. `end` is where the last good one ends. `resumeOffset` is where, at the
 * earliest, a later batch could begin if the one at `end` was damaged.
 */
export type BatchFault =
  /** Nothing but zeros up to the end of the file: preallocated space. */
  | { readonly kind: 'zeroTail'; readonly end: number }
  /** The file ends inside a batch. */
  | { readonly kind: 'truncated'; readonly end: number; readonly resumeOffset: number }
  | {
      readonly kind: 'invalid';
      readonly end: number;
      readonly check: 'entry count' | 'header checksum' | 'data checksum';
      readonly resumeOffset: number;
    }
  /** The header is what was written, but it describes no entries that could be. Never a torn write. */
  | { readonly kind: 'malformed'; readonly end: number; readonly reason: string };

export type SegmentVerdict =
  /** Empty or all zero: never written to. */
  | { readonly kind: 'unused' }
  | { readonly kind: 'wrongFormat'; readonly format: bigint }
  /** The file ends exactly where its last batch ends. */
  | { readonly kind: 'complete'; readonly end: number }
  | BatchFault;

/** Gives every good batch of a segment to `onBatch`, from the first up to the first that is not good. */
export function* scanSegment(fileSize: number, onBatch: (batch: Batch) => void): FileScan<SegmentVerdict> {
  const file = new FileWindow(fileSize);
  if (fileSize < SEGMENT_HEADER_SIZE) {
    return (yield* isZeroFrom(file, 0)) ? { kind: 'unused' } : { kind: 'truncated', end: 0, resumeOffset: fileSize };
  }
  const format = new Reader(yield* file.exactly(0, SEGMENT_HEADER_SIZE)).uint64('format');
  if (format === 0n && (yield* isZeroFrom(file, SEGMENT_HEADER_SIZE))) return { kind: 'unused' };
  if (format !== SEGMENT_FORMAT) return { kind: 'wrongFormat', format };

  let offset = SEGMENT_HEADER_SIZE;
  while (offset < fileSize) {
    const batch = yield* readBatch(file, offset);
    if (batch.kind !== 'batch') return batch;
    onBatch(batch);
    offset = batch.end;
  }
  return { kind: 'complete', end: offset };
}

/**
 * The offset of the first batch at or after `start` whose CRCs are right, if there is one. After an
 * invalid batch in an open segment it tells damage from a torn write, which is always the last one. It
 * errs on the side of damage: a segment file that a client stored as a blob looks the same.
 */
export function* findLaterBatch(fileSize: number, start: number): FileScan<number | undefined> {
  const file = new FileWindow(fileSize);
  const sizeMin = batchHeaderSize(1);
  let offset = start;
  while (offset + sizeMin <= fileSize) {
    let bytes = yield* file.some(offset, fileSize);
    if (bytes.length < sizeMin) bytes = yield* file.exactly(offset, sizeMin);
    const distance = findCandidate(bytes, fileSize - offset);
    if (distance === undefined) {
      // The last positions that did not fit are looked at again with the bytes that follow.
      offset += Math.floor((bytes.length - sizeMin) / WORD_SIZE + 1) * WORD_SIZE;
      continue;
    }
    offset += distance;
    const batch = yield* readBatch(file, offset);
    if (batch.kind === 'batch' || batch.kind === 'malformed') return offset;
    offset += WORD_SIZE;
  }
  return undefined;
}

/**
 * The first position in `bytes` that looks like a batch, as cheaply as can be: its entry count and its
 * first descriptor are possible in a file that has `sizeLeft` more bytes. All sizes are multiples of a
 * word, so batches begin at whole words only.
 */
function findCandidate(bytes: Uint8Array, sizeLeft: number): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = 0; offset + batchHeaderSize(1) <= bytes.length; offset += WORD_SIZE) {
    const count = view.getUint32(offset + 8, true);
    if (count === 0 || count > BATCH_ENTRIES_MAX || view.getUint32(offset + 12, true) !== 0) continue;
    const dataSize = view.getUint32(offset + BATCH_PREFIX_SIZE + DESCRIPTOR_SIZE - 4, true);
    const typeCode = view.getUint8(offset + BATCH_PREFIX_SIZE + 8);
    if (dataSize % WORD_SIZE !== 0 || typeCode < 1 || typeCode > 3) continue;
    if (batchHeaderSize(count) + dataSize <= sizeLeft - offset) return offset;
  }
  return undefined;
}

function* readBatch(file: FileWindow, offset: number): FileScan<Batch | BatchFault> {
  const sizeLeft = file.fileSize - offset;
  if (sizeLeft < BATCH_PREFIX_SIZE) {
    if (yield* isZeroFrom(file, offset)) return { kind: 'zeroTail', end: offset };
    return { kind: 'truncated', end: offset, resumeOffset: file.fileSize };
  }
  const count = new Reader(yield* file.exactly(offset, BATCH_PREFIX_SIZE), CRCS_SIZE).uint64('entry count');
  // Zeros have the CRC 0 and would pass for an intact header: the count is looked at first.
  if (count === 0n && (yield* isZeroFrom(file, offset))) return { kind: 'zeroTail', end: offset };
  // Until the header is known to be intact, nothing it says about its size can be skipped.
  const resumeOffset = offset + WORD_SIZE;
  if (count === 0n || count > BATCH_ENTRIES_MAX) {
    return { kind: 'invalid', end: offset, check: 'entry count', resumeOffset };
  }
  const headerSize = batchHeaderSize(Number(count));
  if (headerSize > sizeLeft) return { kind: 'truncated', end: offset, resumeOffset };
  const header = yield* file.exactly(offset, headerSize);
  if (!isBatchHeaderIntact(header)) return { kind: 'invalid', end: offset, check: 'header checksum', resumeOffset };

  const expectedCrc = batchDataCrc(header);
  const entries = describedEntries(header, offset + headerSize);
  if (entries instanceof DecodeError) return { kind: 'malformed', end: offset, reason: entries.message };
  const end = entries.reduce((sum, entry) => sum + entry.dataSize, offset + headerSize);
  if (end > file.fileSize) return { kind: 'truncated', end: offset, resumeOffset: file.fileSize };
  const dataCrc = yield* rangeCrc(file, offset + headerSize, end);
  if (dataCrc !== expectedCrc) return { kind: 'invalid', end: offset, check: 'data checksum', resumeOffset: end };
  return { kind: 'batch', offset, end, entries };
}

function describedEntries(header: Uint8Array, dataOffset: number): StoredEntry[] | DecodeError {
  try {
    return decodeDescriptors(header, dataOffset);
  } catch (error) {
    if (error instanceof DecodeError) return error;
    throw error;
  }
}

function* rangeCrc(file: FileWindow, start: number, end: number): FileScan<number> {
  let crc = 0;
  for (let offset = start; offset < end;) {
    const bytes = yield* file.some(offset, end - offset);
    crc = crc32(bytes, crc);
    offset += bytes.length;
  }
  return crc;
}

function* isZeroFrom(file: FileWindow, start: number): FileScan<boolean> {
  for (let offset = start; offset < file.fileSize;) {
    const bytes = yield* file.some(offset, file.fileSize - offset);
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
    offset += bytes.length;
  }
  return true;
}
