/**
 * SQLite's functions whose work grows with the product of two sizes: LIKE and GLOB of a long pattern and a large text,
 * JSON functions with many paths, or with many members to merge, `snippet` of full-text search. Inside of one
 * instruction nothing can stop them, so calls that could take long do not reach SQLite's own: LIKE and GLOB are computed
 * here, under the time limit of the statement, and the JSON functions refuse.
 */

import { limitFullText, replaceBuiltIn, type SqlFunction } from './built-ins.ts';
import { SQLITE_INTERRUPT, TYPE_BLOB, TYPE_TEXT } from './constants.ts';
import type { Heap } from './heap.ts';
import { matches, Stopped, type PatternRules } from './pattern.ts';
import { refuseCall } from './refuse-call.ts';
import { characterEnd, codePoint } from './string-search.ts';
import type { Exports, Pointer, SqliteModule } from './wasm.ts';

/** Bytes of the pattern times bytes of the text that SQLite compares in a millisecond at the worst. */
const MAX_COMPARISONS = 2 ** 18;
/** Bytes of JSON times paths: about two seconds. */
const MAX_PATH_BYTES = 2 ** 30;
/** Fewer paths than this are never too many. */
const FEW_PATHS = 8;
/** Members that `json_patch` may compare with members: about two seconds. */
const MAX_MEMBER_PAIRS = 2 ** 26;
/** JSONB that takes more than one byte for a key and one for a value. */
const MEMBER_SIZE = 2;
const COLON = 0x3a;

export interface BoundedFunctionsOptions {
  /** Longest pattern that SQLite accepts, in bytes. */
  readonly maxPatternLength: number;
  /** Whether the statement may run on. */
  readonly mayGoOn: () => boolean;
  /** Takes what must never be thrown. */
  readonly failed: (error: unknown) => void;
}

/** Installs them, for all connections of an instance. */
export function boundFunctions(module: SqliteModule, heap: Heap, options: BoundedFunctionsOptions): void {
  new BoundedFunctions(module.wasm.exports, heap, options).install(module);
}

class BoundedFunctions {
  readonly #exports: Exports;
  readonly #heap: Heap;
  readonly #options: BoundedFunctionsOptions;

  constructor(exports: Exports, heap: Heap, options: BoundedFunctionsOptions) {
    this.#exports = exports;
    this.#heap = heap;
    this.#options = options;
  }

  install(module: SqliteModule): void {
    const replace = (names: readonly string[], call: (original: SqlFunction) => SqlFunction): void =>
      replaceBuiltIn(module, this.#heap, names, call);
    limitFullText(module, this.#heap, SQLITE_INTERRUPT, this.#options.mayGoOn);
    replace(['like', 'glob'], original => this.#like(original));
    replace(['json_patch', 'jsonb_patch'], original => this.#patch(original));
    replace(['json_extract', 'jsonb_extract', '->', '->>'], original => this.#paths(original, 1));
    replace(['json_remove', 'jsonb_remove'], original => this.#paths(original, 1));
    replace(['json_replace', 'jsonb_replace'], original => this.#paths(original, 2));
    replace(
      ['json_set', 'jsonb_set', 'json_insert', 'jsonb_insert', 'json_array_insert', 'jsonb_array_insert'],
      original => this.#paths(original, 2),
    );
  }

  #like(original: SqlFunction): SqlFunction {
    const { sqlite3_value_bytes: size } = this.#exports;
    return (context, count, values) => {
      const pattern = this.#heap.uint32(values);
      const patternSize = size(pattern);
      const isShort = patternSize * size(this.#heap.uint32(values + 4)) <= MAX_COMPARISONS;
      if (isShort || patternSize > this.#options.maxPatternLength) return original(context, count, values);
      try {
        const rules = this.#rules(context, count === 3 ? this.#heap.uint32(values + 8) : undefined);
        // What is wrong with it, SQLite says.
        if (rules === undefined) return original(context, count, values);
        this.#match(context, pattern, this.#heap.uint32(values + 4), rules);
      } catch (error) {
        if (!(error instanceof Stopped)) this.#options.failed(error);
        this.#exports.sqlite3_result_error_code(context, SQLITE_INTERRUPT);
      }
    };
  }

  #match(context: Pointer, pattern: Pointer, text: Pointer, rules: PatternRules): void {
    const [patternBytes, textBytes] = this.#texts([pattern, text]);
    if (patternBytes === undefined || textBytes === undefined) return this.#exports.sqlite3_result_error_nomem(context);
    const isMatch = matches(textBytes, patternBytes, rules, this.#options.mayGoOn);
    this.#exports.sqlite3_result_int(context, isMatch ? 1 : 0);
  }

  /** What the characters of the pattern mean; undefined if that is not one character to escape with. */
  #rules(context: Pointer, escape: Pointer | undefined): PatternRules | undefined {
    // `struct compareInfo`: four bytes.
    const info = this.#exports.sqlite3_user_data(context);
    const [matchAll, matchOne, matchSet, ignoresCase] = this.#heap.bytes.subarray(
      info,
      info + 4,
    ) as unknown as number[];
    const rules = { matchAll: matchAll!, matchOne: matchOne!, matchSet: matchSet!, ignoresCase: ignoresCase !== 0 };
    if (escape === undefined) return { ...rules, escape: 0 };
    const [text] = this.#texts([escape]);
    if (text === undefined || text.length === 0 || text[0] === 0) return undefined;
    const end = characterEnd(text, 0);
    if (end < text.length && text[end] !== 0) return undefined;
    const code = codePoint(text, 0, end);
    return {
      ...rules,
      escape: code,
      matchAll: code === matchAll ? 0 : matchAll!,
      matchOne: code === matchOne ? 0 : matchOne!,
    };
  }

  /** Views of values as texts, which conversions may move: so all are converted first. */
  #texts(values: readonly Pointer[]): (Uint8Array | undefined)[] {
    const { sqlite3_value_text: text, sqlite3_value_bytes: size } = this.#exports;
    const places = values.map(value => [text(value), size(value)] as const);
    return places.map(([pointer, length]) =>
      pointer === 0 ? undefined : this.#heap.bytes.subarray(pointer, pointer + length),
    );
  }

  /** A function of JSON and paths, each of them with so many arguments. Each path goes through the JSON again. */
  #paths(original: SqlFunction, argumentsPerPath: number): SqlFunction {
    return (context, count, values) => {
      const paths = (count - 1) / argumentsPerPath;
      if (paths > FEW_PATHS && this.#sizeOf(count, values) * paths > MAX_PATH_BYTES) {
        return refuseCall(this.#exports, this.#heap, context, 'so many paths in so large a JSON take too long');
      }
      return original(context, count, values);
    };
  }

  /** Bytes of all arguments that are large. */
  #sizeOf(count: number, values: Pointer): number {
    let size = 0;
    for (let i = 0; i < count; i++) {
      const value = this.#heap.uint32(values + 4 * i);
      const type = this.#exports.sqlite3_value_type(value);
      if (type === TYPE_TEXT || type === TYPE_BLOB) size += this.#exports.sqlite3_value_bytes(value);
    }
    return size;
  }

  /** Each member of the patch is looked for among those of the target, one by one. */
  #patch(original: SqlFunction): SqlFunction {
    return (context, count, values) => {
      const [target, patch] = [this.#heap.uint32(values), this.#heap.uint32(values + 4)];
      const { sqlite3_value_bytes: size } = this.#exports;
      const isLarge = size(target) * size(patch) > MAX_MEMBER_PAIRS;
      if (isLarge && this.#members(target) * this.#members(patch) > MAX_MEMBER_PAIRS) {
        return refuseCall(this.#exports, this.#heap, context, 'merging so many JSON members takes too long');
      }
      return original(context, count, values);
    };
  }

  /** At most so many members are in a JSON value. */
  #members(value: Pointer): number {
    const { sqlite3_value_bytes: size, sqlite3_value_type: type, sqlite3_value_text: text } = this.#exports;
    if (type(value) !== TYPE_TEXT) return size(value) / MEMBER_SIZE;
    const pointer = text(value);
    let count = 0;
    const bytes = this.#heap.bytes.subarray(pointer, pointer + size(value));
    for (let i = 0; i < bytes.length; i++) if (bytes[i] === COLON) count++;
    return count;
  }
}
