/** `dqlite-node serve` as a process manager, a log collector and a client see it. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { completeLines } from '../support/child.ts';
import { serve, serveAndFail } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { administer } from '../../src/client/index.ts';
import { freePort } from '../support/ports.ts';
import { Connection } from '../support/connection.ts';

const NODE_MAJOR = Number(process.versions.node.split('.')[0]);

/** key=value, the value bare or a JSON string: what log collectors parse. */
const LOGFMT =
  /^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(debug|info|warn|error|fatal) msg=(?:[\w.:/@+-]+|"(?:[^"\\]|\\.)*")(?: [\w]+=(?:[\w.:/@+-]+|"(?:[^"\\]|\\.)*"))*$/;

test('prints one line, with the bound address, and leads by then', async t => {
  const directory = temporaryDirectory(t);
  const node = await serve(t, { directory, id: 7n, address: 'node.test:7', bind: '127.0.0.1:0' });
  // Not a bootstrap id: it waits to be added to a cluster.
  const lonely = await Connection.connect(node.address);
  assert.deepEqual(await lonely.call({ kind: 'leader' }), { kind: 'server', id: 0n, address: '' });
  await assert.rejects(lonely.open('x.db'), { code: 10250, message: 'not leader' });
  await node.stop();

  for (const id of [1n, 0x2dc171858c3155ben]) {
    const founder = await serve(t, {
      directory: temporaryDirectory(t),
      id,
      address: 'node.test:1',
      bind: '127.0.0.1:0',
    });
    assert.match(founder.address, /^127\.0\.0\.1:\d+$/);
    assert.notEqual(founder.port, 0);
    const client = await Connection.connect(founder.address);
    assert.deepEqual(await client.call({ kind: 'leader' }), { kind: 'server', id, address: 'node.test:1' });
    await client.open('x.db');
    await client.exec('CREATE TABLE t (id)');
    await founder.stop();
    assert.equal(founder.child.stdout, `ready ${founder.address}\n`);
  }
});

test('the directory is made, with those above it', async t => {
  const directory = path.join(temporaryDirectory(t), 'a', 'b');
  const node = await serve(t, { directory });
  await node.stop();
  assert.ok(existsSync(path.join(directory, 'metadata1')));
});

test('log lines are logfmt on stderr, from the level on that was asked for', async t => {
  const directory = temporaryDirectory(t);
  const node = await serve(t, { directory, args: ['--snapshot-threshold', '1', '--log-level', 'debug'] });
  const client = await Connection.open(node.address, 'a "quoted" name.db');
  await client.exec('CREATE TABLE t (id)');
  const line = await node.child.line(/snapshot taken/, 5000);
  assert.match(line, / index=\d+ bytes=\d+ ms=\d+$/);
  await node.stop();
  const lines = completeLines(node.child.stderr);
  assert.ok(lines.length >= 2);
  for (const one of lines) assert.match(one, LOGFMT);
  assert.match(lines[0]!, / level=info msg="role changed" role=leader term=1$/);

  const silent = await serve(t, { directory, args: ['--log-level', 'silent', '--bind', '0.0.0.0:0'] });
  await silent.stop();
  assert.equal(silent.child.stderr, '');
});

test('warns when it listens beyond this machine', async t => {
  const node = await serve(t, { directory: temporaryDirectory(t), bind: '0.0.0.0:0' });
  await node.child.line(
    /level=warn msg="listening beyond this machine without TLS: anyone there can read and write" address=0\.0\.0\.0:\d+$/,
    5000,
  );
  await node.stop();
  const local = await serve(t, { directory: temporaryDirectory(t) });
  await local.stop();
  assert.doesNotMatch(local.child.stderr, /level=warn/);
});

test('goes on when nobody reads its log any more', async t => {
  const node = await serve(t, { directory: temporaryDirectory(t), args: ['--snapshot-threshold', '2'] });
  node.child.process.stderr.destroy();
  node.child.process.stdout.destroy();
  const client = await Connection.open(node.address, 'x.db');
  await client.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)');
  // Each snapshot is a line that cannot be written.
  for (let row = 0; row < 20; row++) await client.exec('INSERT INTO t DEFAULT VALUES');
  assert.deepEqual(await client.values('SELECT count(*) FROM t'), [[20n]]);
  await node.stop();
});

test('@ alone listens on an abstract socket of any name', { skip: process.platform !== 'linux' }, async t => {
  const node = await serve(t, { directory: temporaryDirectory(t), bind: '@' });
  assert.match(node.address, /^@[0-9a-f]+$/);
  const client = await Connection.open(node.address, 'x.db');
  await client.exec('CREATE TABLE t (id)');
  await node.stop();
  assert.doesNotMatch(node.child.stderr, /level=warn/);
});

test('@name is an abstract socket of that name', { skip: process.platform !== 'linux' }, async t => {
  const name = `dqlite-node-test-${process.pid}`;
  const options = { directory: temporaryDirectory(t), bind: `@${name}` };
  if (NODE_MAJOR < 22) {
    // Node pads the name there, so that nobody who knows it would find the socket.
    const { code, stderr } = await serveAndFail(t, options);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`dqlite-node: @${name}: Node ${process.versions.node} pads the names`));
    assert.match(stderr, /hint: use Node 22 or later, host:port, or @ alone for a name of full length/);
    assert.ok(!existsSync(path.join(options.directory, 'metadata1')), 'no cluster was founded');
  } else {
    const node = await serve(t, options);
    assert.equal(node.address, `@${name}`);
    const client = await Connection.open(node.address, 'x.db');
    await client.exec('CREATE TABLE t (id)');
    await node.stop();
  }
  const full = `dqlite-node-test-${process.pid}-`.padEnd(107, 'x');
  const node = await serve(t, { directory: temporaryDirectory(t), bind: `@${full}` });
  assert.equal(node.address, `@${full}`);
  await Connection.open(node.address, 'x.db');
  await node.stop();
});

test('the only voter that is left of a cluster starts again, after a pause', async t => {
  const directory = temporaryDirectory(t);
  const address = `127.0.0.1:${await freePort()}`;
  const options = { directory, id: 1n, address, args: ['--latency-ms', '20'] };
  const node = await serve(t, options);
  const cluster = administer({ servers: [address] });
  await cluster.add({ id: 2n, address: '127.0.0.1:1' });
  await cluster.remove(2n);
  await node.kill();
  const again = await serve(t, options);
  assert.equal((await cluster.servers()).length, 1);
  await again.stop();
});

test('a restart keeps id, address and data', async t => {
  const directory = temporaryDirectory(t);
  const options = { directory, id: 0x2dc171858c3155ben, address: 'node.test:9', bind: '127.0.0.1:0' };
  const first = await serve(t, options);
  const client = await Connection.open(first.address, 'x.db');
  await client.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one')");
  await first.stop();
  const second = await serve(t, options);
  const again = await Connection.open(second.address, 'x.db');
  assert.deepEqual(await again.values('SELECT * FROM t'), [[1n, 'one']]);
  assert.deepEqual(await again.call({ kind: 'cluster', format: 1 }), {
    kind: 'servers',
    servers: [{ id: options.id, address: options.address, role: 0 }],
  });
  await second.stop();
});
