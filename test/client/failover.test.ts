/** The pool and the search for the leader, against servers that do what the test says. */

import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import { test, type TestContext } from 'node:test';
import { administer, connect, type Client, type DqliteError, type ConnectOptions } from '../../src/client/index.ts';
import { rejects } from '../support/client-suite.ts';
import { until, within } from '../support/wait.ts';
import { busy, FakeServer, leadershipLost, notLeader } from '../support/fake-server.ts';

const DEADLINE_MS = 10_000;

async function servers(t: TestContext, count: number): Promise<FakeServer[]> {
  const list: FakeServer[] = [];
  for (let i = 0; i < count; i++) list.push(await FakeServer.start());
  t.after(() => Promise.all(list.map(server => server.stop())));
  return list;
}

async function client(
  t: TestContext,
  list: readonly FakeServer[],
  options: Partial<ConnectOptions> = {},
): Promise<Client> {
  const db = await connect({ servers: list.map(({ address }) => address), database: 'x', ...options });
  t.after(() => db.close({ timeoutMs: 100 }));
  return db;
}

/** Events of a channel from now on. */
function events(t: TestContext, name: string): Record<string, unknown>[] {
  const list: Record<string, unknown>[] = [];
  const listener = (event: unknown): void => void list.push(event as Record<string, unknown>);
  diagnostics.subscribe(`dqlite-node:client:${name}`, listener);
  t.after(() => diagnostics.unsubscribe(`dqlite-node:client:${name}`, listener));
  return list;
}

test('a follower names the leader, also one that nobody configured', async t => {
  const [follower, leader] = (await servers(t, 2)) as [FakeServer, FakeServer];
  follower.leader = leader.address;
  const db = await client(t, [follower]);
  assert.equal(db.server, leader.address);
  await db.exec('INSERT INTO t VALUES (1)');
  assert.deepEqual(leader.statements(), ['INSERT INTO t VALUES (1)']);
  assert.deepEqual(follower.statements(), []);
  await until(() => follower.connections === 0, 'the follower is left alone', DEADLINE_MS);
});

for (const isIdle of [false, true]) {
  test(`a client of one server learns of those that join later: ${isIdle ? 'idle' : 'busy'}`, async t => {
    const [first, second] = (await servers(t, 2)) as [FakeServer, FakeServer];
    const db = await client(t, [first], { checkIntervalMs: isIdle ? 20 : 1 });
    await db.exec('INSERT INTO t VALUES (1)');
    const asked = (): number => first.requests.filter(({ kind }) => kind === 'cluster').length;
    first.members = [first.address, second.address];
    const before = asked();
    const isAsked = async (): Promise<boolean> => {
      if (!isIdle) await db.exec('INSERT INTO t VALUES (2)');
      return asked() > before;
    };
    await until(isAsked, 'the members are asked for', DEADLINE_MS);
    await db.exec('INSERT INTO t VALUES (3)');
    await first.stop();
    t.mock.method(first, 'stop', () => Promise.resolve());
    second.leader = second.address;
    const isDone = (): Promise<boolean> =>
      db.exec('INSERT INTO t VALUES (4)').then(
        () => true,
        () => false,
      );
    await until(isDone, 'the other server is used', DEADLINE_MS);
    assert.equal(db.server, second.address);
  });
}

test('servers that are down, hang or know nothing do not matter if one leads', async t => {
  const [down, hanging, lost, leader] = (await servers(t, 4)) as [FakeServer, FakeServer, FakeServer, FakeServer];
  await down.stop();
  t.mock.method(down, 'stop', () => Promise.resolve());
  hanging.react = () => 'silence';
  lost.leader = '';
  const db = await client(t, [down, hanging, lost, leader]);
  assert.deepEqual(await db.sql`SELECT 1 AS x`, [{ x: 1 }]);
});

test('a server that answers OPEN with something else has not opened anything', async t => {
  const [server] = (await servers(t, 1)) as [FakeServer];
  server.react = ({ kind }) => (kind === 'open' ? { kind: 'empty' } : 'default');
  await rejects(connect({ servers: [server.address], database: 'x' }), { code: 'PROTOCOL' });
  await until(() => server.connections === 0, 'the connection is closed', DEADLINE_MS);
});

test('no leader: every server and its answer', async t => {
  const [down, lost, naming, broken] = (await servers(t, 4)) as [FakeServer, FakeServer, FakeServer, FakeServer];
  await down.stop();
  t.mock.method(down, 'stop', () => Promise.resolve());
  lost.leader = '';
  naming.leader = down.address;
  broken.react = () => 'garbage';
  const options = {
    servers: [lost, naming, broken].map(({ address }) => address),
    database: 'x',
    acquireTimeoutMs: 100,
  };
  const error = await rejects(connect(options), { code: 'NO_LEADER' });
  assert.match(error.message, new RegExp(`${lost.address} knows no leader`));
  assert.match(error.message, new RegExp(`${naming.address} names ${down.address}`));
  assert.match(error.message, new RegExp(`${down.address}: cannot connect .*ECONNREFUSED`));
  assert.match(error.message, new RegExp(`${broken.address}: .*cannot be understood`));
  assert.ok(error.hint !== undefined);
  await rejects(administer({ servers: options.servers, acquireTimeoutMs: 100 }).leader(), { code: 'NO_LEADER' });
});

test('the leader changes: what had no effect goes to the new one, and observers are told', async t => {
  const [a, b] = (await servers(t, 2)) as [FakeServer, FakeServer];
  b.leader = a.address;
  const db = await client(t, [a, b]);
  const failovers = events(t, 'failover');
  const retries = events(t, 'retry');
  const queries = events(t, 'query');
  await Promise.all(Array.from({ length: 8 }, () => db.sql`SELECT 1 AS x`));
  for (const server of [a, b]) server.leader = b.address;
  a.react = request => (request.kind.endsWith('Sql') ? notLeader : 'default');
  await Promise.all(Array.from({ length: 8 }, () => db.exec('INSERT INTO t VALUES (1)')));
  assert.equal(b.statements().length, 8);
  assert.equal(db.server, b.address);
  assert.deepEqual(failovers, [{ from: a.address, to: b.address }]);
  assert.ok(retries.length > 0 && retries.every(({ error }) => (error as DqliteError).code === 'NOT_LEADER'));
  assert.equal(queries.filter(({ error }) => error === undefined).length, 16);
  await until(() => a.connections === 0, 'no connection to the old leader is kept', DEADLINE_MS);
  // And when that one dies, idle connections go, and the members that the leader has named are asked.
  a.leader = a.address;
  a.react = () => 'default';
  await b.stop();
  t.mock.method(b, 'stop', () => Promise.resolve());
  await until(() => db.pool.idle === 0, 'the client has noticed', DEADLINE_MS);
  await db.exec('INSERT INTO t VALUES (2)');
  assert.equal(db.server, a.address);
});

test('a connection that was in use when the leader changed is not used again', async t => {
  const [a, b] = (await servers(t, 2)) as [FakeServer, FakeServer];
  b.leader = a.address;
  const db = await client(t, [a, b], { checkIntervalMs: 3_600_000 });
  await db.transaction(
    async transaction => {
      for (const server of [a, b]) server.leader = b.address;
      a.react = ({ kind }) => (kind === 'execSql' ? notLeader : 'default');
      await db.exec('INSERT INTO t VALUES (1)');
      assert.equal(db.server, b.address);
      assert.deepEqual(await transaction.sql`SELECT 1 AS x`, [{ x: 1 }]);
      a.react = () => 'default';
    },
    { mode: 'deferred' },
  );
  await until(() => a.connections === 0, 'the old leader is left', DEADLINE_MS);
});

test('rows that nobody takes stay with the server', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const db = await client(t, [a], { maxConnections: 1 });
  a.react = ({ kind }) => (kind === 'querySql' ? 'endless' : 'default');
  const rows = db.sql`SELECT x FROM endless`[Symbol.asyncIterator]();
  await rows.next();
  let before = -1;
  // The kernel's buffers fill, and then nothing moves any more.
  await until(
    async () => {
      const stands = a.streamedBytes === before;
      before = a.streamedBytes;
      await new Promise(resolve => setTimeout(resolve, 50));
      return stands && a.streamedBytes === before;
    },
    'the server has to wait',
    DEADLINE_MS,
  );
  for (let i = 0; i < 10_000; i++) assert.equal((await rows.next()).value.x, (i + 1) % 1000);
  await rows.return?.();
  a.react = () => 'default';
  assert.deepEqual(await db.sql`SELECT 1 AS x`, [{ x: 1 }]);
  assert.equal(a.requests.filter(({ kind }) => kind === 'open').length, 1);
});

test('members are learned: the configured server may go', async t => {
  const [a, b] = (await servers(t, 2)) as [FakeServer, FakeServer];
  a.members = [a.address, b.address];
  const db = await client(t, [a]);
  await until(() => a.requests.some(({ kind }) => kind === 'cluster'), 'the members are asked for', DEADLINE_MS);
  await db.sql`SELECT 1 AS x`;
  await a.stop();
  t.mock.method(a, 'stop', () => Promise.resolve());
  await until(() => db.pool.idle === 0, 'the client has noticed', DEADLINE_MS);
  await db.exec('INSERT INTO t VALUES (1)');
  assert.equal(db.server, b.address);
});

test('a server that forgot the database is asked again on a new connection', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const db = await client(t, [a]);
  let times = 0;
  a.react = ({ kind }) =>
    kind === 'execSql' && times++ === 0 ? { kind: 'failure', code: 12, message: 'no database opened' } : 'default';
  await db.exec('INSERT INTO t VALUES (1)');
  assert.equal(times, 2);
});

test('an answer that is lost: a write is not repeated, a read is', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const db = await client(t, [a]);
  let times = 0;
  a.react = ({ kind }) => (kind.endsWith('Sql') && times++ === 0 ? 'hang up' : 'default');
  const error = await rejects(db.exec('INSERT INTO t VALUES (1)'), { code: 'CONNECTION', committed: 'unknown' });
  assert.match(error.hint!, /may or may not/);
  assert.equal(times, 1);
  times = 0;
  assert.deepEqual(await db.sql`SELECT 1 AS x`, [{ x: 1 }]);
  assert.equal(times, 2);
  times = 0;
  let rows = 0;
  for await (const _ of db.sql`SELECT 1 AS x`) rows++;
  assert.deepEqual([rows, times], [1, 2]);
  a.react = ({ kind }) => (kind === 'execSql' ? leadershipLost : 'default');
  await rejects(db.exec('DELETE FROM t'), { code: 'LEADERSHIP_LOST', committed: 'unknown' });
  a.react = ({ kind }) => (kind === 'execSql' ? 'garbage' : 'default');
  await rejects(db.exec('DELETE FROM t'), { code: 'PROTOCOL', committed: 'unknown' });
});

test('transactions: what is known about their effect, and when they are run again', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const db = await client(t, [a]);
  const outcomes = events(t, 'transaction');
  let runs = 0;
  const work = (retries: number): Promise<void> =>
    db.transaction(
      async transaction => {
        runs++;
        await transaction.exec('INSERT INTO t VALUES (1)');
      },
      { retries },
    );
  a.react = (_, sql) => (sql === 'COMMIT' ? 'hang up' : 'default');
  await rejects(work(5), { code: 'CONNECTION', committed: 'unknown' });
  a.react = (_, sql) => (sql === 'COMMIT' ? leadershipLost : 'default');
  await rejects(work(5), { code: 'LEADERSHIP_LOST', committed: 'unknown' });
  assert.equal(runs, 2);
  assert.deepEqual(
    outcomes.map(({ outcome }) => outcome),
    ['unknown', 'unknown'],
  );
  runs = 0;
  a.react = (_, sql) => (sql.startsWith('INSERT') && runs < 3 ? 'hang up' : 'default');
  await rejects(work(1), { code: 'CONNECTION', committed: false });
  assert.equal(runs, 2);
  await work(5);
  // Beginning is always tried again: the function has not run.
  runs = 0;
  let begins = 0;
  a.react = (_, sql) => (sql.startsWith('BEGIN') && begins++ < 3 ? busy : 'default');
  await work(0);
  assert.deepEqual([begins, runs], [4, 1]);
  // A ROLLBACK that fails takes the connection with it.
  a.react = (_, sql) => (sql === 'ROLLBACK' ? leadershipLost : 'default');
  const before = a.requests.filter(({ kind }) => kind === 'open').length;
  await assert.rejects(
    db.transaction(() => Promise.reject(new Error('own'))),
    /own/,
  );
  await db.exec('DELETE FROM t');
  assert.ok(a.requests.filter(({ kind }) => kind === 'open').length > before);
});

test('busy: tried again until the time is over', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const patient = await client(t, [a], { busyTimeoutMs: DEADLINE_MS });
  let times = 0;
  a.react = ({ kind }) => (kind === 'execSql' && times++ < 4 ? busy : 'default');
  await patient.exec('DELETE FROM t');
  assert.equal(times, 5);
  const db = await client(t, [a], { busyTimeoutMs: 80 });
  a.react = ({ kind }) => (kind === 'execSql' ? busy : 'default');
  await rejects(db.exec('DELETE FROM t'), { code: 'SQLITE', sqliteName: 'SQLITE_BUSY', committed: false });
});

test('a server that does not answer a cancelled call loses its connection', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const db = await client(t, [a], { maxConnections: 1, cancelGraceMs: 20 });
  a.react = ({ kind }) => (/Sql$|interrupt/.test(kind) ? 'silence' : 'default');
  await rejects(db.exec('DELETE FROM t', [], { timeoutMs: 20 }), { code: 'TIMEOUT', committed: 'unknown' });
  await rejects(db.query('SELECT 1', [], { timeoutMs: 20 }), { code: 'TIMEOUT', committed: undefined });
  assert.ok(a.requests.some(({ kind }) => kind === 'interrupt'));
  a.react = () => 'default';
  assert.deepEqual(await db.sql`SELECT 1 AS x`, [{ x: 1 }]);
});

test('a server that stops what is interrupted sends one EMPTY for both; others answer first', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const db = await client(t, [a], { maxConnections: 1 });
  a.react = ({ kind }) => (kind === 'execSql' ? 'silence' : 'default');
  await rejects(db.exec('DELETE FROM t', [], { timeoutMs: 10 }), { code: 'TIMEOUT', committed: false });
  assert.equal(a.requests.filter(({ kind }) => kind === 'open').length, 1, 'the connection is kept');
  assert.deepEqual(await db.sql`SELECT 1 AS x`, [{ x: 1 }]);
});

test('the pool: at most so many, at least so many, and who waits too long is told', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const options = {
    minConnections: 2,
    maxConnections: 3,
    acquireTimeoutMs: 60,
    checkIntervalMs: 10,
    idleTimeoutMs: 40,
  };
  const db = await client(t, [a], options);
  await until(() => db.pool.idle === 2, 'two connections are kept', DEADLINE_MS);
  a.react = ({ kind }) => (kind === 'querySql' ? 'silence' : 'default');
  const { signal, abort } = abortable();
  const stuck = [1, 2, 3].map(() =>
    db.query('SELECT 1', [], { signal }).then(
      () => {},
      () => {},
    ),
  );
  await until(() => db.pool.busy === 3, 'three are busy', DEADLINE_MS);
  const error = await rejects(db.exec('DELETE FROM t'), { code: 'TIMEOUT', committed: false, message: /3 are in use/ });
  assert.match(error.hint!, /maxConnections/);
  assert.equal(a.requests.filter(({ kind }) => kind === 'open').length, 3);
  abort();
  await Promise.all(stuck);
  a.react = () => 'default';
  await until(() => db.pool.idle === 2 && a.connections === 2, 'what is not needed is closed', DEADLINE_MS);
  // Idle connections are looked after: those that broke are replaced, a server that steps down is left.
  a.hangUp();
  await until(() => db.pool.idle === 2 && a.connections === 2, 'broken ones are replaced', DEADLINE_MS);
  const asked = a.requests.filter(({ kind }) => kind === 'leader').length;
  await until(
    () => a.requests.filter(({ kind }) => kind === 'leader').length > asked + 2,
    'idle connections are checked',
    DEADLINE_MS,
  );
});

test('closing waits for what is under way, and only so long', async t => {
  const [a] = (await servers(t, 1)) as [FakeServer];
  const db = await client(t, [a], { maxConnections: 1 });
  const calls = Promise.all([db.sql`SELECT 1 AS x`.then(), db.sql`SELECT 1 AS x`.then(), db.exec('DELETE FROM t')]);
  await within(db.close(), 'the end', DEADLINE_MS);
  assert.deepEqual((await calls).slice(0, 2), [[{ x: 1 }], [{ x: 1 }]]);
  await rejects(db.exec('DELETE FROM t'), { code: 'CLOSED', committed: false });
  await until(() => a.connections === 0, 'all connections are closed', DEADLINE_MS);
  const other = await client(t, [a], { maxConnections: 1 });
  a.react = ({ kind }) => (kind === 'execSql' ? 'silence' : 'default');
  const hanging = rejects(other.exec('DELETE FROM t'), { code: 'CLOSED', committed: 'unknown' });
  await until(() => other.pool.busy === 1, 'it hangs', DEADLINE_MS);
  await within(other.close({ timeoutMs: 20 }), 'the end', DEADLINE_MS);
  await hanging;
});

test('options are checked', async () => {
  const good = { servers: ['127.0.0.1:1'], database: 'x' };
  const wrong: readonly [object, RegExp][] = [
    [{ maxConnection: 1 }, /no option "maxConnection"/],
    [{ maxConnections: 0 }, /maxConnections is 0/],
    [{ minConnections: 5, maxConnections: 4 }, /more than/],
    [{ timeoutMs: -1 }, /timeoutMs/],
    [{ servers: [] }, /servers/],
    [{ servers: ['127.0.0.1:port'] }, /servers: "127\.0\.0\.1:port" is not an address/],
    [{ database: '' }, /database/],
    [{ integers: 'string' }, /integers is string, not number or bigint/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(async () => connect({ ...good, ...options }), { code: 'USAGE', message });
  }
});

function abortable(): { readonly signal: AbortSignal; abort(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

test('a leader that hangs does not stand between the client and the next one, elected while it is asked', async t => {
  const [hanging, next] = (await servers(t, 2)) as [FakeServer, FakeServer];
  next.leader = hanging.address;
  const db = await client(t, [hanging, next], { connectTimeoutMs: DEADLINE_MS * 2 });
  hanging.react = request => (request.kind === 'execSql' ? notLeader : 'silence');
  let asked = 0;
  next.react = request => {
    if (request.kind !== 'leader') return 'default';
    // The election is over when it was asked for the third time.
    next.leader = ++asked < 3 ? '' : next.address;
    return 'default';
  };
  await within(db.exec('INSERT INTO t VALUES (1)'), 'the write');
  assert.deepEqual(next.statements(), ['INSERT INTO t VALUES (1)']);
});

test('who waits for a server that was cut off is told once another one leads', async t => {
  const [cut, next] = (await servers(t, 2)) as [FakeServer, FakeServer];
  next.leader = '';
  const db = await client(t, [cut, next], { checkIntervalMs: 20 });
  cut.react = (_, sql) => (sql === '' ? 'default' : 'silence');
  const write = rejects(db.exec('INSERT INTO t VALUES (1)'), { code: 'CONNECTION', committed: 'unknown' });
  const read = Promise.resolve(db.sql`SELECT 1 AS x`);
  await until(() => cut.statements().length >= 2, 'both have arrived', DEADLINE_MS);
  cut.react = () => 'silence';
  next.leader = next.address;
  const error = await within(write, 'the error of the write');
  assert.match(error.message, new RegExp(`${cut.address} does not answer, and ${next.address} leads now`));
  // It has no effect, so it goes to the new leader by itself.
  assert.deepEqual(await within(read, 'the rows'), [{ x: 1 }]);
});

test('a statement that takes long is waited for as long as its server leads', async t => {
  const [slow, other] = (await servers(t, 2)) as [FakeServer, FakeServer];
  other.leader = slow.address;
  const db = await client(t, [slow, other], { checkIntervalMs: 20 });
  slow.react = request => (request.kind === 'execSql' ? 'silence' : 'default');
  let settled = false;
  const write = db.exec('INSERT INTO t VALUES (1)').finally(() => (settled = true));
  const asked = (): number => slow.requests.filter(({ kind }) => kind === 'leader').length;
  const before = asked();
  await until(() => asked() > before + 3, 'it was asked whether it leads', DEADLINE_MS);
  assert.equal(settled, false);
  slow.hangUp();
  await rejects(write, { code: 'CONNECTION', committed: 'unknown' });
});
