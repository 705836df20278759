/** What every `Net` does, tried on TCP and abstract sockets of this machine and on the simulated network. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { DqliteError, type ErrorCode } from '../lib/errors.ts';
import { SeededRandom } from '../lib/random.ts';
import { Scheduler, SimulatedNetwork } from '../simulation/index.ts';
import { nodeHost, type Connection, type ConnectionHandlers, type Listener, type Net } from './index.ts';

interface Subject {
  /** Two processes that reach each other. */
  readonly server: Net;
  readonly client: Net;
  readonly address: string;
  /** Waits for what only the world outside of the test can bring about. */
  readonly run: <Result>(work: Promise<Result>) => Promise<Result>;
  /** Lets that world go on a little. */
  readonly turn: () => Promise<void>;
}

/** Every test ends by itself; this is for those that hang. */
const TIMEOUT_MS = 20_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** One end of a connection: keeps what happens, and checks that nothing happens inside a call. */
class End implements ConnectionHandlers {
  connection!: Connection;
  readonly pieces: Uint8Array[] = [];
  receivedBytes = 0;
  /** What happened, `received` left out. */
  readonly events: string[] = [];
  error: Error | undefined;
  #inCall = false;
  #waiting: { condition: () => boolean; resolve: () => void }[] = [];

  get bytes(): Buffer {
    return Buffer.concat(this.pieces);
  }

  get closedCount(): number {
    return this.events.filter(event => event === 'closed').length;
  }

  /** Calls a method of the connection. */
  call<Result>(method: (connection: Connection) => Result): Result {
    this.#inCall = true;
    try {
      return method(this.connection);
    } finally {
      this.#inCall = false;
    }
  }

  send(bytes: Uint8Array): boolean {
    return this.call(connection => connection.send(bytes));
  }

  /** Waits until something happened that makes the condition true. */
  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise(resolve => this.#waiting.push({ condition, resolve }));
  }

  received(bytes: Uint8Array): void {
    assert.ok(bytes.length > 0);
    this.pieces.push(bytes);
    this.receivedBytes += bytes.length;
    this.#happened();
  }

  drained(): void {
    assert.equal(this.connection.pendingBytes, 0, 'drained means that nothing is pending');
    this.#happened('drained');
  }

  ended(): void {
    this.#happened('ended');
  }

  closed(error: Error | undefined): void {
    this.error = error;
    this.#happened('closed');
  }

  #happened(event?: string): void {
    assert.ok(!this.#inCall, `${event ?? 'received'} came from inside a call`);
    assert.equal(this.closedCount, 0, `${event ?? 'received'} after closed`);
    if (event !== undefined) this.events.push(event);
    this.#waiting = this.#waiting.filter(({ condition, resolve }) => {
      if (condition()) resolve();
      else return true;
      return false;
    });
  }
}

interface Link {
  readonly listener: Listener;
  /** The end that accepted. */
  readonly server: End;
  readonly client: End;
}

async function listen(
  { server, address, run }: Subject,
  accepted: (end: End) => void = () => {},
): Promise<{ listener: Listener; next: Promise<End> }> {
  let resolve: (end: End) => void = () => {};
  const next = new Promise<End>(done => (resolve = done));
  const listener = await run(
    server.listen(address, connection => {
      const end = new End();
      end.connection = connection;
      resolve(end);
      accepted(end);
      return end;
    }),
  );
  return { listener, next };
}

async function connect({ client, run }: Subject, address: string): Promise<End> {
  const end = new End();
  end.connection = (await run(client.connect(address, CONNECT_TIMEOUT_MS)))(end);
  return end;
}

async function link(subject: Subject, accepted?: (end: End) => void): Promise<Link> {
  const { listener, next } = await listen(subject, accepted);
  const client = await connect(subject, listener.address);
  return { listener, client, server: await subject.run(next) };
}

async function finish({ run }: Subject, { listener, server, client }: Link): Promise<void> {
  for (const end of [client, server]) end.call(connection => connection.destroy());
  await run(Promise.all([client, server].map(end => end.until(() => end.closedCount === 1))));
  await run(listener.close());
}

function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  new SeededRandom(seed).fill(bytes);
  return bytes;
}

function isError(code: ErrorCode, pattern: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof DqliteError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, pattern);
    return true;
  };
}

function conformance(subjectOf: () => Subject): void {
  const check = (name: string, body: (subject: Subject) => Promise<void>): void => {
    test(name, { timeout: TIMEOUT_MS }, () => body(subjectOf()));
  };

  check('bytes travel both ways, and both ends close', async subject => {
    const { run } = subject;
    const { listener, server, client } = await link(subject);
    assert.match(listener.address, subject.address.startsWith('@') ? /^@.+/ : /:[1-9]\d*$/);
    assert.equal(client.connection.peer, listener.address);
    assert.ok(server.connection.peer.length > 0);
    client.send(bytesOf(10, 1));
    client.send(bytesOf(2000, 2));
    server.send(bytesOf(50, 3));
    await run(server.until(() => server.receivedBytes === 2010));
    await run(client.until(() => client.receivedBytes === 50));
    assert.deepEqual(server.bytes, Buffer.concat([bytesOf(10, 1), bytesOf(2000, 2)]));
    assert.deepEqual(client.bytes, bytesOf(50, 3));
    client.call(connection => connection.end());
    await run(server.until(() => server.events.includes('ended')));
    server.call(connection => connection.end());
    await run(Promise.all([client, server].map(end => end.until(() => end.closedCount === 1))));
    assert.deepEqual([client.error, server.error], [undefined, undefined]);
    assert.deepEqual(
      client.events.filter(event => event !== 'drained'),
      ['ended', 'closed'],
    );
    await run(listener.close());
  });

  check('an end that has finished sending still receives', async subject => {
    const { run } = subject;
    const ends = await link(subject);
    const { server, client } = ends;
    client.send(bytesOf(100, 1));
    client.call(connection => connection.end());
    await run(server.until(() => server.events.includes('ended')));
    assert.equal(server.receivedBytes, 100, 'the end comes after the bytes');
    server.send(bytesOf(100_000, 2));
    await run(client.until(() => client.receivedBytes === 100_000));
    assert.equal(client.closedCount + server.closedCount, 0);
    server.call(connection => connection.end());
    await run(Promise.all([client, server].map(end => end.until(() => end.closedCount === 1))));
    assert.deepEqual(client.bytes, bytesOf(100_000, 2));
    await run(ends.listener.close());
  });

  check('end sends what is pending first', async subject => {
    const { run } = subject;
    const ends = await link(subject, end => end.connection.pause());
    const { server, client } = ends;
    const bytes = bytesOf(8_000_000, 1);
    assert.equal(client.send(bytes), false);
    client.call(connection => connection.end());
    server.call(connection => connection.resume());
    await run(server.until(() => server.events.includes('ended')));
    assert.ok(server.bytes.equals(bytes));
    await finish(subject, ends);
  });

  for (const size of [100, 1000, 65_536, 1_000_000]) {
    check(`a receiver that pauses holds the sender back: pieces of ${size} bytes`, async subject => {
      const { run, turn } = subject;
      const ends = await link(subject, end => end.connection.pause());
      const { server, client } = ends;
      const sent: Buffer[] = [];
      let taken = true;
      for (let i = 0; taken; i++) {
        sent.push(bytesOf(size, i % 7));
        const memory = Buffer.from(sent[i]!);
        client.events.length = 0;
        taken = client.send(memory);
        if (taken) memory.fill(0xff);
        else assert.ok(client.connection.pendingBytes > 0);
        // Let the world go round now and then: the kernel moves bytes to the receiver.
        if (i % 64 === 0) await turn();
        assert.ok(i * size < 100_000_000, 'it must end');
      }
      const total = sent.length * size;
      assert.ok(server.receivedBytes < total);
      server.call(connection => connection.resume());
      await run(client.until(() => client.events.includes('drained')));
      await run(server.until(() => server.receivedBytes === total));
      assert.ok(server.bytes.equals(Buffer.concat(sent)));
      assert.ok(client.send(bytesOf(1, 1)) || client.connection.pendingBytes === 1);
      await finish(subject, ends);
    });
  }

  check('pause and resume lose nothing', async subject => {
    const { run, turn } = subject;
    const ends = await link(subject);
    const { server, client } = ends;
    const bytes = bytesOf(300_000, 1);
    for (let offset = 0; offset < bytes.length; offset += 10_000) {
      client.send(bytes.subarray(offset, offset + 10_000));
      server.call(connection => connection.pause());
      await turn();
      server.call(connection => connection.resume());
    }
    await run(server.until(() => server.receivedBytes === bytes.length));
    assert.ok(server.bytes.equals(bytes));
    await finish(subject, ends);
  });

  check('bytes for the receiver to keep', async subject => {
    const { run } = subject;
    const ends = await link(subject);
    const { server, client } = ends;
    const bytes = Buffer.from(bytesOf(1000, 1));
    for (let i = 0; i < 20; i++) {
      if (!client.send(bytes)) await run(client.until(() => client.connection.pendingBytes === 0));
      bytes.fill(i);
    }
    await run(server.until(() => server.receivedBytes === 20_000));
    const expected = [bytesOf(1000, 1), ...Array.from({ length: 19 }, (_, i) => Buffer.alloc(1000, i))];
    assert.ok(server.bytes.equals(Buffer.concat(expected)), 'memory can be used again once it was taken');
    await finish(subject, ends);
  });

  check('destroy closes at once, without an error here', async subject => {
    const { run, turn } = subject;
    const { listener, server, client } = await link(subject);
    client.call(connection => connection.destroy());
    client.call(connection => connection.destroy());
    client.call(connection => connection.end());
    client.call(connection => connection.pause());
    client.call(connection => connection.resume());
    assert.equal(client.send(bytesOf(10, 1)), true, 'nobody needs the memory');
    assert.equal(client.connection.pendingBytes, 0);
    await run(client.until(() => client.closedCount === 1));
    assert.deepEqual([client.events, client.error], [['closed'], undefined]);
    await run(server.until(() => server.events.length > 0));
    assert.ok(['ended', 'closed'].includes(server.events[0]!));
    // Who sends to an end that is gone learns it.
    while (server.closedCount === 0) {
      server.send(bytesOf(1000, 1));
      await turn();
    }
    await run(listener.close());
  });

  check('destroy while much is pending', async subject => {
    const { run } = subject;
    const { listener, server, client } = await link(subject, end => end.connection.pause());
    assert.equal(client.send(bytesOf(10_000_000, 1)), false);
    client.call(connection => connection.destroy());
    await run(client.until(() => client.closedCount === 1));
    server.call(connection => connection.resume());
    await run(server.until(() => server.events.some(event => event !== 'drained')));
    assert.ok(server.receivedBytes < 10_000_000);
    server.call(connection => connection.destroy());
    await run(server.until(() => server.closedCount === 1));
    await run(listener.close());
  });

  check('who sends on whenever it can is told when the other end is gone, not asked for more', async subject => {
    const { run } = subject;
    const { listener, server, client } = await link(subject);
    client.call(connection => connection.pause());
    // So much waits to be read that only writing tells the sender of the end.
    server.call(connection => connection.pause());
    client.send(bytesOf(1_000_000, 1));
    for (let i = 0; i < 10; i++) await subject.turn();
    let sentCount = 0;
    const fill = (): void => {
      while (server.connection.send(bytesOf(100_000, 1))) assert.ok(++sentCount < 1000, 'it must end');
    };
    fill();
    server.drained = () => {
      assert.ok(++sentCount < 1000, 'asked for more and more');
      fill();
    };
    client.call(connection => connection.destroy());
    await run(server.until(() => server.closedCount === 1));
    await run(listener.close());
  });

  check('what comes before the handlers are attached is not lost', async subject => {
    const { client, run, turn } = subject;
    const { listener, next } = await listen(subject, end => {
      end.connection.send(bytesOf(500, 1));
      end.connection.end();
    });
    const attach = await run(client.connect(listener.address, CONNECT_TIMEOUT_MS));
    const server = await run(next);
    await turn();
    const end = new End();
    end.connection = attach(end);
    assert.equal(end.receivedBytes, 0, 'never from inside the call');
    await run(end.until(() => end.events.includes('ended')));
    assert.deepEqual(end.bytes, bytesOf(500, 1));
    end.call(connection => connection.end());
    await run(Promise.all([end, server].map(each => each.until(() => each.closedCount === 1))));
    await run(listener.close());
  });

  check('a listener that is closed accepts nothing; its connections stay and its address is free', async subject => {
    const { run } = subject;
    const ends = await link(subject);
    const { address } = ends.listener;
    await run(ends.listener.close());
    await assert.rejects(
      run(subject.client.connect(address, CONNECT_TIMEOUT_MS)),
      isError('CONNECTION', new RegExp(`cannot connect to ${address.replaceAll(/[[\]]/g, '.')}: `)),
    );
    ends.client.send(bytesOf(10, 1));
    await run(ends.server.until(() => ends.server.receivedBytes === 10));
    const again = await run(
      subject.server.listen(address, connection => {
        connection.destroy();
        return new End();
      }),
    );
    assert.equal(again.address, address);
    await run(again.close());
    for (const end of [ends.client, ends.server]) end.call(connection => connection.destroy());
    await run(Promise.all([ends.client, ends.server].map(end => end.until(() => end.closedCount === 1))));
  });

  check('an address that is taken', async subject => {
    const { listener } = await listen(subject);
    const again = (): Promise<unknown> => subject.run(subject.server.listen(listener.address, () => new End()));
    await assert.rejects(again(), isError('IO', /cannot listen on /));
    await subject.run(listener.close());
  });

  check('what is no address', async ({ server, client, run }) => {
    const isConfiguration = isError('CONFIGURATION', /is not an address/);
    for (const address of ['', 'a:b:c', '127.0.0.1:99999', '[::1', 'x:1:']) {
      await assert.rejects(run(client.connect(address, 100)), isConfiguration);
      await assert.rejects(run(server.listen(address, () => new End())), isConfiguration);
    }
  });

  check('many connections at once', async subject => {
    const { run } = subject;
    const ends: End[] = [];
    const { listener } = await listen(subject, end => ends.push(end));
    const clients: End[] = [];
    for (let i = 0; i < 20; i++) {
      clients.push(await connect(subject, listener.address));
      clients[i]!.send(bytesOf(100 + i, i));
      clients[i]!.call(connection => connection.end());
    }
    for (const end of ends) {
      await run(end.until(() => end.events.includes('ended')));
      end.call(connection => connection.end());
    }
    await run(Promise.all([...clients, ...ends].map(end => end.until(() => end.closedCount === 1))));
    const sizes = ends.map(end => end.receivedBytes).sort((a, b) => a - b);
    assert.deepEqual(
      sizes,
      Array.from({ length: 20 }, (_, i) => 100 + i),
    );
    for (const end of ends) assert.deepEqual(end.bytes, bytesOf(end.receivedBytes, end.receivedBytes - 100));
    await run(listener.close());
  });
}

function real(address: string): Subject {
  const { net } = nodeHost();
  return { server: net, client: net, address, run: work => work, turn: () => new Promise(setImmediate) };
}

function simulated(seed: number, address: string): Subject {
  const scheduler = new Scheduler();
  const network = new SimulatedNetwork({ scheduler, random: new SeededRandom(seed) });
  const server = network.net('server');
  const client = address.startsWith('@') ? network.net('server') : network.net('client');
  return { server, client, address, run: work => scheduler.run(work), turn: () => scheduler.runFor(0.5) };
}

describe('TCP', () => conformance(() => real('127.0.0.1:0')));
describe('abstract sockets', { skip: process.platform === 'linux' ? false : 'not Linux' }, () =>
  conformance(() => real('@')),
);
for (const seed of [1, 2, 3]) {
  describe(`the simulated network, seed ${seed}`, () => conformance(() => simulated(seed, 'server.example:0')));
}
describe('abstract names of a simulated machine', () => conformance(() => simulated(4, '@')));

test(
  'both ends of a connection look whether the other is still there',
  { skip: process.platform !== 'linux' },
  async () => {
    const made = await link(real('127.0.0.1:0'));
    const port = Number(made.listener.address.split(':')[1]).toString(16).toUpperCase().padStart(4, '0');
    // Local address, remote address, state (01: established), queues, and the timer that runs (02: keep-alive).
    const connections = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map(line => line.trim().split(/\s+/))
      .filter(
        ([, local, remote, state]) => state === '01' && (local?.endsWith(`:${port}`) || remote?.endsWith(`:${port}`)),
      );
    await finish(real('127.0.0.1:0'), made);
    const timers = connections.map(([, , , , , timer]) => timer?.slice(0, 2));
    assert.deepEqual(timers, ['02', '02']);
  },
);
