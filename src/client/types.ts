/** The public types of the client: options, values, results. */

/**
 * What can be bound. A whole number is sent as INTEGER, another one as FLOAT; integers beyond 2^53 must be bigints. A
 * Date is sent as ISO 8601 text in UTC. `undefined`, NaN, an invalid Date, a bigint of more than 64 bits and text with
 * a NUL inside are DqliteError USAGE.
 */
export type Parameter = null | number | bigint | string | boolean | Uint8Array | Date;

/**
 * What a row holds. INTEGER is a number (or a bigint, by option), FLOAT a number, TEXT a string, BLOB a Uint8Array. What
 * a column is declared as matters in two cases, in which the server says so: BOOLEAN is a boolean, and NULL in such a
 * column reads as false; DATE, DATETIME and TIMESTAMP are what is stored (text, or a number of seconds since 1970), or
 * a Date by option, and empty text there reads as null.
 */
export type Value = null | number | bigint | string | boolean | Uint8Array | Date;

/** A row by default: column names to values. If two columns have one name, the last one is seen: use an alias. */
export type Row = Record<string, Value>;

/** How rows are given. */
export interface RowOptions {
  /** `object` (default): by column name. `array`: in column order. */
  readonly rows?: 'object' | 'array' | undefined;
  /**
   * `number` (default): an INTEGER beyond 2^53 is a RangeError that names the column. `bigint`: all INTEGERs are
   * bigints.
   */
  readonly integers?: 'number' | 'bigint' | undefined;
  /** `stored` (default): as it is in the table. `date`: columns declared DATE, DATETIME or TIMESTAMP give a Date. */
  readonly dates?: 'stored' | 'date' | undefined;
}

/** How long a call may take. */
export interface CallOptions {
  /** Cancels the call, on the server too. The call rejects with DqliteError ABORTED, unless it was already done. */
  readonly signal?: AbortSignal | undefined;
  /** The whole call, waiting for a connection included. Rejects with DqliteError TIMEOUT. 0: no limit. */
  readonly timeoutMs?: number | undefined;
}

export interface QueryOptions extends RowOptions, CallOptions {}

export interface Column {
  readonly name: string;
}

/** What a statement that gives no rows has done. */
export interface ExecResult {
  /** Rows that the last INSERT, UPDATE or DELETE changed. SQLite keeps it for other statements: it may be an older one's. */
  readonly rowsAffected: number;
  /** The rowid of the last row that this connection inserted, 0 if none. */
  readonly lastInsertId: bigint;
}

/** Everything that the server answered. */
export interface QueryResult<R = Row> extends ExecResult {
  readonly columns: readonly Column[];
  readonly rows: R[];
}

export interface PoolOptions {
  /** Connections that are kept open when nothing happens. Default 0. */
  readonly minConnections?: number | undefined;
  /** Connections at most. A call that finds all of them busy waits. Default 16. */
  readonly maxConnections?: number | undefined;
  /** A connection that was not used for so long is closed. Default 60 s. */
  readonly idleTimeoutMs?: number | undefined;
  /** How long a call waits for a connection, finding the leader included. Default 10 s. */
  readonly acquireTimeoutMs?: number | undefined;
  /** An idle connection is asked at this interval whether its server is alive and still leads. Default 5 s. */
  readonly checkIntervalMs?: number | undefined;
}

export interface ConnectOptions extends PoolOptions {
  /**
   * Where to ask for the leader: addresses as the cluster knows them, `host:port` or `@name`. One that is up is enough:
   * the others are learned from it.
   */
  readonly servers: readonly string[];
  /** The database's name. It is created at first use. */
  readonly database: string;
  /** To reach one server. Default 5 s. */
  readonly connectTimeoutMs?: number | undefined;
  /** For each call that names no other. Default 0, no limit. */
  readonly timeoutMs?: number | undefined;
  /**
   * How long a write that finds the database locked is tried again, with pauses that grow. A server that lets writes
   * wait itself counts in. Default 5 s.
   */
  readonly busyTimeoutMs?: number | undefined;
  /** How long a cancelled call waits for the server to stop before its connection is closed. Default 1 s. */
  readonly cancelGraceMs?: number | undefined;
  /** For each query that names no other. */
  readonly integers?: 'number' | 'bigint' | undefined;
  /** For each query that names no other. */
  readonly dates?: 'stored' | 'date' | undefined;
}

export interface TransactionOptions extends CallOptions {
  /**
   * `immediate` (default): takes the write lock at once and waits for it if need be. `deferred`: for reading one
   * state; its first write may fail with SQLITE_BUSY_SNAPSHOT if others have written since.
   */
  readonly mode?: 'immediate' | 'deferred' | undefined;
  /**
   * How often the function is run again when the transaction failed and provably had no effect: the database was
   * locked, the server no longer led, or the connection broke before COMMIT was sent. Default 0: then the function runs
   * at most once. Beginning is tried again in any case, because the function has not run then.
   */
  readonly retries?: number | undefined;
}

/** For `batch`: SQL, or SQL with its parameters, or a template. */
export interface BatchStatement {
  readonly sql: string;
  readonly parameters?: readonly Parameter[] | undefined;
}

export type ServerRole = 'voter' | 'standby' | 'spare';

export interface Server {
  readonly id: bigint;
  readonly address: string;
  readonly role: ServerRole;
}
