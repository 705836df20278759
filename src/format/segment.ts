/**
 * Segments, the files of the log (raft and disk spec section 5.4): a format word, then batches back to
 * back. A batch is a header with two CRCs and one descriptor per entry, and the data of the entries.
 * This file knows one batch header; `segment-scan.ts` reads whole files.
 */

import { assert } from '../lib/assert.ts';
import { DecodeError, WORD_SIZE } from '../lib/bytes.ts';
import { crc32 } from '../lib/crc32.ts';

export const SEGMENT_FORMAT: bigint = 1n;
export const SEGMENT_HEADER_SIZE = 8;
/** What open segments are preallocated to, and filled up to before the next one is begun. */
export const OPEN_SEGMENT_SIZE: number = 8 * 1024 * 1024;

/** The two CRCs and the number of entries. */
export const BATCH_PREFIX_SIZE = 16;
export const DESCRIPTOR_SIZE = 16;
export const BATCH_ENTRIES_MAX = 262_144;
/** The CRC of the header covers all of it but this. */
export const CRCS_SIZE = 8;
const DATA_SIZE_MAX = 0xffff_ffff;

/** A command for the databases; a barrier, which does nothing; a new cluster configuration. */
export type EntryType = 'command' | 'barrier' | 'change';

/** Indexed by the type code of raft and disk spec section 4.1. */
const ENTRY_TYPES: readonly (EntryType | undefined)[] = [undefined, 'command', 'barrier', 'change'];

/** An entry to be written. */
export interface SegmentEntry {
  readonly term: number;
  readonly type: EntryType;
  /** A multiple of 8 bytes, which C nodes insist on. */
  readonly data: Uint8Array;
}

/** An entry as it lies in a file. */
export interface StoredEntry {
  readonly term: number;
  readonly type: EntryType;
  readonly dataOffset: number;
  readonly dataSize: number;
}

export function encodeSegmentHeader(): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_SIZE);
  viewOf(bytes).setBigUint64(0, SEGMENT_FORMAT, true);
  return bytes;
}

export function batchHeaderSize(entryCount: number): number {
  return BATCH_PREFIX_SIZE + DESCRIPTOR_SIZE * entryCount;
}

/**
 * The header of a batch of 1 to BATCH_ENTRIES_MAX entries. The batch is this header followed by the data
 * of the entries, which is not copied: write both with one vectored write. `dataCrc` is the CRC of all
 * data, for callers that compute it in slices.
 */
export function encodeBatchHeader(entries: readonly SegmentEntry[], dataCrc: number = dataCrcOf(entries)): Uint8Array {
  assert(entries.length >= 1 && entries.length <= BATCH_ENTRIES_MAX, `batch of ${entries.length} entries`);
  const header = new Uint8Array(batchHeaderSize(entries.length));
  const view = viewOf(header);
  view.setUint32(8, entries.length, true);
  let offset = BATCH_PREFIX_SIZE;
  for (const { term, type, data } of entries) {
    assert(data.length % WORD_SIZE === 0 && data.length <= DATA_SIZE_MAX, `entry of ${data.length} bytes`);
    view.setBigUint64(offset, BigInt(term), true);
    view.setUint8(offset + 8, ENTRY_TYPES.indexOf(type));
    view.setUint32(offset + 12, data.length, true);
    offset += DESCRIPTOR_SIZE;
  }
  view.setUint32(0, crc32(header.subarray(CRCS_SIZE)), true);
  view.setUint32(4, dataCrc, true);
  return header;
}

function dataCrcOf(entries: readonly SegmentEntry[]): number {
  return entries.reduce((crc, { data }) => crc32(data, crc), 0);
}

/** Whether the header is what was written. Its size must be right already. */
export function isBatchHeaderIntact(header: Uint8Array): boolean {
  return viewOf(header).getUint32(0, true) === crc32(header.subarray(CRCS_SIZE));
}

/** The CRC that the data of all entries together must have. */
export function batchDataCrc(header: Uint8Array): number {
  return viewOf(header).getUint32(4, true);
}

/**
 * The entries that an intact header describes; their data begins at `dataOffset`. The three bytes after
 * the type are ignored, C leaves garbage there. Throws DecodeError, with the offset in the header.
 */
export function decodeDescriptors(header: Uint8Array, dataOffset: number): StoredEntry[] {
  const view = viewOf(header);
  const entries: StoredEntry[] = [];
  let nextDataOffset = dataOffset;
  for (let offset = BATCH_PREFIX_SIZE; offset < header.length; offset += DESCRIPTOR_SIZE) {
    const term = view.getBigUint64(offset, true);
    const code = view.getUint8(offset + 8);
    const dataSize = view.getUint32(offset + 12, true);
    const type = ENTRY_TYPES[code];
    if (term > Number.MAX_SAFE_INTEGER) throw new DecodeError(`term ${term}`, offset);
    if (type === undefined) throw new DecodeError(`entry type ${code}`, offset + 8);
    if (dataSize % WORD_SIZE !== 0) throw new DecodeError(`entry of ${dataSize} bytes`, offset + 12);
    entries.push({ term: Number(term), type, dataOffset: nextDataOffset, dataSize });
    nextDataOffset += dataSize;
  }
  return entries;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
