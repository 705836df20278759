import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeUtf8 } from './bytes.ts';
import { XxHash32, xxhash32 } from './xxhash32.ts';

test('published check values', () => {
  const cases: [string, number][] = [
    ['', 0x02cc5d05],
    ['a', 0x550d7456],
    ['abc', 0x32d153ff],
    ['message digest', 0x7c948494],
    ['0123456789abcdef', 0xc2c45b69],
    ['0123456789abcdef0123456789abcdef', 0xeb888d30],
    ['abcdefghijklmnopqrstuvwxyz', 0x63a14d5f],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
  ];
  for (const [text, expected] of cases) assert.equal(xxhash32(encodeUtf8(text)), expected, text);
});

test('any split gives the same hash', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), pieces => {
      const hash = new XxHash32();
      for (const piece of pieces) hash.update(piece);
      assert.equal(hash.digest(), xxhash32(Buffer.concat(pieces)));
    }),
  );
});

test('a digest in between does not disturb what follows', () => {
  const bytes = encodeUtf8('Nobody inspects the spammish repetition');
  const hash = new XxHash32();
  for (let i = 0; i < bytes.length; i++) {
    assert.equal(hash.digest(), xxhash32(bytes.subarray(0, i)));
    hash.update(bytes.subarray(i, i + 1));
  }
});
