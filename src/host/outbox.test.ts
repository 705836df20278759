import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox, type OutboxMember } from './outbox.ts';

class Member implements OutboxMember {
  readonly name: string;
  readonly log: string[];
  takes = true;
  kept: Uint8Array | undefined;

  constructor(name: string, log: string[]) {
    this.name = name;
    this.log = log;
  }

  writeNow(bytes: Uint8Array): boolean {
    this.log.push(`${this.name} ${Buffer.from(bytes).toString()}`);
    if (!this.takes) this.kept = bytes;
    return this.takes;
  }

  turnEnded(): void {
    this.log.push(`${this.name} ended`);
  }
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

test('messages of one turn are handed over at its end, in order, those to one connection together', async () => {
  const log: string[] = [];
  const outbox = new Outbox();
  const [a, b] = [new Member('a', log), new Member('b', log)];
  outbox.add(a, bytes('1'));
  outbox.add(a, bytes('2'));
  outbox.add(b, bytes('3'));
  outbox.add(a, bytes('4'));
  assert.deepEqual(log, []);
  await turn();
  assert.deepEqual(log, ['a 12', 'b 3', 'a 4', 'a ended', 'b ended', 'a ended']);
});

test('flush hands over at once, and the turn ends later', async () => {
  const log: string[] = [];
  const outbox = new Outbox();
  const a = new Member('a', log);
  outbox.add(a, bytes('1'));
  outbox.flush();
  outbox.flush();
  assert.deepEqual(log, ['a 1']);
  outbox.add(a, bytes('2'));
  await turn();
  assert.deepEqual(log, ['a 1', 'a 2', 'a ended', 'a ended']);
});

test('memory that a connection needs longer is not written to again', async () => {
  const outbox = new Outbox();
  const slow = new Member('slow', []);
  slow.takes = false;
  outbox.add(slow, bytes('first'));
  outbox.flush();
  outbox.add(slow, bytes('other'));
  outbox.flush();
  assert.equal(Buffer.from(slow.kept!).toString(), 'other');
  const kept = slow.kept!;
  slow.takes = true;
  outbox.add(slow, bytes('third'));
  await turn();
  assert.equal(Buffer.from(kept).toString(), 'other');
});

test('more than fits is handed over before the end of the turn', () => {
  const log: string[] = [];
  const outbox = new Outbox();
  const a = new Member('a', log);
  const size = 64 * 1024;
  assert.ok(outbox.accepts(size, false) && !outbox.accepts(size + 1, false));
  assert.ok(outbox.accepts(4 * size, true) && !outbox.accepts(4 * size + 1, true));
  for (let i = 0; i < 9; i++) outbox.add(a, new Uint8Array(size));
  assert.equal(log.length, 1);
  outbox.flush();
  assert.equal(log.length, 2);
});
