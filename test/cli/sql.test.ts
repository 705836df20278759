/** The shell and the administration commands: `sql.txt`, and what takes time or signals. */

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { Child, run } from '../support/child.ts';
import { MAIN } from '../support/paths.ts';
import { freePort } from '../support/ports.ts';
import { serve } from '../support/serve.ts';
import { SqlDesk } from '../support/sql-desk.ts';
import { within } from '../support/wait.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';
import { playTranscript } from '../support/transcript.ts';

/** Go-dqlite's founder: so that the transcript is the same on a C node. */
const ID = 0x2dc171858c3155ben;

async function node(scope: Scope): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`;
  await serve(scope, { directory: temporaryDirectory(scope), id: ID, address });
  return address;
}

/** For tests that leave the server as it is. */
const shared = node({ after });
shared.catch(() => {});

const ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n';

test('statements, commands, modes, errors', async t => {
  const desk = new SqlDesk(t, await shared);
  await playTranscript('test/cli/sql.txt', input => desk.play(input));
});

test('rows are printed as they come, and Ctrl-C stops the statement on the server', async t => {
  const address = await shared;
  for (const mode of ['list', 'box', 'json']) {
    const args = [MAIN, 'sql', '-s', address, '--mode', mode, 'x.db', ENDLESS];
    const shell = new Child(t, process.execPath, args);
    await shell.line(/\b1000\b/, 10_000);
    shell.signal('SIGINT');
    assert.deepEqual(await shell.end(5000), { code: 130, signal: null });
    assert.match(shell.stderr, /^Interrupted\n$/);
  }
});

test('an output that nobody reads any more ends the statement', async t => {
  const address = await shared;
  const shell = new Child(t, process.execPath, [MAIN, 'sql', '-s', address, 'x.db', ENDLESS]);
  await shell.line(/^1000$/, 10_000);
  shell.process.stdout.destroy();
  const { code } = await shell.end(5000);
  assert.equal(code, 1);
  assert.equal(shell.stderr, '');
});

test('a server that does not answer is left at the second Ctrl-C', async t => {
  const address = `127.0.0.1:${await freePort()}`;
  const { child } = await serve(t, { directory: temporaryDirectory(t), id: ID, address });
  const shell = new Child(t, process.execPath, [MAIN, 'sql', '-s', address, 'x.db', ENDLESS]);
  await shell.line(/^1000$/, 10_000);
  child.signal('SIGSTOP');
  shell.signal('SIGINT');
  await shell.line(/^\(.* Ctrl-C again gives up the connection\)$/, 5000);
  shell.signal('SIGINT');
  assert.deepEqual(await shell.end(5000), { code: 130, signal: null });
  assert.match(shell.stderr, /\nInterrupted: the connection was given up/);
  child.signal('SIGCONT');
});

test('a script ends when the server does, and says so', async t => {
  const directory = temporaryDirectory(t);
  const address = `127.0.0.1:${await freePort()}`;
  const first = await serve(t, { directory, id: ID, address });
  const shell = new Child(t, process.execPath, [MAIN, 'sql', '-s', address, 'x.db']);
  shell.process.stdin.write("CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1); SELECT 'in';\n");
  await shell.line(/^in$/, 10_000);
  await first.kill();
  shell.process.stdin.write('SELECT 1;\n');
  assert.deepEqual(await shell.end(5000), { code: 1, signal: null });
  assert.match(
    shell.stderr,
    /^Error in the input, line 2: .*(lost|closed).*\n {2}The transaction that was open is gone\.\n$/,
  );
});

test('a server that was started again is found again', async t => {
  const directory = temporaryDirectory(t);
  const address = `127.0.0.1:${await freePort()}`;
  const first = await serve(t, { directory, id: ID, address });
  const shell = new Child(t, process.execPath, [MAIN, 'sql', '-s', address, 'x.db']);
  shell.process.stdin.write('CREATE TABLE t (a); SELECT 1;\n');
  await shell.line(/^1$/, 10_000);
  await first.kill();
  const second = await serve(t, { directory, id: ID, address });
  shell.process.stdin.end('INSERT INTO t VALUES (2); SELECT a FROM t;\n');
  assert.deepEqual(await shell.end(10_000), { code: 0, signal: null });
  assert.equal(shell.stdout, '1\n2\n');
  assert.equal(shell.stderr, `(connected again, to ${address})\n`);
  await second.stop();
});

test('without a leader it ends with 1 and every answer, with a wrong command line with 2', async t => {
  const port = await freePort();
  const silence = run(t, process.execPath, [MAIN, 'sql', '-s', `127.0.0.1:${port}`, 'x.db', 'SELECT 1']);
  // Who answers nothing will hardly be elected soon.
  const nobody = await within(silence, 'nobody answers: no wait for an election', 5000);
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, new RegExp(`no server leads: 127\\.0\\.0\\.1:${port}: .*ECONNREFUSED.*\\n {2}hint: `));
  const bytes = createServer(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n').on('error', () => {}));
  t.after(() => void bytes.close());
  await new Promise<void>(resolve => bytes.listen(0, '127.0.0.1', resolve));
  const web = await run(t, process.execPath, [
    ...[MAIN, 'sql', '-s', `127.0.0.1:${(bytes.address() as { port: number }).port}`, 'x.db', 'SELECT 1'],
  ]);
  assert.equal(web.code, 1);
  assert.match(web.stderr, /no server leads/);
});

test('input of other bytes than UTF-8', async t => {
  const address = await shared;
  const shell = new Child(t, process.execPath, [MAIN, 'sql', '-s', address, 'x.db']);
  shell.process.stdin.write('SELECT 1;\n');
  shell.process.stdin.end(Buffer.from([0x53, 0xff, 0x0a]));
  const { code } = await shell.end(10_000);
  assert.equal(code, 1);
  assert.match(shell.stderr, /at or behind line \d: this is not UTF-8/);
});
