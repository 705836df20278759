import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PAGE_SIZE, PageSlabs, PageStore, type Mark } from './index.ts';
import { LOCK_BYTE_PAGE, statedSize } from './header.ts';

/** Content of a page in the model: a tag that no other write has used. 0 is the zero page, -1 the template. */
type Content = readonly number[];

/**
 * The store against a naive copy of everything: each version is an array of page tags, and after each
 * step all versions that must be readable are compared page by page.
 */
class Model {
  readonly slabs = new PageSlabs();
  readonly store = new PageStore(this.slabs);
  readonly versions = new Map<number, Content>([[1, [-1]]]);
  readonly pins: { mark: Mark; content: Content }[] = [];
  readonly batches: { version: number; before: Content; content: Content; pages: Set<number> }[] = [];
  /** A plain copy of the database fed with batches only, as a follower would be. */
  follower: Content = [-1];
  #tag = 0;

  contentAt(version: number): Content {
    return this.versions.get(version)!;
  }

  transaction(steps: readonly (readonly [kind: number, value: number])[]): void {
    const { store } = this;
    const base = this.contentAt(store.newest);
    const next = [...base];
    const set = store.begin();
    const write = (page: number, tag: number): void => {
      const image = set.write(page);
      const offset = this.slabs.offsetOf(image) >> 2;
      this.slabs.wordsOf(image).fill(tag, offset, offset + PAGE_SIZE / 4);
    };
    for (const [kind, value] of steps) {
      if (kind < 6) {
        // Overwrites, and growth that sometimes leaves a hole.
        const page = 1 + (value % (next.length + (kind === 0 ? 3 : 1)));
        while (next.length < page) next.push(0);
        next[page - 1] = ++this.#tag;
        write(page, this.#tag);
      } else if (kind === 6) {
        const size = 1 + (value % next.length);
        next.length = size;
        set.truncate(size);
      } else if (value % 2 === 0) {
        // A spilled page that is taken back: SQLite writes the old content again.
        const page = 1 + (value % base.length);
        if (page <= next.length) {
          next[page - 1] = base[page - 1]!;
          write(page, base[page - 1]!);
        }
      }
    }
    if (set.pageCount === 0 && next.length === base.length) {
      store.skipVersion();
      return;
    }
    if (next.length !== base.length) {
      next[0] = ++this.#tag;
      write(1, this.#tag);
    }
    const writer = store.pin(store.newest);
    const moved = store.publish(set, writer);
    this.versions.set(store.newest, next);
    assert.equal(moved?.version, store.newest);
    store.unpin(moved);
  }

  step(kind: number, value: number, steps: readonly (readonly [number, number])[]): void {
    const { store } = this;
    if (kind < 6) this.transaction(steps);
    else if (kind < 8) {
      const version = value % 2 === 0 ? store.newest : store.committed;
      this.pins.push({ mark: store.pin(version), content: this.contentAt(version) });
    } else if (kind < 10) {
      const [pin] = this.pins.splice(value % Math.max(1, this.pins.length), 1);
      if (pin !== undefined) store.unpin(pin.mark);
    } else if (kind < 12) {
      if (!store.hasOpenBatch) return;
      const batch = store.seal();
      const before = this.batches.at(-1)?.content ?? this.contentAt(store.committed);
      const content = this.contentAt(batch.version);
      this.batches.push({ version: batch.version, before, content, pages: new Set(batch.pages) });
      assert.equal(batch.size, content.length);
      assert.equal(new Set(batch.pages).size, batch.pages.length, 'a page is in a batch once');
      batch.pages.forEach((page, i) => assert.equal(this.tagOf(batch.images[i]!), content[page - 1]));
    } else if (kind < 14) {
      const batch = this.batches.shift();
      if (batch === undefined) return;
      store.commit();
      assert.equal(store.committed, batch.version);
      const follower = [...this.follower];
      follower.length = Math.min(follower.length, batch.content.length);
      for (const page of batch.pages) follower[page - 1] = batch.content[page - 1]!;
      this.follower = follower;
      assert.deepEqual(this.follower, batch.content, 'batches alone rebuild the database');
    } else if (kind === 14) {
      const above = this.pins.filter(pin => pin.mark.version > store.committed);
      for (const pin of above) store.unpin(pin.mark);
      this.pins.splice(0, this.pins.length, ...this.pins.filter(pin => !above.includes(pin)));
      store.undo();
      this.batches.length = 0;
      for (const version of this.versions.keys()) if (version > store.committed) this.versions.delete(version);
    } else {
      store.recycle(1 + (value % 5));
    }
  }

  tagOf(image: number): number {
    const words = this.slabs.wordsOf(image);
    const first = words[this.slabs.offsetOf(image) >> 2]!;
    assert.equal(first, words[(this.slabs.offsetOf(image) + PAGE_SIZE - 4) >> 2]);
    return first;
  }

  read(version: number): Content {
    const content: number[] = [];
    for (let page = 1; page <= this.store.sizeAt(version); page++) {
      const image = this.store.imageAt(page, version);
      const template = version === 1 || statedSize(this.slabs.view(image)) === 1;
      content.push(template ? -1 : this.tagOf(image));
    }
    return content;
  }

  check(): void {
    const { store } = this;
    assert.deepEqual(this.read(store.newest), this.contentAt(store.newest), 'newest');
    assert.equal(store.size, this.contentAt(store.newest).length);
    assert.deepEqual(this.read(store.committed), this.contentAt(store.committed), 'committed');
    for (const batch of this.batches) assert.deepEqual(this.read(batch.version), batch.content, 'batch');
    for (const pin of this.pins) assert.deepEqual(this.read(pin.mark.version), pin.content, 'pin');
  }

  /** Nothing is kept that no marked version can see. */
  checkMemory(): void {
    const { store } = this;
    while (store.recycle(100));
    const marked = [store.newest, store.committed, ...this.batches.map(batch => batch.version)];
    marked.push(...this.pins.map(pin => pin.mark.version));
    const images = new Set<number>();
    for (const version of marked) {
      for (let page = 1; page <= store.sizeAt(version); page++) images.add(store.imageAt(page, version));
    }
    assert.equal(this.slabs.used, images.size, 'images in use');
    const current = new Set<number>();
    for (let page = 1; page <= store.size; page++) current.add(store.imageAt(page, store.newest));
    assert.equal(store.retainedImages, images.size - current.size, 'retained images');
  }
}

const history = fc.array(
  fc.tuple(fc.nat(15), fc.nat(1000), fc.array(fc.tuple(fc.nat(7), fc.nat(1000)), { minLength: 1, maxLength: 6 })),
  { maxLength: 150, size: 'max' },
);

test('any history of transactions, pins, batches, undos and recycling reads as a naive copy does', () => {
  fc.assert(
    fc.property(history, steps => {
      const model = new Model();
      for (const [kind, value, transaction] of steps) {
        model.step(kind, value, transaction);
        model.check();
      }
      model.checkMemory();
    }),
    { numRuns: 300 },
  );
});

test('version numbers are not used again after an undo', () => {
  const model = new Model();
  model.transaction([[1, 0]]);
  const undone = model.store.newest;
  model.store.undo();
  model.versions.delete(undone);
  model.transaction([[1, 0]]);
  assert.equal(model.store.newest, undone + 1);
});

test('an undo under a pinned uncommitted version is refused', () => {
  const model = new Model();
  model.transaction([[1, 0]]);
  model.store.pin(model.store.newest);
  assert.throws(() => model.store.undo(), /is pinned and cannot be undone/);
});

test('a long pin keeps one image per page, however often the page changes', () => {
  const model = new Model();
  model.transaction([[1, 1]]);
  const pin = model.store.pin(model.store.newest);
  for (let i = 0; i < 1000; i++) {
    model.transaction([[1, 1]]);
    if (i % 7 === 0) {
      model.store.seal();
      model.store.commit();
    }
  }
  assert.ok(model.store.retainedImages <= 3, `${model.store.retainedImages} images retained`);
  model.store.unpin(pin);
});

test('releasing a pin that protects many images examines them in slices', () => {
  const slabs = new PageSlabs();
  const store = new PageStore(slabs);
  const fill = (): void => {
    const set = store.begin();
    for (let page = 1; page <= 5000; page++) set.write(page);
    store.publish(set);
    store.seal();
    store.commit();
  };
  fill();
  const pin = store.pin(store.committed);
  fill();
  const retained = (): number => store.retainedImages;
  assert.equal(retained(), 5000);
  store.unpin(pin);
  assert.ok(retained() > 4000);
  let slices = 0;
  while (store.recycle(1000)) slices++;
  assert.ok(slices >= 4);
  assert.equal(retained(), 0);
  assert.equal(slabs.used, 5000);
});

test('memory goes back to the system when a big database shrinks', () => {
  const slabs = new PageSlabs();
  const store = new PageStore(slabs);
  const set = store.begin();
  for (let page = 1; page <= 30_000; page++) set.write(page);
  store.publish(set);
  store.seal();
  store.commit();
  const held = slabs.heldBytes;
  const small = store.begin();
  small.write(1);
  small.truncate(1);
  store.publish(small);
  store.seal();
  store.commit();
  while (store.recycle(1000));
  assert.equal(slabs.used, 1);
  assert.ok(held > 100 * 2 ** 20 && slabs.heldBytes < 20 * 2 ** 20, `${slabs.heldBytes} bytes held`);
});

test('pages allocated and freed by one transaction are filled with zeros, the lock-byte page is left out', () => {
  const store = new PageStore(new PageSlabs());
  const set = store.begin();
  set.write(1);
  set.write(4);
  store.publish(set);
  assert.deepEqual([...store.seal().pages].sort(), [1, 2, 3, 4]);
  assert.ok(store.slabs.view(store.imageAt(3, store.newest)).every(byte => byte === 0));
  const locked = store.begin();
  locked.write(LOCK_BYTE_PAGE);
  assert.throws(() => store.publish(locked), /lock-byte page/);
});

/** Slabs in which a page costs nothing: all images are one, which is enough where only numbers count. */
class ThinSlabs extends PageSlabs {
  #next = 0;

  override allocate(): number {
    return this.#next++;
  }

  override free(): void {}

  override bytesOf(): Uint8Array {
    return this.#page;
  }

  override offsetOf(): number {
    return 0;
  }

  readonly #page = new Uint8Array(PAGE_SIZE);
}

test('a database larger than a gibibyte: each page can be read, the lock-byte page stays here', () => {
  const store = new PageStore(new ThinSlabs());
  const grow = (size: number, ...pages: number[]): void => {
    const set = store.begin();
    for (const page of [1, ...pages]) set.write(page);
    set.truncate(size);
    store.publish(set);
  };
  grow(LOCK_BYTE_PAGE - 1);
  store.seal();
  store.commit();
  grow(LOCK_BYTE_PAGE + 2, LOCK_BYTE_PAGE + 1);
  const batch = store.seal();
  assert.deepEqual(
    [...batch.pages].sort((a, b) => a - b),
    [1, LOCK_BYTE_PAGE + 1, LOCK_BYTE_PAGE + 2],
  );
  assert.equal(batch.size, LOCK_BYTE_PAGE + 2);
  store.commit();
  const images = new Set<number>();
  for (let page = 1; page <= store.size; page++) images.add(store.imageAt(page, store.committed));
  assert.equal(images.size, LOCK_BYTE_PAGE + 2);
  assert.ok(!images.has(undefined as unknown as number));
  // And back across it.
  grow(LOCK_BYTE_PAGE - 1);
  assert.deepEqual(store.seal().pages, [1]);
  store.undo();
  assert.equal(store.size, LOCK_BYTE_PAGE + 2);
  assert.equal(store.imageAt(LOCK_BYTE_PAGE, store.committed) >= 0, true);
});
