import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PageSlabs } from './slabs.ts';
import { WriteSet } from './write-set.ts';

const BASE = 10;

test('writes, truncations and drops are those of a plain map', () => {
  const step = fc.tuple(fc.constantFrom('write', 'write', 'truncate', 'drop'), fc.integer({ min: 1, max: 25 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const slabs = new PageSlabs();
      const set = new WriteSet(slabs, BASE);
      const written = new Map<number, number>();
      let size = BASE;
      let baseLimit = BASE;
      for (const [kind, page] of steps) {
        if (kind === 'write') {
          const image = set.write(page);
          if (written.has(page)) assert.equal(image, written.get(page), 'the same image again');
          written.set(page, image);
          size = Math.max(size, page);
        } else if (kind === 'truncate') {
          set.truncate(page);
          for (const other of written.keys()) if (other > page) written.delete(other);
          size = page;
          baseLimit = Math.min(baseLimit, page);
        } else {
          set.drop(page);
          written.delete(page);
        }
        assert.deepEqual(new Map(set.images), written);
        assert.deepEqual(
          [set.size, set.baseLimit, set.pageCount, slabs.used],
          [size, baseLimit, written.size, written.size],
        );
        for (let other = 1; other <= 25; other++) assert.equal(set.imageOf(other), written.get(other));
      }
      set.discard();
      assert.deepEqual([set.pageCount, slabs.used], [0, 0]);
    }),
  );
});

test('a database keeps one page', () => {
  assert.throws(() => new WriteSet(new PageSlabs(), BASE).truncate(0), /at least one page/);
});
