/**
 * `instr`, `replace`, `trim`, `ltrim`, `rtrim` and `unhex` with the results of SQLite's own, for which two values of a
 * megabyte are enough to run for hours inside of one instruction, where nothing can stop them. These take time in
 * proportion to the sizes; trimming with a set of characters that would not is refused.
 * `randomblob` is here because SQLite's generator needs seconds for the largest value.
 */

import type { Heap } from './heap.ts';
import { refuseCall } from './refuse-call.ts';
import { characterEnd, codePoint, continues, indexOf, replaceAll } from './string-search.ts';
import { FUNCTION_FLAGS, TRANSIENT } from './constants.ts';
import type { Environment } from './vfs.ts';
import type { Exports, Pointer, SqliteModule } from './wasm.ts';

const DETERMINISTIC = 0x800;
const TYPE_BLOB = 4;
const TYPE_NULL = 5;
/** Comparisons of one trim: about half a second. */
const MAX_TRIM_COMPARISONS = 2 ** 25;

type Call = (context: Pointer, values: readonly Pointer[]) => void;

export class StringFunctions {
  readonly #exports: Exports;
  readonly #heap: Heap;
  readonly #maxValueBytes: number;
  readonly #functions: readonly (readonly [name: Pointer, argumentCount: number, callback: Pointer, flags: number])[];

  /** `failed` takes what must never be thrown. */
  constructor(
    { wasm }: SqliteModule,
    heap: Heap,
    maxValueBytes: number,
    environment: Environment,
    failed: (error: unknown) => void,
  ) {
    this.#exports = wasm.exports;
    this.#heap = heap;
    this.#maxValueBytes = maxValueBytes;
    const define = (name: string, argumentCount: number, call: Call): readonly [Pointer, number, Pointer, number] => {
      const callback = wasm.installFunction((context: Pointer, count: number, values: Pointer) => {
        try {
          call(
            context,
            Array.from({ length: count }, (_, index) => this.#heap.uint32(values + 4 * index)),
          );
        } catch (error) {
          failed(error);
          this.#exports.sqlite3_result_error_nomem(context);
        }
      }, 'v(pip)');
      const flags = name === 'randomblob' ? FUNCTION_FLAGS : FUNCTION_FLAGS | DETERMINISTIC;
      return [wasm.allocCString(name), argumentCount, callback, flags];
    };
    this.#functions = [
      define('instr', 2, (context, values) => this.#instr(context, values)),
      define('replace', 3, (context, values) => this.#replace(context, values)),
      define('trim', 2, (context, values) => this.#trim(context, values, true, true)),
      define('ltrim', 2, (context, values) => this.#trim(context, values, true, false)),
      define('rtrim', 2, (context, values) => this.#trim(context, values, false, true)),
      define('unhex', 2, (context, values) => this.#unhex(context, values)),
      define('randomblob', 1, (context, [value]) => {
        const size = Math.max(1, Number(this.#exports.sqlite3_value_int64(value!)));
        this.#give(context, size, false, bytes => environment.fillRandom(bytes));
      }),
    ];
  }

  define(db: Pointer): void {
    for (const [name, argumentCount, callback, flags] of this.#functions) {
      this.#exports.sqlite3_create_function_v2(db, name, argumentCount, flags, 0, callback, 0, 0, 0);
    }
  }

  #isNull(value: Pointer): boolean {
    return this.#exports.sqlite3_value_type(value) === TYPE_NULL;
  }

  /** Views of values as texts, which conversions may move: so all are converted first. Undefined: out of memory. */
  #texts(context: Pointer, values: readonly Pointer[]): Uint8Array[] | undefined {
    const { sqlite3_value_text: text, sqlite3_value_bytes: size } = this.#exports;
    const places = values.map(value => [text(value), size(value)] as const);
    if (places.some(([pointer]) => pointer === 0)) {
      this.#exports.sqlite3_result_error_nomem(context);
      return undefined;
    }
    return places.map(([pointer, length]) => this.#heap.bytes.subarray(pointer, pointer + length));
  }

  /** A result of so many bytes, filled by `fill`. */
  #give(context: Pointer, size: number, isText: boolean, fill: (bytes: Uint8Array) => void): void {
    const exports = this.#exports;
    if (size > this.#maxValueBytes) return exports.sqlite3_result_error_toobig(context);
    const pointer = exports.sqlite3_malloc(size + 1);
    if (pointer === 0) return exports.sqlite3_result_error_nomem(context);
    fill(this.#heap.bytes.subarray(pointer, pointer + size));
    if (isText) exports.sqlite3_result_text(context, pointer, size, TRANSIENT);
    else exports.sqlite3_result_blob(context, pointer, size, TRANSIENT);
    exports.sqlite3_free(pointer);
  }

  #instr(context: Pointer, values: readonly Pointer[]): void {
    if (values.some(value => this.#isNull(value))) return;
    const exports = this.#exports;
    const isText = values.some(value => exports.sqlite3_value_type(value) !== TYPE_BLOB);
    const texts = this.#texts(
      context,
      // An empty blob has no address.
      values.filter(value => isText || exports.sqlite3_value_bytes(value) > 0),
    );
    if (texts === undefined) return;
    const [haystack, needle] = isText || texts.length === 2 ? texts : [undefined, undefined];
    if (haystack === undefined || needle === undefined || needle.length === 0) {
      const isFound = needle !== undefined || exports.sqlite3_value_bytes(values[1]!) === 0;
      return exports.sqlite3_result_int(context, isFound ? 1 : 0);
    }
    const offset = indexOf(haystack, needle, isText);
    let position = offset + 1;
    // Texts count characters.
    if (isText) for (let i = 1; i <= offset; i++) if (continues(haystack[i])) position--;
    exports.sqlite3_result_int(context, position);
  }

  #replace(context: Pointer, values: readonly Pointer[]): void {
    if (this.#isNull(values[0]!) || this.#isNull(values[1]!)) return;
    const both = this.#texts(context, values.slice(0, 2));
    if (both === undefined) return;
    const [text, pattern] = both as [Uint8Array, Uint8Array];
    if (pattern.length === 0 || pattern[0] === 0) {
      return this.#exports.sqlite3_result_text(context, text.byteOffset, text.length, TRANSIENT);
    }
    if (this.#isNull(values[2]!)) return;
    const texts = this.#texts(context, values);
    if (texts === undefined) return;
    const [whole, from, to] = texts as [Uint8Array, Uint8Array, Uint8Array];
    const count = replaceAll(whole, from, to, undefined);
    const size = whole.length + count * (to.length - from.length);
    this.#give(context, size, true, result => {
      // The memory may have grown: views are made anew.
      const [again, what, by] = this.#texts(context, values) as [Uint8Array, Uint8Array, Uint8Array];
      replaceAll(again, what, by, result);
    });
  }

  #trim(context: Pointer, values: readonly Pointer[], left: boolean, right: boolean): void {
    if (values.some(value => this.#isNull(value))) return;
    const texts = this.#texts(context, values);
    if (texts === undefined) return;
    const [text, set] = texts as [Uint8Array, Uint8Array];
    const characters = distinctCharacters(set);
    let from = 0;
    let to = text.length;
    let comparisons = 0;
    const isAt = (character: Uint8Array, offset: number): boolean => {
      for (let i = 0; i < character.length; i++) if (text[offset + i] !== character[i]) return false;
      return true;
    };
    /** The first of the characters that stands at an end. */
    const find = (atStart: boolean): Uint8Array | undefined => {
      for (const character of characters) {
        comparisons++;
        const { length } = character;
        if (length <= to - from && isAt(character, atStart ? from : to - length)) return character;
      }
      return undefined;
    };
    for (const atStart of [...(left ? [true] : []), ...(right ? [false] : [])]) {
      while (from < to) {
        const found = find(atStart);
        if (comparisons > MAX_TRIM_COMPARISONS) {
          return refuseCall(
            this.#exports,
            this.#heap,
            context,
            'trimming so many bytes with so many characters takes too long',
          );
        }
        if (found === undefined) break;
        if (atStart) from += found.length;
        else to -= found.length;
      }
    }
    this.#exports.sqlite3_result_text(context, text.byteOffset + from, to - from, TRANSIENT);
  }

  #unhex(context: Pointer, values: readonly Pointer[]): void {
    if (values.some(value => this.#isNull(value))) return;
    const texts = this.#texts(context, values);
    if (texts === undefined) return;
    const [text, ignored] = texts as [Uint8Array, Uint8Array];
    const passes = new Set<number>();
    for (let i = 0, end = 0; i < ignored.length; i = end) {
      end = characterEnd(ignored, i);
      passes.add(codePoint(ignored, i, end));
    }
    const digits = new Uint8Array(text.length);
    let count = 0;
    for (let i = 0, end = 0; i < text.length && text[i] !== 0; i = end) {
      end = characterEnd(text, i);
      const digit = digitOf(text[i]!);
      if (digit >= 0) digits[count++] = digit;
      // Between the two digits of a byte nothing may stand.
      else if (count % 2 === 1 || !passes.has(codePoint(text, i, end))) return;
    }
    if (count % 2 === 1) return;
    this.#give(context, count / 2, false, result => {
      for (let i = 0; i < result.length; i++) result[i] = (digits[2 * i]! << 4) | digits[2 * i + 1]!;
    });
  }
}

/** Characters this long are none, and not looked at for whether they repeat. */
const MAX_CHARACTER_SIZE = 6;

/** The characters of a text up to a NUL, each where it comes first. */
function distinctCharacters(text: Uint8Array): Uint8Array[] {
  const characters: Uint8Array[] = [];
  const seen = new Set<string>();
  for (let i = 0, end = 0; i < text.length && text[i] !== 0; i = end) {
    end = characterEnd(text, i);
    const character = text.subarray(i, end);
    if (character.length <= MAX_CHARACTER_SIZE) {
      const key = String.fromCharCode(...character);
      if (seen.has(key)) continue;
      seen.add(key);
    }
    characters.push(character);
  }
  return characters;
}

/** The value of a hexadecimal digit, or -1. */
function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
