/** Whole nodes with clients on simulated hosts: nothing of them waits for anything real, and runs repeat. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client } from '../client/index.ts';
import { messageOf } from '../lib/errors.ts';
import { Node } from '../node/index.ts';
import { Scheduler, SimulatedNetwork, simulatedHost, streamOf, synchronousWasm, type SimulatedHost } from './index.ts';

const ADDRESS = 'n1.example:9001';

let wasm: Disposable;

before(() => {
  wasm = synchronousWasm();
});

after(() => {
  wasm[Symbol.dispose]();
});

interface World {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly host: SimulatedHost;
  readonly clientHost: SimulatedHost;
}

function worldOf(seed: number): World {
  const scheduler = new Scheduler();
  const network = new SimulatedNetwork({ scheduler, random: streamOf(seed, 'network') });
  const host = simulatedHost({ seed, scheduler, network, machine: 'n1' });
  const clientHost = simulatedHost({ seed, scheduler, network, machine: 'client' });
  return { scheduler, network, host, clientHost };
}

function start({ scheduler }: World, host: SimulatedHost): Promise<Node> {
  return scheduler.run(Node.start({ id: 1n, address: ADDRESS, directory: '/data', host }), 60_000);
}

function connect({ scheduler, clientHost }: World): Promise<Client> {
  return scheduler.run(Client.connect({ servers: [ADDRESS], database: 'test' }, clientHost), 60_000);
}

interface Counted {
  readonly count: number;
  readonly newest: number;
}

/** A client that inserts until its connection breaks; gives how many rows were acknowledged. */
async function insertAll(client: Client): Promise<number> {
  for (let i = 1; ; i++) {
    try {
      await client.exec('INSERT INTO t VALUES (?, ?)', [i, 'x'.repeat(i % 300)]);
    } catch (error) {
      assert.match(messageOf(error), /connection|leads/i);
      return i - 1;
    }
  }
}

/** Inserts until the node ends at some time; what is there afterwards. */
async function run(seed: number): Promise<string> {
  const world = worldOf(seed);
  const { scheduler } = world;
  const random = streamOf(seed, 'test');
  await start(world, world.host);
  const client = await connect(world);
  await scheduler.run(client.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT)'), 60_000);
  const inserting = insertAll(client);
  await scheduler.runFor(20 + random.float() * 200);
  const crashed = random.chance(0.5);
  const next = crashed ? world.host.crash().restart() : world.host.kill();
  // Somebody tells the client, sooner or later.
  world.clientHost.net.resetConnections();
  const acknowledged = await scheduler.run(inserting, 60_000);
  assert.ok(acknowledged > 5, `${acknowledged} rows`);

  const node = await start(world, next);
  const again = await connect(world);
  const [row] = await scheduler.run(
    again.sql<Counted>`SELECT count(*) AS count, max(n) AS newest FROM t`.then(),
    60_000,
  );
  const { count, newest } = row!;
  assert.equal(count, newest, 'no row in between is missing');
  assert.ok(count === acknowledged || count === acknowledged + 1, `${count} rows, ${acknowledged} acknowledged`);
  const check = await scheduler.run(again.query('PRAGMA integrity_check').then(), 60_000);
  assert.deepEqual(check, [{ integrity_check: 'ok' }]);
  await scheduler.run(Promise.all([client.close(), again.close()]), 60_000);
  await scheduler.run(node.close(), 60_000);
  const files = await scheduler.run(next.files.list('/data'));
  assert.ok(
    files.every(name => !name.startsWith('open-')),
    files.join(),
  );
  return JSON.stringify([acknowledged, count, crashed, scheduler.eventCount, scheduler.nowMs]);
}

test('a node that is killed or loses its power has every row that was acknowledged', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    try {
      await run(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${messageOf(error)}`, { cause: error });
    }
  }
});

test('the same seed gives the same run', async () => {
  const first = await run(7);
  assert.equal(await run(7), first);
  assert.notEqual(await run(8), first);
});
