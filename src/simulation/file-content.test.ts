/** What a power failure can leave of a file: everything the table allows, and nothing else. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SeededRandom } from '../lib/random.ts';
import { FileContent } from './file-content.ts';

const SEEDS = 400;

function bytesOf(content: FileContent): Buffer {
  const bytes = Buffer.alloc(content.size);
  assert.equal(content.read(bytes, 0), bytes.length);
  return bytes;
}

function filled(size: number, text: string): Uint8Array {
  return Buffer.alloc(size, text);
}

/** The first character of every sector, `0` for zeros, for every outcome that was seen. */
function outcomes(content: FileContent): Set<string> {
  const seen = new Set<string>();
  for (let seed = 0; seed < SEEDS; seed++) {
    const bytes = bytesOf(content.afterPowerFailure(new SeededRandom(seed)));
    let text = '';
    for (let offset = 0; offset < bytes.length; offset += 512) {
      const sector = bytes.subarray(offset, offset + 512);
      assert.ok(
        sector.every(byte => byte === sector[0]),
        'a sector is whole',
      );
      text += sector[0] === 0 ? '0' : String.fromCharCode(sector[0]!);
    }
    seen.add(text);
  }
  return seen;
}

/** `abc`, synced. */
function synced(): FileContent {
  const content = new FileContent();
  content.write([filled(512, 'a'), filled(512, 'b'), filled(512, 'c')], 0);
  content.synced(content.lastChange);
  return content;
}

function sorted(set: Iterable<string>): string[] {
  return [...set].sort();
}

test('what was synced stays', () => {
  assert.deepEqual(sorted(outcomes(synced())), ['abc']);
});

test('an unsynced write is lost, torn, or there', () => {
  const content = synced();
  content.write([filled(1024, 'x')], 0);
  assert.deepEqual(sorted(outcomes(content)), ['abc', 'axc', 'xbc', 'xxc']);
  assert.equal(bytesOf(content).toString('latin1', 0, 1), 'x');
});

test('unsynced writes reach the platter in any order, each sector by itself', () => {
  const content = synced();
  content.write([filled(1024, 'x')], 0);
  content.write([filled(1024, 'y')], 512);
  const expected = ['a', 'x'].flatMap(first =>
    ['b', 'x', 'y'].flatMap(second => ['c', 'y'].map(third => first + second + third)),
  );
  assert.deepEqual(sorted(outcomes(content)), sorted(expected));
});

test('a size can survive without its bytes, and bytes without it', () => {
  const content = synced();
  content.write([filled(512, 'd')], 1536);
  content.write([filled(512, 'e')], 2048);
  assert.deepEqual(sorted(outcomes(content)), ['abc', 'abc0', 'abc00', 'abc0e', 'abcd', 'abcd0', 'abcde']);
});

test('a truncate is done or not', () => {
  const content = synced();
  content.truncate(512);
  assert.deepEqual(sorted(outcomes(content)), ['a', 'abc']);
  content.truncate(1024);
  assert.deepEqual(sorted(outcomes(content)), ['a', 'a0', 'abc']);
  content.write([filled(512, 'x')], 512);
  assert.deepEqual(sorted(outcomes(content)), ['a', 'a0', 'abc', 'ax', 'axc']);
  content.synced(content.lastChange);
  assert.deepEqual(sorted(outcomes(content)), ['ax']);
});

test('a sync covers what was changed before its call', () => {
  const content = synced();
  content.write([filled(512, 'x')], 0);
  const called = content.lastChange;
  content.write([filled(512, 'y')], 512);
  content.synced(called);
  assert.deepEqual(sorted(outcomes(content)), ['xbc', 'xyc']);
});

test('a durable write covers its own bytes and a size for them', () => {
  const content = synced();
  content.write([filled(512, 'x')], 0);
  const sequence = content.write([filled(512, 'd')], 1536);
  content.wroteDurably(sequence, 1536, 512);
  assert.deepEqual(sorted(outcomes(content)), ['abcd', 'xbcd']);
  content.truncate(512);
  content.wroteDurably(content.write([filled(512, 'y')], 512), 512, 512);
  assert.deepEqual(sorted(outcomes(content)), ['ay', 'xy']);
});

test('a sync that failed is not made good by one that succeeds, but by writing again', () => {
  const content = synced();
  content.write([filled(512, 'x')], 0);
  content.write([filled(512, 'd')], 1536);
  content.syncFailed(content.lastChange);
  content.write([filled(512, 'y')], 512);
  content.synced(content.lastChange);
  assert.deepEqual(sorted(outcomes(content)), ['ayc0', 'aycd', 'xyc0', 'xycd']);
  content.write([filled(512, 'x')], 0);
  content.synced(content.lastChange);
  assert.deepEqual(sorted(outcomes(content)), ['xyc0', 'xycd']);
});

test('as the system shows it, a file is what was done to it, also its copies', () => {
  const change = fc.oneof(
    fc.record({ offset: fc.nat(3000), size: fc.nat(2000), byte: fc.integer({ min: 1, max: 255 }) }),
    fc.record({ truncate: fc.nat(4000) }),
    fc.constantFrom('sync', 'fail', 'copy'),
  );
  fc.assert(
    fc.property(fc.array(change), fc.nat(), (changes, seed) => {
      let content = new FileContent();
      let expected = Buffer.alloc(0);
      let durable = true;
      for (const step of changes) {
        if (step === 'sync') content.synced(content.lastChange);
        else if (step === 'fail') content.syncFailed(content.lastChange);
        else if (step === 'copy') content = content.clone();
        else if ('truncate' in step) {
          const grown = Buffer.alloc(step.truncate);
          expected.copy(grown);
          expected = grown;
          content.truncate(step.truncate);
        } else if (step.size > 0) {
          const end = step.offset + step.size;
          const grown = Buffer.alloc(Math.max(end, expected.length));
          expected.copy(grown);
          expected = grown.fill(step.byte, step.offset, end);
          const half = Math.floor(step.size / 2);
          content.write(
            [filled(half, ''), filled(step.size - half, '')].map(piece => piece.fill(step.byte)),
            step.offset,
          );
        }
        durable = step === 'copy' ? durable : step === 'sync' && !changes.includes('fail');
        assert.ok(bytesOf(content).equals(expected));
        if (durable) assert.ok(bytesOf(content.afterPowerFailure(new SeededRandom(seed))).equals(expected));
      }
    }),
  );
});
