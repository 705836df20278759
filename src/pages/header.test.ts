import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  headerDefect,
  present,
  readUint32,
  restate,
  sameHeader,
  schemaCookie,
  sizeField,
  statedSize,
  toStored,
  writeTemplate,
  writeUint32,
} from './header.ts';
import { PAGE_SIZE } from './slabs.ts';

function template(): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE).fill(0xee);
  writeTemplate(page, 0);
  return page;
}

test('numbers are big-endian and unsigned', () => {
  fc.assert(
    fc.property(fc.nat(100), fc.integer({ min: 0, max: 0xffffffff }), (offset, number) => {
      const bytes = new Uint8Array(104).fill(0xaa);
      writeUint32(bytes, offset, number);
      assert.equal(readUint32(bytes, offset), number);
      assert.equal(Buffer.from(bytes.buffer).readUInt32BE(offset), number);
      assert.equal(bytes.filter(byte => byte === 0xaa).length >= 100, true);
    }),
  );
});

test('the template is a valid page 1 that does not vouch for a size, wherever it is written', () => {
  const page = template();
  assert.equal(headerDefect(page), undefined);
  assert.equal(statedSize(page), 1);
  assert.equal(sizeField(page), 1);
  assert.equal(schemaCookie(page), 0);
  const bytes = new Uint8Array(3 * PAGE_SIZE).fill(1);
  writeTemplate(bytes, PAGE_SIZE);
  assert.deepEqual(bytes.subarray(PAGE_SIZE, 2 * PAGE_SIZE), page);
  assert.ok(bytes[PAGE_SIZE - 1] === 1 && bytes[2 * PAGE_SIZE] === 1);
  assert.equal(headerDefect(bytes, PAGE_SIZE), undefined);
});

test('a size counts if it is not 0 and the header was written by who knew of it', () => {
  const page = template();
  writeUint32(page, 28, 77);
  assert.equal(statedSize(page), 77);
  writeUint32(page, 24, 5);
  assert.equal(statedSize(page), undefined, 'somebody has changed the counter only');
  assert.equal(sizeField(page), 77);
  restate(page, 78);
  assert.equal(statedSize(page), 78);
  restate(page, 0);
  assert.equal(statedSize(page), undefined);
});

test('what cannot be page 1 is named', () => {
  for (const [offset, bytes, defect] of [
    [0, [0x73], /magic/],
    [15, [1], /magic/],
    [16, [0x20, 0], /page size 8192/],
    [16, [0, 1], /page size 1 /],
    [20, [32], /32 reserved bytes/],
  ] as const) {
    const page = template();
    page.set(bytes, offset);
    assert.match(headerDefect(page)!, defect);
  }
});

test('any part of a page is presented like the whole: format, counters and size, and nothing else changes', () => {
  const page = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => i * 7);
  const whole = page.slice();
  present(whole, 0, 0, PAGE_SIZE, 0x01020304, 0x05060708);
  assert.deepEqual([whole[18], whole[19]], [1, 1]);
  assert.deepEqual(
    [readUint32(whole, 24), readUint32(whole, 28), readUint32(whole, 92)],
    [0x01020304, 0x05060708, 0x01020304],
  );
  const changed = [...whole.keys()].filter(i => whole[i] !== page[i]);
  assert.ok(changed.every(i => [18, 19, 24, 25, 26, 27, 28, 29, 30, 31, 92, 93, 94, 95].includes(i)));
  // The parts that SQLite reads, and any that does not cut a field.
  const borders = [0, 16, 18, 20, 24, 28, 32, 40, 60, 92, 96, 100, 2000, PAGE_SIZE];
  for (const from of borders) {
    for (const end of borders) {
      if (end <= from) continue;
      const target = new Uint8Array(PAGE_SIZE + 16).fill(0xee);
      target.set(page.subarray(from, end), 8);
      present(target, 8, from, end - from, 0x01020304, 0x05060708);
      assert.deepEqual(target.subarray(8, 8 + end - from), whole.subarray(from, end), `${from} to ${end}`);
      assert.ok(target[7] === 0xee && target[8 + end - from] === 0xee);
    }
  }
});

test('the writer reads back its own counters', () => {
  const page = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => i * 7);
  const read = page.slice();
  present(read, 0, 0, PAGE_SIZE, undefined, 99);
  assert.deepEqual(
    [...read.keys()].filter(i => read[i] !== page[i]),
    [18, 19],
  );
  toStored(read, 0);
  assert.deepEqual([read[18], read[19]], [2, 2]);
});

test('headers are the same if they differ in counters and format only', () => {
  const ignored = new Set([18, 19, 24, 25, 26, 27, 92, 93, 94, 95, 96, 97, 98, 99]);
  const bytes = new Uint8Array(3 * PAGE_SIZE);
  writeTemplate(bytes, PAGE_SIZE);
  const page = template();
  assert.ok(sameHeader(page, 0, bytes, PAGE_SIZE));
  for (let i = 0; i < 100; i++) {
    bytes[PAGE_SIZE + i]! ^= 0x10;
    assert.equal(sameHeader(page, 0, bytes, PAGE_SIZE), ignored.has(i), `byte ${i}`);
    bytes[PAGE_SIZE + i]! ^= 0x10;
  }
  bytes[PAGE_SIZE + 100]! ^= 1;
  bytes[PAGE_SIZE - 1]! ^= 1;
  assert.ok(sameHeader(page, 0, bytes, PAGE_SIZE), 'what is not header does not count');
});
