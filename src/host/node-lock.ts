/**
 * Taking a data directory for one process. Node has no flock, so the lock is a file that is created exclusively
 * and names its owner: process id and start time, boot and host. It is taken over when that process is gone
 * (design rule 26). C dqlite locks `dqlite-lock` with flock, which /proc/locks shows on Linux.
 *
 * Not seen: a process in another pid namespace (container) on the same directory.
 */

import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DqliteError } from '../lib/errors.ts';
import type { DirectoryLock } from './types.ts';

const LOCK_NAME = 'dqlite-node-lock';
const C_LOCK_NAME = 'dqlite-lock';
/** What file systems without hard links answer. */
const WITHOUT_HARD_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL']);

/** Instead of a start time. */
const ENDED = -1;

interface Owner {
  readonly pid: number;
  /** Clock ticks from boot to the start of the process; 0 where the system does not tell. */
  readonly startTicks: number;
  readonly boot: string;
  readonly host: string;
}

export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  await refuseIfLockedByC(directory);
  const lockPath = path.join(directory, LOCK_NAME);
  const self: Owner = {
    pid: process.pid,
    startTicks: (await startTicksOf(process.pid)) ?? 0,
    boot: await bootId(),
    host: os.hostname(),
  };
  const text = JSON.stringify(self);
  for (;;) {
    try {
      await create(lockPath, text);
      return { release: () => release(lockPath, text) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const present = await readText(lockPath);
    if (present === undefined) continue;
    const owner = parseOwner(present);
    if (owner !== undefined && (await isAlive(owner, self))) {
      throw new DqliteError('LOCKED', `${directory} is in use by process ${owner.pid} on host ${owner.host}`, {
        hint: `stop that process; if it does not exist any more, remove ${lockPath}`,
      });
    }
    await takeAway(lockPath, present);
  }
}

/** Makes the file and its content in one step: a half-written one would look abandoned. Rejects with EEXIST. */
async function create(lockPath: string, text: string): Promise<void> {
  const whole = `${lockPath}.${randomUUID()}`;
  await fs.writeFile(whole, text, { flag: 'wx', mode: 0o600 });
  try {
    await fs.link(whole, lockPath);
  } catch (error) {
    if (!WITHOUT_HARD_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    await fs.writeFile(lockPath, text, { flag: 'wx', mode: 0o600 });
  } finally {
    await fs.unlink(whole);
  }
}

/** Removes a stale lock file, and nothing else: another process may have replaced it meanwhile. */
async function takeAway(lockPath: string, stale: string): Promise<void> {
  if ((await readText(lockPath)) !== stale) return;
  const aside = `${lockPath}.${randomUUID()}`;
  try {
    await fs.rename(lockPath, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if ((await readText(aside)) === stale) await fs.unlink(aside);
  else await fs.rename(aside, lockPath);
}

async function release(lockPath: string, text: string): Promise<void> {
  if ((await readText(lockPath)) === text) await fs.unlink(lockPath);
}

async function isAlive(owner: Owner, self: Owner): Promise<boolean> {
  // A shared directory of another machine: nothing can be found out about the process.
  if (owner.host !== self.host) return true;
  if (owner.boot !== self.boot) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const startTicks = await startTicksOf(owner.pid);
  if (startTicks === ENDED) return false;
  // The process id may have been given to another process since.
  return startTicks === undefined || owner.startTicks === 0 || startTicks === owner.startTicks;
}

function parseOwner(text: string): Owner | undefined {
  try {
    const value = JSON.parse(text) as Partial<Owner> | null;
    if (typeof value?.pid !== 'number' || typeof value.host !== 'string') return undefined;
    return { pid: value.pid, host: value.host, startTicks: value.startTicks ?? 0, boot: value.boot ?? '' };
  } catch {
    // Nobody's: whole or not there at all, that is how a lock file is made.
    return undefined;
  }
}

async function refuseIfLockedByC(directory: string): Promise<void> {
  if (process.platform !== 'linux') return;
  let inode: number;
  try {
    inode = (await fs.stat(path.join(directory, C_LOCK_NAME))).ino;
  } catch {
    return;
  }
  const locks = (await readText('/proc/locks')) ?? '';
  for (const line of locks.split('\n')) {
    // "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"
    const fields = line.trim().split(/\s+/);
    if (fields[1] !== 'FLOCK' || fields[5]?.split(':')[2] !== String(inode)) continue;
    throw new DqliteError('LOCKED', `${directory} is in use by a C dqlite node, process ${fields[4]}`, {
      hint: 'stop that process first',
    });
  }
}

/**
 * Field 22 of /proc/<pid>/stat; `ENDED` for a process that has ended and waits for its parent to notice; undefined
 * if there is no such process or no such file system.
 */
async function startTicksOf(pid: number): Promise<number | undefined> {
  const text = await readText(`/proc/${pid}/stat`);
  // The second field is the command in parentheses, which can hold anything.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? [];
  if (fields[0] === 'Z' || fields[0] === 'X') return ENDED;
  const ticks = Number(fields[19]);
  return Number.isNaN(ticks) ? undefined : ticks;
}

async function bootId(): Promise<string> {
  return ((await readText('/proc/sys/kernel/random/boot_id')) ?? '').trim();
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await fs.readFile(file, 'utf8');
  } catch {
    return undefined;
  }
}
