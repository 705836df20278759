/** Requests that run no SQL: OPEN and its names, CLIENT, CLUSTER, DESCRIBE, WEIGHT, membership, CONNECT (wire spec section 3). */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import type { Request } from '../../src/wire/index.ts';
import { requestType } from '../../src/wire/index.ts';
import { encoded, fails, message, requests, text, words } from '../support/connection.ts';
import { NODE_ADDRESS, NODE_ID, TestNode } from '../support/node.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start({ failureDomain: 42n });
});
// What a test that failed holds back would stop the others too.
afterEach(() => server.host.files.release());
after(() => server.close());

test('CLIENT is welcomed, any number of times', async () => {
  const connection = await server.raw();
  for (const id of [0n, 1n, 2n ** 64n - 1n]) {
    assert.deepEqual(await connection.call({ kind: 'client', id }), { kind: 'welcome', heartbeatTimeoutMs: 15_000 });
  }
});

test('OPEN takes any flags and vfs, once per connection', async () => {
  const connection = await server.raw();
  connection.write(message(requestType.open, Buffer.concat([text('open'), words(-1), text('anything')])));
  assert.deepEqual(await connection.response(), { kind: 'db', database: 0 });
  const again = 'a database for this connection is already open';
  await fails(connection.open('open'), 5, again);
  await fails(connection.open('other'), 5, again);
  await fails(connection.open(''), 5, again);
  assert.equal(server.engine.databases.has('other'), false);
});

test('database names: any bytes, up to 511 of them', async () => {
  const good = [
    'a',
    'prefix',
    'prefix_long.db',
    'dir/../name',
    'file:x?mode=memory',
    'x.db?cache=shared',
    ':memory:x',
    'näme 😀',
    'x-wal.db',
    '-journal.',
    'n'.repeat(500),
    'n'.repeat(511),
  ];
  for (const [index, name] of good.entries()) {
    const connection = await server.connect(name);
    await connection.exec(`CREATE TABLE t (a); INSERT INTO t VALUES (${index})`);
  }
  for (const [index, name] of good.entries()) {
    const connection = await server.connect(name);
    assert.equal(await connection.value('SELECT a FROM t'), index, name);
    assert.equal(
      await connection.value("SELECT file FROM pragma_database_list WHERE name = 'main'"),
      'dqlite',
      'no name reaches SQLite',
    );
  }
  const refused: readonly (readonly [string, RegExp])[] = [
    ['', /must have a name/],
    [':memory:', /replicated/],
    ['x-wal', /"-wal"/],
    ['-journal', /"-journal"/],
    ['n'.repeat(512), /512 bytes, at most 511/],
    ['n'.repeat(5000), /5000 bytes/],
  ];
  const connection = await server.raw();
  for (const [name, why] of refused) await fails(connection.open(name), 14, why);
  // Nothing was opened: the connection can still have its database.
  await connection.open('after refusals');
});

test('requests about a database need one that is open, by the number 0', async () => {
  const all: readonly Request[] = [
    requests.prepare('SELECT 1'),
    requests.exec(0),
    requests.query(0),
    requests.finalize(0),
    requests.execSql('SELECT 1'),
    requests.querySql('SELECT 1'),
  ];
  const none = await server.raw();
  for (const request of all) await fails(none.call(request), 12, 'no database opened');
  await none.call(requests.interrupt);
  const connection = await server.connect('number');
  await connection.prepare('SELECT 1');
  for (const request of all) {
    await fails(connection.call({ ...request, database: 1 } as Request), 12, 'no database opened');
    await fails(connection.call({ ...request, database: 0xffffffff } as Request), 12, 'no database opened');
  }
  // Numbers of 64 bits are not cut to 32.
  connection.write(message(requestType.querySql, Buffer.concat([words(2n ** 32n), text('SELECT 1')])));
  await fails(connection.response(), 12, 'no database opened');
});

test('CLUSTER in both formats, and in no other', async () => {
  const connection = await server.raw();
  assert.deepEqual(await connection.call({ kind: 'cluster', format: 0 }, 'serversV0'), {
    kind: 'serversV0',
    servers: [{ id: NODE_ID, address: NODE_ADDRESS }],
  });
  assert.deepEqual(await connection.call({ kind: 'cluster', format: 1 }), {
    kind: 'servers',
    servers: [{ id: NODE_ID, address: NODE_ADDRESS, role: 0 }],
  });
  for (const format of [2, 255, 2 ** 32, 2 ** 52]) {
    await fails(connection.call({ kind: 'cluster', format }), 1005, 'unrecognized cluster format');
  }
});

test('WEIGHT is what DESCRIBE tells; other formats of DESCRIBE fail and harm nothing', async () => {
  const connection = await server.raw();
  assert.deepEqual(await connection.call({ kind: 'describe', format: 0 }), {
    kind: 'metadata',
    failureDomain: 42n,
    weight: 0n,
  });
  const weight = 2n ** 64n - 1n;
  assert.equal((await connection.call({ kind: 'weight', weight })).kind, 'empty');
  for (const format of [1, 2 ** 32]) {
    await fails(connection.call({ kind: 'describe', format }), 15, 'bad format version');
  }
  const other = await server.raw();
  assert.deepEqual(await other.call({ kind: 'describe', format: 0 }), { kind: 'metadata', failureDomain: 42n, weight });
});

test('errors of membership requests', async () => {
  const connection = await server.raw();
  const cases: readonly (readonly [Request, number, string | RegExp])[] = [
    [{ kind: 'add', id: NODE_ID, address: 'new:1' }, 1, 'server ID already in use'],
    [{ kind: 'add', id: 5n, address: NODE_ADDRESS }, 1, 'server address already in use'],
    [{ kind: 'add', id: NODE_ID, address: NODE_ADDRESS }, 1, 'server ID already in use'],
    [{ kind: 'add', id: 0n, address: 'zero:1' }, 1, 'server ID is not valid'],
    [{ kind: 'assign', id: 99n, role: 1 }, 1, 'Resource not found'],
    [{ kind: 'assign', id: NODE_ID, role: 0 }, 1, 'server role is not valid'],
    // The old PROMOTE: voter.
    [{ kind: 'assign', id: NODE_ID, role: undefined }, 1, 'server role is not valid'],
    [{ kind: 'assign', id: NODE_ID, role: 3 }, 1, 'server role is not valid'],
    [{ kind: 'assign', id: NODE_ID, role: 2 ** 40 }, 1, 'server role is not valid'],
    [{ kind: 'remove', id: 99n }, 1, 'server ID is not valid'],
    [{ kind: 'remove', id: 0n }, 1, 'server ID is not valid'],
    [{ kind: 'transfer', id: 0n }, 1, 'Resource not found'],
    [{ kind: 'transfer', id: NODE_ID }, 1, 'server ID is not valid'],
    [{ kind: 'transfer', id: 99n }, 1, 'server ID is not valid'],
    // C dqlite lets this pass, and the cluster is dead.
    [{ kind: 'remove', id: NODE_ID }, 1, /the last voter/],
    [{ kind: 'assign', id: NODE_ID, role: 1 }, 1, /the last voter/],
    [{ kind: 'assign', id: NODE_ID, role: 2 }, 1, /the last voter/],
  ];
  for (const [request, code, what] of cases) await fails(connection.call(request), code, what);
  const { servers } = server.node.configuration;
  assert.deepEqual(servers, [{ id: NODE_ID, address: NODE_ADDRESS, role: 'voter' }]);
  await connection.open('membership');
  await connection.exec('CREATE TABLE t (a)');
});

test('ADD and REMOVE; one change at a time', async () => {
  const own = await TestNode.start();
  const [first, second] = [await own.raw(), await own.raw()];
  own.host.files.hold();
  first.send({ kind: 'add', id: 7n, address: 'seven:1' });
  await own.host.files.stuck();
  await fails(
    second.call({ kind: 'add', id: 8n, address: 'eight:1' }),
    5,
    'a configuration change is already in progress',
  );
  await fails(second.call({ kind: 'remove', id: 7n }), 5, 'a configuration change is already in progress');
  assert.equal(first.arrived, 0, 'nothing is answered before it is durable');
  own.host.files.release();
  await first.empty();
  await fails(second.call({ kind: 'add', id: 8n, address: 'seven:1' }), 1, 'server address already in use');
  await fails(second.call({ kind: 'assign', id: 7n, role: 2 }), 1, 'server role is not valid');
  assert.equal((await second.call({ kind: 'add', id: 2n ** 64n - 1n, address: 'last:1' })).kind, 'empty');
  assert.equal((await second.call({ kind: 'remove', id: 7n })).kind, 'empty');
  const expected = [
    { id: NODE_ID, address: NODE_ADDRESS, role: 0 },
    { id: 2n ** 64n - 1n, address: 'last:1', role: 2 },
  ];
  const response = await second.call({ kind: 'cluster', format: 1 });
  assert.deepEqual(response, { kind: 'servers', servers: expected });
  const restarted = await own.restart();
  const third = await restarted.raw();
  assert.deepEqual(await third.call({ kind: 'cluster', format: 1 }), { kind: 'servers', servers: expected });
  await restarted.close();
});

test('after CONNECT nothing is ever answered, and what is no raft message ends the connection', async () => {
  const connection = await server.raw();
  const heartbeat = Buffer.concat([words(1, 48), Buffer.alloc(48)]);
  connection.write(Buffer.concat([encoded({ kind: 'connect', id: 5n, address: '127.0.0.1:1' }), heartbeat]));
  connection.write(words(99, 8, 0));
  await connection.ended();
  const other = await server.connect('unharmed');
  assert.equal(await other.value('SELECT 1'), 1);
});

test('a member whose address is none is one that nobody reaches, and can be removed', async () => {
  const connection = await server.connect('unreachable');
  await connection.call({ kind: 'add', id: 5n, address: '' });
  await connection.call({ kind: 'assign', id: 5n, role: 1 });
  await connection.exec('CREATE TABLE t (a)');
  await connection.call({ kind: 'remove', id: 5n });
  assert.equal(server.node.configuration.servers.length, 1);
});
