/** The simulated disk: how processes and machines end on it, and how it fails. What every `Files` does is in host. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileError, type File } from '../host/types.ts';
import { SeededRandom } from '../lib/random.ts';
import { Scheduler, SimulatedFiles } from './index.ts';

const SEEDS = 600;

function bytesOf(text: string, size = 512): Uint8Array {
  return Buffer.alloc(size, text);
}

async function made(files: SimulatedFiles, name: string, durable = true): Promise<File> {
  return files.open(`/${name}`, { mode: 'create', durable });
}

/** Names with the first character of each sector, as `a=xx b=`. */
async function shown(files: SimulatedFiles): Promise<string> {
  const parts: string[] = [];
  for (const name of (await files.list('/')).sort()) {
    const file = await files.open(`/${name}`, { mode: 'read' });
    const bytes = Buffer.alloc(await file.size());
    await file.read(bytes, 0);
    await file.close();
    const sectors = Array.from({ length: Math.ceil(bytes.length / 512) }, (_, i) => bytes[i * 512]!);
    parts.push(`${name}=${sectors.map(byte => (byte === 0 ? '0' : String.fromCharCode(byte))).join('')}`);
  }
  return parts.join(' ');
}

/** All that was seen after many ends of the same process. */
async function outcomes(end: (random: SeededRandom) => SimulatedFiles): Promise<string[]> {
  const seen = new Set<string>();
  for (let seed = 0; seed < SEEDS; seed++) seen.add(await shown(end(new SeededRandom(seed))));
  return [...seen].sort();
}

test('a power failure keeps or loses names that were not synced, a rename as a whole', async () => {
  const files = new SimulatedFiles();
  await (await made(files, 'a')).write([bytesOf('a')], 0);
  await (await made(files, 'b')).write([bytesOf('b')], 0);
  await files.syncDirectory('/');
  assert.deepEqual(await outcomes(random => files.crash(random)), ['a=a b=b']);

  const other = new SimulatedFiles({ disk: files.disk });
  await other.rename('/a', '/b');
  assert.deepEqual(await outcomes(random => other.snapshot().crash(random)), ['a=a b=b', 'b=a']);
  await (await made(other, 'c')).write([bytesOf('c')], 0);
  await other.remove('/b');
  const expected = ['', 'a=a b=b', 'a=a b=b c=c', 'b=a', 'b=a c=c', 'c=c'];
  assert.deepEqual(await outcomes(random => other.snapshot().crash(random)), expected);
  await other.syncDirectory('/');
  assert.deepEqual(await outcomes(random => other.crash(random)), ['c=c']);
});

test('changes of one name survive in their order', async () => {
  const files = new SimulatedFiles();
  await (await made(files, 'a')).write([bytesOf('1')], 0);
  await files.syncDirectory('/');
  await files.rename('/a', '/b');
  await (await made(files, 'a')).write([bytesOf('2')], 0);
  assert.deepEqual(await outcomes(random => files.crash(random)), ['a=1', 'a=2 b=1', 'b=1']);
});

test('a kill keeps what the system was given, and a power failure after it does not', async () => {
  const files = new SimulatedFiles();
  const file = await made(files, 'a', false);
  await file.write([bytesOf('x'), bytesOf('y')], 0);
  const next = files.kill(new SeededRandom(1));
  assert.equal(await shown(next), 'a=xy');
  const seen = await outcomes(random => next.crash(random));
  assert.deepEqual(seen, ['', 'a=', 'a=00', 'a=0y', 'a=x0', 'a=xy']);
});

test('the dead do nothing', async () => {
  const files = new SimulatedFiles();
  const file = await made(files, 'a');
  files.kill(new SeededRandom(1));
  for (const work of [file.write([bytesOf('x')], 0), files.list('/'), files.lock('/')]) {
    work.then(
      () => assert.fail('it resolved'),
      () => assert.fail('it was rejected'),
    );
  }
  await new Promise(setImmediate);
});

test('stopAt: that operation has been called, and nothing else happens', async () => {
  const files = new SimulatedFiles();
  const file = await made(files, 'a');
  await files.syncDirectory('/');
  files.stopAt(3);
  const writing = file.write([bytesOf('x', 1024)], 0);
  await files.stopped;
  assert.deepEqual([files.operationCount, files.lastOperation], [3, 'write /a, 1024 bytes']);
  void writing.then(() => assert.fail('it resolved'));
  assert.deepEqual(await outcomes(random => files.kill(random)), ['a=', 'a=x', 'a=xx']);
  assert.deepEqual(await outcomes(random => files.crash(random)), ['a=', 'a=0', 'a=00', 'a=0x', 'a=x', 'a=x0', 'a=xx']);
});

test('locks go with their process', async () => {
  const files = new SimulatedFiles();
  await files.lock('/');
  await assert.rejects(new SimulatedFiles({ disk: files.disk }).lock('/'), /is in use/);
  await files.kill(new SeededRandom(1)).lock('/');
  await files.crash(new SeededRandom(1)).lock('/');
});

function isFault(code: string): (error: unknown) => boolean {
  return error => error instanceof FileError && error.code === code;
}

test('faults: the one asked for, once or from then on', async () => {
  const files = new SimulatedFiles({ random: new SeededRandom(1) });
  const file = await made(files, 'a');
  files.inject({ code: 'EIO', at: 2, kinds: ['write'] });
  await file.write([bytesOf('a')], 0);
  await file.sync();
  await assert.rejects(file.write([bytesOf('b')], 0), isFault('EIO'));
  await file.write([bytesOf('c')], 0);
  assert.equal(files.failureCount, 1);
  files.inject({ code: 'ENOSPC', at: 1, repeat: true });
  await file.read(Buffer.alloc(1), 0);
  for (let i = 0; i < 3; i++) await assert.rejects(file.truncate(0), isFault('ENOSPC'));
  await assert.rejects(files.open('/b', { mode: 'create' }), isFault('ENOSPC'));
  await files.open('/a', { mode: 'read' });
  files.heal();
  await file.truncate(0);
  assert.equal(await shown(files), 'a=');
});

test('a write that fails may have written its first sectors', async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < SEEDS; seed++) {
    const files = new SimulatedFiles({ random: new SeededRandom(seed) });
    const file = await made(files, 'a');
    files.inject({ code: 'ENOSPC', at: 1 });
    await assert.rejects(file.write([bytesOf('x'), bytesOf('y', 600)], 0), isFault('ENOSPC'));
    seen.add(await shown(files));
  }
  assert.deepEqual([...seen].sort(), ['a=', 'a=x', 'a=xy']);
});

test('a disk is full when its capacity is used up', async () => {
  const files = new SimulatedFiles();
  files.disk.capacity = 2000;
  const file = await made(files, 'a');
  await file.write([bytesOf('a', 1000)], 0);
  await assert.rejects(file.write([bytesOf('b', 2000)], 500), isFault('ENOSPC'));
  assert.equal(await shown(files), 'a=abb');
  await file.write([bytesOf('c', 512)], 0);
  await assert.rejects(file.truncate(2001), isFault('ENOSPC'));
  const other = await made(files, 'b');
  await assert.rejects(other.write([bytesOf('d', 512)], 0), isFault('ENOSPC'));
  await files.remove('/a');
  await other.write([bytesOf('d', 512)], 0);
  assert.equal(await shown(files), 'b=d');
});

test('misuse of a file is a failed assertion', async () => {
  const files = new SimulatedFiles();
  const file = await made(files, 'a');
  const writing = file.write([bytesOf('a')], 0);
  await assert.rejects(file.sync(), /sync during write/);
  await writing;
  const reading = file.read(Buffer.alloc(1), 0);
  await assert.rejects(file.close(), /close during a read/);
  await reading;
  await file.close();
  await assert.rejects(file.read(Buffer.alloc(1), 0), /read after close/);
  await assert.rejects(file.close(), /close after close/);
});

test('with a scheduler operations take time: an effect first, then the promise', async () => {
  const scheduler = new Scheduler();
  const files = new SimulatedFiles({ scheduler, latencyMs: kind => (kind === 'rename' ? 10 : 2) });
  const file = await scheduler.run(made(files, 'a'));
  assert.equal(scheduler.nowMs, 2);
  let renamed = false;
  void files.rename('/a', '/b').then(() => (renamed = true));
  await scheduler.runFor(4);
  assert.deepEqual(await scheduler.run(files.list('/')), ['b']);
  assert.ok(!renamed);
  await scheduler.runFor(10);
  assert.ok(renamed);
  const order: string[] = [];
  void file.write([bytesOf('x')], 0).then(() => order.push('write'));
  void files.list('/').then(() => order.push('list'));
  await scheduler.runUntilIdle();
  assert.deepEqual(order, ['write', 'list']);
});
