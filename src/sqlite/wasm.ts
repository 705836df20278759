/**
 * The part of the SQLite WebAssembly module that this project uses, typed. On hot paths the raw exports
 * are called (numbers in, numbers out); the module's own convenience layers are used for set-up only.
 */

import init from '@sqlite.org/sqlite-wasm';
import { DqliteError } from '../lib/errors.ts';

/** The version this project was tested with; its private behaviour matters (callback order, heap layout). */
const EXPECTED_VERSION = '3.54.1';

/** A pointer into the WASM heap. */
export type Pointer = number;

/** `WebAssembly.Memory`, as far as it is used here. */
export interface Memory {
  readonly buffer: ArrayBuffer;
}

export interface Exports {
  /** The functions that are called through pointers, SQLite's and ours. */
  readonly __indirect_function_table: {
    readonly length: number;
    get(index: Pointer): unknown;
    set(index: Pointer, callee: unknown): void;
  };
  sqlite3_initialize(): number;
  sqlite3_shutdown(): number;
  /** `sqlite3_config` with one argument. */
  sqlite3__wasm_config_i(option: number, argument: number): number;
  /** C's own, which need no SQLite that is set up. */
  malloc(size: number): Pointer;
  free(pointer: Pointer): void;
  /** Sets the stack pointer. */
  _emscripten_stack_restore(pointer: Pointer): void;
  /** Size of an allocation. */
  sqlite3_msize(pointer: Pointer): bigint;
  sqlite3_malloc(size: number): Pointer;
  sqlite3_free(pointer: Pointer): void;
  sqlite3_open_v2(name: Pointer, out: Pointer, flags: number, vfs: Pointer): number;
  sqlite3_close_v2(db: Pointer): number;
  sqlite3_exec(db: Pointer, sql: Pointer, callback: 0, context: 0, error: 0): number;
  sqlite3_prepare_v3(db: Pointer, sql: Pointer, size: number, flags: number, out: Pointer, tail: Pointer): number;
  sqlite3_step(statement: Pointer): number;
  sqlite3_reset(statement: Pointer): number;
  sqlite3_finalize(statement: Pointer): number;
  sqlite3_clear_bindings(statement: Pointer): number;
  sqlite3_stmt_readonly(statement: Pointer): number;
  sqlite3_stmt_isexplain(statement: Pointer): number;
  sqlite3_stmt_busy(statement: Pointer): number;
  sqlite3_stmt_status(statement: Pointer, counter: number, reset: number): number;
  sqlite3_bind_parameter_count(statement: Pointer): number;
  sqlite3_bind_int(statement: Pointer, index: number, value: number): number;
  sqlite3_bind_int64(statement: Pointer, index: number, value: bigint): number;
  sqlite3_bind_double(statement: Pointer, index: number, value: number): number;
  sqlite3_bind_text(statement: Pointer, index: number, text: Pointer, size: number, destructor: number): number;
  sqlite3_bind_blob(statement: Pointer, index: number, blob: Pointer, size: number, destructor: number): number;
  sqlite3_bind_zeroblob(statement: Pointer, index: number, size: number): number;
  sqlite3_bind_null(statement: Pointer, index: number): number;
  sqlite3_column_count(statement: Pointer): number;
  sqlite3_column_name(statement: Pointer, column: number): Pointer;
  sqlite3_column_decltype(statement: Pointer, column: number): Pointer;
  sqlite3_column_type(statement: Pointer, column: number): number;
  sqlite3_column_int64(statement: Pointer, column: number): bigint;
  sqlite3_column_double(statement: Pointer, column: number): number;
  sqlite3_column_text(statement: Pointer, column: number): Pointer;
  sqlite3_column_blob(statement: Pointer, column: number): Pointer;
  sqlite3_column_bytes(statement: Pointer, column: number): number;
  sqlite3_column_value(statement: Pointer, column: number): Pointer;
  sqlite3_changes(db: Pointer): number;
  sqlite3_total_changes(db: Pointer): number;
  sqlite3_db_status(db: Pointer, what: number, current: Pointer, highest: Pointer, reset: number): number;
  sqlite3_create_function_v2(
    db: Pointer,
    name: Pointer,
    argumentCount: number,
    flags: number,
    context: Pointer,
    call: Pointer,
    step: 0,
    final: 0,
    destroy: 0,
  ): number;
  sqlite3_result_int(context: Pointer, value: number): void;
  sqlite3_result_text(context: Pointer, text: Pointer, size: number, destructor: number): void;
  sqlite3_result_blob(context: Pointer, blob: Pointer, size: number, destructor: number): void;
  sqlite3_result_error(context: Pointer, text: Pointer, size: number): void;
  sqlite3_result_error_code(context: Pointer, code: number): void;
  sqlite3_result_error_nomem(context: Pointer): void;
  sqlite3_result_error_toobig(context: Pointer): void;
  /** What a function was registered with. */
  sqlite3_user_data(context: Pointer): Pointer;
  sqlite3_value_int64(value: Pointer): bigint;
  sqlite3_value_type(value: Pointer): number;
  sqlite3_value_text(value: Pointer): Pointer;
  sqlite3_value_bytes(value: Pointer): number;
  sqlite3_last_insert_rowid(db: Pointer): bigint;
  sqlite3_set_last_insert_rowid(db: Pointer, rowid: bigint): void;
  sqlite3_get_autocommit(db: Pointer): number;
  sqlite3_txn_state(db: Pointer, schema: Pointer): number;
  sqlite3_errmsg(db: Pointer): Pointer;
  sqlite3_extended_errcode(db: Pointer): number;
  sqlite3_extended_result_codes(db: Pointer, on: number): number;
  sqlite3_error_offset(db: Pointer): number;
  sqlite3_limit(db: Pointer, limit: number, value: number): number;
  sqlite3_progress_handler(db: Pointer, opcodes: number, callback: Pointer, context: Pointer): void;
  sqlite3_set_authorizer(db: Pointer, callback: Pointer, context: Pointer): number;
  sqlite3__wasm_db_config_ip(db: Pointer, option: number, value: number, out: Pointer): number;
}

/** Structs and helpers of the module's set-up layer. */
interface Struct {
  pointer: Pointer;
  installMethods(methods: object): void;
  registerVfs(asDefault: boolean): void;
  dispose(): void;
  [field: `$${string}`]: unknown;
}

export interface SqliteModule {
  readonly capi: {
    readonly sqlite3_io_methods: new () => Struct;
    readonly sqlite3_vfs: new () => Struct;
    readonly sqlite3_file: { new (pointer: Pointer): Struct; structInfo: { sizeof: number } };
    sqlite3_libversion(): string;
  };
  readonly wasm: {
    readonly exports: Exports;
    readonly memory: Memory;
    installFunction(callback: (...args: never[]) => unknown, signature: string): Pointer;
    allocCString(text: string): Pointer;
  };
}

/** A fresh, independent instance: 35 ms for the first of a process, 10-15 ms for the others. */
export async function instantiate(): Promise<SqliteModule> {
  const module = (await init()) as unknown as SqliteModule;
  const version = module.capi.sqlite3_libversion();
  if (version !== EXPECTED_VERSION) {
    throw new DqliteError('UNSUPPORTED', `SQLite ${version} was found, ${EXPECTED_VERSION} is needed`, {
      hint: 'install exactly @sqlite.org/sqlite-wasm 3.54.1-build1',
    });
  }
  return module;
}
