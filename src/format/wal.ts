/**
 * The image of an SQLite write-ahead log, as older C nodes put it into snapshots (raft and disk spec
 * sections 4.4 and 5.9; "WAL File Format" in SQLite's file format document). All fields are big-endian.
 * Everything that SQLite checks when it recovers a WAL is checked here.
 */

import { DecodeError } from '../lib/bytes.ts';

export const WAL_HEADER_SIZE = 32;
export const WAL_FRAME_HEADER_SIZE = 24;

const MAGIC_LITTLE_ENDIAN = 0x377f0682;
const MAGIC_BIG_ENDIAN = 0x377f0683;
const VERSION = 3007000;

export interface WalFrame {
  readonly pageNumber: number;
  /** Size of the database in pages after the transaction that ends here; 0 if it does not end here. */
  readonly commitPages: number;
  /** A view of the frame. */
  readonly page: Uint8Array;
}

/** Reads one WAL: the header goes to the constructor, then the frames in order. Throws DecodeError. */
export class WalReader {
  readonly #salts: bigint;
  /** Checksums are sums over 32-bit words in the byte order of the machine that wrote the WAL. */
  readonly #littleEndian: boolean;
  #sum1 = 0;
  #sum2 = 0;

  /** `offset` is where the header lies in the whole input, for errors. */
  constructor(header: Uint8Array, pageSize: number, offset: number) {
    const view = viewOf(header);
    const magic = view.getUint32(0);
    if (magic !== MAGIC_LITTLE_ENDIAN && magic !== MAGIC_BIG_ENDIAN) throw new DecodeError('WAL magic', offset);
    if (view.getUint32(4) !== VERSION) throw new DecodeError(`WAL version ${view.getUint32(4)}`, offset + 4);
    if (view.getUint32(8) !== pageSize) throw new DecodeError(`WAL page size ${view.getUint32(8)}`, offset + 8);
    this.#salts = view.getBigUint64(16);
    this.#littleEndian = magic === MAGIC_LITTLE_ENDIAN;
    this.#sum(view, 0, 24);
    if (!this.#matches(view, 24)) throw new DecodeError('WAL header checksum', offset + 24);
  }

  frame(frame: Uint8Array, offset: number): WalFrame {
    const view = viewOf(frame);
    const pageNumber = view.getUint32(0);
    if (pageNumber === 0) throw new DecodeError('WAL frame of page 0', offset);
    if (view.getBigUint64(8) !== this.#salts) throw new DecodeError('WAL frame with other salts', offset + 8);
    this.#sum(view, 0, 8);
    this.#sum(view, WAL_FRAME_HEADER_SIZE, frame.length);
    if (!this.#matches(view, 16)) throw new DecodeError('WAL frame checksum', offset + 16);
    return { pageNumber, commitPages: view.getUint32(4), page: frame.subarray(WAL_FRAME_HEADER_SIZE) };
  }

  /** Each checksum continues that of the frame before. */
  #sum(view: DataView, start: number, end: number): void {
    let sum1 = this.#sum1;
    let sum2 = this.#sum2;
    for (let offset = start; offset < end; offset += 8) {
      sum1 = (sum1 + view.getInt32(offset, this.#littleEndian) + sum2) | 0;
      sum2 = (sum2 + view.getInt32(offset + 4, this.#littleEndian) + sum1) | 0;
    }
    this.#sum1 = sum1;
    this.#sum2 = sum2;
  }

  #matches(view: DataView, offset: number): boolean {
    return view.getInt32(offset) === this.#sum1 && view.getInt32(offset + 4) === this.#sum2;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
