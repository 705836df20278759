/**
 * What client SQL may do, and what it is: SQLite asks here about everything a statement will touch while it
 * compiles. Two purposes.
 *
 * *Denial* (result 23 `not authorized`): what would break replication or reach outside the database (wire spec
 * section 6.2; design rule 25 and "the page store and its VFS").
 *
 * *Facts*: whether the statement uses or changes state that belongs to one client's connection. Autocommit
 * reads without such facts run on connections that all clients share.
 */

import {
  ACTION_ATTACH,
  ACTION_CREATE_TEMP_INDEX,
  ACTION_CREATE_TEMP_VIEW,
  ACTION_DELETE,
  ACTION_DETACH,
  ACTION_DROP_TEMP_INDEX,
  ACTION_DROP_TEMP_VIEW,
  ACTION_FUNCTION,
  ACTION_INSERT,
  ACTION_PRAGMA,
  ACTION_READ,
  ACTION_SAVEPOINT,
  ACTION_TRANSACTION,
  ACTION_UPDATE,
  AUTHORIZER_DENY,
  SQLITE_OK,
} from './constants.ts';
import type { Heap } from './heap.ts';
import type { Pointer } from './wasm.ts';

const ACTION_CREATE_VTABLE = 29;

/** The statement needs the client's own connection. */
export const FACT_SESSION = 1;
/** The statement leaves state behind on the client's own connection (temporary objects, settings). */
export const FACT_STICKY = 2;
/** `PRAGMA journal_mode` without a value: answered `wal`, as dqlite does. */
export const FACT_JOURNAL_MODE = 4;
/** `PRAGMA delete_database` (wire spec section 5.12). */
export const FACT_DELETE_DATABASE = 8;

/** The statement may write although SQLite calls it read-only (design rule 7). */
export const FACT_MAY_WRITE = 16;

/** The statement is a pragma: what it gives may have been settled while it compiled. */
export const FACT_PRAGMA = 32;

/** Largest page cache that a client may ask for, per connection. */
const MAX_CACHE_BYTES = 16 * 1024 * 1024;

/** Pragmas that no client may use in any form. */
const DENIED_PRAGMAS: ReadonlySet<string> = new Set([
  'wal_checkpoint',
  'busy_timeout',
  'read_uncommitted',
  'locking_mode',
  // Of the whole process, or reaching outside the database:
  'hard_heap_limit',
  'soft_heap_limit',
  'temp_store_directory',
  'data_store_directory',
  'mmap_size',
]);

/** Pragmas that may be read, not set. */
const READ_ONLY_PRAGMAS: ReadonlySet<string> = new Set([
  'journal_mode',
  'page_size',
  'synchronous',
  'wal_autocheckpoint',
  // Memory outside the heap and its limits depend on these:
  'temp_store',
  'cache_spill',
  'default_cache_size',
]);

/** Pragmas that read the database or change it for everyone: they leave nothing on the connection. */
const STATELESS_PRAGMAS: ReadonlySet<string> = new Set([
  'application_id',
  'auto_vacuum',
  'collation_list',
  'compile_options',
  'database_list',
  'encoding',
  'foreign_key_check',
  'foreign_key_list',
  'freelist_count',
  'function_list',
  'incremental_vacuum',
  'index_info',
  'index_list',
  'index_xinfo',
  'integrity_check',
  'module_list',
  'optimize',
  'page_count',
  'pragma_list',
  'quick_check',
  'schema_version',
  'table_info',
  'table_list',
  'table_xinfo',
  'user_version',
]);

/** Functions whose value belongs to the connection. */
const SESSION_FUNCTIONS: ReadonlySet<string> = new Set(['last_insert_rowid', 'changes', 'total_changes']);

export interface Verdict {
  /** SQLITE_OK or AUTHORIZER_DENY. */
  readonly answer: number;
  readonly facts: number;
}

const ALLOWED: Verdict = { answer: SQLITE_OK, facts: 0 };
const DENIED: Verdict = { answer: AUTHORIZER_DENY, facts: 0 };
const SESSION: Verdict = { answer: SQLITE_OK, facts: FACT_SESSION };
const PRAGMA: Verdict = { answer: SQLITE_OK, facts: FACT_SESSION | FACT_PRAGMA };
const MAY_WRITE: Verdict = { answer: SQLITE_OK, facts: FACT_SESSION | FACT_PRAGMA | FACT_MAY_WRITE };
const STICKY: Verdict = { answer: SQLITE_OK, facts: FACT_SESSION | FACT_STICKY };

/** Judges one question of SQLite's: the action and its four string arguments (null pointers allowed). */
export function authorize(heap: Heap, action: number, first: Pointer, second: Pointer, schema: Pointer): Verdict {
  switch (action) {
    case ACTION_READ:
    case ACTION_INSERT:
    case ACTION_UPDATE:
    case ACTION_DELETE:
      return table(heap, first, schema);
    case ACTION_FUNCTION:
      return SESSION_FUNCTIONS.has(lowercase(heap, second)) ? SESSION : ALLOWED;
    case ACTION_PRAGMA:
      return pragma(lowercase(heap, first), second === 0 ? undefined : lowercase(heap, second));
    case ACTION_TRANSACTION:
    case ACTION_SAVEPOINT:
      return SESSION;
    case ACTION_ATTACH:
      // Only the unnamed temporary database, which is also what VACUUM attaches; VACUUM INTO names a file.
      return first !== 0 && heap.bytes[first] === 0 ? STICKY : DENIED;
    case ACTION_DETACH:
      return STICKY;
    case ACTION_CREATE_VTABLE:
      return lowercase(heap, second) === 'sqlite_dbpage' ? DENIED : isTemp(heap, schema) ? STICKY : ALLOWED;
    default: {
      const temporary =
        (action >= ACTION_CREATE_TEMP_INDEX && action <= ACTION_CREATE_TEMP_VIEW) ||
        (action >= ACTION_DROP_TEMP_INDEX && action <= ACTION_DROP_TEMP_VIEW);
      return temporary || isTemp(heap, schema) ? STICKY : ALLOWED;
    }
  }
}

function pragma(name: string, value: string | undefined): Verdict {
  if (DENIED_PRAGMAS.has(name)) return DENIED;
  if (value !== undefined && READ_ONLY_PRAGMAS.has(name)) return DENIED;
  if (name === 'cache_size' && value !== undefined && cacheBytes(value) > MAX_CACHE_BYTES) return DENIED;
  if (name === 'journal_mode') return { answer: SQLITE_OK, facts: FACT_SESSION | FACT_JOURNAL_MODE };
  if (name === 'delete_database') return { answer: SQLITE_OK, facts: FACT_SESSION | FACT_DELETE_DATABASE };
  if (name === 'optimize' || (name === 'auto_vacuum' && value !== undefined)) return MAY_WRITE;
  // Its numbers mean something on one connection only.
  if (name === 'data_version') return STICKY;
  return value === undefined || STATELESS_PRAGMAS.has(name) ? PRAGMA : STICKY;
}

/** `PRAGMA cache_size`: pages if positive, KiB if negative. */
function cacheBytes(value: string): number {
  // As SQLite reads it: what follows the digits does not matter.
  const number = Number(/^0x[0-9a-f]+|^[+-]?\d+/.exec(value)?.[0] ?? 0);
  return number >= 0 ? number * 4096 : -number * 1024;
}

function table(heap: Heap, name: Pointer, schema: Pointer): Verdict {
  // The common case costs no string: two first characters and the schema's name.
  const c = heap.bytes[name]! | 0x20;
  if (c === 0x73 || c === 0x70) {
    const text = lowercase(heap, name);
    if (text === 'sqlite_dbpage') return DENIED;
    if (text === 'pragma_optimize') return MAY_WRITE;
    if (text === 'sqlite_stmt' || text.startsWith('pragma_')) return SESSION;
    // ALTER TABLE ... RENAME looks for temporary views and triggers that have to follow.
    if (text === 'sqlite_temp_master') return SESSION;
  }
  return isTemp(heap, schema) ? STICKY : ALLOWED;
}

function isTemp(heap: Heap, schema: Pointer): boolean {
  if (schema === 0) return false;
  const { bytes } = heap;
  return (
    bytes[schema] === 0x74 &&
    bytes[schema + 1] === 0x65 &&
    bytes[schema + 2] === 0x6d &&
    bytes[schema + 3] === 0x70 &&
    bytes[schema + 4] === 0
  );
}

function lowercase(heap: Heap, pointer: Pointer): string {
  return (heap.string(pointer) ?? '').toLowerCase();
}
