/** How a function of SQL that is ours says why it refuses to compute. */

import { encodeUtf8 } from '../lib/bytes.ts';
import type { Heap } from './heap.ts';
import type { Exports, Pointer } from './wasm.ts';

/** Makes the call's result an error with this message. */
export function refuseCall(exports: Exports, heap: Heap, context: Pointer, message: string): void {
  const bytes = encodeUtf8(message);
  const pointer = exports.sqlite3_malloc(bytes.length);
  if (pointer === 0) return exports.sqlite3_result_error_nomem(context);
  heap.bytes.set(bytes, pointer);
  exports.sqlite3_result_error(context, pointer, bytes.length);
  exports.sqlite3_free(pointer);
}
