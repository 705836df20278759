/**
 * The two metadata files, which hold term and vote (raft and disk spec section 5.2). Odd versions are
 * written to `metadata1`, even ones to `metadata2`, over what is there: so the state before the last
 * write survives that write, however it ends.
 */

import { assert } from '../lib/assert.ts';
import { DecodeError, Reader, Writer } from '../lib/bytes.ts';

const METADATA_SIZE = 32;
const FORMAT = 1;

export interface Metadata {
  /** 1 for the first write, one more for each. */
  readonly version: number;
  readonly term: number;
  /** The server voted for in `term`, 0 for none. */
  readonly vote: bigint;
}

export type MetadataFile = 'metadata1' | 'metadata2';

export type MetadataChoice =
  | { readonly kind: 'brandNew' }
  | { readonly kind: 'current'; readonly metadata: Metadata }
  /** The creation of `file` was interrupted: delete it and choose again. */
  | { readonly kind: 'short'; readonly file: MetadataFile }
  | { readonly kind: 'damaged'; readonly file: MetadataFile; readonly reason: string };

/** The file that `version` is written to. */
export function metadataFile(version: number): MetadataFile {
  return version % 2 === 1 ? 'metadata1' : 'metadata2';
}

export function encodeMetadata(metadata: Metadata): Uint8Array {
  assert(metadata.version > 0, 'metadata versions start at 1');
  const writer = new Writer(METADATA_SIZE);
  writer.safeUint64(FORMAT);
  writer.safeUint64(metadata.version);
  writer.safeUint64(metadata.term);
  writer.uint64(metadata.vote);
  return writer.copy();
}

/** Throws DecodeError. */
export function decodeMetadata(bytes: Uint8Array): Metadata {
  const reader = new Reader(bytes);
  const format = reader.uint64('metadata format');
  if (format !== BigInt(FORMAT)) throw new DecodeError(`metadata format ${format}`, 0);
  const version = reader.safeUint64('metadata version');
  if (version === 0) throw new DecodeError('metadata version 0', 8);
  const term = reader.safeUint64('term');
  const vote = reader.uint64('vote');
  if (reader.remaining > 0) throw new DecodeError('bytes after the metadata', METADATA_SIZE);
  return { version, term, vote };
}

/** The state that the contents of both files tell. A file that does not exist is `undefined`. */
export function chooseMetadata(metadata1: Uint8Array | undefined, metadata2: Uint8Array | undefined): MetadataChoice {
  const first = chooseFrom('metadata1', metadata1);
  const second = chooseFrom('metadata2', metadata2);
  if (first.kind === 'damaged') return first;
  if (second.kind === 'damaged') return second;

  // Files are written in place, so only the very first write to a file can leave it short. C takes
  // every short file for that; but if the other one tells that it was written before, a vote is lost.
  if (first.kind === 'short') return second.kind === 'brandNew' ? first : shortened('metadata1');
  if (second.kind === 'short') {
    const created = first.kind === 'current' && first.metadata.version === 1;
    return created ? second : shortened('metadata2');
  }

  if (first.kind === 'brandNew') return second;
  if (second.kind === 'brandNew') return first;
  const { version } = first.metadata;
  if (version === second.metadata.version) {
    return { kind: 'damaged', file: 'metadata2', reason: `version ${version}, the same as metadata1` };
  }
  return version > second.metadata.version ? first : second;
}

function chooseFrom(file: MetadataFile, bytes: Uint8Array | undefined): MetadataChoice {
  if (bytes === undefined) return { kind: 'brandNew' };
  if (bytes.length < METADATA_SIZE) return { kind: 'short', file };
  try {
    return { kind: 'current', metadata: decodeMetadata(bytes) };
  } catch (error) {
    if (error instanceof DecodeError) return { kind: 'damaged', file, reason: error.message };
    throw error;
  }
}

function shortened(file: MetadataFile): MetadataChoice {
  return { kind: 'damaged', file, reason: `shorter than ${METADATA_SIZE} bytes, although it was complete before` };
}
