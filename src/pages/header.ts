/**
 * Page 1 of a SQLite database: the 100-byte header, as far as the page store must know it.
 *
 * Two forms exist. *Stored* is what is replicated and kept on disk: C dqlite runs SQLite in WAL mode, so
 * bytes 18 and 19 (file format versions) are 2. *Presented* is what our SQLite sees: rollback mode
 * (bytes 18 and 19 are 1), and in bytes 24-27 (change counter) and 92-95 (version-valid-for) the version
 * number of the snapshot, because SQLite keeps a connection's page cache for as long as the change
 * counter stays the same, and only our versions are never reused (an undo brings stored counters back).
 * Numbers in the header are big-endian (SQLite file format, section 1.3).
 */

import { PAGE_SIZE } from './slabs.ts';

const MAGIC = 'SQLite format 3\0';
const PAGE_SIZE_OFFSET = 16;
const FORMAT_VERSIONS_OFFSET = 18;
const RESERVED_OFFSET = 20;
const CHANGE_COUNTER_OFFSET = 24;
const SIZE_OFFSET = 28;
const SCHEMA_COOKIE_OFFSET = 40;
const ENCODING_OFFSET = 56;
const VALID_FOR_OFFSET = 92;
const LIBRARY_VERSION_OFFSET = 96;

/** Where the content of page 1 as a B-tree page begins. */
export const HEADER_SIZE = 100;

const STORED_FORMAT = 2;
const PRESENTED_FORMAT = 1;

/** The page that lies over SQLite's lock bytes; SQLite never uses it and it is never stored. */
export const LOCK_BYTE_PAGE: number = 0x40000000 / PAGE_SIZE + 1;

export function readUint32(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>> 0;
}

export function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/** The size in pages that the header states, or undefined if the header does not vouch for it. */
export function statedSize(bytes: Uint8Array, offset = 0): number | undefined {
  const size = readUint32(bytes, offset + SIZE_OFFSET);
  const valid = readUint32(bytes, offset + CHANGE_COUNTER_OFFSET) === readUint32(bytes, offset + VALID_FOR_OFFSET);
  return size !== 0 && valid ? size : undefined;
}

/** The size field, whatever its worth: 0 in a replicated page 1 means that the database was deleted. */
export function sizeField(bytes: Uint8Array, offset = 0): number {
  return readUint32(bytes, offset + SIZE_OFFSET);
}

/** Makes the header vouch for a size. */
export function restate(bytes: Uint8Array, pages: number): void {
  writeUint32(bytes, SIZE_OFFSET, pages);
  writeUint32(bytes, VALID_FOR_OFFSET, readUint32(bytes, CHANGE_COUNTER_OFFSET));
}

export function schemaCookie(bytes: Uint8Array, offset = 0): number {
  return readUint32(bytes, offset + SCHEMA_COOKIE_OFFSET);
}

/** Whether texts are encoded in UTF-16, little-endian (2) or big-endian (3). */
export function isUtf16(bytes: Uint8Array, offset = 0): boolean {
  return readUint32(bytes, offset + ENCODING_OFFSET) > 1;
}

/** Why these bytes cannot be page 1 of a database that we can replicate, or undefined if they can. */
export function headerDefect(bytes: Uint8Array, offset = 0): string | undefined {
  for (let i = 0; i < MAGIC.length; i++) {
    if (bytes[offset + i] !== MAGIC.charCodeAt(i)) return 'page 1 does not start with the SQLite magic string';
  }
  const pageSize = (bytes[offset + PAGE_SIZE_OFFSET]! << 8) | bytes[offset + PAGE_SIZE_OFFSET + 1]!;
  if (pageSize !== PAGE_SIZE) return `page size ${pageSize} is not ${PAGE_SIZE}`;
  if (bytes[offset + RESERVED_OFFSET] !== 0) return `${bytes[offset + RESERVED_OFFSET]} reserved bytes per page`;
  return undefined;
}

/** Turns a page 1 that SQLite wrote into the stored form. */
export function toStored(bytes: Uint8Array, offset: number): void {
  bytes[offset + FORMAT_VERSIONS_OFFSET] = STORED_FORMAT;
  bytes[offset + FORMAT_VERSIONS_OFFSET + 1] = STORED_FORMAT;
}

/**
 * Turns bytes [from, from + size) of page 1, lying at `target` in `bytes`, into the presented form.
 * `version` undefined leaves the counters: the writer reads back what it wrote itself.
 */
export function present(
  bytes: Uint8Array,
  target: number,
  from: number,
  size: number,
  version: number | undefined,
  pages: number,
): void {
  const base = target - from;
  const end = from + size;
  if (from <= FORMAT_VERSIONS_OFFSET && end > FORMAT_VERSIONS_OFFSET + 1) {
    bytes[base + FORMAT_VERSIONS_OFFSET] = PRESENTED_FORMAT;
    bytes[base + FORMAT_VERSIONS_OFFSET + 1] = PRESENTED_FORMAT;
  }
  if (version === undefined) return;
  if (from <= CHANGE_COUNTER_OFFSET && end >= CHANGE_COUNTER_OFFSET + 4) {
    writeUint32(bytes, base + CHANGE_COUNTER_OFFSET, version);
  }
  if (from <= SIZE_OFFSET && end >= SIZE_OFFSET + 4) writeUint32(bytes, base + SIZE_OFFSET, pages);
  if (from <= VALID_FOR_OFFSET && end >= VALID_FOR_OFFSET + 4) {
    writeUint32(bytes, base + VALID_FOR_OFFSET, version);
  }
}

/**
 * Whether two page 1 headers differ in nothing but what every transaction of SQLite changes: the change counter,
 * version-valid-for and the library's version number; and the file format bytes, which differ between stored and
 * presented form.
 */
export function sameHeader(a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number): boolean {
  for (let i = 0; i < HEADER_SIZE; i++) {
    if (a[aOffset + i] === b[bOffset + i]) continue;
    const isFormat = i >= FORMAT_VERSIONS_OFFSET && i < RESERVED_OFFSET;
    const isCounter = i >= CHANGE_COUNTER_OFFSET && i < SIZE_OFFSET;
    if (!isFormat && !isCounter && i < VALID_FOR_OFFSET) return false;
  }
  return true;
}

/** Header of the one page of a database that nobody has written to yet (raft and disk spec section 4.4). */
const TEMPLATE_HEADER: readonly (readonly [offset: number, ...bytes: number[]])[] = [
  [PAGE_SIZE_OFFSET, PAGE_SIZE >> 8, PAGE_SIZE & 0xff, STORED_FORMAT, STORED_FORMAT, 0, 64, 32, 32],
  [CHANGE_COUNTER_OFFSET, 0, 0, 0, 1, 0, 0, 0, 1],
  [VALID_FOR_OFFSET, 0, 0, 0, 1],
  // SQLite 3.40.1, as C dqlite on Debian 12 writes it.
  [LIBRARY_VERSION_OFFSET, 0, 0x2e, 0x63, 0x01],
  // An empty leaf of the schema table: cell content starts at the end of the page.
  [100, 0x0d, 0, 0, 0, 0, PAGE_SIZE >> 8, PAGE_SIZE & 0xff, 0],
];

/** Writes the first page of a new, empty database: local to each node, never replicated. */
export function writeTemplate(bytes: Uint8Array, offset: number): void {
  bytes.fill(0, offset, offset + PAGE_SIZE);
  for (let i = 0; i < MAGIC.length; i++) bytes[offset + i] = MAGIC.charCodeAt(i);
  for (const [start, ...values] of TEMPLATE_HEADER) bytes.set(values, offset + start);
}

/**
 * The page that deletes a database (wire spec section 5.12). `cookie`: of the schema that ends. SQLite keeps a schema
 * that it has parsed for as long as the cookie is the same, so the next schema must not count from 0 again: tables
 * would be looked for where the old ones were.
 */
export function writeDeletion(bytes: Uint8Array, offset: number, cookie: number): void {
  writeTemplate(bytes, offset);
  writeUint32(bytes, offset + SIZE_OFFSET, 0);
  writeUint32(bytes, offset + SCHEMA_COOKIE_OFFSET, cookie + 1);
}
