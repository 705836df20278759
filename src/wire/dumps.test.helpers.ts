/**
 * The dumps under `test/fixtures/wire`, in the notation of the wire spec: `C->S` or `S->C` with a size, then lines
 * of an offset and up to 16 bytes in hexadecimal. Behind the bytes of a line anything may stand; other lines are
 * comments.
 */

import { readFileSync, readdirSync } from 'node:fs';

// From dist/src/wire.
const directory = new URL('../../../test/fixtures/wire/', import.meta.url);

/** One `C->S` or `S->C` of a dump: the bytes that it shows, which may leave out a middle part. */
export interface Dump {
  readonly fromClient: boolean;
  readonly size: number;
  readonly pieces: { readonly offset: number; readonly bytes: Uint8Array }[];
}

function parseDumps(text: string): Dump[] {
  const dumps: Dump[] = [];
  for (const line of text.split('\n')) {
    const title = /^(C->S|S->C) (\d+) bytes/.exec(line);
    if (title !== null) dumps.push({ fromClient: title[1] === 'C->S', size: Number(title[2]), pieces: [] });
    const bytes = /^([0-9a-f]{4}) ((?: {1,2}[0-9a-f]{2}\b)+)/.exec(line);
    if (bytes?.[1] !== undefined && bytes[2] !== undefined) {
      const hex = bytes[2].replaceAll(' ', '');
      dumps.at(-1)?.pieces.push({ offset: parseInt(bytes[1], 16), bytes: Uint8Array.from(Buffer.from(hex, 'hex')) });
    }
  }
  return dumps;
}

export function readDumps(name: string): Dump[] {
  return parseDumps(readFileSync(new URL(`${name}.txt`, directory), 'utf8'));
}

/** Sorted. */
export function dumpNames(): string[] {
  return readdirSync(directory)
    .map(file => file.replace('.txt', ''))
    .sort();
}
