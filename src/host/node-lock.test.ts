/** Who may take a data directory over, and from whom (design rule 26). */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { DqliteError } from '../lib/errors.ts';
import { nodeHost } from './index.ts';

const LOCK_NAME = 'dqlite-node-lock';
const { files } = nodeHost();

function folder(context: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'dqlite-node-lock-'));
  context.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

interface Owner {
  pid: number;
  startTicks: number;
  boot: string;
  host: string;
}

/** What this process writes into its lock file. */
async function ownOwner(directory: string): Promise<Owner> {
  const lock = await files.lock(directory);
  const owner = JSON.parse(readFileSync(path.join(directory, LOCK_NAME), 'utf8')) as Owner;
  await lock.release();
  assert.deepEqual(readdirSync(directory), [], 'a released lock leaves nothing');
  return owner;
}

function isLocked(pattern: RegExp, hint: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof DqliteError && error.code === 'LOCKED', String(error));
    assert.match(error.message, pattern);
    assert.match(error.hint ?? '', hint);
    return true;
  };
}

async function assertTaken(directory: string): Promise<void> {
  const lock = await files.lock(directory);
  const { pid } = JSON.parse(readFileSync(path.join(directory, LOCK_NAME), 'utf8')) as Owner;
  assert.equal(pid, process.pid);
  await lock.release();
  assert.deepEqual(readdirSync(directory), []);
}

test('the owner is this process', async context => {
  const owner = await ownOwner(folder(context));
  assert.equal(owner.pid, process.pid);
  assert.ok(owner.host.length > 0);
});

test('a process that died holds nothing', async context => {
  const directory = folder(context);
  const program = `
    import { nodeHost } from ${JSON.stringify(new URL('./index.js', import.meta.url).href)};
    await nodeHost().files.lock(process.argv[1]);
    console.log('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise(resolve => child.once('exit', resolve));
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    child.once('exit', () => reject(new Error('the child ended')));
  });
  await assert.rejects(
    files.lock(directory),
    isLocked(new RegExp(`in use by process ${child.pid}`), /stop that process/),
  );
  child.kill('SIGKILL');
  await exited;
  await assertTaken(directory);
});

test('a file that a dying process wrote in part holds nothing', async context => {
  const directory = folder(context);
  const { pid, host } = await ownOwner(directory);
  for (const text of ['', '{', 'null', '[]', '"x"', '7', '{"pid":1}', `{"host":${JSON.stringify(host)}}`, '\0\0\0']) {
    writeFileSync(path.join(directory, LOCK_NAME), text);
    await assertTaken(directory);
  }
  assert.equal(pid, process.pid);
});

test('a process of another start or boot with the same number holds nothing', async context => {
  const directory = folder(context);
  const owner = await ownOwner(directory);
  for (const other of [
    { ...owner, boot: 'another' },
    { ...owner, startTicks: owner.startTicks + 1 },
    { ...owner, pid: 0x3fff_ffff },
  ]) {
    writeFileSync(path.join(directory, LOCK_NAME), JSON.stringify(other));
    if (process.platform === 'linux' || other.pid !== owner.pid) await assertTaken(directory);
  }
});

test('a process on another host is believed to live', async context => {
  const directory = folder(context);
  const owner = await ownOwner(directory);
  const other = { ...owner, pid: 0x3fff_ffff, host: 'elsewhere.example', boot: 'another' };
  writeFileSync(path.join(directory, LOCK_NAME), JSON.stringify(other));
  const refused = isLocked(
    /in use by process \d+ on host elsewhere\.example/,
    /if it does not exist any more, remove .*lock/,
  );
  await assert.rejects(files.lock(directory), refused);
  assert.deepEqual(readdirSync(directory), [LOCK_NAME], 'a refusal changes nothing');
});

test('a lock that somebody else has taken over is not released', async context => {
  const directory = folder(context);
  const lock = await files.lock(directory);
  writeFileSync(path.join(directory, LOCK_NAME), '{"pid":1,"host":"other"}');
  await lock.release();
  assert.deepEqual(readdirSync(directory), [LOCK_NAME]);
});

const noFlock =
  process.platform !== 'linux'
    ? 'not Linux'
    : spawnSync('flock', ['--version']).error !== undefined
      ? 'there is no flock program'
      : false;

test('a C dqlite node is seen by its flock', { skip: noFlock }, async context => {
  const directory = folder(context);
  const target = path.join(directory, 'dqlite-lock');
  writeFileSync(target, '');
  await (await files.lock(directory)).release();
  const child = spawn('flock', ['--exclusive', target, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = new Promise(resolve => child.once('exit', resolve));
  await new Promise(resolve => child.stdout.once('data', resolve));
  await assert.rejects(
    files.lock(directory),
    isLocked(/in use by a C dqlite node, process \d+/, /stop that process first/),
  );
  assert.deepEqual(readdirSync(directory), ['dqlite-lock'], 'a refusal changes nothing');
  child.stdin.end();
  await exited;
  await (await files.lock(directory)).release();
});
