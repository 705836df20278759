import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heap } from './heap.ts';
import { run, World } from './sqlite.test.helpers.ts';
import type { Memory } from './wasm.ts';

/** Like `WebAssembly.Memory`: growing detaches the old buffer. */
class GrowingMemory implements Memory {
  buffer = new ArrayBuffer(64 * 1024);

  grow(): void {
    const old = this.buffer;
    const bigger = new ArrayBuffer(old.byteLength * 2);
    new Uint8Array(bigger).set(new Uint8Array(old));
    structuredClone(old, { transfer: [old] });
    this.buffer = bigger;
  }
}

test('each view is renewed after the memory has grown, whichever is asked for first', () => {
  for (const first of ['bytes', 'words', 'view', 'size', 'uint32', 'string'] as const) {
    const memory = new GrowingMemory();
    const heap = new Heap(memory);
    heap.setUint32(16, 0x64636261);
    heap.setUint32(20, 0);
    for (let round = 0; round < 3; round++) {
      const old = heap.bytes;
      memory.grow();
      assert.equal(old.length, 0, 'detached');
      if (first === 'uint32') assert.equal(heap.uint32(16), 0x64636261);
      else if (first === 'string') assert.equal(heap.string(16), 'abcd');
      else if (first === 'size') assert.equal(heap.size, memory.buffer.byteLength);
      else assert.equal(heap[first].byteLength, memory.buffer.byteLength);
      assert.deepEqual([...heap.bytes.subarray(16, 20)], [0x61, 0x62, 0x63, 0x64]);
      assert.equal(heap.words[4], 0x64636261);
      assert.equal(heap.view.getUint32(16, true), 0x64636261);
      heap.setUint32(heap.size - 4, 0xffffffff);
      assert.equal(heap.uint32(heap.size - 4), 0xffffffff, 'unsigned');
    }
  }
});

test('strings end at their NUL; the null pointer is none', () => {
  const heap = new Heap(new GrowingMemory());
  heap.bytes.set(new TextEncoder().encode('äöü\0rest'), 100);
  assert.equal(heap.stringLength(100), 6);
  assert.equal(heap.string(100), 'äöü');
  assert.equal(heap.string(106), '');
  assert.equal(heap.string(0), undefined);
});

test('everything goes on while the heap of SQLite grows under it', async () => {
  const world = await World.create();
  const connection = world.connect({ cachePages: 10 });
  const { heap } = world.sqlite;
  run(connection, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b)');
  const before = heap.size;
  let growths = 0;
  for (let size = 100_000, last = before; size < 30_000_000; size *= 2, last = heap.size) {
    // Allocates while it reads and writes pages, sorts, and hands over rows.
    run(connection, `INSERT INTO t VALUES (${size}, zeroblob(${size}))`);
    const rows = run(connection, 'SELECT a, length(hex(b)) FROM t ORDER BY b DESC');
    assert.ok(rows.every(([a, length]) => Number(length) === 2 * Number(a)));
    if (heap.size > last) growths++;
  }
  assert.ok(growths > 3, `${growths} growths`);
  world.closeAndCheck();
});
