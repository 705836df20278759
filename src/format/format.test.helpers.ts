/** What the tests of this folder share: fixtures, files in memory, and the check that a decoder is total. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { DecodeError } from '../lib/bytes.ts';
import type { FileScan } from './file-window.ts';
import { type Batch, scanSegment, type SegmentVerdict } from './segment-scan.ts';
import { encodeBatchHeader, encodeSegmentHeader, type SegmentEntry } from './segment.ts';
import { SnapshotContentReader } from './snapshot-content.ts';

const fixtures = new URL('../../../test/fixtures/c-dqlite-1.11.1/', import.meta.url);

/** A data directory or archive that C dqlite wrote. */
export function fixtureUrl(path: string): URL {
  return new URL(path, fixtures);
}

export function readFixture(path: string): Buffer {
  return readFileSync(fixtureUrl(path));
}

/** Answers the requests of a scan from `file`, each with bytes that are gone at the next one. */
export function runScan<Result>(scan: FileScan<Result>, file: Uint8Array): Result {
  let bytes = new Uint8Array(0);
  let step = scan.next();
  while (!step.done) {
    const { offset, size } = step.value;
    assert.ok(offset + size <= file.length && size > 0, 'a request outside the file');
    bytes.fill(0xee);
    bytes = Uint8Array.from(file.subarray(offset, offset + size));
    step = scan.next(bytes);
  }
  return step.value;
}

export function scanFile(file: Uint8Array): { batches: Batch[]; verdict: SegmentVerdict } {
  const batches: Batch[] = [];
  const verdict = runScan(
    scanSegment(file.length, batch => batches.push(batch)),
    file,
  );
  return { batches, verdict };
}

export function segmentOf(batches: readonly (readonly SegmentEntry[])[], zeros = 0): Buffer {
  const pieces = [encodeSegmentHeader()];
  for (const entries of batches) {
    pieces.push(encodeBatchHeader(entries));
    for (const { data } of entries) pieces.push(data);
  }
  return Buffer.concat([...pieces, new Uint8Array(zeros)]);
}

export interface DatabaseImage {
  readonly name: string;
  readonly mainPages: number;
  readonly pageCount: number;
  /** How often `page` was called. */
  readonly pageWrites: number;
  /** Page 1 is at [1]. */
  readonly pages: readonly Buffer[];
}

export function readSnapshotContent(content: Uint8Array, chunkSize: number = content.length): DatabaseImage[] {
  const databases: DatabaseImage[] = [];
  let name = '';
  let mainPages = 0;
  let pageWrites = 0;
  let pages: Buffer[] = [];
  const reader = new SnapshotContentReader({
    beginDatabase(nameBytes, count): void {
      name = Buffer.from(nameBytes).toString();
      mainPages = count;
      pageWrites = 0;
      pages = [];
    },
    page(pageNumber, bytes): void {
      assert.equal(bytes.length, 4096);
      pageWrites += 1;
      pages[pageNumber] = Buffer.from(bytes);
    },
    endDatabase(pageCount): void {
      databases.push({ name, mainPages, pageCount, pageWrites, pages });
    },
  });
  for (let i = 0; i < content.length; i += chunkSize) reader.push(content.subarray(i, i + chunkSize));
  reader.finish();
  return databases;
}

/** `decode` gives a value or throws DecodeError: for random bytes and for damaged copies of `valid`. */
export function assertTotal(decode: (bytes: Uint8Array) => unknown, valid: Uint8Array, numRuns = 200): void {
  const decodeOrRefuse = (bytes: Uint8Array): void => {
    try {
      decode(bytes);
    } catch (error) {
      assert.ok(error instanceof DecodeError, String(error));
      assert.ok(error.offset >= 0 && error.offset <= bytes.length, error.message);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), decodeOrRefuse), { numRuns });
  const damage = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 3 });
  fc.assert(
    fc.property(damage, fc.nat(valid.length), (changes, size) => {
      const copy = Uint8Array.from(valid.subarray(0, size));
      for (const [offset, byte] of changes) copy[offset] = byte;
      decodeOrRefuse(copy);
    }),
    { numRuns },
  );
}
