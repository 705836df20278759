/**
 * Requests, from a client to a server (wire spec section 3). The same codec serves both sides.
 *
 * A server tells apart why a request cannot be decoded, because the consequences differ (wire spec sections 1.5
 * and 4.7): `UnsupportedRequestError` is answered with the failure that it carries; every other `DecodeError`,
 * `ParameterHeaderError` included, closes the connection without a word.
 */

import { DecodeError, type Writer } from '../lib/bytes.ts';
import { type RequestKind, dqliteCode, requestType, sqliteCode } from './codes.ts';
import type { Failure } from './failure.ts';
import { type MessageOf, byType, codecsOf } from './messages.ts';

const requestFields = {
  leader: { unused: 'unused64' },
  client: { id: 'uint64' },
  heartbeat: { timestamp: 'uint64' },
  open: { name: 'textBytes', flags: 'uint64', vfs: 'textBytes' },
  prepare: { schema: 'schema', database: 'word', sql: 'textBytes' },
  exec: { database: 'uint32', statement: 'uint32', parameters: 'parameters' },
  query: { database: 'uint32', statement: 'uint32', parameters: 'parameters' },
  finalize: { database: 'uint32', statement: 'uint32' },
  execSql: { database: 'word', sql: 'textBytes', parameters: 'parameters' },
  querySql: { database: 'word', sql: 'textBytes', parameters: 'parameters' },
  interrupt: { database: 'word' },
  connect: { id: 'uint64', address: 'text' },
  add: { id: 'uint64', address: 'text' },
  // Without a role it is the PROMOTE of old clients: voter.
  assign: { id: 'uint64', role: 'optionalWord' },
  remove: { id: 'uint64' },
  dump: { name: 'textBytes' },
  cluster: { format: 'word' },
  transfer: { id: 'uint64' },
  describe: { format: 'word' },
  weight: { weight: 'uint64' },
} as const;

export type Request = { [Kind in RequestKind]: MessageOf<Kind, (typeof requestFields)[Kind]> }[RequestKind];

const codecs = codecsOf(requestType, requestFields);

/** What servers understand. None ever implemented HEARTBEAT. */
const served = byType(Object.values(codecs).filter(codec => codec !== codecs.heartbeat));

/** The server does not know this type of request, or not this schema of it. The connection stays usable. */
export class UnsupportedRequestError extends DecodeError {
  /** What to answer. */
  readonly failure: Failure;

  constructor(code: number, message: string) {
    super(message, 0);
    this.failure = { code, message };
  }
}

/**
 * Decodes a request as a server. Throws `UnsupportedRequestError`, `ParameterHeaderError` or, for fixed fields that
 * cannot be decoded, another `DecodeError`. Views in the result are views of `body`. Parameter values are left to
 * `ParameterCursor`.
 */
export function decodeRequest(type: number, schema: number, body: Uint8Array): Request {
  const codec = served[type];
  if (codec === undefined) throw new UnsupportedRequestError(dqliteCode.parse, 'unrecognized request type');
  if (schema > codec.maxSchema) {
    const code = codec.maxSchema === 0 ? dqliteCode.parse : sqliteCode.error;
    throw new UnsupportedRequestError(code, 'unrecognized schema version');
  }
  return codec.decode(body, schema) as Request;
}

/** Writes a request with its header. Throws `DqliteError` USAGE for a text with a NUL inside. */
export function encodeRequest(writer: Writer, request: Request): void {
  codecs[request.kind].encode(writer, request);
}
