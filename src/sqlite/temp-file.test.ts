import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Budget, TempFile } from './temp-file.ts';

const CHUNK = 64 * 1024;

/** Offsets and sizes that meet at chunk borders. */
const position = fc.oneof(
  fc.nat(4 * CHUNK),
  fc.tuple(fc.nat(4), fc.integer({ min: -2, max: 2 })).map(([chunk, near]) => Math.max(0, chunk * CHUNK + near)),
);

const step = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), offset: position, size: fc.oneof(fc.nat(100), fc.nat(2 * CHUNK)) }),
  fc.record({ kind: fc.constant('read' as const), offset: position, size: fc.oneof(fc.nat(100), fc.nat(2 * CHUNK)) }),
  fc.record({ kind: fc.constant('truncate' as const), offset: position, size: fc.constant(0) }),
);

test('reads, writes and truncations anywhere are those of one array of bytes', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const budget = new Budget(Infinity);
      const file = new TempFile(budget);
      let model = Buffer.alloc(0);
      const grow = (size: number): void => {
        if (size > model.length) model = Buffer.concat([model, Buffer.alloc(size - model.length)]);
      };
      for (const [index, { kind, offset, size }] of steps.entries()) {
        if (kind === 'write') {
          const source = Buffer.alloc(size + 20, index + 1);
          assert.ok(file.write(source, 10, size, offset));
          grow(offset + size);
          model.fill(index + 1, offset, offset + size);
        } else if (kind === 'truncate') {
          file.truncate(offset);
          grow(offset);
          model = model.subarray(0, offset);
        } else {
          const target = Buffer.alloc(size + 20, 0xee);
          const whole = file.read(target, 10, size, offset);
          const expected = Buffer.alloc(size);
          expected.set(model.subarray(offset, offset + size));
          assert.equal(whole, offset + size <= model.length || size === 0);
          assert.ok(target.subarray(10, 10 + size).equals(expected), `${size} bytes at ${offset}`);
          assert.ok(
            target.subarray(0, 10).every(byte => byte === 0xee),
            'nothing before',
          );
          assert.ok(
            target.subarray(10 + size).every(byte => byte === 0xee),
            'nothing behind',
          );
        }
        assert.equal(file.size, model.length);
        assert.ok(budget.used % CHUNK === 0);
      }
      file.truncate(0);
      assert.equal(budget.used, 0);
    }),
    { numRuns: 300 },
  );
});

test('holes cost nothing', () => {
  const budget = new Budget(Infinity);
  const file = new TempFile(budget);
  file.write(Buffer.alloc(10, 1), 0, 10, 1_000_000_000);
  assert.equal(budget.used, CHUNK);
  file.truncate(3_000_000_000);
  assert.equal(budget.used, CHUNK);
  const target = Buffer.alloc(8, 7);
  assert.ok(file.read(target, 0, 8, 2_500_000_000));
  assert.ok(target.every(byte => byte === 0));
  file.truncate(5);
  assert.equal(budget.used, 0);
});

test('a write that does not fit any more leaves what was there, and the file can be freed', () => {
  const budget = new Budget(3 * CHUNK);
  const file = new TempFile(budget);
  assert.ok(file.write(Buffer.alloc(2 * CHUNK, 1), 0, 2 * CHUNK, 0));
  assert.ok(!file.write(Buffer.alloc(3 * CHUNK, 2), 0, 3 * CHUNK, 2 * CHUNK));
  assert.equal(file.size, 2 * CHUNK);
  const target = Buffer.alloc(2 * CHUNK);
  assert.ok(file.read(target, 0, 2 * CHUNK, 0));
  assert.ok(target.every(byte => byte === 1));
  assert.ok(file.write(Buffer.alloc(CHUNK, 3), 0, CHUNK, CHUNK), 'over what is there already');
  file.truncate(0);
  assert.equal(budget.used, 0);
  assert.ok(file.write(Buffer.alloc(3 * CHUNK), 0, 3 * CHUNK, 0));
});

test('a budget and its parent count the same bytes, and a refusal by either takes nothing', () => {
  const node = new Budget(100);
  const [first, second] = [new Budget(80, node), new Budget(80, node)];
  assert.ok(first.take(60));
  assert.ok(!first.take(21), 'its own limit');
  assert.ok(!second.take(41), "the parent's limit");
  assert.deepEqual([first.used, second.used, node.used], [60, 0, 60]);
  assert.ok(second.take(40));
  assert.deepEqual([first.used, second.used, node.used], [60, 40, 100]);
  first.give(60);
  assert.ok(second.take(40));
  second.give(80);
  assert.deepEqual([first.used, second.used, node.used], [0, 0, 0]);
  assert.ok(first.take(80), 'exactly the limit');
});
