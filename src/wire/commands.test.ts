import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../lib/assert.ts';
import { DecodeError, decodeUtf8, encodeUtf8 } from '../lib/bytes.ts';
import { assertTotal, damaged, textBytes } from './arbitraries.test.helpers.ts';
import {
  type Command,
  FramesCommand,
  PartialFramesError,
  type PageImages,
  decodeCommand,
  encodeCheckpoint,
  framesSize,
  writeFrames,
} from './commands.ts';

interface Page {
  readonly number: number;
  readonly fill: number;
}

const MAX_PAGE_NUMBER = 0xfffffffe;

const page: fc.Arbitrary<Page> = fc.record({ number: fc.integer({ min: 1, max: MAX_PAGE_NUMBER }), fill: fc.nat(255) });

function imagesOf(pages: readonly Page[]): PageImages {
  const at = (index: number): Page => pages[index] ?? assert.fail();
  return {
    count: pages.length,
    pageNumber: index => at(index).number,
    pageData: index => new Uint8Array(4096).fill(at(index).fill),
  };
}

/** Over memory full of garbage, as a recycled buffer is. */
function encodeFrames(name: Uint8Array, pages: readonly Page[], offset = 0): Uint8Array {
  const size = framesSize(name, pages.length);
  const target = new Uint8Array(offset + size + 8).fill(0xa5);
  writeFrames(target, offset, name, imagesOf(pages));
  assert.ok(target.subarray(0, offset).every(byte => byte === 0xa5));
  assert.ok(target.subarray(offset + size).every(byte => byte === 0xa5));
  return target.subarray(offset, offset + size);
}

function contentOf(command: Command): object {
  if (!(command instanceof FramesCommand)) return command;
  const indexes = Array.from({ length: command.count }, (_, index) => index);
  return {
    kind: command.kind,
    name: command.name,
    pages: indexes.map(index => [command.pageNumber(index), command.pageData(index)]),
  };
}

test('FRAMES decode to what was encoded, wherever they were written', () => {
  fc.assert(
    fc.property(textBytes, fc.array(page, { minLength: 1, maxLength: 4 }), fc.nat(20), (name, pages, offset) => {
      const bytes = encodeFrames(name, pages, offset);
      assert.deepEqual(contentOf(decodeCommand(bytes)), {
        kind: 'frames',
        name,
        pages: pages.map(({ number, fill }) => [number, new Uint8Array(4096).fill(fill)]),
      });
    }),
  );
});

test('decoded pages are views, and can be encoded again as they are', () => {
  const bytes = encodeFrames(encodeUtf8('demo'), [
    { number: 2, fill: 2 },
    { number: 1, fill: 1 },
  ]);
  const command = decodeCommand(bytes);
  assert.ok(command instanceof FramesCommand);
  assert.equal(command.pageData(1).buffer, bytes.buffer);
  const again = new Uint8Array(framesSize(command.name, command.count));
  writeFrames(again, 0, command.name, command);
  assert.deepEqual(again, new Uint8Array(bytes));
});

test('the other commands', () => {
  const name = encodeUtf8('demo');
  const checkpoint = encodeCheckpoint(name);
  assert.deepEqual(checkpoint, new Uint8Array([1, 4, 0, 0, 0, 0, 0, 0, 0x64, 0x65, 0x6d, 0x6f, 0, 0, 0, 0]));
  assert.deepEqual(decodeCommand(checkpoint), { kind: 'checkpoint', name });
  checkpoint[1] = 1;
  assert.deepEqual(decodeCommand(checkpoint), { kind: 'open', name });
  checkpoint[1] = 3;
  assert.deepEqual(decodeCommand(checkpoint), { kind: 'undo', transactionId: 0x6f6d6564n });
});

test('damaged commands give a command or a DecodeError', () => {
  const frames = encodeFrames(encodeUtf8('demo'), [
    { number: 1, fill: 0 },
    { number: 7, fill: 1 },
  ]);
  const fixedSize = framesSize(encodeUtf8('demo'), 0) + 16;
  // Most damage shall hit what is looked at, not the pages.
  const head = damaged(fc.constant(frames.slice(0, fixedSize))).map(
    head => new Uint8Array([...head, ...frames.subarray(fixedSize)]),
  );
  const input = fc.oneof(head, damaged(fc.constant(encodeCheckpoint(encodeUtf8('test.db')))));
  fc.assert(
    fc.property(input, bytes => {
      assertTotal(bytes => contentOf(decodeCommand(bytes)), bytes);
    }),
    { numRuns: 200 },
  );
});

/** A FRAMES command of one page for `demo`, with one change. */
function changed(offset: number, ...values: number[]): Uint8Array {
  const bytes = encodeFrames(encodeUtf8('demo'), [{ number: 1, fill: 0 }]);
  bytes.set(values, offset);
  return bytes;
}

test('what a FRAMES command must not be', () => {
  const rejected: Record<string, Uint8Array> = {
    'another format': changed(0, 2),
    'an unknown type': changed(1, 5),
    'a page size of 512': changed(36, 0, 2),
    'page number 0': changed(40, 0),
    'page number 2^32 - 1': changed(40, 255, 255, 255, 255),
    'a page number above 32 bits': changed(44, 1),
    'more pages than bytes': changed(32, 2),
    '2^32 - 1 pages': changed(32, 255, 255, 255, 255),
    'a page cut short': changed(0).subarray(0, -1),
    'a name without end': new Uint8Array(64).fill(1).fill(2, 1, 2),
  };
  for (const [what, bytes] of Object.entries(rejected)) {
    assert.throws(
      () => decodeCommand(bytes),
      (error: unknown) => error instanceof DecodeError && !(error instanceof PartialFramesError),
      what,
    );
  }
  assert.throws(() => decodeCommand(changed(28, 0)), PartialFramesError);
  assert.doesNotThrow(() => decodeCommand(changed(40, 254, 255, 255, 255)));
});

test('garbage in unused fields is ignored on read and zero when written', () => {
  const expected = contentOf(decodeCommand(changed(0)));
  for (const [offset, size] of [
    [2, 6],
    [16, 8],
    [24, 4],
    [29, 3],
    [38, 2],
  ] as const) {
    const garbage = Array.from({ length: size }, () => 0x7f);
    assert.deepEqual(contentOf(decodeCommand(changed(offset, ...garbage))), expected);
    assert.ok(
      changed(0)
        .subarray(offset, offset + size)
        .every(byte => byte === 0),
    );
  }
});

test('programmer errors are assertions', () => {
  const name = encodeUtf8('demo');
  const pages = imagesOf([{ number: 1, fill: 0 }]);
  const target = new Uint8Array(framesSize(name, 1));
  assert.throws(() => writeFrames(target, 8, name, pages), AssertionError);
  assert.throws(() => writeFrames(target, 0, name, imagesOf([])), AssertionError);
  assert.throws(() => writeFrames(target, 0, name, { ...pages, pageNumber: () => 0 }), AssertionError);
  assert.throws(() => writeFrames(target, 0, name, { ...pages, pageData: () => new Uint8Array(512) }), AssertionError);
  const command = decodeCommand(changed(0));
  assert.ok(command instanceof FramesCommand);
  assert.throws(() => command.pageData(1), AssertionError);
});

/** The FRAMES commands in AppendEntries messages between C nodes (raft and disk spec sections 1.4, 2.4). */
function capturedCommands(): Uint8Array[] {
  const url = new URL('../../../test/fixtures/c-dqlite-1.11.1/wire-messages.json', import.meta.url);
  const { messages } = JSON.parse(readFileSync(url, 'utf8')) as { messages: { type: string; bytes: string }[] };
  const commands: Uint8Array[] = [];
  for (const { bytes } of messages.filter(({ type }) => type === 'AppendEntries')) {
    const message = Uint8Array.from(Buffer.from(bytes, 'hex'));
    const view = new DataView(message.buffer);
    let offset = 16 + view.getUint32(8, true);
    for (let entry = 0; entry < view.getUint32(48, true); entry++) {
      const size = view.getUint32(68 + 16 * entry, true);
      if (message[64 + 16 * entry] === 1) commands.push(message.subarray(offset, offset + size));
      offset += size;
    }
  }
  return commands;
}

test('FRAMES commands of C dqlite 1.11.1', () => {
  const found = capturedCommands().map(bytes => {
    const command = decodeCommand(bytes);
    assert.ok(command instanceof FramesCommand);
    // Written again they are the same bytes but for the garbage behind is_commit and behind the page size.
    const expected = bytes.slice();
    const isCommitOffset = bytes.length - command.count * 4104 - 12;
    expected.fill(0, isCommitOffset + 1, isCommitOffset + 4);
    expected.fill(0, isCommitOffset + 10, isCommitOffset + 12);
    const again = new Uint8Array(framesSize(command.name, command.count));
    writeFrames(again, 0, command.name, command);
    assert.deepEqual(again, expected);
    return `${decodeUtf8(command.name)} ${command.count}`;
  });
  const inOneMessage = Array.from({ length: 6 }, () => 'test.db 1');
  assert.deepEqual(found, ['demo 3', 'demo 2', 'demo 6', ...inOneMessage]);
});
