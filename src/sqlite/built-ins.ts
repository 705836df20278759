/**
 * SQLite's own SQL functions, to be taken the place of where they are called: in the table of functions behind pointers.
 * A function that is registered under the same name would be another one for SQLite: LIKE would lose its use of
 * indexes, `PRAGMA case_sensitive_like` would bring the old one back, and JSON values would be mere text.
 *
 * Where they are is found in SQLite's static data, whose layout (`FuncDef` in sqliteInt.h) the exact version guarantees.
 */

import { assert } from '../lib/assert.ts';
import type { Heap } from './heap.ts';
import type { Pointer, SqliteModule } from './wasm.ts';

/** A function as SQLite calls it: a context, the number of arguments, and where pointers to them are. */
export type SqlFunction = (context: Pointer, count: number, values: Pointer) => void;

/** SQLite's static data lie below. */
const STATIC_END = 256 * 1024;
/** Offsets in `FuncDef`, in words, and the flags of a function that is built in and takes UTF-8. */
const FLAGS = 1;
const CALL = 4;
const NAME = 8;
const BUILT_IN = 0x80_0001;

/** Calls between two questions: less than a millisecond. */
const CALLS = 1000;

const encoder = new TextEncoder();

/** Puts `replace(original)` in the place of what all of these functions call. */
export function replaceBuiltIn(
  { wasm }: SqliteModule,
  heap: Heap,
  names: readonly string[],
  replace: (original: SqlFunction) => SqlFunction,
): void {
  const [place, ...others] = new Set(names.flatMap(name => implementations(heap, name)));
  assert(place !== undefined && others.length === 0, `${names.join()}: one implementation expected`);
  const table = wasm.exports.__indirect_function_table;
  const replacement = replace(table.get(place) as SqlFunction);
  table.set(place, table.get(wasm.installFunction(replacement, 'v(pip)')));
}

/** Methods of `Fts5ExtensionApi` (fts5.h) behind its version, and which of them is `xInst`. */
const FTS5_VERSION = 4;
const FTS5_METHODS = 23;
const FTS5_INST = 9;

/**
 * Lets full-text search's auxiliary functions fail while `mayGoOn` says no: `snippet` compares each place where a
 * phrase was found with each other one, and asks for each with `xInst`.
 */
export function limitFullText({ wasm }: SqliteModule, heap: Heap, refusal: number, mayGoOn: () => boolean): void {
  const words = heap.words.subarray(0, STATIC_END / 4);
  const table = wasm.exports.__indirect_function_table;
  const isMethod = (word: number): boolean => word > 0 && word < table.length;
  const places: number[] = [];
  for (let i = words.indexOf(FTS5_VERSION); i >= 0; i = words.indexOf(FTS5_VERSION, i + 1)) {
    const methods = words.subarray(i + 1, i + 2 + FTS5_METHODS);
    if (methods.findIndex(word => !isMethod(word)) === FTS5_METHODS) places.push(words[i + FTS5_INST]!);
  }
  assert(places.length === 1, 'one interface of full-text search expected');
  const place = places[0]!;
  const original = table.get(place) as (context: Pointer, index: number, ...out: Pointer[]) => number;
  let calls = 0;
  const limited = (context: Pointer, index: number, phrase: Pointer, column: Pointer, offset: Pointer): number =>
    ++calls % CALLS === 0 && !mayGoOn() ? refusal : original(context, index, phrase, column, offset);
  table.set(place, table.get(wasm.installFunction(limited, 'i(pippp)')));
}

/** What the functions of a name call, as indexes in the table. */
function implementations(heap: Heap, name: string): number[] {
  const text = encoder.encode(`${name}\0`);
  const bytes = heap.bytes.subarray(0, STATIC_END);
  const words = heap.words.subarray(0, STATIC_END / 4);
  const found: number[] = [];
  for (let start = bytes.indexOf(text[0]!); start >= 0; start = bytes.indexOf(text[0]!, start + 1)) {
    if (!text.every((byte, i) => bytes[start + i] === byte)) continue;
    for (let i = words.indexOf(start); i >= 0; i = words.indexOf(start, i + 1)) {
      const definition = i - NAME;
      if ((words[definition + FLAGS]! & BUILT_IN) === BUILT_IN) found.push(words[definition + CALL]!);
    }
  }
  return found;
}
