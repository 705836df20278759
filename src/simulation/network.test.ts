/** The simulated network: partitions, ends of processes and machines. What every `Net` does is in host. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection, ConnectionHandlers } from '../host/types.ts';
import { DqliteError } from '../lib/errors.ts';
import { Scheduler, SimulatedNetwork, streamOf, type SimulatedNet } from './index.ts';

/** One end, with what happened to it and when. */
class End implements ConnectionHandlers {
  readonly events: string[] = [];
  readonly #scheduler: Scheduler;
  connection!: Connection;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  received(bytes: Uint8Array): void {
    this.events.push(Buffer.from(bytes).toString());
  }

  drained(): void {}

  ended(): void {
    this.events.push('ended');
  }

  closed(error: Error | undefined): void {
    this.events.push(error === undefined ? 'closed' : `closed: ${error.message}`);
  }

  /** All that was received, without the splits. */
  get text(): string {
    return this.events.join('');
  }

  send(text: string): void {
    this.connection.send(Buffer.from(text));
  }

  get nowMs(): number {
    return this.#scheduler.nowMs;
  }
}

interface Pair {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly serverNet: SimulatedNet;
  readonly clientNet: SimulatedNet;
  readonly server: End;
  readonly client: End;
}

const LATENCY_MS = 1;
const ADDRESS = 'server.example:9001';

async function pair(seed = 1): Promise<Pair> {
  const scheduler = new Scheduler();
  const random = streamOf(seed, 'network');
  const network = new SimulatedNetwork({ scheduler, random, latencyMs: () => LATENCY_MS });
  const serverNet = network.net('server');
  const clientNet = network.net('client');
  const server = new End(scheduler);
  const client = new End(scheduler);
  const listening = serverNet.listen(ADDRESS, connection => {
    server.connection = connection;
    return server;
  });
  await scheduler.run(listening);
  client.connection = (await scheduler.run(clientNet.connect(ADDRESS, 1000)))(client);
  await scheduler.runUntilIdle();
  return { scheduler, network, serverNet, clientNet, server, client };
}

test('a partition holds messages back, in order, in the directions that are blocked', async () => {
  const { scheduler, network, server, client } = await pair();
  network.block('client', 'server');
  client.send('one');
  await scheduler.runFor(5000);
  client.send('two');
  client.connection.end();
  server.send('hello');
  await scheduler.runFor(5000);
  assert.deepEqual([server.text, client.text], ['', 'hello']);
  network.heal();
  client.connection.pause();
  await scheduler.runUntilIdle();
  assert.equal(server.text, 'onetwoended');
});

test('connecting through a partition takes until the deadline', async () => {
  const { scheduler, network, clientNet } = await pair();
  network.partition(['client'], ['server', 'other']);
  const start = scheduler.nowMs;
  await assert.rejects(
    scheduler.run(clientNet.connect(ADDRESS, 700)),
    (error: unknown) => error instanceof DqliteError && /no answer within 700 ms/.test(error.message),
  );
  assert.equal(scheduler.nowMs - start, 700);
  network.heal();
  await scheduler.runUntilIdle();
  await scheduler.run(clientNet.connect(ADDRESS, 700));
});

test('when a process is killed its system closes what it had open', async () => {
  const { scheduler, serverNet, clientNet, server, client } = await pair();
  client.send('read');
  await scheduler.runUntilIdle();
  serverNet.kill();
  await scheduler.runUntilIdle();
  assert.deepEqual(client.events.slice(0, 1), ['ended']);
  assert.equal(server.text, 'read', 'the dead are told nothing');
  await assert.rejects(scheduler.run(clientNet.connect(ADDRESS, 1000)), /connection refused/);
});

test('bytes that a killed process had not read reset the connection', async () => {
  const { scheduler, serverNet, server, client } = await pair();
  server.connection.pause();
  client.send('unread');
  await scheduler.runFor(LATENCY_MS / 2);
  client.send('unread');
  client.send('unread');
  await scheduler.runFor(LATENCY_MS * 3);
  serverNet.kill();
  await scheduler.runUntilIdle();
  assert.deepEqual(client.events, ['closed: read ECONNRESET (simulated)']);
});

test('a machine without power says nothing until it is back', async () => {
  const { scheduler, network, serverNet, clientNet, client } = await pair();
  serverNet.powerOff();
  client.send('anybody there?');
  await scheduler.runFor(60_000);
  assert.deepEqual(client.events, []);
  await assert.rejects(scheduler.run(clientNet.connect(ADDRESS, 500)), /no answer within 500 ms/);
  network.net('server');
  await scheduler.runUntilIdle();
  assert.deepEqual(client.events, []);
  client.send('hello');
  await scheduler.runUntilIdle();
  assert.deepEqual(client.events, ['closed: read ECONNRESET (simulated)']);
});

test('connections can be broken from outside', async () => {
  const { scheduler, clientNet, server, client } = await pair();
  clientNet.resetConnections();
  await scheduler.runUntilIdle();
  for (const end of [server, client]) assert.deepEqual(end.events, ['closed: read ECONNRESET (simulated)']);
});

test('memory that was changed while the connection held it is found', async () => {
  let found = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const { scheduler, client } = await pair(seed);
    const bytes = Buffer.from('to be kept');
    if (client.connection.send(bytes)) continue;
    bytes.fill(0);
    await assert.rejects(scheduler.runUntilIdle(), /changed while the connection held them/);
    found++;
  }
  assert.ok(found > 0, 'some sends are not taken at once');
});

test('the same seed gives the same run, another one another', async () => {
  const traceOf = async (seed: number): Promise<string> => {
    const { scheduler, server, client } = await pair(seed);
    for (let i = 0; i < 20; i++) {
      client.send(`message ${i} `.repeat(i));
      await scheduler.runFor(0.3);
      server.send('x'.repeat(i));
    }
    await scheduler.runUntilIdle();
    return JSON.stringify([server.events, client.events, scheduler.eventCount]);
  };
  const traces = await Promise.all([traceOf(1), traceOf(1), traceOf(2)]);
  assert.equal(traces[0], traces[1]);
  assert.notEqual(traces[0], traces[2]);
});
