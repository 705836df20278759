import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../lib/assert.ts';
import { crc32 } from '../lib/crc32.ts';
import { assertTotal, readFixture } from './format.test.helpers.ts';
import { decodeSnapshotMeta, encodeSnapshotMeta, type SnapshotMeta } from './snapshot-meta.ts';

const ofC = readFixture('installed-snapshot-node/snapshot-1-96-1052647.meta');
const meta: SnapshotMeta = {
  configurationIndex: 1,
  configuration: { servers: [{ id: 1n, address: '127.0.0.1:29004', role: 'voter' }] },
};

/** A copy of `ofC` with a change and the CRC that goes with it. */
function patched(offset: number, byte: number): Buffer {
  const copy = Buffer.from(ofC);
  copy[offset] = byte;
  copy.writeUInt32LE(crc32(copy.subarray(16)), 8);
  return copy;
}

test('the file of raft and disk spec section 8.14', () => {
  assert.equal(ofC.readUInt32LE(8), 0xe3a631cb);
  assert.deepEqual(decodeSnapshotMeta(ofC), meta);
  assert.deepEqual(Buffer.from(encodeSnapshotMeta(meta)), ofC);
});

test('refuses what cannot be snapshot metadata', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ['format', patched(0, 2), /format 2 at offset 0/],
    ['checksum', Buffer.concat([ofC.subarray(0, 8), Buffer.of(0), ofC.subarray(9)]), /checksum .* at offset 8/],
    ['upper half of the checksum', patched(15, 1), /checksum .* at offset 8/],
    ['size', patched(24, 0x30), /configuration of 48 bytes where 40 follow at offset 24/],
    ['more bytes', Buffer.concat([ofC, Buffer.of(0)]), /configuration of 40 bytes where 41 follow/],
    ['configuration', patched(32 + 33, 9), /role 9 at offset 65/],
  ];
  for (const [name, bytes, message] of cases) {
    assert.throws(() => decodeSnapshotMeta(bytes), { name: 'DecodeError', message }, name);
  }
});

test('a configuration over 1 MiB is not written', () => {
  const servers = [{ id: 1n, address: 'x'.repeat(1024 * 1024), role: 'voter' as const }];
  assert.throws(() => encodeSnapshotMeta({ configurationIndex: 1, configuration: { servers } }), AssertionError);
});

test('any bytes give metadata or a DecodeError', () => {
  assertTotal(decodeSnapshotMeta, ofC);
});
