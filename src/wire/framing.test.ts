import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../lib/assert.ts';
import { Writer } from '../lib/bytes.ts';
import { protocolVersion } from './codes.ts';
import { type Frame, FrameParser, MessageTooLargeError, beginMessage, endMessage, writeHeader } from './framing.ts';

const frames: fc.Arbitrary<Frame[]> = fc.array(
  fc.record(
    {
      type: fc.nat(255),
      schema: fc.nat(255),
      body: fc
        .tuple(fc.integer({ min: 1, max: 400 }), fc.nat(255))
        .map(([words, seed]) => new Uint8Array(words * 8).map((_, index) => index + seed)),
    },
    { noNullPrototype: true },
  ),
  { maxLength: 8 },
);

function encode(frames: readonly Frame[]): Uint8Array {
  const writer = new Writer();
  for (const { type, schema, body } of frames) {
    const start = beginMessage(writer, type, schema);
    writer.raw(body);
    endMessage(writer, start);
  }
  return writer.copy();
}

function takeAll(parser: FrameParser): Frame[] {
  const taken: Frame[] = [];
  for (let frame = parser.next(); frame !== undefined; frame = parser.next()) taken.push(frame);
  return taken;
}

test('pipelined messages come out of any split of the stream', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat()), fc.boolean(), (frames, cuts, takeEarly) => {
      const stream = encode(frames);
      const positions = [...cuts.map(cut => cut % (stream.length + 1)), stream.length].sort((a, b) => a - b);
      const parser = new FrameParser(Infinity);
      const taken: Frame[] = [];
      let start = 0;
      for (const end of positions) {
        parser.push(stream.slice(start, end));
        start = end;
        if (takeEarly) taken.push(...takeAll(parser));
      }
      taken.push(...takeAll(parser));
      assert.deepEqual(taken, frames);
      assert.equal(parser.bufferedBytes, 0);
    }),
  );
});

test('one byte at a time: a message comes with its last byte, not before', () => {
  fc.assert(
    fc.property(frames, frames => {
      const stream = encode(frames);
      const ends: number[] = [];
      for (const { body } of frames) ends.push((ends.at(-1) ?? 0) + 8 + body.length);
      const parser = new FrameParser(Infinity);
      const taken: Frame[] = [];
      for (const [index, byte] of stream.entries()) {
        parser.push(new Uint8Array([byte]));
        const { bufferedBytes } = parser;
        const header = parser.peek();
        const frame = parser.next();
        if (frame !== undefined) taken.push(frame);
        assert.equal(frame !== undefined, ends.includes(index + 1));
        assert.equal(header?.type, frame?.type);
        assert.equal(parser.bufferedBytes, frame === undefined ? bufferedBytes : 0);
      }
      assert.deepEqual(taken, frames);
    }),
    { numRuns: 20 },
  );
});

test('views handed out stay as they are while more bytes arrive', () => {
  const message = encode([{ type: 1, schema: 0, body: new Uint8Array(8).fill(1) }]);
  const parser = new FrameParser(Infinity);
  for (const byte of message) parser.push(new Uint8Array([byte]));
  const frame = parser.next();
  for (let i = 0; i < 3000; i++) parser.push(new Uint8Array([9]));
  assert.deepEqual(frame?.body, new Uint8Array(8).fill(1));
});

test('a message of 4 MiB in pieces of 64 bytes', () => {
  const message = encode([{ type: 5, schema: 0, body: new Uint8Array(4 * 2 ** 20) }]);
  const parser = new FrameParser(Infinity);
  for (let start = 0; start < message.length; start += 64) {
    assert.equal(parser.next(), undefined);
    parser.push(message.subarray(start, start + 64));
  }
  assert.equal(parser.next()?.body.length, 4 * 2 ** 20);
});

test('small chunks that wait do not hold on to the memory they came in', () => {
  const chunk = new Uint8Array(encode([{ type: 5, schema: 0, body: new Uint8Array(8) }]));
  const parser = new FrameParser(Infinity);
  for (let i = 0; i < chunk.length; i++) parser.push(chunk.subarray(i, i + 1));
  chunk.fill(255, 1);
  assert.deepEqual(parser.next(), { type: 5, schema: 0, body: new Uint8Array(8) });
});

test('a message inside one chunk is not copied', () => {
  const stream = encode([
    { type: 5, schema: 0, body: new Uint8Array(16) },
    { type: 10, schema: 1, body: new Uint8Array(8) },
  ]);
  const parser = new FrameParser(Infinity);
  parser.push(stream);
  const bodies = takeAll(parser).map(frame => frame.body);
  assert.deepEqual(
    bodies.map(body => [body.buffer === stream.buffer, body.byteOffset]),
    [
      [true, 8],
      [true, 32],
    ],
  );
});

test('peek shows the next whole message and leaves it', () => {
  const stream = encode([
    { type: 5, schema: 0, body: new Uint8Array(16) },
    { type: 10, schema: 1, body: new Uint8Array(8) },
  ]);
  const parser = new FrameParser(Infinity);
  parser.push(stream.subarray(0, 30));
  assert.deepEqual(parser.peek(), { type: 5, schema: 0, bodySize: 16 });
  assert.equal(parser.next()?.type, 5);
  assert.equal(parser.peek(), undefined);
  parser.push(stream.subarray(30));
  assert.deepEqual(parser.peek(), { type: 10, schema: 1, bodySize: 8 });
  assert.equal(parser.next()?.type, 10);
});

test('the handshake is taken before the first message, raft takes over what is left', () => {
  const writer = new Writer();
  writer.uint64(protocolVersion.legacy);
  const stream = new Uint8Array([
    ...writer.written(),
    ...encode([{ type: 11, schema: 0, body: new Uint8Array(8) }]),
    42,
  ]);
  const parser = new FrameParser(Infinity);
  parser.push(stream.subarray(0, 7));
  assert.equal(parser.handshake(), undefined);
  parser.push(stream.subarray(7));
  assert.equal(parser.handshake(), protocolVersion.legacy);
  assert.equal(parser.next()?.type, 11);
  assert.deepEqual(parser.rest(), new Uint8Array([42]));
  assert.equal(parser.bufferedBytes, 0);
});

test('a body of exactly the limit passes; a larger one is refused by its header alone, again and again', () => {
  const parser = new FrameParser(16);
  parser.push(encode([{ type: 5, schema: 0, body: new Uint8Array(16) }]));
  assert.equal(parser.next()?.body.length, 16);
  parser.push(encode([{ type: 5, schema: 0, body: new Uint8Array(24) }]).subarray(0, 8));
  const isTooLarge = (error: unknown): boolean => error instanceof MessageTooLargeError && error.size === 24;
  assert.throws(() => parser.next(), isTooLarge);
  parser.push(new Uint8Array(24));
  assert.throws(() => parser.next(), isTooLarge);
});

test('2^32 - 1 words are 34 GB, not an overflow and not an allocation', () => {
  const header = new Uint8Array([255, 255, 255, 255, 5, 0, 0, 0]);
  const limited = new FrameParser(2 ** 30);
  limited.push(header);
  assert.throws(() => limited.next(), { size: 0xffffffff * 8 });
  const unlimited = new FrameParser(Infinity);
  unlimited.push(header);
  assert.equal(unlimited.next(), undefined);
});

test('no words are an empty body', () => {
  const parser = new FrameParser(16);
  parser.push(new Uint8Array([0, 0, 0, 0, 7, 0, 0, 0]));
  assert.deepEqual(parser.next(), { type: 7, schema: 0, body: new Uint8Array(0) });
});

test('a message that is empty, not of whole words or too long is not sent', () => {
  const writer = new Writer();
  const start = beginMessage(writer, 8);
  assert.throws(() => endMessage(writer, start), AssertionError);
  writer.uint32(1);
  assert.throws(() => endMessage(writer, start), AssertionError);
  assert.throws(() => writeHeader(writer, { type: 9, schema: 0, bodySize: 2 ** 35 }), AssertionError);
});
