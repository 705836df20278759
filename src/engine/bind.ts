/** Binding the parameters of a request (wire spec section 2.6): bytes go from the message straight into the WASM heap. */

import { DecodeError } from '../lib/bytes.ts';
import { SQLITE_ERROR, SQLITE_OK, SQLITE_RANGE, SqliteError, TRANSIENT, type Statement } from '../sqlite/index.ts';
import { valueType, type ParameterCursor } from '../wire/index.ts';

/**
 * Binds as many values as the statement has parameters; missing ones are NULL. The rest stays with the cursor, for
 * the next statement of the text. Throws SqliteError.
 */
export function bindParameters(statement: Statement, cursor: ParameterCursor): void {
  for (let index = 1; index <= statement.parameterCount; index++) {
    let more: boolean;
    try {
      more = cursor.next();
    } catch (error) {
      if (error instanceof DecodeError) throw new SqliteError(SQLITE_ERROR, 'bind parameters');
      throw error;
    }
    if (!more) return;
    const code = bindValue(statement, index, cursor);
    if (code !== SQLITE_OK) throw statement.connection.error(code);
  }
}

/** For statements that must take all values (QUERY, QUERY_SQL): fails if some are left. */
export function refuseLeftovers(cursor: ParameterCursor): void {
  let more = false;
  try {
    more = cursor.next();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    more = true;
  }
  if (more) throw new SqliteError(SQLITE_RANGE, 'column index out of range');
}

function bindValue(statement: Statement, index: number, cursor: ParameterCursor): number {
  const { sqlite } = statement.connection;
  const { exports } = sqlite;
  const { pointer } = statement;
  switch (cursor.type) {
    case valueType.integer:
    case valueType.unixtime:
      return bindInteger(statement, index, cursor);
    case valueType.float:
      return exports.sqlite3_bind_double(pointer, index, cursor.double());
    case valueType.null:
      return exports.sqlite3_bind_null(pointer, index);
    case valueType.boolean:
      return exports.sqlite3_bind_int(pointer, index, cursor.boolean() ? 1 : 0);
    case valueType.text:
    case valueType.iso8601:
    case valueType.blob: {
      const { length } = cursor;
      // A null pointer would bind NULL; an empty value stays an empty value.
      const copy = sqlite.takeScratch(length + 1);
      sqlite.heap.bytes.set(cursor.payload(), copy);
      const code =
        cursor.type === valueType.blob
          ? exports.sqlite3_bind_blob(pointer, index, copy, length, TRANSIENT)
          : exports.sqlite3_bind_text(pointer, index, copy, length, TRANSIENT);
      sqlite.giveScratch(copy);
      return code;
    }
  }
}

function bindInteger(statement: Statement, index: number, cursor: ParameterCursor): number {
  const { exports } = statement.connection.sqlite;
  const { bytes, offset } = cursor;
  const low = bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24);
  const high = bytes[offset + 4]! | (bytes[offset + 5]! << 8) | (bytes[offset + 6]! << 16) | (bytes[offset + 7]! << 24);
  // Numbers of 32 bits, nearly all, go without a BigInt.
  if (high === low >> 31) return exports.sqlite3_bind_int(statement.pointer, index, low);
  return exports.sqlite3_bind_int64(statement.pointer, index, cursor.int64());
}
