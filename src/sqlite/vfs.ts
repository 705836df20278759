/**
 * The VFS: SQLite's file callbacks answered from page stores and from temporary files in memory.
 *
 * SQLite runs in rollback mode with its journal in memory (`journal_mode=MEMORY`, `synchronous=OFF`), so a
 * database is one file and a commit is: RESERVED lock, page writes, EXCLUSIVE lock, truncation, file control
 * COMMIT_PHASETWO, unlock. The transaction is published in the PHASETWO callback, which comes exactly once
 * per commit that reached RESERVED. Versions make all other locks unnecessary: nobody waits for a reader.
 *
 * Conditions, each established by experiment (design rules, "the page store and its VFS"):
 * 1. xRead, xWrite, xTruncate, xFileSize, xFileControl give OK, IOERR_* or FULL (SHORT_READ from xRead, NOTFOUND
 *    from xFileControl); BUSY_SNAPSHOT comes from xLock only. Anything else makes SQLite publish corruption.
 * 2. A callback never throws: an exception that crosses WASM frames leaves SQLite half-way. What was caught
 *    is recorded as a defect, and the connection gets an I/O error.
 * 3. These are the hottest functions of the project: no closures, no strings, one `Number()` per BigInt.
 */

import { messageOf } from '../lib/errors.ts';
import { HEADER_SIZE, headerDefect, PAGE_SIZE, present, sameHeader, sizeField, toStored } from '../pages/index.ts';
import {
  DEVICE_CHARACTERISTICS,
  FCNTL_COMMIT_PHASETWO,
  LOCK_NONE,
  LOCK_RESERVED,
  LOCK_SHARED,
  OPEN_MAIN_DB,
  SQLITE_BUSY_SNAPSHOT,
  SQLITE_CANTOPEN,
  SQLITE_FULL,
  SQLITE_IOERR,
  SQLITE_IOERR_FSTAT,
  SQLITE_IOERR_LOCK,
  SQLITE_IOERR_READ,
  SQLITE_IOERR_SHORT_READ,
  SQLITE_IOERR_TRUNCATE,
  SQLITE_IOERR_UNLOCK,
  SQLITE_IOERR_WRITE,
  SQLITE_NOTFOUND,
  SQLITE_OK,
} from './constants.ts';
import type { MainFile } from './main-file.ts';
import { Budget, TempFile } from './temp-file.ts';
import type { Heap } from './heap.ts';
import type { Pointer, SqliteModule } from './wasm.ts';

/** What SQLite gets from outside through the VFS. */
export interface Environment {
  /** Milliseconds since 1970, for `CURRENT_TIMESTAMP` and its like. */
  wallMs(): number;
  /** A clock that only goes forward, for time limits. */
  monotonicMs(): number;
  /** Whether `size` bytes are equal. Native code: a loop over a page costs more than the rest of a callback. */
  sameBytes(a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number, size: number): boolean;
  /** Seeds SQLite's generator (`random()`, `randomblob()`). */
  fillRandom(bytes: Uint8Array): void;
}

/** A callback by name, for tests that record callbacks or make one fail. */
export type CallbackName =
  | 'access'
  | 'open'
  | 'close'
  | 'read'
  | 'write'
  | 'truncate'
  | 'size'
  | 'lock'
  | 'unlock'
  | 'control';

/**
 * Told of each callback as it begins, with its argument: an offset (read, write), a size (truncate), a lock level, a
 * file control's number, flags (open, access). A number makes the callback fail with it before it does anything.
 */
export type Fault = (callback: CallbackName, argument: number, isMain: boolean) => number | undefined;

const VFS_NAME = 'dqlite';
const SHORT_READ = 32;
/** Milliseconds from the start of the Julian calendar, SQLite's time zero, to 1970. */
const JULIAN_EPOCH_MS = 210_866_760_000_000;

/** Why a database must not become smaller (design rule 14). */
export const SHRINKING_REFUSED: string =
  'a member of the cluster runs a dqlite version that cannot shrink databases (VACUUM, auto_vacuum), ' +
  'or was not heard of since this node leads';

export class Vfs {
  readonly #heap: Heap;
  readonly #environment: Environment;
  readonly #files = new Map<Pointer, MainFile | TempFile>();
  #lastPointer: Pointer = 0;
  #lastFile: MainFile | TempFile | undefined = undefined;
  #methods: Pointer = 0;
  readonly pointer: Pointer;
  /** The file that the next open of a main database means. */
  opening: MainFile | undefined = undefined;
  /** Where temporary files opened from now on take their memory from. */
  budget: Budget = new Budget(0);
  /** Most pages that one transaction may write. */
  maxTransactionPages = 0;
  /** Why a callback failed, in words; replaces SQLite's "disk I/O error". */
  cause: string | undefined = undefined;
  /** An exception that a callback caught. */
  defect: unknown = undefined;
  /** For tests. */
  fault: Fault | undefined = undefined;

  constructor(module: SqliteModule, heap: Heap, environment: Environment) {
    this.#heap = heap;
    this.#environment = environment;
    const { capi, wasm } = module;
    const methods = new capi.sqlite3_io_methods();
    methods['$iVersion'] = 1;
    methods.installMethods({
      xClose: (file: Pointer) => this.#close(file),
      xRead: (file: Pointer, target: Pointer, size: number, offset: bigint) => this.#read(file, target, size, offset),
      xWrite: (file: Pointer, source: Pointer, size: number, offset: bigint) => this.#write(file, source, size, offset),
      xTruncate: (file: Pointer, size: bigint) => this.#truncate(file, size),
      xSync: (_file: Pointer, _flags: number) => SQLITE_OK,
      xFileSize: (file: Pointer, out: Pointer) => this.#fileSize(file, out),
      xLock: (file: Pointer, level: number) => this.#lock(file, level),
      xUnlock: (file: Pointer, level: number) => this.#unlock(file, level),
      xCheckReservedLock: (_file: Pointer, out: Pointer) => this.#heap.setUint32(out, 0),
      xFileControl: (file: Pointer, operation: number, _argument: Pointer) => this.#control(file, operation),
      xSectorSize: (_file: Pointer) => PAGE_SIZE,
      xDeviceCharacteristics: (_file: Pointer) => DEVICE_CHARACTERISTICS,
    });
    this.#methods = methods.pointer;
    const vfs = new capi.sqlite3_vfs();
    vfs['$iVersion'] = 2;
    vfs['$szOsFile'] = capi.sqlite3_file.structInfo.sizeof;
    vfs['$mxPathname'] = 512;
    vfs['$zName'] = wasm.allocCString(VFS_NAME);
    vfs.installMethods({
      xOpen: (_vfs: Pointer, name: Pointer, file: Pointer, flags: number, out: Pointer) =>
        this.#open(name, file, flags, out),
      xDelete: (_vfs: Pointer, _name: Pointer, _sync: number) => SQLITE_OK,
      xAccess: (_vfs: Pointer, _name: Pointer, flags: number, out: Pointer) => this.#access(flags, out),
      xFullPathname: (_vfs: Pointer, name: Pointer, size: number, out: Pointer) => this.#fullPathname(name, size, out),
      xRandomness: (_vfs: Pointer, size: number, out: Pointer) => this.#randomness(size, out),
      xSleep: (_vfs: Pointer, _microseconds: number) => 0,
      xCurrentTimeInt64: (_vfs: Pointer, out: Pointer) => this.#currentTime(out),
      xGetLastError: (_vfs: Pointer, _size: number, _out: Pointer) => 0,
    });
    // As the default, so that nothing in the module reaches the built-in one, also not for seeding.
    vfs.registerVfs(true);
    this.pointer = vfs.pointer;
  }

  /** Files that are open, for tests of leaks. */
  get openFiles(): number {
    return this.#files.size;
  }

  #fail(error: unknown, code: number): number {
    this.defect = error;
    this.cause = `internal error: ${messageOf(error)}`;
    return code;
  }

  #file(pointer: Pointer): MainFile | TempFile {
    if (pointer === this.#lastPointer) return this.#lastFile!;
    this.#lastFile = this.#files.get(pointer)!;
    this.#lastPointer = pointer;
    return this.#lastFile;
  }

  #open(name: Pointer, pointer: Pointer, flags: number, out: Pointer): number {
    try {
      const isMain = (flags & OPEN_MAIN_DB) !== 0;
      const fault = this.fault?.('open', flags, isMain);
      if (fault !== undefined) return fault;
      let file: MainFile | TempFile;
      if (isMain) {
        // A main database that no connection of ours asked for: ATTACH of a named file.
        if (this.opening === undefined || name === 0) return SQLITE_CANTOPEN;
        file = this.opening;
        this.opening = undefined;
        file.isOpen = true;
      } else {
        file = new TempFile(this.budget);
      }
      this.#files.set(pointer, file);
      this.#heap.setUint32(pointer, this.#methods);
      if (out !== 0) this.#heap.setUint32(out, flags);
      return SQLITE_OK;
    } catch (error) {
      return this.#fail(error, SQLITE_CANTOPEN);
    }
  }

  #close(pointer: Pointer): number {
    try {
      const file = this.#file(pointer);
      // SQLite does not look at what this gives, so that a fault must not keep the file open.
      const fault = this.fault?.('close', 0, !(file instanceof TempFile));
      this.#files.delete(pointer);
      this.#lastPointer = 0;
      if (file instanceof TempFile) file.truncate(0);
      else file.drop();
      return fault ?? SQLITE_OK;
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR);
    }
  }

  #read(pointer: Pointer, target: Pointer, size: number, offset64: bigint): number {
    try {
      const file = this.#file(pointer);
      const heap = this.#heap.bytes;
      const offset = Number(offset64);
      if (this.fault !== undefined) {
        const fault = this.fault('read', offset, !(file instanceof TempFile));
        if (fault !== undefined) return fault;
      }
      if (file instanceof TempFile) {
        return file.read(heap, target, size, offset) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
      }
      const page = Math.floor(offset / PAGE_SIZE) + 1;
      const within = offset % PAGE_SIZE;
      if (within + size > PAGE_SIZE) return this.#fail(new Error('read across pages'), SQLITE_IOERR_READ);
      const { set, store } = file;
      const version = file.version;
      const written = set?.imageOf(page);
      if (written === undefined) {
        const limit = set === undefined ? store.sizeAt(version) : set.baseLimit;
        if (page > limit) {
          heap.fill(0, target, target + size);
          // Within the size of the write set: a page that was allocated and never written.
          return page > (set?.size ?? 0) ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
        }
      }
      const image = written ?? store.imageAt(page, version);
      const { slabs } = store;
      const start = slabs.offsetOf(image) + within;
      const slab = slabs.bytesOf(image);
      // SQLite asks for 16 bytes of the header at each start of a transaction: a view would cost more than they do.
      if (size <= SHORT_READ) for (let i = 0; i < size; i++) heap[target + i] = slab[start + i]!;
      else heap.set(slab.subarray(start, start + size), target);
      if (page === 1) {
        present(heap, target, within, size, written === undefined ? version : undefined, store.sizeAt(version));
      }
      return SQLITE_OK;
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR_READ);
    }
  }

  #write(pointer: Pointer, source: Pointer, size: number, offset64: bigint): number {
    try {
      const file = this.#file(pointer);
      const heap = this.#heap.bytes;
      const offset = Number(offset64);
      if (this.fault !== undefined) {
        const fault = this.fault('write', offset, !(file instanceof TempFile));
        if (fault !== undefined) return fault;
      }
      if (file instanceof TempFile) {
        if (file.write(heap, source, size, offset)) return SQLITE_OK;
        this.cause = 'the temporary files of this connection, or of all together, are as large as they may be';
        return SQLITE_FULL;
      }
      const { set, store } = file;
      if (size !== PAGE_SIZE || offset % PAGE_SIZE !== 0) {
        return this.#fail(new Error(`write of ${size} bytes at ${offset}`), SQLITE_IOERR_WRITE);
      }
      if (set === undefined) return this.#fail(new Error('write without RESERVED'), SQLITE_IOERR_WRITE);
      if (file.doomed) return SQLITE_OK;
      const page = offset / PAGE_SIZE + 1;
      if (page === 1) {
        const refusal = this.#checkHeader(file, heap, source);
        if (refusal !== undefined) {
          file.doomed = true;
          this.cause = refusal;
          return SQLITE_IOERR_WRITE;
        }
        const base = store.imageAt(1, file.version);
        const { slabs } = store;
        const slab = slabs.bytesOf(base);
        const start = slabs.offsetOf(base);
        const unchanged =
          set.size === store.sizeAt(file.version) &&
          sizeField(heap, source) === set.size &&
          sameHeader(heap, source, slab, start) &&
          this.#environment.sameBytes(heap, source + HEADER_SIZE, slab, start + HEADER_SIZE, PAGE_SIZE - HEADER_SIZE);
        if (unchanged) {
          set.drop(1);
          return SQLITE_OK;
        }
      }
      if (set.pageCount >= this.maxTransactionPages && set.imageOf(page) === undefined) {
        file.doomed = true;
        this.cause = `the transaction changes more than ${this.maxTransactionPages * PAGE_SIZE} bytes of pages`;
        return SQLITE_FULL;
      }
      const { slabs } = store;
      const image = set.write(page);
      const start = slabs.offsetOf(image);
      const slab = slabs.bytesOf(image);
      slab.set(heap.subarray(source, source + PAGE_SIZE), start);
      if (page === 1) toStored(slab, start);
      return SQLITE_OK;
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR_WRITE);
    }
  }

  /**
   * Page 1 is checked when it is written, which SQLite does in commit phase one: it still has its journal and
   * rolls back. What a client can write (`PRAGMA`, virtual tables) is never an assertion.
   */
  #checkHeader(file: MainFile, heap: Uint8Array, source: Pointer): string | undefined {
    const defect = headerDefect(heap, source);
    if (defect !== undefined) return `${defect}: this statement would make the database unreadable`;
    if (!file.store.mayShrink && sizeField(heap, source) < file.store.sizeAt(file.version)) {
      return SHRINKING_REFUSED;
    }
    return undefined;
  }

  #truncate(pointer: Pointer, size64: bigint): number {
    try {
      const file = this.#file(pointer);
      const size = Number(size64);
      const fault = this.fault?.('truncate', size, !(file instanceof TempFile));
      if (fault !== undefined) return fault;
      if (file instanceof TempFile) {
        file.truncate(size);
        return SQLITE_OK;
      }
      const { set } = file;
      if (set === undefined) return this.#fail(new Error('truncation without RESERVED'), SQLITE_IOERR_TRUNCATE);
      if (!file.doomed) set.truncate(size / PAGE_SIZE);
      return SQLITE_OK;
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR_TRUNCATE);
    }
  }

  #fileSize(pointer: Pointer, out: Pointer): number {
    try {
      const file = this.#file(pointer);
      const fault = this.fault?.('size', 0, !(file instanceof TempFile));
      if (fault !== undefined) return fault;
      const size =
        file instanceof TempFile ? file.size : (file.set?.size ?? file.store.sizeAt(file.version)) * PAGE_SIZE;
      this.#heap.setUint32(out, size);
      this.#heap.setUint32(out + 4, Math.floor(size / 4294967296));
      return SQLITE_OK;
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR_FSTAT);
    }
  }

  #lock(pointer: Pointer, level: number): number {
    try {
      const file = this.#file(pointer);
      const fault = this.fault?.('lock', level, !(file instanceof TempFile));
      if (fault !== undefined) return fault;
      if (file instanceof TempFile) return SQLITE_OK;
      const { store } = file;
      if (file.pin === undefined) {
        file.pin = store.pin(file.version);
        file.lock = LOCK_SHARED;
      }
      if (level >= LOCK_RESERVED && file.set === undefined) {
        if (!file.ticket || file.pin.version !== store.newest) return SQLITE_BUSY_SNAPSHOT;
        file.set = store.begin();
      }
      file.lock = level;
      return SQLITE_OK;
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR_LOCK);
    }
  }

  #unlock(pointer: Pointer, level: number): number {
    try {
      const file = this.#file(pointer);
      const fault = this.fault?.('unlock', level, !(file instanceof TempFile));
      if (fault !== undefined) return fault;
      if (file instanceof TempFile) return SQLITE_OK;
      if (level < LOCK_RESERVED) file.dropSet();
      if (level === LOCK_NONE && file.pin !== undefined) {
        file.store.unpin(file.pin);
        file.pin = undefined;
      }
      file.lock = level;
      return SQLITE_OK;
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR_UNLOCK);
    }
  }

  #control(pointer: Pointer, operation: number): number {
    try {
      if (this.fault !== undefined) {
        const fault = this.fault('control', operation, !(this.#file(pointer) instanceof TempFile));
        if (fault !== undefined) return fault;
      }
      if (operation !== FCNTL_COMMIT_PHASETWO) return SQLITE_NOTFOUND;
      const file = this.#file(pointer);
      return file instanceof TempFile ? SQLITE_NOTFOUND : this.#publish(file);
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR);
    }
  }

  #publish(file: MainFile): number {
    const { set, pin, store } = file;
    if (set === undefined || pin === undefined) return SQLITE_NOTFOUND;
    if (!file.ticket) throw new Error('a transaction was committed without the write ticket');
    if (set.pageCount === 0) {
      // Nothing but counters changed. SQLite has labelled its page cache with the next version all the same.
      store.skipVersion();
    } else {
      const image = set.imageOf(1);
      const { slabs } = store;
      const stated =
        image === undefined ? store.sizeAt(pin.version) : sizeField(slabs.bytesOf(image), slabs.offsetOf(image));
      if (stated !== set.size) {
        // The journal is final: there is no way back for SQLite, so the connection must go.
        file.unusable = true;
        this.cause = `the database header states ${stated} pages, but the transaction leaves ${set.size}`;
        return SQLITE_IOERR;
      }
      file.pin = store.publish(set, pin);
      file.published = store.newest;
    }
    file.dropSet();
    return SQLITE_NOTFOUND;
  }

  #access(flags: number, out: Pointer): number {
    const fault = this.fault?.('access', flags, true);
    if (fault !== undefined) return fault;
    // No journal is ever found: a transaction that was not published never happened.
    return this.#heap.setUint32(out, 0);
  }

  #fullPathname(name: Pointer, size: number, out: Pointer): number {
    const heap = this.#heap.bytes;
    const end = heap.indexOf(0, name);
    if (end - name + 1 > size) return SQLITE_CANTOPEN;
    heap.copyWithin(out, name, end + 1);
    return SQLITE_OK;
  }

  #randomness(size: number, out: Pointer): number {
    try {
      this.#environment.fillRandom(this.#heap.bytes.subarray(out, out + size));
      return size;
    } catch (error) {
      this.#fail(error, SQLITE_IOERR);
      return 0;
    }
  }

  #currentTime(out: Pointer): number {
    try {
      const time = Math.floor(this.#environment.wallMs()) + JULIAN_EPOCH_MS;
      this.#heap.setUint32(out, time);
      return this.#heap.setUint32(out + 4, Math.floor(time / 4294967296));
    } catch (error) {
      return this.#fail(error, SQLITE_IOERR);
    }
  }
}
