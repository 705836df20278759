/** Whole data directories that C dqlite 1.11.1 wrote (their README says how), read with the codecs of this folder. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Lz4FrameDecoder } from '../lib/lz4.ts';
import { decodeConfiguration, encodeConfiguration } from '../raft/configuration.ts';
import { parseFileName } from './file-name.ts';
import { type DatabaseImage, fixtureUrl, readSnapshotContent, scanFile } from './format.test.helpers.ts';
import { chooseMetadata, type Metadata } from './metadata.ts';
import type { SegmentVerdict } from './segment-scan.ts';
import { decodeSnapshotMeta, encodeSnapshotMeta } from './snapshot-meta.ts';

interface Snapshot {
  readonly index: number;
  readonly databases: readonly DatabaseImage[];
}

interface OpenSegment {
  readonly entryCount: number;
  readonly batchOffsets: readonly number[];
  readonly verdict: SegmentVerdict;
}

interface Directory {
  readonly metadata: Metadata | undefined;
  /** Ranges of the closed segments. */
  readonly closed: readonly string[];
  /** By counter. */
  readonly open: ReadonlyMap<number, OpenSegment>;
  readonly snapshots: readonly Snapshot[];
}

let temporary = '';

before(() => {
  temporary = mkdtempSync(join(tmpdir(), 'dqlite-node-fixtures-'));
});

after(() => {
  rmSync(temporary, { recursive: true });
});

function extract(archive: string): string {
  const folder = mkdtempSync(join(temporary, 'x'));
  execFileSync('tar', ['-xzf', fileURLToPath(fixtureUrl(archive)), '-C', folder]);
  return folder;
}

function decompress(frame: Uint8Array): Buffer {
  const content: Buffer[] = [];
  const decoder = new Lz4FrameDecoder(block => content.push(Buffer.from(block)));
  decoder.push(frame);
  decoder.finish();
  return Buffer.concat(content);
}

/** Every file of a directory, with all its checks. */
function readDirectory(folder: string): Directory {
  const files = new Map(readdirSync(folder).map(name => [name, readFileSync(join(folder, name))]));
  const closed: string[] = [];
  const open = new Map<number, OpenSegment>();
  const snapshots: Snapshot[] = [];
  for (const [fileName, bytes] of [...files].sort()) {
    const name = parseFileName(fileName);
    if (name === undefined) continue;
    switch (name.kind) {
      case 'closed':
      case 'open': {
        const { batches, verdict } = scanFile(bytes);
        const entries = batches.flatMap(batch => batch.entries);
        for (const { type, dataOffset, dataSize } of entries) {
          if (type === 'change') assertConfiguration(bytes.subarray(dataOffset, dataOffset + dataSize));
        }
        if (name.kind === 'open') {
          const batchOffsets = batches.map(batch => batch.offset);
          open.set(name.counter, { entryCount: entries.length, batchOffsets, verdict });
          break;
        }
        assert.deepEqual(verdict, { kind: 'complete', end: bytes.length }, fileName);
        assert.equal(entries.length, name.last - name.first + 1, fileName);
        closed.push(`${name.first}-${name.last}`);
        break;
      }
      case 'snapshot':
        snapshots.push({ index: name.index, databases: readSnapshotContent(decompress(bytes), 10_000) });
        break;
      case 'snapshotMeta':
        assert.equal(encodeSnapshotMeta(decodeSnapshotMeta(bytes)).length, bytes.length);
        break;
      case 'temporary':
        assert.fail(`unexpected ${fileName}`);
    }
  }
  const choice = chooseMetadata(files.get('metadata1'), files.get('metadata2'));
  const metadata = choice.kind === 'current' ? choice.metadata : undefined;
  return { metadata, closed, open, snapshots };
}

function assertConfiguration(data: Uint8Array): void {
  assert.equal(encodeConfiguration(decodeConfiguration(data)).length, data.length);
}

function onlyDatabase(snapshot: Snapshot | undefined): DatabaseImage {
  assert.equal(snapshot?.databases.length, 1);
  const [database] = snapshot.databases;
  assert.ok(database !== undefined);
  return database;
}

/** All pages are there, and page 1 tells the same size. */
function assertWholeImage({ pages, pageCount }: DatabaseImage): void {
  for (let pageNumber = 1; pageNumber <= pageCount; pageNumber++) assert.ok(pages[pageNumber] !== undefined);
  assert.equal(pages[1]?.toString('latin1', 0, 16), 'SQLite format 3\0');
  assert.equal(pages[1].readUInt32BE(28), pageCount);
}

const unused = { entryCount: 0, batchOffsets: [], verdict: { kind: 'unused' } };

test('three-node-clean: closed segments with the same 68 entries', () => {
  const segments = { node1: ['1-1', '2-68'], node2: ['1-65', '66-68'], node3: ['1-68'] };
  for (const [node, closed] of Object.entries(segments)) {
    const directory = readDirectory(fileURLToPath(fixtureUrl(`three-node-clean/${node}/`)));
    assert.deepEqual(directory.closed, closed);
    assert.equal(directory.metadata?.term, 4);
    assert.equal(directory.open.size, 0);
  }
});

test('installed-snapshot-node: a snapshot at 96 and what came after', () => {
  const directory = readDirectory(fileURLToPath(fixtureUrl('installed-snapshot-node/')));
  assert.deepEqual(directory.closed, ['97-104']);
  const database = onlyDatabase(directory.snapshots[0]);
  assert.equal(database.name, 'test.db');
  assert.equal(database.pageWrites, 1 + 96);
  assertWholeImage(database);
});

test('follower-killed-no-snapshot: everything is in an open segment', () => {
  const directory = readDirectory(extract('follower-killed-no-snapshot.tar.gz'));
  assert.deepEqual(directory.metadata, { version: 3, term: 2, vote: 3287592638544079449n });
  assert.deepEqual(directory.closed, []);
  assert.equal(directory.open.get(1)?.entryCount, 65);
  assert.equal(directory.open.get(1)?.verdict.kind, 'zeroTail');
  assert.deepEqual(directory.open.get(2), unused);
  assert.deepEqual(directory.open.get(3), unused);
});

test('leader-killed-two-snapshots: the open segment of raft and disk spec section 8.13', () => {
  const directory = readDirectory(extract('leader-killed-two-snapshots.tar.gz'));
  assert.deepEqual(directory.closed, ['65-96']);
  assert.deepEqual(directory.open.get(4), {
    entryCount: 8,
    batchOffsets: [8, 4184, 8360, 12_536, 16_712, 20_888, 25_064, 25_160],
    verdict: { kind: 'zeroTail', end: 25_256 },
  });
  assert.deepEqual(directory.open.get(5), unused);
  assert.deepEqual(directory.open.get(6), unused);
  const sizes = directory.snapshots.map(snapshot => {
    const { name, mainPages, pageWrites } = onlyDatabase(snapshot);
    return { index: snapshot.index, name, mainPages, frames: pageWrites - mainPages };
  });
  assert.deepEqual(sizes, [
    { index: 64, name: 'test.db', mainPages: 1, frames: 64 },
    { index: 96, name: 'test.db', mainPages: 1, frames: 96 },
  ]);
});

for (const [archive, closed, openEntries] of [
  ['snapshot-1203-clean.tar.gz', ['1-1', '2-985', '986-1024', '1025-1204', '1205-1207'], undefined],
  ['snapshot-1200-crash.tar.gz', ['1-1', '2-985', '986-1024'], 1204 - 1024],
] as const) {
  test(`${archive}: a snapshot at 1024 with main file and WAL`, () => {
    const directory = readDirectory(extract(archive));
    assert.deepEqual(directory.closed, closed);
    assert.equal(directory.open.get(3)?.entryCount, openEntries);
    assert.equal(directory.open.size, openEntries === undefined ? 0 : 3);
    assert.equal(directory.snapshots[0]?.index, 1024);
    const database = onlyDatabase(directory.snapshots[0]);
    assert.deepEqual([database.name, database.mainPages, database.pageWrites], ['demo', 13, 13 + 103]);
    assertWholeImage(database);
  });
}
