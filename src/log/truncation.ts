/**
 * Taking back the end of the log (raft and disk spec section 5.7): entries that were never committed, because another
 * leader's took their places. Steps that survive a crash between any two of them:
 *
 * 1. If the cut is inside a segment, what stays of it is written as a closed segment of its own, `first-(cut-1)`, beside
 *    the longer one that begins at the same entry.
 * 2. Segments after the cut are removed, the newest first, then the longer one.
 *
 * Two closed segments that begin at the same entry are therefore a truncation that was not finished: it is finished
 * when the directory is opened (`load-segments.ts`).
 */

import { encodeBatchHeader, encodeSegmentHeader, formatFileName } from '../format/index.ts';
import type { Files } from '../host/types.ts';
import { crc32 } from '../lib/crc32.ts';
import type { Entry, Index } from '../raft/index.ts';
import { removeIfThere } from './remove.ts';
import { SegmentIndex } from './segment-index.ts';

/** Writes entries, the first at `firstIndex`, as a closed segment of one batch. Durable when it resolves. */
export async function writeClosedSegment(
  files: Files,
  directory: string,
  firstIndex: Index,
  entries: readonly Entry[],
): Promise<SegmentIndex> {
  const name = formatFileName({ kind: 'closed', first: firstIndex, last: firstIndex + entries.length - 1 });
  const index = new SegmentIndex(name, firstIndex);
  const prefix = encodeSegmentHeader();
  let crc = 0;
  for (const { data } of entries) crc = crc32(data, crc);
  const header = encodeBatchHeader(entries, crc);
  index.beginBatch(prefix.length);
  let offset = prefix.length + header.length;
  for (const { term, type, data } of entries) {
    index.add(term, type, offset, data.length);
    offset += data.length;
  }
  index.end = offset;
  const temporary = files.join(directory, formatFileName({ kind: 'temporary', of: name }));
  await removeIfThere(files, temporary); // of an attempt that failed
  const file = await files.open(temporary, { mode: 'create', durable: true });
  try {
    await file.write([prefix, header, ...entries.map(({ data }) => data)], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(temporary, files.join(directory, name));
  await files.syncDirectory(directory);
  return index;
}

/** Removes segments, the last one first, each for good before the next. */
export async function removeFromEnd(files: Files, directory: string, names: readonly string[]): Promise<void> {
  for (const name of names.toReversed()) {
    await removeIfThere(files, files.join(directory, name));
    await files.syncDirectory(directory);
  }
}
