/** Connections that say they are peers: how many there may be, and what they may hold. Anybody can open one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeHost, silentLogger, type Connection } from '../host/index.ts';
import { Peers } from './peers.ts';

const MIB = 1024 * 1024;
const MEMBER = { id: 1n, address: 'member' };

class FakeConnection implements Connection {
  readonly peer = 'fake';
  readonly pendingBytes = 0;
  isOpen = true;

  send(): boolean {
    return true;
  }

  pause(): void {}
  resume(): void {}
  end(): void {}

  destroy(): void {
    this.isOpen = false;
  }
}

function peers(maxBufferedBytes: number): Peers {
  const { net, clock } = nodeHost();
  const allocate = (size: number): Uint8Array => new Uint8Array(size);
  const options = { net, clock, self: MEMBER, connectTimeoutMs: 1, logger: silentLogger, maxBufferedBytes, allocate };
  return new Peers(options, {
    message() {},
    snapshot: () => undefined,
    unreachable() {},
    isMember: id => id === MEMBER.id,
  });
}

/** An AppendEntries with one entry of so many bytes. */
function entry(size: number): Uint8Array {
  const bytes = new Uint8Array(16 + 40 + 16 + size);
  const view = new DataView(bytes.buffer);
  for (const [position, word] of [1, 56, 1, 0, 0, 0, 1, 1].entries())
    view.setBigUint64(8 * position, BigInt(word), true);
  view.setUint8(64, 1);
  view.setUint32(68, size, true);
  return bytes;
}

test('strangers do not drive members away', () => {
  const all = peers(MIB);
  const member = new FakeConnection();
  all.accept(member, MEMBER);
  const strangers = Array.from({ length: 1000 }, (_, i) => {
    const connection = new FakeConnection();
    all.accept(connection, { id: BigInt(i + 2), address: 'stranger' });
    return connection;
  });
  assert.ok(member.isOpen);
  assert.equal(strangers.filter(({ isOpen }) => isOpen).length, 255);
  for (let i = 0; i < 1000; i++) all.accept(new FakeConnection(), MEMBER);
  assert.ok(!member.isOpen && strangers.every(({ isOpen }) => !isOpen), 'members neither, without end');
  all.close();
});

test('messages that do not end hold memory up to a limit, and who holds most of it goes', () => {
  const all = peers(10 * MIB);
  const connections = Array.from({ length: 4 }, () => new FakeConnection());
  const inbound = connections.map(connection => all.accept(connection, MEMBER));
  const message = entry(64 * MIB);
  const send = (index: number, from: number, size: number): void =>
    inbound[index]!.received(message.subarray(from, from + size));
  for (let i = 0; i < 3; i++) send(i, 0, 3 * MIB);
  send(1, 3 * MIB, MIB / 2);
  assert.ok(connections.every(({ isOpen }) => isOpen));
  send(2, 3 * MIB, MIB);
  assert.deepEqual(
    connections.map(({ isOpen }) => isOpen),
    [true, true, false, true],
  );
  // What is complete is not held any more, nor what is gone.
  const whole = entry(6 * MIB);
  for (let i = 0; i < 100; i++) inbound[3]!.received(whole.slice());
  inbound[1]!.close();
  send(0, 3 * MIB, 6 * MIB);
  assert.ok(connections[0]!.isOpen && connections[3]!.isOpen);
  all.close();
});
