/** Starts that must fail: exit code 1, what is wrong and what to do about it on stderr, and nothing made worse. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import type { Finished } from '../support/child.ts';
import { CommandLine } from '../support/command-line.ts';
import { within } from '../support/wait.ts';
import { MAIN } from '../support/paths.ts';
import { freePort } from '../support/ports.ts';
import { serve, serveAndFail, serveArguments, type ServeOptions } from '../support/serve.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

const commandLine = new CommandLine({ after });

/** Starts a node that must refuse. Gives what it said, without log lines. */
async function refusal(options: ServeOptions): Promise<string> {
  return messageOf(await commandLine.run(serveArguments(options)));
}

function messageOf({ code, stdout, stderr }: Finished): string {
  assert.equal(stdout, '');
  assert.equal(code, 1, stderr);
  const lines = stderr.split('\n').filter(line => line !== '' && !line.startsWith('time='));
  assert.match(lines[0]!, /^dqlite-node: /, stderr);
  assert.ok(lines.length <= 2, `one line of message, one of advice:\n${stderr}`);
  if (lines.length === 2) assert.match(lines[1]!, /^ {2}hint: /);
  return lines.join('\n');
}

/** Every file of a folder. */
function contents(directory: string): Map<string, string> {
  return new Map(readdirSync(directory).map(name => [name, readFileSync(path.join(directory, name), 'latin1')]));
}

/** A directory in which a node has lived and written. */
async function usedDirectory(scope: Scope, ...args: string[]): Promise<string> {
  const directory = temporaryDirectory(scope);
  const node = await serve(scope, { directory, args });
  const client = await Connection.open(node.address, 'x.db');
  await client.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)');
  for (let row = 0; row < 20; row++) await client.exec('INSERT INTO t DEFAULT VALUES');
  await node.stop();
  return directory;
}

test('the address is taken: a new directory is not spoilt by it', async t => {
  const address = `127.0.0.1:${await freePort()}`;
  const first = await serve(t, { directory: temporaryDirectory(t), address });
  const directory = temporaryDirectory(t);
  const message = messageOf(await serveAndFail(t, { directory, address }));
  assert.match(message, new RegExp(`cannot listen on ${address}: .*EADDRINUSE`));
  assert.match(message, /hint: choose another address, or stop the process that has this one/);
  // The advice can be followed.
  const other = await serve(t, { directory, address: `127.0.0.1:${await freePort()}` });
  await other.stop();
  await first.stop();
});

test('an address that is not on this machine', async t => {
  assert.match(
    await refusal({ directory: temporaryDirectory(t), address: '203.0.113.7:1' }),
    /cannot listen on 203\.0\.113\.7:1: .*EADDRNOTAVAIL.*\n {2}hint: this machine has no such address/,
  );
});

test('an address that stands for all is told to be none', async t => {
  const node = await serve(t, { directory: temporaryDirectory(t), address: `0.0.0.0:${await freePort()}` });
  assert.match(node.child.stderr, /level=warn msg="nobody can dial this address/);
  await node.stop();
});

test('a node that nobody lets into a cluster is stopped at once', async t => {
  const args = ['--join', `127.0.0.1:${await freePort()}`];
  const node = await serve(t, { directory: temporaryDirectory(t), id: 5n, args });
  await node.child.line(/asking to become a member/, 10_000);
  node.child.signal('SIGTERM');
  assert.deepEqual(await node.child.end(2000), { code: 0, signal: null });
});

test('the directory is in use by a living process, which goes on', async t => {
  const directory = temporaryDirectory(t);
  const first = await serve(t, { directory });
  const message = messageOf(await serveAndFail(t, { directory }));
  assert.match(message, new RegExp(`${directory} is in use by process ${first.child.pid} `));
  assert.match(message, /hint: stop that process; if it does not exist any more, remove .*dqlite-node-lock/);
  const client = await Connection.open(first.address, 'x.db');
  await client.exec('CREATE TABLE t (id)');
  await first.stop();
  const second = await serve(t, { directory });
  await second.stop();
});

test('the lock of a killed process is taken over, also before its parent has noticed', async t => {
  const directory = temporaryDirectory(t);
  const first = await serve(t, { directory });
  await first.kill();
  assert.ok(existsSync(path.join(directory, 'dqlite-node-lock')));
  const second = await serve(t, { directory });
  await second.stop();

  // `sleep` takes the place of the shell, and never asks for its child: after the kill that is a zombie.
  const command = [process.execPath, MAIN, 'serve', '--id', '1', '--address', 'node.test:1', '--bind', '127.0.0.1:0'];
  const parent = spawn('sh', ['-c', '"$@" & exec sleep 60', 'sh', ...command, '--dir', directory], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(() => parent.kill('SIGKILL'));
  await within(once(parent.stdout, 'data'), 'the child of a shell is ready', 10_000);
  const owner = JSON.parse(readFileSync(path.join(directory, 'dqlite-node-lock'), 'utf8')) as { pid: number };
  assert.notEqual(owner.pid, parent.pid);
  process.kill(owner.pid, 'SIGKILL');
  const third = await serve(t, { directory });
  assert.match(readFileSync(`/proc/${owner.pid}/stat`, 'utf8'), /\) Z /, 'it was a zombie all the time');
  await third.stop();
});

test('many start at once on a directory with the lock of a dead process: one gets it', async t => {
  const directory = temporaryDirectory(t);
  await (await serve(t, { directory })).kill();
  const starts = await Promise.allSettled(Array.from({ length: 6 }, () => serve(t, { directory })));
  const winners = starts.flatMap(start => (start.status === 'fulfilled' ? [start.value] : []));
  assert.equal(winners.length, 1);
  for (const start of starts) {
    if (start.status === 'rejected') assert.match(String(start.reason), /is in use by process \d+/);
  }
  await winners[0]!.stop();
});

test('damage: the file and the place, and nothing is changed', async t => {
  const good = await usedDirectory(t, '--snapshot-threshold', '10', '--snapshot-trailing', '4');
  const names = readdirSync(good);
  const closed = names.filter(name => /^\d{16}-\d{16}$/.test(name)).sort();
  const indexOf = (name: string): number => Number(name.split('-')[2]);
  // Only the newest snapshot is looked at.
  const snapshot = names
    .filter(name => /^snapshot-\d+-\d+-\d+$/.test(name))
    .sort((a, b) => indexOf(a) - indexOf(b))
    .at(-1);
  assert.ok(closed.length > 0 && snapshot !== undefined, names.join(', '));
  const cases: readonly (readonly [file: string, byte: number, where: RegExp])[] = [
    [closed.at(-1)!, 1000, /at offset \d+: .*; entries \d+ to \d+ are concerned/],
    [closed.at(-1)!, 0, /: segment format \d+ is not known/],
    [`${snapshot}.meta`, 40, /at offset \d+/],
    [snapshot, 3000, /; the state up to entry \d+ of term 1 is in no other file/],
    ['metadata1', 0, /; the current term and vote are in doubt/],
  ];
  for (const [file, byte, where] of cases) {
    const directory = temporaryDirectory(t);
    cpSync(good, directory, { recursive: true });
    const bytes = readFileSync(path.join(directory, file));
    assert.ok(byte < bytes.length, `${file} has ${bytes.length} bytes`);
    bytes[byte]! ^= 0x40;
    writeFileSync(path.join(directory, file), bytes);
    const before = contents(directory);
    const message = await refusal({ directory });
    assert.ok(message.includes(`${directory}: ${file}`), `${file}: ${message}`);
    assert.match(message, where, file);
    assert.match(message, /hint: in a cluster, remove this node and let .* The files were left as they are/);
    assert.deepEqual(contents(directory), before, `${file}: nothing was changed`);
  }
});

test('an id or address that contradicts the directory', async t => {
  const directory = await usedDirectory(t);
  const hint =
    /hint: start the node with the id and address that the directory was made with, or use another directory/;
  const otherId = await refusal({ directory, id: 2n });
  assert.match(otherId, /id 2 is not a member of the cluster in this directory, which has 1 at node\.test:1/);
  assert.match(otherId, hint);
  const otherAddress = await refusal({ directory, address: 'other.test:1', bind: '127.0.0.1:0' });
  assert.match(otherAddress, /node 1 has the address node\.test:1 in this directory, not other\.test:1/);
  assert.match(otherAddress, hint);
});

test('an info.yaml that contradicts the command line, or makes no sense', async t => {
  const directory = await usedDirectory(t);
  const file = path.join(directory, 'info.yaml');
  writeFileSync(file, 'Address: node.test:1\nID: 3297041220608546238\nRole: 0\n');
  const message = await refusal({ directory });
  assert.match(message, /info\.yaml says node 3297041220608546238 at node\.test:1, not 1 at node\.test:1/);
  writeFileSync(file, 'Address: elsewhere.test:1\nID: 1\nRole: 0\n');
  assert.match(await refusal({ directory }), /info\.yaml says node 1 at elsewhere\.test:1, not 1 at node\.test:1/);
  writeFileSync(file, 'Address: [node.test\n');
  assert.match(await refusal({ directory }), /info\.yaml cannot be read: .*\n {2}hint: restore the file/);
  writeFileSync(file, 'Address: node.test:1\nID: 1\nRole: 0\n');
  await (await serve(t, { directory })).stop();
});

test('a file where the directory should be', async t => {
  const file = path.join(temporaryDirectory(t), 'file');
  writeFileSync(file, '');
  const hint = 'hint: name a directory, or one that does not exist yet';
  const message = await refusal({ directory: file });
  assert.equal(message, `dqlite-node: ${file} cannot be opened: not a directory\n  ${hint}`);
  assert.match(await refusal({ directory: path.join(file, 'below') }), /below cannot be opened: .*ENOTDIR/);
});
