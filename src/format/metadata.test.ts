import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../lib/assert.ts';
import { assertTotal, readFixture } from './format.test.helpers.ts';
import { chooseMetadata, decodeMetadata, encodeMetadata, type Metadata, metadataFile } from './metadata.ts';

const nodeId = 3287592638544079449n;

function file(version: number, term = 2, vote = 0n): Uint8Array {
  return encodeMetadata({ version, term, vote });
}

test('the files of raft and disk spec section 8.10', () => {
  const metadata1 = Buffer.from('01000000000000000300000000000000020000000000000059ea9b1a16e09f2d', 'hex');
  const metadata2 = Buffer.from('0100000000000000020000000000000002000000000000000000000000000000', 'hex');
  const voted: Metadata = { version: 3, term: 2, vote: nodeId };
  assert.deepEqual(decodeMetadata(metadata1), voted);
  assert.deepEqual(decodeMetadata(metadata2), { version: 2, term: 2, vote: 0n });
  assert.deepEqual(Buffer.from(encodeMetadata(voted)), metadata1);
  assert.deepEqual(chooseMetadata(metadata1, metadata2), { kind: 'current', metadata: voted });
});

test('the files of the three-node fixture are in term 4', () => {
  for (const node of ['node1', 'node2', 'node3']) {
    const read = (name: string): Buffer => readFixture(`three-node-clean/${node}/${name}`);
    const choice = chooseMetadata(read('metadata1'), read('metadata2'));
    assert.equal(choice.kind === 'current' && choice.metadata.term, 4);
  }
});

test('what is encoded decodes to itself', () => {
  const metadata = fc.record(
    {
      version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      term: fc.maxSafeNat(),
      vote: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    },
    { noNullPrototype: true },
  );
  fc.assert(fc.property(metadata, value => assert.deepEqual(decodeMetadata(encodeMetadata(value)), value)));
});

test('any bytes give metadata or a DecodeError, and two files always a choice', () => {
  assertTotal(decodeMetadata, file(3));
  const content = fc.option(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.nat(5).map(n => file(n + 1)),
    ),
    {
      nil: undefined,
    },
  );
  fc.assert(fc.property(content, content, (first, second) => void chooseMetadata(first, second)));
});

test('odd versions are in metadata1, even ones in metadata2, and there is no version 0', () => {
  assert.deepEqual([1, 2, 3, 4].map(metadataFile), ['metadata1', 'metadata2', 'metadata1', 'metadata2']);
  assert.throws(() => file(0), AssertionError);
});

test('the higher version is current, whatever the gap', () => {
  const versionOf = (first: Uint8Array | undefined, second: Uint8Array | undefined): number | undefined => {
    const choice = chooseMetadata(first, second);
    return choice.kind === 'current' ? choice.metadata.version : undefined;
  };
  assert.equal(versionOf(file(1), undefined), 1);
  assert.equal(versionOf(file(1), file(2)), 2);
  assert.equal(versionOf(file(3), file(2)), 3);
  assert.equal(versionOf(file(9), file(2)), 9);
  assert.equal(versionOf(undefined, file(6)), 6);
});

test('no files: a brand-new server', () => {
  assert.deepEqual(chooseMetadata(undefined, undefined), { kind: 'brandNew' });
});

test('a short file is an interrupted creation if it can be, else damage', () => {
  const empty = new Uint8Array(0);
  const part = file(2).subarray(0, 31);
  assert.deepEqual(chooseMetadata(empty, undefined), { kind: 'short', file: 'metadata1' });
  assert.deepEqual(chooseMetadata(file(1), part), { kind: 'short', file: 'metadata2' });
  for (const [first, second, damaged] of [
    [part, file(2), 'metadata1'],
    [file(3), part, 'metadata2'],
    [undefined, part, 'metadata2'],
    [empty, empty, 'metadata1'],
  ] as const) {
    const choice = chooseMetadata(first, second);
    assert.equal(choice.kind === 'damaged' && choice.file, damaged);
  }
});

test('damage is named', () => {
  const patched = (offset: number, byte: number): Uint8Array => {
    const copy = file(4);
    copy[offset] = byte;
    return copy;
  };
  const cases: [Uint8Array, Uint8Array, string, string][] = [
    [file(3), patched(0, 2), 'metadata2', 'metadata format 2 at offset 0'],
    [file(3), patched(8, 0), 'metadata2', 'metadata version 0 at offset 8'],
    [file(3), patched(23, 1), 'metadata2', 'term: number too large at offset 16'],
    [Buffer.concat([file(3), Buffer.of(0)]), file(2), 'metadata1', 'bytes after the metadata at offset 32'],
    [file(4), file(4), 'metadata2', 'version 4, the same as metadata1'],
  ];
  for (const [first, second, damaged, reason] of cases) {
    assert.deepEqual(chooseMetadata(first, second), { kind: 'damaged', file: damaged, reason });
  }
});
