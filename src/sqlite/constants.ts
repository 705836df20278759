/** The numbers of SQLite's C interface that this project uses (sqlite3.h), grouped as there. */

export const SQLITE_OK = 0;
export const SQLITE_ERROR = 1;
export const SQLITE_BUSY = 5;
export const SQLITE_NOMEM = 7;
export const SQLITE_INTERRUPT = 9;
export const SQLITE_IOERR = 10;
export const SQLITE_CORRUPT = 11;
export const SQLITE_NOTFOUND = 12;
export const SQLITE_FULL = 13;
export const SQLITE_CANTOPEN = 14;
export const SQLITE_TOOBIG = 18;
export const SQLITE_AUTH = 23;
export const SQLITE_RANGE = 25;
export const SQLITE_ROW = 100;
export const SQLITE_DONE = 101;
export const SQLITE_CONSTRAINT = 19;
export const SQLITE_BUSY_SNAPSHOT = 517;
export const SQLITE_ABORT_ROLLBACK = 516;
export const SQLITE_IOERR_READ = 266;
export const SQLITE_IOERR_SHORT_READ = 522;
export const SQLITE_IOERR_NOMEM = 3082;
export const SQLITE_IOERR_WRITE = 778;
export const SQLITE_IOERR_TRUNCATE = 1546;
export const SQLITE_IOERR_FSTAT = 1802;
export const SQLITE_IOERR_LOCK = 3850;
export const SQLITE_IOERR_UNLOCK = 2058;

/** Lock levels of the VFS, in order. */
export const LOCK_NONE = 0;
export const LOCK_SHARED = 1;
export const LOCK_RESERVED = 2;

export const OPEN_READWRITE_CREATE = 6;
export const OPEN_MAIN_DB = 0x100;

/** The file control that the VFS reacts to. */
export const FCNTL_COMMIT_PHASETWO = 22;

/** POWERSAFE_OVERWRITE, ATOMIC4K and UNDELETABLE_WHEN_OPEN: nothing that SQLite could make safer. */
export const DEVICE_CHARACTERISTICS: number = 0x1000 | 0x10 | 0x800;

export const TYPE_INTEGER = 1;
export const TYPE_FLOAT = 2;
export const TYPE_TEXT = 3;
export const TYPE_BLOB = 4;
export const TYPE_NULL = 5;

export const LIMIT_LENGTH = 0;
export const LIMIT_LIKE_PATTERN_LENGTH = 8;

export const DBCONFIG_ENABLE_FKEY = 1002;
export const DBCONFIG_DEFENSIVE = 1010;
export const DBCONFIG_DQS_DML = 1013;
export const DBCONFIG_DQS_DDL = 1014;

/** `sqlite3_db_status`: whether foreign keys are violated that are checked at the commit. */
export const DBSTATUS_DEFERRED_FKS = 10;

/** Flags of a function: UTF-8, and harmless wherever it is used. */
export const FUNCTION_FLAGS: number = 1 | 0x200000;

export const PREPARE_PERSISTENT = 1;
/** Destructor argument of the bind functions: SQLite makes its own copy. */
export const TRANSIENT = -1;

export const TXN_WRITE = 2;

/** Counter of `sqlite3_stmt_status`: how often a statement was compiled again. */
export const STMTSTATUS_REPREPARE = 5;

/** What an authorizer callback is asked about, and its answers. */
export const AUTHORIZER_DENY = 1;
export const ACTION_CREATE_TEMP_INDEX = 3;
export const ACTION_CREATE_TEMP_VIEW = 6;
export const ACTION_DELETE = 9;
export const ACTION_DROP_TEMP_INDEX = 12;
export const ACTION_DROP_TEMP_VIEW = 15;
export const ACTION_INSERT = 18;
export const ACTION_PRAGMA = 19;
export const ACTION_READ = 20;
export const ACTION_TRANSACTION = 22;
export const ACTION_UPDATE = 23;
export const ACTION_ATTACH = 24;
export const ACTION_DETACH = 25;
export const ACTION_FUNCTION = 31;
export const ACTION_SAVEPOINT = 32;
