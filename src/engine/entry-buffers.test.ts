import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EntryBuffers } from './entry-buffers.ts';

const MIB = 2 ** 20;

test('memory is lent again once it was given back, and not before', () => {
  const buffers = new EntryBuffers();
  const first = buffers.take(5000);
  const second = buffers.take(5000);
  assert.equal(first.length, 5000);
  assert.notEqual(first.buffer, second.buffer);
  buffers.give(first);
  buffers.give(first);
  assert.equal(buffers.take(5100).buffer, first.buffer);
  assert.notEqual(buffers.take(5000).buffer, first.buffer);
});

test('a small entry does not hold the memory of a large one', () => {
  const buffers = new EntryBuffers();
  buffers.give(buffers.take(MIB));
  for (const size of [8, 5000, 100_000, 700_000]) {
    const { buffer } = buffers.take(size);
    assert.ok(buffer.byteLength <= Math.max(8192, size * 1.25), `${buffer.byteLength} bytes for ${size}`);
  }
});

test('what came from elsewhere is not lent', () => {
  const buffers = new EntryBuffers();
  const other = new Uint8Array(4096);
  buffers.give(other);
  assert.notEqual(buffers.take(4096).buffer, other.buffer);
});

test('sizes that nobody asks for any more make room', () => {
  const buffers = new EntryBuffers();
  const old = Array.from({ length: 32 }, () => buffers.take(MIB));
  for (const bytes of old) buffers.give(bytes);
  const other = buffers.take(3 * MIB);
  buffers.give(other);
  assert.equal(buffers.take(3 * MIB).buffer, other.buffer, 'it is kept although there was no room');
  assert.ok(!old.some(({ buffer }) => buffer === buffers.take(MIB).buffer), 'in their place');
});
