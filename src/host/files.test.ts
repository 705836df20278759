/** What every `Files` does, tried on the real file system and on the simulated disk. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { DqliteError } from '../lib/errors.ts';
import { SeededRandom } from '../lib/random.ts';
import { SimulatedFiles } from '../simulation/index.ts';
import { FileError, nodeHost, type Files, type FileErrorCode } from './index.ts';

interface Subject {
  readonly files: Files;
  /** An empty folder. */
  readonly directory: string;
}

function real(context: TestContext): Subject {
  const directory = mkdtempSync(path.join(tmpdir(), 'dqlite-node-files-'));
  context.after(() => rmSync(directory, { recursive: true }));
  return { files: nodeHost().files, directory };
}

function simulated(): Subject {
  return { files: new SimulatedFiles(), directory: '/' };
}

function isFileError(code: FileErrorCode, mentioned: string): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof FileError, String(error));
    assert.equal(error.code, code, error.message);
    assert.ok(error.path.includes(mentioned) && error.message.includes(mentioned), error.message);
    return true;
  };
}

function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  new SeededRandom(seed).fill(bytes);
  return bytes;
}

async function contentOf({ files }: Subject, target: string): Promise<Buffer> {
  const file = await files.open(target, { mode: 'read' });
  const bytes = Buffer.alloc(await file.size());
  assert.equal(await file.read(bytes, 0), bytes.length);
  await file.close();
  return bytes;
}

/** Makes a file with some bytes. */
async function make({ files, directory }: Subject, name: string, bytes: Uint8Array): Promise<string> {
  const target = files.join(directory, name);
  const file = await files.open(target, { mode: 'create' });
  await file.write([bytes], 0);
  await file.close();
  return target;
}

function conformance(subjectOf: (context: TestContext) => Subject): void {
  const check = (name: string, body: (subject: Subject) => Promise<void>): void => {
    test(name, context => body(subjectOf(context)));
  };

  check('open: read and write want the file to be there, create that it is not', async subject => {
    const { files, directory } = subject;
    const target = files.join(directory, 'a');
    await assert.rejects(files.open(target, { mode: 'read' }), isFileError('ENOENT', target));
    await assert.rejects(files.open(target, { mode: 'write' }), isFileError('ENOENT', target));
    await assert.rejects(files.open(target, { mode: 'write', durable: true }), isFileError('ENOENT', target));
    await assert.rejects(files.open(files.join(target, 'b'), { mode: 'create' }), isFileError('ENOENT', 'b'));
    const file = await files.open(target, { mode: 'create', durable: true });
    assert.equal(file.path, target);
    assert.equal(await file.size(), 0);
    await file.close();
    await assert.rejects(files.open(target, { mode: 'create' }), isFileError('EEXIST', target));
    for (const mode of ['read', 'write'] as const) await (await files.open(target, { mode })).close();
  });

  check('a write that may block is like any other', async subject => {
    const { files, directory } = subject;
    const target = files.join(directory, 'a');
    const file = await files.open(target, { mode: 'create', durable: true });
    // More pieces, and more bytes, than are worth waiting for, and less.
    const many = Array.from({ length: 1200 }, (_, i) => bytesOf(i % 7, i));
    const batches = [[bytesOf(3000, 1), bytesOf(0, 2), bytesOf(5000, 3)], many, [bytesOf(300_000, 4)], [bytesOf(9, 5)]];
    let size = 0;
    for (const batch of batches) {
      await file.write(batch, size, true);
      size += Buffer.concat(batch).length;
    }
    await file.close();
    assert.deepEqual(await contentOf(subject, target), Buffer.concat(batches.flat()));
    const reading = await files.open(target, { mode: 'read' });
    await assert.rejects(reading.write([bytesOf(5, 6)], 0, true), FileError);
    await reading.close();
  });

  check('a file open for reading cannot be written', async subject => {
    const target = await make(subject, 'a', bytesOf(10, 1));
    const file = await subject.files.open(target, { mode: 'read' });
    await assert.rejects(file.write([bytesOf(5, 2)], 0), FileError);
    await assert.rejects(file.truncate(0), FileError);
    await file.close();
    assert.deepEqual(await contentOf(subject, target), bytesOf(10, 1));
  });

  check('read: fewer bytes only at the end of the file', async subject => {
    const { files } = subject;
    const target = await make(subject, 'a', bytesOf(1000, 1));
    const file = await files.open(target, { mode: 'read' });
    const read = async (size: number, offset: number): Promise<Buffer> => {
      const buffer = Buffer.alloc(size, 0xee);
      const count = await file.read(buffer, offset);
      assert.ok(
        buffer.subarray(count).every(byte => byte === 0xee),
        'nothing beyond what was read',
      );
      return buffer.subarray(0, count);
    };
    assert.deepEqual(await read(100, 0), bytesOf(1000, 1).subarray(0, 100));
    assert.deepEqual(await read(100, 777), bytesOf(1000, 1).subarray(777, 877));
    assert.deepEqual(await read(100, 950), bytesOf(1000, 1).subarray(950));
    assert.equal((await read(100, 1000)).length, 0);
    assert.equal((await read(100, 5000)).length, 0);
    assert.equal((await read(0, 0)).length, 0);
    const parts = await Promise.all([read(300, 0), read(300, 300), read(500, 600)]);
    assert.deepEqual(Buffer.concat(parts), bytesOf(1000, 1), 'several at once');
    await file.close();
  });

  for (const durable of [false, true]) {
    check(`write: all pieces, one after the other (durable: ${durable})`, async subject => {
      const { files, directory } = subject;
      const target = files.join(directory, 'a');
      const file = await files.open(target, { mode: 'create', durable });
      // More than a vectored write takes at once, some of them empty.
      const pieces = Array.from({ length: 2500 }, (_, i) => bytesOf(i % 40, i));
      await file.write(pieces, 100);
      const expected = Buffer.concat([Buffer.alloc(100), ...pieces]);
      assert.equal(await file.size(), expected.length);
      await file.write([bytesOf(50, 1)], 20);
      bytesOf(50, 1).copy(expected, 20);
      await file.write([], 7);
      await file.write([new Uint8Array(0)], 1e6);
      await file.sync();
      await file.close();
      assert.ok((await contentOf(subject, target)).equals(expected));
      const again = await files.open(target, { mode: 'write', durable });
      await again.write([bytesOf(8, 2), bytesOf(8, 3)], expected.length - 4);
      await again.close();
      const tail = Buffer.concat([bytesOf(8, 2), bytesOf(8, 3)]);
      assert.ok((await contentOf(subject, target)).equals(Buffer.concat([expected.subarray(0, -4), tail])));
    });
  }

  check('a view into a larger buffer is written as it is', async subject => {
    const target = await make(subject, 'a', bytesOf(100, 1).subarray(40, 60));
    assert.deepEqual(await contentOf(subject, target), bytesOf(100, 1).subarray(40, 60));
  });

  check('truncate: cuts, and what grows is zero', async subject => {
    const target = await make(subject, 'a', bytesOf(3000, 1));
    const file = await subject.files.open(target, { mode: 'write', durable: true });
    await file.truncate(1000);
    assert.equal(await file.size(), 1000);
    await file.truncate(2000);
    await file.sync();
    assert.equal(await file.size(), 2000);
    const expected = Buffer.concat([bytesOf(3000, 1).subarray(0, 1000), Buffer.alloc(1000)]);
    assert.ok((await contentOf(subject, target)).equals(expected));
    await file.truncate(0);
    await file.write([bytesOf(10, 2)], 600);
    await file.close();
    assert.ok((await contentOf(subject, target)).equals(Buffer.concat([Buffer.alloc(600), bytesOf(10, 2)])));
  });

  check('list: the names in a folder, and nothing of its subfolders', async subject => {
    const { files, directory } = subject;
    assert.deepEqual(await files.list(directory), []);
    await make(subject, 'b', bytesOf(1, 1));
    await make(subject, 'a', bytesOf(1, 1));
    await files.makeDirectory(files.join(directory, 'c/d'));
    assert.deepEqual((await files.list(directory)).sort(), ['a', 'b', 'c']);
    assert.deepEqual(await files.list(files.join(directory, 'c')), ['d']);
    const missing = files.join(directory, 'x');
    await assert.rejects(files.list(missing), isFileError('ENOENT', missing));
    const file = files.join(directory, 'a');
    await assert.rejects(files.list(file), isFileError('OTHER', file));
  });

  check('makeDirectory: with those above it, and no error if it is there', async subject => {
    const { files, directory } = subject;
    const deep = files.join(directory, 'x', 'y', 'z');
    await files.makeDirectory(deep);
    await files.makeDirectory(deep);
    await files.makeDirectory(directory);
    assert.deepEqual(await files.list(files.join(directory, 'x')), ['y']);
    await make(subject, 'f', bytesOf(1, 1));
    const file = files.join(directory, 'f');
    await assert.rejects(files.makeDirectory(file), isFileError('EEXIST', file));
  });

  check('rename: replaces what has the new name', async subject => {
    const { files, directory } = subject;
    const a = await make(subject, 'a', bytesOf(10, 1));
    const b = await make(subject, 'b', bytesOf(20, 2));
    const open = await files.open(b, { mode: 'read' });
    const moving = await files.open(a, { mode: 'write' });
    await files.rename(a, b);
    await files.syncDirectory(directory);
    assert.deepEqual(await files.list(directory), ['b']);
    assert.deepEqual(await contentOf(subject, b), bytesOf(10, 1));
    assert.equal(await open.size(), 20, 'who has the old file open keeps it');
    await moving.write([bytesOf(5, 3)], 10);
    assert.equal((await contentOf(subject, b)).length, 15, 'an open file goes with its name');
    await open.close();
    await moving.close();
    await assert.rejects(files.rename(a, b), isFileError('ENOENT', a));
  });

  check('remove: the name goes, an open file stays', async subject => {
    const { files, directory } = subject;
    const target = await make(subject, 'a', bytesOf(10, 1));
    const open = await files.open(target, { mode: 'read' });
    await files.remove(target);
    await files.syncDirectory(directory);
    assert.deepEqual(await files.list(directory), []);
    const bytes = Buffer.alloc(10);
    assert.equal(await open.read(bytes, 0), 10);
    assert.deepEqual(bytes, bytesOf(10, 1));
    await open.close();
    await assert.rejects(files.remove(target), isFileError('ENOENT', target));
    await make(subject, 'a', bytesOf(3, 2));
  });

  check('syncDirectory wants a folder', async ({ files, directory }) => {
    const missing = files.join(directory, 'x');
    await assert.rejects(files.syncDirectory(missing), isFileError('ENOENT', missing));
  });

  check('join', async ({ files }) => {
    assert.equal(files.join('/a', 'b', 'c'), '/a/b/c');
    assert.equal(files.join('a', 'b'), 'a/b');
    assert.equal(files.join('/a/b/', '../c'), '/a/c');
  });

  check('lock: one at a time, until it is released', async ({ files, directory }) => {
    const data = files.join(directory, 'data');
    await assert.rejects(files.lock(data), isFileError('ENOENT', data));
    await files.makeDirectory(data);
    const lock = await files.lock(data);
    const isLocked = (error: unknown): boolean => {
      assert.ok(error instanceof DqliteError, String(error));
      assert.equal(error.code, 'LOCKED');
      assert.ok(error.message.includes(data) && error.hint !== undefined);
      return true;
    };
    await assert.rejects(files.lock(data), isLocked);
    await assert.rejects(files.lock(files.join(data, '.')), isLocked);
    const other = files.join(directory, 'other');
    await files.makeDirectory(other);
    await (await files.lock(other)).release();
    await lock.release();
    await lock.release();
    await (await files.lock(data)).release();
    // Several that try at once: one of them has it.
    const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => files.lock(data)));
    assert.equal(attempts.filter(({ status }) => status === 'fulfilled').length, 1);
  });
}

describe('the real file system', () => conformance(real));

/** Node's recursive mkdir tries for ever there. */
test('makeDirectory gives up where nothing can be made', { skip: process.platform !== 'linux' }, async () => {
  await assert.rejects(nodeHost().files.makeDirectory('/proc/a/b'), isFileError('ENOENT', '/proc/a'));
});

describe('the simulated disk', () => conformance(simulated));
