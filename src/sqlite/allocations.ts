/**
 * A place in SQLite's allocator where the clock can be looked at. SQLite's progress handler comes between instructions
 * of a statement; the compiler, full-text search and functions on large values can work for minutes without it, but
 * not without memory. To let an allocation fail is the one way to stop them: SQLite is made to end cleanly then.
 */

import { assert } from '../lib/assert.ts';
import { SQLITE_OK } from './constants.ts';
import type { Heap } from './heap.ts';
import type { Pointer, SqliteModule } from './wasm.ts';

const CONFIG_MALLOC = 4;
const CONFIG_GETMALLOC = 5;
/** `sqlite3_mem_methods`, and where two of them are. */
const METHODS_SIZE = 32;
const MALLOC_OFFSET = 0;
const REALLOC_OFFSET = 8;

/** A look at the clock for each allocation of this size, and for each so many of smaller ones. */
const LARGE_SIZE = 64 * 1024;
const SMALL_COUNT = 1000;

/** `mayAllocate` is asked now and then; false lets one allocation fail. To be called before SQLite is used at all. */
export function watchAllocations({ wasm }: SqliteModule, heap: Heap, mayAllocate: () => boolean): void {
  const { exports } = wasm;
  const table = exports.__indirect_function_table;
  assert(exports.sqlite3_shutdown() === SQLITE_OK, 'SQLite could not be shut down');
  const methods = exports.malloc(METHODS_SIZE);
  assert(exports.sqlite3__wasm_config_i(CONFIG_GETMALLOC, methods) === SQLITE_OK, 'SQLite hides its allocator');
  const allocate = table.get(heap.uint32(methods + MALLOC_OFFSET)) as (size: number) => Pointer;
  const reallocate = table.get(heap.uint32(methods + REALLOC_OFFSET)) as (pointer: Pointer, size: number) => Pointer;
  let count = 0;
  const isRefused = (size: number): boolean => {
    if (size < LARGE_SIZE && ++count < SMALL_COUNT) return false;
    count = 0;
    return !mayAllocate();
  };
  const watchedMalloc = wasm.installFunction((size: number) => (isRefused(size) ? 0 : allocate(size)), 'i(i)');
  const watchedRealloc = wasm.installFunction(
    (pointer: Pointer, size: number) => (isRefused(size) ? 0 : reallocate(pointer, size)),
    'i(pi)',
  );
  heap.setUint32(methods + MALLOC_OFFSET, watchedMalloc);
  heap.setUint32(methods + REALLOC_OFFSET, watchedRealloc);
  assert(exports.sqlite3__wasm_config_i(CONFIG_MALLOC, methods) === SQLITE_OK, 'SQLite refuses an allocator');
  exports.free(methods);
  assert(exports.sqlite3_initialize() === SQLITE_OK, 'SQLite could not be set up again');
}
