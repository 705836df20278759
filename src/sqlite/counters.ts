/**
 * The counters behind `changes()` and `total_changes()`. A client's statements run on several connections, so a
 * connection must go on counting where another has stopped. SQLite can set only the last rowid; it keeps the other
 * two in its connection object, and where in there is found out by experiment: no layout is assumed.
 */

import { assert } from '../lib/assert.ts';
import type { Heap } from './heap.ts';
import type { Exports, Pointer } from './wasm.ts';

export interface CounterOffsets {
  readonly changes: number;
  readonly totalChanges: number;
}

/** What no part of a connection object holds by chance. */
const PATTERN = 0x5eed_1dea;

/** Where the counters of any connection are, found in an open one. */
export function findCounters(exports: Exports, heap: Heap, db: Pointer): CounterOffsets {
  const changes = find(exports, heap, db, exports.sqlite3_changes);
  const totalChanges = find(exports, heap, db, exports.sqlite3_total_changes);
  return { changes, totalChanges };
}

function find(exports: Exports, heap: Heap, db: Pointer, read: (db: Pointer) => number): number {
  const before = read(db);
  const size = Number(exports.sqlite3_msize(db));
  for (let offset = 0; offset < size; offset += 8) {
    const word = heap.uint32(db + offset);
    heap.setUint32(db + offset, PATTERN);
    const found = read(db) === PATTERN;
    heap.setUint32(db + offset, word);
    if (found) return offset;
  }
  assert(false, `the counter that is ${before} is not in the connection`);
}

/** A counter: 64 bits, never negative. */
export function readCounter(heap: Heap, pointer: Pointer): number {
  return heap.uint32(pointer) + heap.uint32(pointer + 4) * 2 ** 32;
}

export function writeCounter(heap: Heap, pointer: Pointer, value: number): void {
  heap.setUint32(pointer, value);
  heap.setUint32(pointer + 4, Math.floor(value / 2 ** 32));
}
