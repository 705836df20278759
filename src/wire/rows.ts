/**
 * Writing ROWS bodies (wire spec sections 2.4, 4.4): column names, rows, end marker, in this order, all into the
 * response buffer. A server writes a row with `beginRow`, then for each column `setColumnType` and the value, straight
 * from SQLite; `writeRow` does it for ready-made values. `RowsReader` (rows-reader.ts) is the other direction.
 */

import { WORD_SIZE, type Writer, pad8 } from '../lib/bytes.ts';
import { type ValueType, rowsMarker } from './codes.ts';
import { writeTextCut } from './text.ts';
import { type WireValue, writeValue } from './values.ts';

/** Bytes of a row's header: a 4-bit type code per column, whole words. */
export function rowHeaderSize(columnCount: number): number {
  return pad8(Math.ceil(columnCount / 2));
}

/** What every message of a result starts with. */
export function writeColumns(writer: Writer, names: readonly Uint8Array[]): void {
  writer.safeUint64(names.length);
  for (const name of names) writeTextCut(writer, name);
}

/** Writes a row's header, without types yet. Returns its offset; setting the writer back to it drops the row. */
export function beginRow(writer: Writer, columnCount: number): number {
  const header = writer.offset;
  writer.zeros(rowHeaderSize(columnCount));
  return header;
}

/** Sets a column's type in the row header at `header`. Once per column: the bits are added. */
export function setColumnType(writer: Writer, header: number, column: number, type: ValueType): void {
  const position = header + (column >> 1);
  // Even columns are in the low nibble.
  writer.bytes[position] = (writer.bytes[position] as number) | (column % 2 === 0 ? type : type << 4);
}

/** Throws `DqliteError` USAGE for a text with a NUL inside. */
export function writeRow(writer: Writer, values: readonly WireValue[]): void {
  const header = beginRow(writer, values.length);
  for (const [column, value] of values.entries()) {
    setColumnType(writer, header, column, value.type);
    writeValue(writer, value);
  }
}

/** Ends the message: `done` ends the result too, otherwise another message follows. */
export function writeRowsEnd(writer: Writer, done: boolean): void {
  writer.reserve(WORD_SIZE);
  writer.bytes.fill(done ? rowsMarker.done : rowsMarker.part, writer.offset, writer.offset + WORD_SIZE);
  writer.offset += WORD_SIZE;
}
