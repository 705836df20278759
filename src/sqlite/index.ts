export * from './constants.ts';
export { FACT_DELETE_DATABASE, FACT_JOURNAL_MODE, FACT_MAY_WRITE, FACT_SESSION, FACT_STICKY } from './authorizer.ts';
export { Connection, type ClientCounters, type Role } from './connection.ts';
export { InstanceBroken, SqliteError, TOO_SLOW } from './error.ts';
export { Heap } from './heap.ts';
export { Sqlite, type SqliteLimits } from './sqlite.ts';
export { Statement } from './statement.ts';
export type { MainFile, View } from './main-file.ts';
export {
  VALUE_BLOB,
  VALUE_FLAGS,
  VALUE_FLOAT,
  VALUE_INTEGER,
  VALUE_NULL,
  VALUE_TEXT,
  type ValueLayout,
} from './value-layout.ts';
export { CANNOT_SHRINK, type CallbackName, type Environment } from './vfs.ts';
export { instantiate, type Exports, type Pointer, type SqliteModule } from './wasm.ts';
