/**
 * One running instance of SQLite's WebAssembly module, and what its connections share: the heap, the VFS,
 * scratch memory, callbacks for limits and authorization.
 *
 * An instance can break (design rule 24): a trap or a stack overflow inside WASM leaves it in an unknown state.
 * `run` turns that into `InstanceBroken`; nothing may be called on the instance afterwards, and the owner makes
 * a new one over the same page stores.
 */

import type { PageStore } from '../pages/index.ts';
import { watchAllocations } from './allocations.ts';
import { boundFunctions } from './bounded-functions.ts';
import { Connection, MAX_PATTERN_LENGTH, type Role } from './connection.ts';
import type { CounterOffsets } from './counters.ts';
import { InstanceBroken, SqliteError, TOO_SLOW } from './error.ts';
import { Heap } from './heap.ts';
import { StringFunctions } from './string-functions.ts';
import { Budget } from './temp-file.ts';
import type { ValueLayout } from './value-layout.ts';
import { Vfs, type Environment } from './vfs.ts';
import { instantiate, type Exports, type Pointer, type SqliteModule } from './wasm.ts';

export interface SqliteLimits {
  /** Largest value (text, blob, row) in bytes. */
  readonly maxValueBytes: number;
  /** Most bytes of pages that one transaction may change. */
  readonly maxTransactionBytes: number;
  /** Bytes the SQL engine may allocate in its heap, all connections together. */
  readonly heapBytes: number;
  /** Bytes of temporary files per connection and for all. */
  readonly tempBytesPerConnection: number;
  readonly tempBytes: number;
  /** Page cache of one connection, in KiB. */
  readonly cacheKib: number;
}

/** Scratch memory in the WASM heap that is never freed: parameters and SQL of usual size. */
const SCRATCH_SIZE = 64 * 1024;
/**
 * The stack that SQLite's functions keep their variables on lies in the heap, above its static data, with nothing in
 * between. 512 KiB, as the module has it, are too small: 1,500 generated columns, each made from the one before, went
 * through it in a worker thread, whose own stack is larger, and overwrote SQLite's data without an error. SQLite's own
 * limits on depth let no statement use half of this.
 */
const STACK_SIZE = 4 * 1024 * 1024;
/** What SQLite does without a piece of memory, and that it takes back what was done, may take this part of a step. */
const REPRIEVES = 4;
/** Virtual machine instructions between two looks at the clock: costs nothing measurable. */
const PROGRESS_OPCODES = 1000;

export class Sqlite {
  readonly exports: Exports;
  readonly heap: Heap;
  readonly vfs: Vfs;
  readonly limits: SqliteLimits;
  readonly tempBudget: Budget;
  readonly environment: Environment;
  /** Pointers to the two callbacks that each connection installs. */
  readonly progressCallback: Pointer;
  readonly authorizerCallback: Pointer;
  readonly progressOpcodes: number = PROGRESS_OPCODES;
  /** Where a connection keeps its counters; found in the first one. */
  counters: CounterOffsets | undefined = undefined;
  /** Where the values of a result row lie; found in the first connection. */
  valueLayout: ValueLayout | undefined = undefined;
  readonly stringFunctions: StringFunctions;
  /** Scratch memory; valid until the next use by anyone. */
  readonly #scratch: Pointer;
  /** Two words for results returned through pointers. */
  readonly out: Pointer;
  /** The string `main`. */
  readonly mainSchema: Pointer;
  /** The connection whose statement is compiling or running. */
  active: Connection | undefined = undefined;
  /** When the running statement is stopped, on the monotonic clock. */
  deadlineMs: number = Infinity;
  #maxStepMs = 0;
  /** A statement of a client compiles or steps: it is refused memory after the deadline. */
  isLimited: boolean = false;
  /** When the clock was looked at last while a statement ran. */
  lookedAtMs: number = 0;
  /** Set by whoever wants the running statement to stop at the next look at the clock. */
  onProgress: () => void = () => {};
  broken: unknown = undefined;
  readonly connections: Set<Connection> = new Set();
  /** The long text that is being compiled, and where its copy lies. */
  #text: Uint8Array | undefined = undefined;
  #textPointer: Pointer = 0;

  static async create(environment: Environment, limits: SqliteLimits): Promise<Sqlite> {
    return new Sqlite(await instantiate(), environment, limits);
  }

  private constructor(module: SqliteModule, environment: Environment, limits: SqliteLimits) {
    const { wasm } = module;
    this.exports = wasm.exports;
    this.environment = environment;
    this.limits = limits;
    this.tempBudget = new Budget(limits.tempBytes);
    this.heap = new Heap(wasm.memory);
    watchAllocations(module, this.heap, () => this.#mayAllocate());
    this.vfs = new Vfs(module, this.heap, environment);
    this.vfs.maxTransactionPages = Math.floor(limits.maxTransactionBytes / 4096);
    // It grows down, from an address that 16 divides.
    this.exports._emscripten_stack_restore((this.exports.sqlite3_malloc(STACK_SIZE) + STACK_SIZE) & ~15);
    this.#scratch = this.exports.sqlite3_malloc(SCRATCH_SIZE);
    this.out = this.exports.sqlite3_malloc(16);
    this.mainSchema = wasm.allocCString('main');
    this.progressCallback = wasm.installFunction((_context: Pointer) => this.#progress(), 'i(p)');
    const failed = (error: unknown): void => {
      this.vfs.defect = error;
    };
    this.stringFunctions = new StringFunctions(module, this.heap, limits.maxValueBytes, environment, failed);
    boundFunctions(module, this.heap, {
      maxPatternLength: MAX_PATTERN_LENGTH,
      mayGoOn: () => this.#progress() === 0,
      failed,
    });
    this.authorizerCallback = wasm.installFunction(
      (_context: Pointer, action: number, first: Pointer, second: Pointer, schema: Pointer, _trigger: Pointer) =>
        this.#authorize(action, first, second, schema),
      'i(pipppp)',
    );
  }

  /**
   * Runs what calls into WASM. A trap and an overflow of the stack are what comes out of a broken instance; SQLite's
   * own errors, and those of this program, pass.
   */
  run<T>(work: () => T): T {
    if (this.broken !== undefined) throw new InstanceBroken(this.broken);
    // What an earlier statement was given is over.
    this.deadlineMs = Infinity;
    try {
      return work();
    } catch (error) {
      if (!(error instanceof RangeError || isTrap(error))) throw error;
      this.broken = error;
      throw new InstanceBroken(error);
    }
  }

  /** Gives up a broken instance: its connections hold nothing in the page stores any more. */
  abandon(): void {
    for (const connection of this.connections) connection.abandon();
    this.connections.clear();
  }

  open(store: PageStore, role: Role): Connection {
    return new Connection(this, store, role);
  }

  /** To be called before statements step: they are stopped after `maxStepMs` (0: never). Gives the time. */
  startClock(maxStepMs: number): number {
    this.#maxStepMs = maxStepMs;
    this.vfs.cause = undefined;
    return this.restartClock();
  }

  /** Gives what begins now, a compilation for instance, as long as the last statement was given. */
  restartClock(): number {
    this.lookedAtMs = this.environment.monotonicMs();
    this.deadlineMs = this.#maxStepMs === 0 ? Infinity : this.lookedAtMs + this.#maxStepMs;
    return this.lookedAtMs;
  }

  /** Memory for `size` bytes that the callee copies at once. Give it back with `giveScratch`. */
  takeScratch(size: number): Pointer {
    if (size <= SCRATCH_SIZE) return this.#scratch;
    const pointer = this.exports.sqlite3_malloc(size);
    if (pointer === 0) throw new SqliteError(7, 'out of memory');
    return pointer;
  }

  giveScratch(pointer: Pointer): void {
    if (pointer !== this.#scratch) this.exports.sqlite3_free(pointer);
  }

  /**
   * A text from `offset` on, with a NUL behind it, in the heap: valid until the next use of scratch memory. The copy of
   * a long text is kept until `dropText`: copied anew for each of its statements, a script of 4 MB took seven seconds.
   */
  takeText(text: Uint8Array, offset: number): Pointer {
    const size = text.length - offset;
    const isLong = text.length >= SCRATCH_SIZE;
    if (isLong && text === this.#text) return this.#textPointer + offset;
    this.dropText();
    const pointer = this.takeScratch(isLong ? text.length + 1 : size + 1);
    const { bytes } = this.heap;
    bytes.set(isLong || offset === 0 ? text : text.subarray(offset), pointer);
    bytes[pointer + (isLong ? text.length : size)] = 0;
    if (!isLong) return pointer;
    this.#text = text;
    this.#textPointer = pointer;
    return pointer + offset;
  }

  /** A long text has no more statements to compile. */
  dropText(): void {
    if (this.#text === undefined) return;
    this.exports.sqlite3_free(this.#textPointer);
    this.#text = undefined;
  }

  #progress(): number {
    try {
      this.onProgress();
      // SQLite asks once more when a statement has committed, and would call what is done an error.
      if (!this.#isLate() || this.vfs.hasPublished) return 0;
      this.vfs.cause = TOO_SLOW;
      return 1;
    } catch (error) {
      this.vfs.defect = error;
      return 1;
    }
  }

  #isLate(): boolean {
    this.lookedAtMs = this.environment.monotonicMs();
    return this.lookedAtMs > this.deadlineMs;
  }

  /** Whether what compiles or runs gets more memory; if not, it fails with SQLITE_NOMEM and the cause. */
  #mayAllocate(): boolean {
    if (!this.isLimited || !this.#isLate() || this.vfs.hasPublished) return true;
    this.vfs.cause = TOO_SLOW;
    // SQLite needs memory to take back what was done; or it can do without this piece, and goes on.
    this.deadlineMs = this.lookedAtMs + this.#maxStepMs / REPRIEVES;
    return false;
  }

  #authorize(action: number, first: Pointer, second: Pointer, schema: Pointer): number {
    try {
      return this.active === undefined ? 0 : this.active.authorize(action, first, second, schema);
    } catch (error) {
      this.vfs.defect = error;
      return 1;
    }
  }
}

/** `WebAssembly.RuntimeError`, which the type libraries used here do not know. */
function isTrap(error: unknown): boolean {
  return error instanceof Error && error.name === 'RuntimeError';
}
