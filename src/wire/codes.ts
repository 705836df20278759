/**
 * The numbers of the client protocol: message types, value types, markers, roles and error codes
 * (wire spec sections 1.2, 2.2, 3.0, 4.1 and 4.6). Nothing is computed here. Names follow dqlite's.
 */

/** The first eight bytes of a connection, from the client; the server answers nothing. Any other value ends it. */
export const protocolVersion = {
  current: 0x1n,
  /** Before dqlite 1.0. Its one effect: the answer to LEADER is the address alone. */
  legacy: 0x86104dd760433fe5n,
} as const;

export const requestType = {
  leader: 0,
  client: 1,
  heartbeat: 2,
  open: 3,
  prepare: 4,
  exec: 5,
  query: 6,
  finalize: 7,
  execSql: 8,
  querySql: 9,
  interrupt: 10,
  connect: 11,
  add: 12,
  assign: 13,
  remove: 14,
  dump: 15,
  cluster: 16,
  transfer: 17,
  describe: 18,
  weight: 19,
} as const;

export type RequestKind = keyof typeof requestType;

/** Two answers have a second form under the same number; which one comes depends on what was asked. */
export const responseType = {
  failure: 0,
  server: 1,
  legacyServer: 1,
  welcome: 2,
  servers: 3,
  serversV0: 3,
  db: 4,
  stmt: 5,
  result: 6,
  rows: 7,
  empty: 8,
  files: 9,
  metadata: 10,
} as const;

export type ResponseKind = keyof typeof responseType;

export const valueType = {
  integer: 1,
  float: 2,
  text: 3,
  blob: 4,
  null: 5,
  /** Seconds since 1970 in UTC; in rows only. */
  unixtime: 9,
  iso8601: 10,
  boolean: 11,
} as const;

export type ValueType = (typeof valueType)[keyof typeof valueType];

/** Every byte of the word that ends a ROWS body. No row header can start with either. */
export const rowsMarker = {
  /** This was the last message of the result. */
  done: 0xff,
  /** Another ROWS message follows, unasked. */
  part: 0xee,
} as const;

/** Roles in the client protocol. The raft configuration numbers them differently. */
export const clientRole = { voter: 0, standby: 1, spare: 2 } as const;

export type ClientRole = (typeof clientRole)[keyof typeof clientRole];

/** Codes that dqlite adds to SQLite's. */
export const dqliteCode = {
  notLeader: 10250,
  /** The outcome of the write is unknown. */
  leadershipLost: 10506,
  /** What servers before 1.0 sent for the two above. */
  notLeaderLegacy: 8202,
  leadershipLostLegacy: 8458,
  protocol: 1001,
  notFound: 1002,
  parse: 1005,
} as const;

/** SQLite's result codes that the protocol itself uses or that clients branch on. */
export const sqliteCode = {
  /** With the message `empty statement`: there was nothing to prepare. */
  ok: 0,
  error: 1,
  abort: 4,
  busy: 5,
  busySnapshot: 517,
  ioError: 10,
  notFound: 12,
  protocol: 15,
  auth: 23,
  range: 25,
  row: 100,
} as const;
