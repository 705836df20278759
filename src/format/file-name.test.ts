import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type FileName, formatFileName, parseFileName } from './file-name.ts';

test('names that C dqlite writes', () => {
  const cases: [string, FileName][] = [
    ['0000000000000002-0000000000000985', { kind: 'closed', first: 2, last: 985 }],
    ['0000000000000001-0000000000000001', { kind: 'closed', first: 1, last: 1 }],
    ['open-1', { kind: 'open', counter: 1 }],
    ['open-12', { kind: 'open', counter: 12 }],
    ['snapshot-1-1024-1148625', { kind: 'snapshot', term: 1, index: 1024, timestampMs: 1_148_625 }],
    ['snapshot-1-1024-1148625.meta', { kind: 'snapshotMeta', term: 1, index: 1024, timestampMs: 1_148_625 }],
    ['tmp-snapshot-1-1024-1148625', { kind: 'temporary', of: 'snapshot-1-1024-1148625' }],
  ];
  for (const [text, name] of cases) {
    assert.deepEqual(parseFileName(text), name);
    assert.equal(formatFileName(name), text);
  }
});

test('names that are not ours', () => {
  for (const text of [
    '',
    'metadata1',
    'dqlite-lock',
    'corrupt-123-open-1',
    'open-0',
    'open-01',
    'open-x',
    'open-1 ',
    'open-99999999999999999999999',
    'open-9007199254740992',
    '1-1',
    '0000000000000000-0000000000000001',
    '0000000000000002-0000000000000001',
    '00000000000000002-00000000000000003',
    '0000000000000001-0000000000000001.bak',
    'snapshot-1-2',
    'snapshot-01-2-3',
    'snapshot-1-2-3.metadata',
    'snapshot-1-2--3',
  ]) {
    assert.equal(parseFileName(text), undefined, text);
  }
});

test('every name parses back to itself', () => {
  const nat = fc.maxSafeNat();
  const snapshot = { term: nat, index: nat, timestampMs: nat };
  const record = <T extends object>(fields: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> =>
    fc.record<T>(fields, { noNullPrototype: true });
  const name: fc.Arbitrary<FileName> = fc.oneof(
    fc
      .tuple(nat, nat)
      .map(([a, b]): FileName => ({ kind: 'closed', first: Math.max(1, Math.min(a, b)), last: Math.max(1, a, b) })),
    nat.map((n): FileName => ({ kind: 'open', counter: Math.max(1, n) })),
    record<FileName & { kind: 'snapshot' }>({ kind: fc.constant('snapshot'), ...snapshot }),
    record<FileName & { kind: 'snapshotMeta' }>({ kind: fc.constant('snapshotMeta'), ...snapshot }),
    record<FileName & { kind: 'temporary' }>({ kind: fc.constant('temporary'), of: fc.string() }),
  );
  fc.assert(fc.property(name, value => assert.deepEqual(parseFileName(formatFileName(value)), value)));
});

test('any text is parsed, and what is recognised is the canonical name', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^(open-|snapshot-|0{15})?[0-9.metao-]{0,40}$/));
  fc.assert(
    fc.property(text, value => {
      const name = parseFileName(value);
      if (name !== undefined) assert.equal(formatFileName(name), value);
    }),
  );
});
