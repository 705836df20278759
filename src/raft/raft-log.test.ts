import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RaftLog } from './raft-log.ts';
import type { Entry } from './types.ts';

const entryOf = (term: number, size: number): Entry => ({ term, type: 'command', data: new Uint8Array(size * 8) });

type Step =
  | { readonly kind: 'append'; readonly term: number; readonly size: number }
  | { readonly kind: 'truncate' | 'compact'; readonly at: number }
  | { readonly kind: 'forget' }
  | { readonly kind: 'reset'; readonly term: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('append'), term: fc.integer({ min: 1, max: 4 }), size: fc.nat(3) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constantFrom('truncate', 'compact'),
        at: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('forget') }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset'), term: fc.integer({ min: 1, max: 4 }) }) },
  ),
  { maxLength: 40 },
);

/** The same, as a plain array. */
class Model {
  firstIndex = 1;
  previousTerm = 0;
  entries: { entry: Entry; isHere: boolean }[] = [];

  get lastIndex(): number {
    return this.firstIndex + this.entries.length - 1;
  }

  termAt(index: number): number | undefined {
    if (index === this.firstIndex - 1) return this.previousTerm;
    return this.entries[index - this.firstIndex]?.entry.term;
  }

  take(step: Step, log: RaftLog): void {
    switch (step.kind) {
      case 'append': {
        const entry = entryOf(step.term, step.size);
        this.entries.push({ entry, isHere: true });
        log.append(entry);
        return;
      }
      case 'truncate': {
        const index = this.firstIndex + Math.floor(step.at * (this.entries.length + 1));
        this.entries.length = Math.min(this.entries.length, index - this.firstIndex);
        log.truncate(index);
        return;
      }
      case 'compact': {
        const index = this.firstIndex + Math.floor(step.at * (this.entries.length + 1));
        const first = Math.min(index, this.lastIndex + 1);
        this.previousTerm = this.termAt(first - 1)!;
        this.entries.splice(0, first - this.firstIndex);
        this.firstIndex = first;
        log.compact(first);
        return;
      }
      case 'forget': {
        const oldest = this.entries.find(({ isHere }) => isHere);
        if (oldest !== undefined) oldest.isHere = false;
        assert.equal(log.forgetOldestData(), oldest?.entry);
        return;
      }
      case 'reset':
        this.firstIndex = this.lastIndex + 5;
        this.previousTerm = step.term;
        this.entries = [];
        log.reset(this.firstIndex - 1, step.term);
    }
  }
}

test('the log behaves like an array of entries', () => {
  fc.assert(
    fc.property(steps, sequence => {
      const log = new RaftLog(0, 0);
      const model = new Model();
      for (const step of sequence) {
        model.take(step, log);
        const here = model.entries.filter(({ isHere }) => isHere);
        assert.equal(log.firstIndex, model.firstIndex);
        assert.equal(log.lastIndex, model.lastIndex);
        assert.equal(log.lastTerm, model.termAt(model.lastIndex));
        assert.equal(log.dataIndex, model.lastIndex + 1 - here.length);
        assert.equal(
          log.dataBytes,
          here.reduce((sum, { entry }) => sum + entry.data.length, 0),
        );
        for (let index = model.firstIndex - 2; index <= model.lastIndex + 1; index++) {
          assert.equal(log.termAt(index), model.termAt(index));
          const placed = model.entries[index - model.firstIndex];
          assert.equal(log.entryAt(index), placed?.isHere === true ? placed.entry : undefined);
        }
        for (let term = 1; term <= 4; term++) {
          let expected = model.lastIndex;
          while (expected >= model.firstIndex && model.termAt(expected)! > term) expected--;
          assert.equal(log.lastIndexOfTerm(model.lastIndex, term), expected);
        }
      }
    }),
  );
});

test('slices hold at least one entry, then as many as fit', () => {
  const log = new RaftLog(4, 1);
  for (const size of [5, 1, 1, 1]) log.append(entryOf(2, size));
  const sizes = (first: number, maxBytes: number): number[] =>
    log.slice(first, maxBytes).map(({ data }) => data.length);
  assert.deepEqual(sizes(5, 8), [40]);
  assert.deepEqual(sizes(5, 48), [40, 8]);
  assert.deepEqual(sizes(6, 16), [8, 8]);
  assert.deepEqual(sizes(6, 1000), [8, 8, 8]);
  assert.deepEqual(sizes(9, 8), []);
});

test('the term before the first entry is not known after a start, unless a snapshot ends there', () => {
  assert.equal(new RaftLog(0, 0).termAt(0), 0);
  assert.equal(new RaftLog(7, 0).termAt(7), undefined);
  assert.equal(new RaftLog(7, 3).termAt(7), 3);
});
