export * from './constants.ts';
export { FACT_DELETE_DATABASE, FACT_JOURNAL_MODE, FACT_MAY_WRITE, FACT_SESSION, FACT_STICKY } from './authorizer.ts';
export { Connection, type ClientCounters, type Role } from './connection.ts';
export { InstanceBroken, SqliteError } from './error.ts';
export { Sqlite, type SqliteLimits } from './sqlite.ts';
export { Statement } from './statement.ts';
export type { MainFile, View } from './main-file.ts';
export type { CallbackName, Environment } from './vfs.ts';
export type { Exports, Pointer } from './wasm.ts';
