/**
 * Reading ROWS bodies (wire spec sections 2.4, 4.4), row by row and value by value, as a client consumes them. Any
 * part size, parts without rows and results without columns are accepted; exactly one marker is demanded, as the
 * last word. The constructor and the methods that move throw `DecodeError`; the reader is of no use after that.
 *
 *     const rows = new RowsReader(body);
 *     while (rows.nextRow()) while (rows.nextValue()) use(rows.type, rows.int64());
 *     if (!rows.done) another message follows
 */

import { DecodeError, Reader, WORD_SIZE, decodeUtf8 } from '../lib/bytes.ts';
import { rowsMarker } from './codes.ts';
import { rowHeaderSize } from './rows.ts';
import { ValueCursor, type WireValue } from './values.ts';

interface Preamble {
  readonly names: readonly Uint8Array[];
  readonly done: boolean;
  /** Where the first row starts, if there is one. */
  readonly rowsOffset: number;
  readonly markerOffset: number;
}

function readMarker(body: Uint8Array, offset: number): boolean {
  const marker = body[offset];
  const whole = body.subarray(offset).every(byte => byte === marker);
  if (!whole || (marker !== rowsMarker.done && marker !== rowsMarker.part)) {
    throw new DecodeError('rows without end marker', offset);
  }
  return marker === rowsMarker.done;
}

function readPreamble(body: Uint8Array): Preamble {
  const markerOffset = body.length - WORD_SIZE;
  const reader = new Reader(body, 0, Math.max(0, markerOffset));
  const columnCount = reader.safeUint64('column count');
  const names: Uint8Array[] = [];
  for (let column = 0; column < columnCount; column++) names.push(reader.textBytes('column name'));
  return { names, done: readMarker(body, markerOffset), rowsOffset: reader.offset, markerOffset };
}

export class RowsReader extends ValueCursor {
  readonly columnCount: number;
  /** False if another ROWS message follows. Known from the start. */
  readonly done: boolean;
  readonly #names: readonly Uint8Array[];
  #header = 0;
  /** The column that `nextValue` moves onto. */
  #column: number;

  constructor(body: Uint8Array) {
    const { names, done, rowsOffset, markerOffset } = readPreamble(body);
    super(body, rowsOffset, markerOffset);
    this.#names = names;
    this.columnCount = names.length;
    this.#column = names.length;
    this.done = done;
  }

  /** Decoded anew at each call: all parts of a result repeat the names, one decoding is enough. */
  columnNames(): string[] {
    return this.#names.map(decodeUtf8);
  }

  /** Moves in front of the next row, over what was not read of the current one; false after the last. */
  nextRow(): boolean {
    while (this.nextValue());
    if (this.position === this.end) return false;
    if (this.columnCount === 0) throw new DecodeError('row in a result without columns', this.position);
    const size = rowHeaderSize(this.columnCount);
    if (size > this.end - this.position) throw new DecodeError('row header ends early', this.position);
    this.#header = this.position;
    this.position += size;
    this.#column = 0;
    return true;
  }

  /** Moves onto the next value of the row; false after the last. */
  nextValue(): boolean {
    if (this.#column === this.columnCount) return false;
    const pair = this.bytes[this.#header + (this.#column >> 1)] as number;
    this.enter(this.#column % 2 === 0 ? pair & 0x0f : pair >> 4);
    this.#column++;
    return true;
  }

  /** The next row as objects; undefined after the last. */
  row(): WireValue[] | undefined {
    if (!this.nextRow()) return undefined;
    const values: WireValue[] = [];
    while (this.nextValue()) values.push(this.value());
    return values;
  }
}
