/**
 * Names of the files in a data directory (raft and disk spec section 5.1). The parser is total and
 * strict: a name that C dqlite would not have written is not ours, and `parseFileName` and
 * `formatFileName` are inverse to each other.
 */

import { unreachable } from '../lib/assert.ts';

export type FileName =
  /** Closed segment: entries `first` to `last`. */
  | { readonly kind: 'closed'; readonly first: number; readonly last: number }
  /** Open or preallocated segment. */
  | { readonly kind: 'open'; readonly counter: number }
  | ({ readonly kind: 'snapshot' } & SnapshotName)
  | ({ readonly kind: 'snapshotMeta' } & SnapshotName)
  /** Left over from an interrupted write, to be deleted. `of` is what it was going to be called. */
  | { readonly kind: 'temporary'; readonly of: string };

export interface SnapshotName {
  readonly term: number;
  /** Index of the last entry in the snapshot. */
  readonly index: number;
  /** Milliseconds since some start; orders snapshots of one index, nothing else. */
  readonly timestampMs: number;
}

const INDEX_DIGITS = 16;
const CLOSED = /^(\d{16,})-(\d{16,})$/;
const OPEN = /^open-(\d+)$/;
const SNAPSHOT = /^snapshot-(\d+)-(\d+)-(\d+)(\.meta)?$/;
const TEMPORARY_PREFIX = 'tmp-';

export function formatFileName(name: FileName): string {
  switch (name.kind) {
    case 'closed':
      return `${paddedIndex(name.first)}-${paddedIndex(name.last)}`;
    case 'open':
      return `open-${name.counter}`;
    case 'snapshot':
      return snapshotStem(name);
    case 'snapshotMeta':
      return `${snapshotStem(name)}.meta`;
    case 'temporary':
      return `${TEMPORARY_PREFIX}${name.of}`;
    default:
      return unreachable(name);
  }
}

/** `undefined` for the name of any other file. */
export function parseFileName(text: string): FileName | undefined {
  const name = readFileName(text);
  // Formatting it again finds zeros that do not belong there and numbers that were too large.
  return name !== undefined && formatFileName(name) === text ? name : undefined;
}

function readFileName(text: string): FileName | undefined {
  if (text.startsWith(TEMPORARY_PREFIX)) return { kind: 'temporary', of: text.slice(TEMPORARY_PREFIX.length) };
  const open = OPEN.exec(text);
  if (open !== null) {
    const counter = safeNumber(open[1]);
    return counter >= 1 ? { kind: 'open', counter } : undefined;
  }
  const closed = CLOSED.exec(text);
  if (closed !== null) {
    const first = safeNumber(closed[1]);
    const last = safeNumber(closed[2]);
    return first >= 1 && first <= last ? { kind: 'closed', first, last } : undefined;
  }
  const snapshot = SNAPSHOT.exec(text);
  if (snapshot !== null) {
    return {
      kind: snapshot[4] === undefined ? 'snapshot' : 'snapshotMeta',
      term: safeNumber(snapshot[1]),
      index: safeNumber(snapshot[2]),
      timestampMs: safeNumber(snapshot[3]),
    };
  }
  return undefined;
}

/** NaN if precision would be lost. */
function safeNumber(digits: string | undefined): number {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : NaN;
}

function paddedIndex(index: number): string {
  return String(index).padStart(INDEX_DIGITS, '0');
}

function snapshotStem({ term, index, timestampMs }: SnapshotName): string {
  return `snapshot-${term}-${index}-${timestampMs}`;
}
