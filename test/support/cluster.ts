/** Clusters of our nodes on this machine: in this process, where each can be cut off from others, or as processes. */

import assert from 'node:assert/strict';
import path from 'node:path';
import {
  administer,
  connect,
  DqliteError,
  type Client,
  type Cluster,
  type ConnectOptions,
  type ServerRole,
} from '../../src/client/index.ts';
import { nodeHost } from '../../src/host/node.ts';
import type { Connection as Socket, Host, Logger, Net } from '../../src/host/types.ts';
import { Node, type NodeOptions } from '../../src/node/index.ts';
import { freePort } from './ports.ts';
import { serve, type ServedNode } from './serve.ts';
import { temporaryDirectory, type Scope } from './temporary.ts';
import { until } from './wait.ts';

/** Election timeouts of 300 ms and more: the machine may be busy. */
export const LATENCY_MS = 20;
const DEADLINE_MS = 30_000;

export interface Address {
  readonly id: bigint;
  readonly address: string;
}

/** What can be done with any cluster. */
export abstract class AnyCluster {
  readonly scope: Scope;
  abstract readonly members: readonly Address[];

  constructor(scope: Scope) {
    this.scope = scope;
  }

  get servers(): string[] {
    return this.members.map(({ address }) => address);
  }

  get admin(): Cluster {
    return administer({ servers: this.servers, acquireTimeoutMs: DEADLINE_MS });
  }

  async client(database: string, options: Partial<ConnectOptions> = {}): Promise<Client> {
    const client = await connect({ servers: this.servers, database, acquireTimeoutMs: DEADLINE_MS, ...options });
    this.scope.after(() => client.close({ timeoutMs: 100 }));
    return client;
  }

  /** Waits until all given nodes have the same database, byte for byte, and gives it. */
  async same(database: string, members: readonly Address[] = this.members): Promise<Uint8Array> {
    const { admin } = this;
    let first: Uint8Array = new Uint8Array();
    await until(
      async () => {
        const all = members.map(async ({ address }) => {
          try {
            return Buffer.concat((await admin.dump(database, address)).map(({ content }) => content));
          } catch (error) {
            if (error instanceof DqliteError) return Buffer.alloc(0);
            throw error;
          }
        });
        const dumps = await Promise.all(all);
        first = dumps[0]!;
        return dumps.every(dump => dump.length > 0 && dump.equals(first));
      },
      `${database} is the same on all nodes`,
      DEADLINE_MS,
    );
    return first;
  }

  async roles(): Promise<Record<string, ServerRole>> {
    const servers = await this.admin.servers();
    return Object.fromEntries(servers.map(({ id, role }) => [String(id), role]));
  }
}

// --- In this process ----------------------------------------------------------------------------------------------

/** Refuses and breaks connections to some addresses. */
class CuttableNet implements Net {
  readonly #net: Net;
  readonly #open = new Map<Socket, string>();
  readonly #cut = new Set<string>();

  constructor(net: Net) {
    this.#net = net;
  }

  listen(...list: Parameters<Net['listen']>): ReturnType<Net['listen']> {
    return this.#net.listen(...list);
  }

  flush(): void {
    this.#net.flush();
  }

  async connect(address: string, timeoutMs: number): ReturnType<Net['connect']> {
    const refused = (): DqliteError => new DqliteError('CONNECTION', `${address} is cut off`);
    if (this.#cut.has(address)) throw refused();
    const attach = await this.#net.connect(address, timeoutMs);
    return handlers => {
      const connection = attach({
        received: bytes => handlers.received(bytes),
        drained: () => handlers.drained(),
        ended: () => handlers.ended(),
        closed: error => {
          this.#open.delete(connection);
          handlers.closed(error);
        },
      });
      this.#open.set(connection, address);
      if (this.#cut.has(address)) connection.destroy();
      return connection;
    };
  }

  cut(address: string): void {
    this.#cut.add(address);
    for (const [connection, to] of this.#open) if (to === address) connection.destroy();
  }

  mend(): void {
    this.#cut.clear();
  }
}

export type MemberOptions = Partial<Omit<NodeOptions, 'host' | 'id' | 'address' | 'directory'>>;

export class Member implements Address {
  readonly id: bigint;
  readonly address: string;
  readonly directory: string;
  readonly net: CuttableNet;
  readonly warnings: string[] = [];
  readonly #options: MemberOptions;
  #node: Node | undefined = undefined;
  failure: unknown;

  constructor(id: bigint, address: string, directory: string, options: MemberOptions) {
    this.id = id;
    this.address = address;
    this.directory = directory;
    this.net = new CuttableNet(nodeHost().net);
    this.#options = options;
  }

  get node(): Node {
    assert.ok(this.#node !== undefined, `node ${this.id} runs`);
    return this.#node;
  }

  get isRunning(): boolean {
    return this.#node !== undefined;
  }

  async start(options: MemberOptions = {}): Promise<void> {
    const { id, address, directory, net } = this;
    const host: Host = { ...nodeHost(), net };
    this.#node = await Node.start({
      ...{ id, address, directory, host, latencyMs: LATENCY_MS, logger: this.#logger() },
      ...{ ...this.#options, ...options },
      onFailure: error => (this.failure = error),
    });
  }

  async stop(): Promise<void> {
    const node = this.#node;
    this.#node = undefined;
    await node?.close();
    assert.equal(this.failure, undefined, `node ${this.id} did not fail`);
  }

  #logger(): Logger {
    const keep = (fields: object, message: string): void =>
      void this.warnings.push(`${message} ${Object.values(fields).map(String).join(' ')}`);
    return { debug() {}, info() {}, warn: keep, error: keep, fatal: keep };
  }
}

export class TestCluster extends AnyCluster {
  readonly #all: Member[] = [];
  readonly #options: MemberOptions;

  private constructor(scope: Scope, options: MemberOptions) {
    super(scope);
    this.#options = options;
    scope.after(async () => {
      for (const member of this.#all) await member.stop();
    });
  }

  /** Founds a cluster of that many voters; its nodes end with the test, which fails if one of them has failed. */
  static async start(scope: Scope, voters: number, options: MemberOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(scope, options);
    await cluster.prepare().then(member => member.start());
    for (let number = 2; number <= voters; number++) await cluster.join('voter');
    return cluster;
  }

  override get members(): readonly Member[] {
    return this.#all;
  }

  get running(): Member[] {
    return this.#all.filter(({ isRunning }) => isRunning);
  }

  /** A node that does not run yet and belongs to no cluster. */
  async prepare(): Promise<Member> {
    const address = `127.0.0.1:${await freePort()}`;
    const id = BigInt(this.#all.length + 1);
    const member = new Member(id, address, temporaryDirectory(this.scope), this.#options);
    this.#all.push(member);
    return member;
  }

  /** A new node with a role. */
  async join(role: ServerRole, options: MemberOptions = {}): Promise<Member> {
    const member = await this.prepare();
    await member.start(options);
    await this.admin.add({ id: member.id, address: member.address, role });
    return member;
  }

  /** The node that leads, once there is one, and one only that the others know of. */
  async leader(among: () => readonly Member[] = () => this.running): Promise<Member> {
    let leader: Member | undefined;
    await until(() => (leader = among().find(({ node }) => node.isLeader)) !== undefined, 'a node leads', DEADLINE_MS);
    return leader!;
  }

  async follower(): Promise<Member> {
    const leader = await this.leader();
    return this.running.find(member => member !== leader)!;
  }

  /** Breaks all connections between a node and the other nodes; its clients keep theirs. */
  isolate(member: Member): void {
    for (const other of this.#all) {
      if (other === member) continue;
      member.net.cut(other.address);
      other.net.cut(member.address);
    }
  }

  mend(): void {
    for (const { net } of this.#all) net.mend();
  }

  /** All nodes that run have applied what the leader has committed. */
  async caughtUp(): Promise<void> {
    await until(
      async () => {
        const commits = this.running.map(({ node }) => node.metrics().commitIndex);
        return commits.every(index => index === commits[0]);
      },
      'all nodes are at the same index',
      DEADLINE_MS,
    );
  }
}

// --- Processes ----------------------------------------------------------------------------------------------------

interface ServedMember extends Address {
  readonly directory: string;
  server: ServedNode;
}

export class ServedCluster extends AnyCluster {
  override readonly members: ServedMember[] = [];
  readonly #args: readonly string[];

  private constructor(scope: Scope, args: readonly string[]) {
    super(scope);
    this.#args = args;
  }

  static async start(scope: Scope, voters: number, args: readonly string[] = []): Promise<ServedCluster> {
    const cluster = new ServedCluster(scope, args);
    for (let number = 1; number <= voters; number++) {
      const id = BigInt(number);
      const address = `127.0.0.1:${await freePort()}`;
      const directory = path.join(temporaryDirectory(scope), 'data');
      cluster.members.push({ id, address, directory, server: await cluster.#serve(id, address, directory) });
      if (number > 1) await cluster.admin.add({ id, address, role: 'voter' });
    }
    return cluster;
  }

  async leader(): Promise<ServedMember> {
    const { id } = await this.admin.leader();
    return this.members.find(member => member.id === id)!;
  }

  async restart(member: ServedMember): Promise<void> {
    member.server = await this.#serve(member.id, member.address, member.directory);
  }

  #serve(id: bigint, address: string, directory: string): Promise<ServedNode> {
    const args = ['--latency-ms', String(LATENCY_MS), ...this.#args];
    return serve(this.scope, { id, address, directory, args });
  }
}

// --- A load -------------------------------------------------------------------------------------------------------

/** Writers that number what they write, and know what they were told of each number. */
export class NumberedWrites {
  readonly #client: Client;
  readonly #acknowledged: string[] = [];
  readonly #doubtful: string[] = [];
  readonly #absent: string[] = [];
  readonly #finished: Promise<unknown>;
  #stopping = false;
  /** The longest time between two acknowledgements. */
  longestGapMs = 0;
  #lastMs: number;

  private constructor(client: Client, writers: number) {
    this.#client = client;
    this.#lastMs = performance.now();
    this.#finished = Promise.all(Array.from({ length: writers }, (_, writer) => this.#write(writer)));
    this.#finished.catch(() => {});
  }

  static async start(client: Client, writers: number): Promise<NumberedWrites> {
    await client.exec('CREATE TABLE IF NOT EXISTS written (number TEXT, payload TEXT)');
    return new NumberedWrites(client, writers);
  }

  get acknowledged(): number {
    return this.#acknowledged.length;
  }

  get doubtful(): number {
    return this.#doubtful.length;
  }

  /** Resolves when so many more writes are acknowledged. */
  more(count: number): Promise<void> {
    const wanted = this.acknowledged + count;
    return until(() => this.acknowledged >= wanted, `${count} more writes`, DEADLINE_MS);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#finished;
  }

  /** What was acknowledged is there once, what had no effect is not, what is in doubt is there once or not. */
  async verify(): Promise<void> {
    const rows = await this.#client.sql<{ number: string }>`SELECT number FROM written`;
    const found = new Map<string, number>();
    for (const { number } of rows) found.set(number, (found.get(number) ?? 0) + 1);
    for (const number of this.#acknowledged) assert.equal(found.get(number), 1, `${number} was acknowledged`);
    for (const number of this.#absent) assert.equal(found.get(number), undefined, `${number} had no effect`);
    for (const number of this.#doubtful) assert.ok((found.get(number) ?? 0) <= 1, `${number} is there twice`);
    const known = new Set([...this.#acknowledged, ...this.#doubtful]);
    for (const number of found.keys()) assert.ok(known.has(number), `${number} was never written`);
  }

  async #write(writer: number): Promise<void> {
    for (let sequence = 0; !this.#stopping; sequence++) {
      const number = `${writer}-${sequence}`;
      try {
        await this.#client.exec('INSERT INTO written VALUES (?, ?)', [number, 'x'.repeat(200)]);
        this.#acknowledge(number);
      } catch (error) {
        if (!(error instanceof DqliteError)) throw error;
        if (error.committed === 'unknown') this.#doubtful.push(number);
        else this.#absent.push(number);
      }
    }
  }

  #acknowledge(number: string): void {
    this.#acknowledged.push(number);
    const nowMs = performance.now();
    this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }
}
