/**
 * A compiled statement. Methods that say so read or write the WASM heap directly; the pointers they give are
 * valid until the next call into SQLite.
 */

import { STMTSTATUS_REPREPARE } from './constants.ts';
import type { Connection } from './connection.ts';
import type { Pointer } from './wasm.ts';

export class Statement {
  readonly connection: Connection;
  readonly pointer: Pointer;
  /** What the authorizer found (FACT_*). */
  readonly facts: number;
  /** SQLite's own judgement; some pragmas write nevertheless (design rule 7). */
  readonly isReadOnly: boolean;
  readonly parameterCount: number;

  constructor(connection: Connection, pointer: Pointer, facts: number) {
    const { exports } = connection.sqlite;
    this.connection = connection;
    this.pointer = pointer;
    this.facts = facts;
    this.isReadOnly = exports.sqlite3_stmt_readonly(pointer) !== 0;
    this.parameterCount = exports.sqlite3_bind_parameter_count(pointer);
  }

  /** SQLITE_ROW, SQLITE_DONE or an extended error code. */
  step(): number {
    const { sqlite } = this.connection;
    this.connection.activate();
    sqlite.vfs.hasPublished = false;
    sqlite.isLimited = true;
    const code = sqlite.exports.sqlite3_step(this.pointer);
    sqlite.isLimited = false;
    return code;
  }

  /** Ends the execution. An error of the last step is not repeated here. */
  reset(): void {
    this.connection.activate();
    this.connection.sqlite.exports.sqlite3_reset(this.pointer);
  }

  clearBindings(): void {
    this.connection.sqlite.exports.sqlite3_clear_bindings(this.pointer);
  }

  finalize(): void {
    this.connection.activate();
    this.connection.statements.delete(this);
    this.connection.sqlite.exports.sqlite3_finalize(this.pointer);
  }

  /** Columns of the result; right after a schema change only once the statement was stepped. */
  get columnCount(): number {
    return this.connection.sqlite.exports.sqlite3_column_count(this.pointer);
  }

  /** Changes whenever SQLite compiled the statement anew, and with it names and types of the columns may. */
  get generation(): number {
    return this.connection.sqlite.exports.sqlite3_stmt_status(this.pointer, STMTSTATUS_REPREPARE, 0);
  }

  /** A column's name as a copy of its bytes. */
  columnName(column: number): Uint8Array {
    const { exports, heap } = this.connection.sqlite;
    const name = exports.sqlite3_column_name(this.pointer, column);
    if (name === 0) return new Uint8Array(0);
    return heap.bytes.slice(name, name + heap.stringLength(name));
  }

  /** The declared type of the table column that a result column is, if it is one. */
  columnDeclaredType(column: number): string | undefined {
    const { exports, heap } = this.connection.sqlite;
    return heap.string(exports.sqlite3_column_decltype(this.pointer, column));
  }
}
