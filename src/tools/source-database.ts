/**
 * An SQLite database file for reading: any page size and journal mode, UTF-8. SQLite's WebAssembly build reads it
 * by callbacks that cannot write; it is shown a file in rollback mode whose pages are those of the write-ahead log
 * where that has newer ones. So nothing beside the file is made, and its size does not matter.
 */

import { Heap, instantiate, SQLITE_OK, SQLITE_ROW, SQLITE_DONE } from '../sqlite/index.ts';
import { SQLITE_CANTOPEN, SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ, SQLITE_NOTFOUND } from '../sqlite/index.ts';
import { DBCONFIG_DQS_DDL, DBCONFIG_DQS_DML, OPEN_MAIN_DB } from '../sqlite/index.ts';
import type { Exports, Pointer, SqliteModule } from '../sqlite/index.ts';
import { encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { readWal, type SyncFile, type WalOverlay } from './wal-overlay.ts';

/** Text as UTF-8, which need not be valid and may hold NULs. */
export class SourceText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

export type SourceValue = null | bigint | number | SourceText | Uint8Array;

const MAGIC = 'SQLite format 3\0';
const HEADER_SIZE = 100;
const OPEN_READONLY = 1;
const FORMAT_VERSIONS_OFFSET = 18;
/** A big-endian word: 1 for UTF-8, 2 and 3 for UTF-16. */
const ENCODING_OFFSET = 56;
/** Nothing changes the file: SQLite needs to take no locks and look for no journal (SQLITE_IOCAP_IMMUTABLE). */
const IMMUTABLE = 0x2000;
const SECTOR_SIZE = 4096;

export interface SourceOptions {
  readonly main: SyncFile;
  /** The file beside it whose name ends in `-wal`. */
  readonly wal?: SyncFile | undefined;
  /** Called with the number of bytes read from the file, each time. */
  readonly onRead?: (size: number) => void;
}

export class SourceDatabase {
  /** Bytes of the database, which need not be the file's. */
  readonly size: number;
  readonly #exports: Exports;
  readonly #heap: Heap;
  readonly #pointer: Pointer;
  readonly #out: Pointer;

  private constructor(module: SqliteModule, file: VirtualFile) {
    const { exports } = module.wasm;
    this.size = file.size;
    this.#exports = exports;
    this.#heap = new Heap(module.wasm.memory);
    this.#out = exports.sqlite3_malloc(16);
    installVfs(module, this.#heap, file);
    const name = module.wasm.allocCString('source');
    const code = exports.sqlite3_open_v2(name, this.#out, OPEN_READONLY, 0);
    this.#pointer = this.#heap.uint32(this.#out);
    if (code !== SQLITE_OK) throw this.#error('the database');
    for (const option of [DBCONFIG_DQS_DML, DBCONFIG_DQS_DDL]) {
      exports.sqlite3__wasm_db_config_ip(this.#pointer, option, 1, 0);
    }
    for (const pragma of ['temp_store = MEMORY', 'trusted_schema = OFF', 'query_only = ON']) {
      for (const _row of this.query(`PRAGMA ${pragma}`)) break;
    }
  }

  /** Throws DqliteError UNSUPPORTED if it is no SQLite file, DAMAGED if SQLite cannot read it. */
  static async open({ main, wal, onRead = () => {} }: SourceOptions): Promise<SourceDatabase> {
    const overlay = wal === undefined ? undefined : readWal(wal);
    const file = new VirtualFile(main, wal, overlay, onRead);
    const source = new SourceDatabase(await instantiate(), file);
    try {
      for (const _row of source.query('SELECT count(*) FROM sqlite_schema')) break;
    } catch (error) {
      source.close();
      throw error;
    }
    return source;
  }

  /** The rows of a query, each an array of its own. Throws DqliteError SQLITE. */
  *query(sql: string): Generator<SourceValue[]> {
    const exports = this.#exports;
    const text = encodeUtf8(`${sql}\0`);
    const pointer = exports.sqlite3_malloc(text.length);
    this.#heap.bytes.set(text, pointer);
    const prepared = exports.sqlite3_prepare_v3(this.#pointer, pointer, text.length, 0, this.#out, 0);
    exports.sqlite3_free(pointer);
    if (prepared !== SQLITE_OK) throw this.#error(sql);
    const statement = this.#heap.uint32(this.#out);
    try {
      for (;;) {
        const code = exports.sqlite3_step(statement);
        if (code === SQLITE_DONE) return;
        if (code !== SQLITE_ROW) throw this.#error(sql);
        const count = exports.sqlite3_column_count(statement);
        yield Array.from({ length: count }, (_, column) => this.#value(statement, column));
      }
    } finally {
      exports.sqlite3_finalize(statement);
    }
  }

  /** The rows of a query as strings, where values are small and not blobs. */
  texts(sql: string): string[][] {
    return [...this.query(sql)].map(row => row.map(value => textOf(value)));
  }

  close(): void {
    this.#exports.sqlite3_close_v2(this.#pointer);
  }

  #value(statement: Pointer, column: number): SourceValue {
    const exports = this.#exports;
    switch (exports.sqlite3_column_type(statement, column)) {
      case 1:
        return exports.sqlite3_column_int64(statement, column);
      case 2:
        return exports.sqlite3_column_double(statement, column);
      case 3: {
        const start = exports.sqlite3_column_text(statement, column);
        const size = exports.sqlite3_column_bytes(statement, column);
        return new SourceText(this.#heap.bytes.slice(start, start + size));
      }
      case 4: {
        const start = exports.sqlite3_column_blob(statement, column);
        const size = exports.sqlite3_column_bytes(statement, column);
        return this.#heap.bytes.slice(start, start + size);
      }
      default:
        return null;
    }
  }

  #error(what: string): DqliteError {
    const message = this.#heap.string(this.#exports.sqlite3_errmsg(this.#pointer)) ?? 'unknown error';
    const sqliteCode = this.#exports.sqlite3_extended_errcode(this.#pointer);
    return new DqliteError('DAMAGED', `the file cannot be read: ${message} (${what})`, {
      sqliteCode,
      hint: "sqlite3's `PRAGMA integrity_check` and `.recover` tell more",
    });
  }
}

export function textOf(value: SourceValue): string {
  if (value instanceof SourceText) return new TextDecoder().decode(value.bytes);
  return value === null ? '' : String(value);
}

/** What SQLite is shown. */
class VirtualFile {
  readonly pageSize: number;
  readonly size: number;
  readonly #main: SyncFile;
  readonly #wal: SyncFile | undefined;
  readonly #overlay: WalOverlay | undefined;
  readonly #onRead: (size: number) => void;

  constructor(
    main: SyncFile,
    wal: SyncFile | undefined,
    overlay: WalOverlay | undefined,
    onRead: (size: number) => void,
  ) {
    this.#main = main;
    this.#wal = wal;
    this.#onRead = onRead;
    if (main.size === 0 && overlay === undefined) {
      this.pageSize = SECTOR_SIZE;
      this.size = 0;
      return;
    }
    const header = new Uint8Array(HEADER_SIZE);
    const size = main.read(header, 0);
    const isDatabase = size === HEADER_SIZE && MAGIC === String.fromCharCode(...header.subarray(0, MAGIC.length));
    // Everything may still be in the log.
    if (!isDatabase && main.size > 0) {
      throw new DqliteError('UNSUPPORTED', 'the file is not an SQLite database', {
        hint: 'encrypted databases cannot be imported either',
      });
    }
    const stated = (header[16]! << 8) | header[17]!;
    this.pageSize = !isDatabase ? overlay!.pageSize : stated === 1 ? 65536 : stated;
    if (overlay !== undefined && overlay.pageSize !== this.pageSize) {
      throw new DqliteError('DAMAGED', `pages of ${this.pageSize} bytes, but of ${overlay.pageSize} in the -wal file`, {
        hint: 'the -wal file belongs to another database: remove it if that is so',
      });
    }
    this.#overlay = overlay;
    this.#checkEncoding(isDatabase ? header : undefined);
    this.size = overlay === undefined ? main.size : overlay.pageCount * this.pageSize;
  }

  /** The WebAssembly build was made without UTF-16; it would call the schema malformed. */
  #checkEncoding(mainHeader: Uint8Array | undefined): void {
    const place = this.#overlay?.pages.get(1);
    const header = new Uint8Array(HEADER_SIZE);
    if (place !== undefined) this.#wal!.read(header, place);
    else if (mainHeader !== undefined) header.set(mainHeader);
    if (header[ENCODING_OFFSET + 3]! < 2) return;
    throw new DqliteError('UNSUPPORTED', 'the database is encoded in UTF-16, and dqlite stores UTF-8', {
      hint: 'make a UTF-8 copy first: sqlite3 old.db .dump | sqlite3 new.db',
    });
  }

  /** Fills the target from an offset on. False if the file ends before. */
  read(target: Uint8Array, offset: number): boolean {
    let done = 0;
    while (done < target.length) {
      const position = offset + done;
      const page = Math.floor(position / this.pageSize) + 1;
      const within = position % this.pageSize;
      const piece = target.subarray(done, done + Math.min(target.length - done, this.pageSize - within));
      const place = position < this.size ? this.#overlay?.pages.get(page) : undefined;
      const file = place === undefined ? this.#main : this.#wal!;
      const count = position < this.size ? file.read(piece, place === undefined ? position : place + within) : 0;
      piece.fill(0, count);
      if (page === 1) {
        for (let i = FORMAT_VERSIONS_OFFSET; i <= FORMAT_VERSIONS_OFFSET + 1; i++) {
          if (i >= within && i < within + count) piece[i - within] = 1;
        }
      }
      this.#onRead(count);
      if (count < piece.length) {
        target.fill(0, done + count);
        return false;
      }
      done += count;
    }
    return true;
  }
}

/** Registers callbacks as the default VFS of an instance, which is this database's alone. */
function installVfs(module: SqliteModule, heap: Heap, file: VirtualFile): void {
  const { capi, wasm } = module;
  const methods = new capi.sqlite3_io_methods();
  methods['$iVersion'] = 1;
  methods.installMethods({
    xClose: (_file: Pointer) => SQLITE_OK,
    xRead: (_file: Pointer, target: Pointer, size: number, offset: bigint) => {
      try {
        const piece = heap.bytes.subarray(target, target + size);
        return file.read(piece, Number(offset)) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
      } catch {
        // A callback never throws.
        return SQLITE_IOERR_READ;
      }
    },
    xWrite: () => SQLITE_IOERR_READ,
    xTruncate: () => SQLITE_IOERR_READ,
    xSync: (_file: Pointer, _flags: number) => SQLITE_OK,
    xFileSize: (_file: Pointer, out: Pointer) => {
      heap.view.setBigInt64(out, BigInt(file.size), true);
      return SQLITE_OK;
    },
    xLock: (_file: Pointer, _level: number) => SQLITE_OK,
    xUnlock: (_file: Pointer, _level: number) => SQLITE_OK,
    xCheckReservedLock: (_file: Pointer, out: Pointer) => heap.setUint32(out, 0),
    xFileControl: (_file: Pointer, _operation: number, _argument: Pointer) => SQLITE_NOTFOUND,
    xSectorSize: (_file: Pointer) => SECTOR_SIZE,
    xDeviceCharacteristics: (_file: Pointer) => IMMUTABLE,
  });
  const vfs = new capi.sqlite3_vfs();
  vfs['$iVersion'] = 1;
  vfs['$szOsFile'] = capi.sqlite3_file.structInfo.sizeof;
  vfs['$mxPathname'] = 512;
  vfs['$zName'] = wasm.allocCString('dqlite-source');
  vfs.installMethods({
    xOpen: (_vfs: Pointer, _name: Pointer, pointer: Pointer, flags: number, out: Pointer) => {
      if ((flags & OPEN_MAIN_DB) === 0) return SQLITE_CANTOPEN;
      heap.setUint32(pointer, methods.pointer);
      if (out !== 0) heap.setUint32(out, flags);
      return SQLITE_OK;
    },
    xDelete: (_vfs: Pointer, _name: Pointer, _sync: number) => SQLITE_OK,
    xAccess: (_vfs: Pointer, _name: Pointer, _flags: number, out: Pointer) => heap.setUint32(out, 0),
    xFullPathname: (_vfs: Pointer, name: Pointer, size: number, out: Pointer) => {
      const length = heap.stringLength(name) + 1;
      if (length > size) return SQLITE_CANTOPEN;
      heap.bytes.copyWithin(out, name, name + length);
      return SQLITE_OK;
    },
    xRandomness: (_vfs: Pointer, size: number, out: Pointer) => {
      heap.bytes.fill(1, out, out + size);
      return size;
    },
    xSleep: (_vfs: Pointer, _microseconds: number) => 0,
    xCurrentTime: (_vfs: Pointer, out: Pointer) => {
      heap.view.setFloat64(out, 0, true);
      return SQLITE_OK;
    },
    xGetLastError: (_vfs: Pointer, _size: number, _out: Pointer) => 0,
  });
  vfs.registerVfs(true);
}
