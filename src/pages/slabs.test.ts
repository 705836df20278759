import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PAGE_SIZE, PageSlabs } from './slabs.ts';

const SLAB = 1024 * 1024;
const SLOTS = SLAB / PAGE_SIZE;

test('images that are in use never overlap, whatever is allocated and freed', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(700)), { maxLength: 40 }), steps => {
      const slabs = new PageSlabs();
      const images: number[] = [];
      let tag = 0;
      for (const [isFree, amount] of steps) {
        if (isFree) {
          for (const image of images.splice(amount % (images.length + 1), amount)) slabs.free(image);
        } else {
          for (let i = 0; i < amount; i++) {
            const image = slabs.allocate();
            const start = slabs.offsetOf(image) >> 2;
            slabs.wordsOf(image)[start] = ++tag;
            slabs.wordsOf(image)[start + PAGE_SIZE / 4 - 1] = image;
            images.push(image);
          }
        }
        assert.equal(slabs.used, images.length);
        assert.equal(new Set(images).size, images.length, 'no image twice');
        for (const image of images) {
          const words = slabs.wordsOf(image);
          assert.equal(words[(slabs.offsetOf(image) + PAGE_SIZE - 4) >> 2], image, 'still its own');
        }
        assert.ok(slabs.heldBytes >= images.length * PAGE_SIZE);
      }
    }),
    { numRuns: 60 },
  );
});

test('freed images are used again before more memory is taken', () => {
  const slabs = new PageSlabs();
  const images = Array.from({ length: 3 * SLOTS }, () => slabs.allocate());
  assert.equal(slabs.heldBytes, 3 * SLAB);
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < images.length; i += 3) slabs.free(images[i]!);
    for (let i = 0; i < images.length; i += 3) images[i] = slabs.allocate();
    assert.equal(new Set(images).size, images.length);
  }
  assert.equal(slabs.heldBytes, 3 * SLAB);
});

test('a few free slabs are kept, the others given back, and their numbers used again', () => {
  const slabs = new PageSlabs();
  for (let round = 0; round < 3; round++) {
    const images = Array.from({ length: 40 * SLOTS }, () => slabs.allocate());
    assert.equal(slabs.heldBytes, 40 * SLAB);
    assert.ok(Math.max(...images) < 41 * SLOTS, 'numbers stay small');
    // In an order that empties slabs from the middle.
    for (let i = 0; i < images.length; i++) slabs.free(images[(i * 7919) % images.length]!);
    assert.equal(slabs.used, 0);
    assert.equal(slabs.heldBytes, 16 * SLAB);
  }
});

test('an image that lies in no slab cannot be freed', () => {
  const slabs = new PageSlabs();
  const images = Array.from({ length: 20 * SLOTS }, () => slabs.allocate());
  for (const image of images) slabs.free(image);
  const gone = images.find(image => {
    try {
      slabs.view(image);
      return false;
    } catch {
      return true;
    }
  });
  assert.throws(() => slabs.free(gone!), /freed twice/);
});

test('bytes, words and view are the same memory', () => {
  const slabs = new PageSlabs();
  slabs.allocate();
  const image = slabs.allocate();
  slabs.bytesOf(image).fill(0x11, slabs.offsetOf(image), slabs.offsetOf(image) + PAGE_SIZE);
  assert.equal(slabs.wordsOf(image)[slabs.offsetOf(image) >> 2], 0x11111111);
  const view = slabs.view(image);
  assert.ok(view.length === PAGE_SIZE && view.every(byte => byte === 0x11));
  view[7] = 9;
  assert.equal(slabs.bytesOf(image)[slabs.offsetOf(image) + 7], 9);
});
