/**
 * Responses, from a server to a client (wire spec section 4). The same codec serves both sides. The bodies of ROWS
 * are left to `RowsReader` and to the functions of rows.ts. `writeResult`, `writeEmpty` and `writeFailure` are for the
 * server's hot path: the same bytes without an object.
 */

import { DecodeError, type Writer, encodeUtf8 } from '../lib/bytes.ts';
import { type ResponseKind, responseType } from './codes.ts';
import { decodeFailure } from './failure.ts';
import { beginMessage, endMessage } from './framing.ts';
import { type MessageOf, byType, codecsOf } from './messages.ts';
import { writeTextCut } from './text.ts';

const responseFields = {
  failure: { code: 'word', message: 'text' },
  server: { id: 'uint64', address: 'text' },
  legacyServer: { address: 'text' },
  welcome: { heartbeatTimeoutMs: 'word' },
  servers: { servers: 'servers' },
  serversV0: { servers: 'serversV0' },
  db: { database: 'uint32', unused: 'unused32' },
  stmt: { database: 'uint32', statement: 'uint32', parameterCount: 'word', tailOffset: 'tailOffset' },
  result: { lastInsertId: 'int64', rowsAffected: 'word' },
  rows: { body: 'rest' },
  empty: { unused: 'unused64' },
  files: { files: 'files' },
  metadata: { failureDomain: 'uint64', weight: 'uint64' },
} as const;

export type Response = { [Kind in ResponseKind]: MessageOf<Kind, (typeof responseFields)[Kind]> }[ResponseKind];

/** The forms that a response does not tell from its usual one; the client knows by what it asked. */
export type ResponseVariant = 'legacyServer' | 'serversV0';

const codecs = codecsOf(responseType, responseFields);

const usual = byType(
  Object.values(codecs).filter(codec => codec !== codecs.legacyServer && codec !== codecs.serversV0),
);

/**
 * Decodes a response as a client. `variant` is the form to expect where there are two: `legacyServer` after the
 * legacy handshake, `serversV0` after CLUSTER with format 0. Views in the result are views of `body`. Throws
 * `DecodeError`.
 */
export function decodeResponse(type: number, schema: number, body: Uint8Array, variant?: ResponseVariant): Response {
  const codec = variant !== undefined && responseType[variant] === type ? codecs[variant] : usual[type];
  if (codec === undefined) throw new DecodeError(`unknown response type ${type}`, 0);
  if (schema > codec.maxSchema) throw new DecodeError(`unknown schema ${schema} of response type ${type}`, 0);
  if (codec === codecs.failure) return { kind: 'failure', ...decodeFailure(body) };
  return codec.decode(body, schema) as Response;
}

/** Writes a response with its header. Throws `DqliteError` USAGE for a text with a NUL inside. */
export function encodeResponse(writer: Writer, response: Response): void {
  codecs[response.kind].encode(writer, response);
}

export function writeResult(writer: Writer, lastInsertId: bigint, rowsAffected: number): void {
  const start = beginMessage(writer, responseType.result);
  writer.int64(lastInsertId);
  writer.safeUint64(rowsAffected);
  endMessage(writer, start);
}

export function writeEmpty(writer: Writer): void {
  const start = beginMessage(writer, responseType.empty);
  writer.zeros(8);
  endMessage(writer, start);
}

/** The message is cut at its first NUL: it may quote what a client sent. */
export function writeFailure(writer: Writer, code: number, message: string): void {
  const start = beginMessage(writer, responseType.failure);
  writer.safeUint64(code);
  writeTextCut(writer, encodeUtf8(message));
  endMessage(writer, start);
}
