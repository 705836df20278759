/** A cluster whose members are nodes of ours and C nodes, each a process of its own. */

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { administer, connect, DqliteError, type Client, type Cluster } from '../../src/client/index.ts';
import { run } from './child.ts';
import { Connection, Failure } from './connection.ts';
import { CNode, dataFolder, FOUNDER_ID } from './peers.ts';
import { freePort } from './ports.ts';
import { serve, type ServedNode } from './serve.ts';
import { StoppableProxy } from './stoppable-proxy.ts';
import { temporaryDirectory, type Scope } from './temporary.ts';
import { until } from './wait.ts';

export type Kind = 'c' | 'ours';

/** The timing is that of the C nodes: an election comes 3 to 6 seconds after silence, and may come to nothing. */
const ELECTION_MS = 30_000;
const CATCH_UP_MS = 20_000;
const CRASH_MS = 5000;
/** C nodes that belong to no cluster yet have other ids. */
const FIRST_ID = 1001n;

export async function freeAddress(): Promise<string> {
  return `127.0.0.1:${await freePort()}`;
}

export class Member {
  readonly kind: Kind;
  readonly address: string;
  process: CNode | ServedNode;

  constructor(kind: Kind, process: CNode | ServedNode, address: string) {
    this.kind = kind;
    this.process = process;
    this.address = address;
  }

  /** The log of this process, for messages of failures. */
  get said(): string {
    const { stdout, stderr, process } = this.process.child;
    const { exitCode, signalCode } = process;
    const end = exitCode ?? signalCode;
    return `--- ${this.kind} ${this.address}${end === null ? '' : `, ended: ${end}`}\n${stdout}${stderr}`;
  }
}

export class MixedCluster {
  readonly members: Member[] = [];
  readonly base: string;
  readonly #scope: Scope;
  /** Options of nodes of ours. */
  readonly #args: readonly string[];
  #nextId = FIRST_ID;

  constructor(scope: Scope, args: readonly string[] = []) {
    this.#scope = scope;
    this.#args = args;
    this.base = temporaryDirectory(scope);
  }

  /** A cluster of these kinds, all of them voters; the first one has founded it and leads. */
  static async start(scope: Scope, kinds: readonly Kind[], args: readonly string[] = []): Promise<MixedCluster> {
    const cluster = new MixedCluster(scope, args);
    for (const kind of kinds) await cluster.join(kind);
    return cluster;
  }

  get addresses(): string[] {
    return this.members.map(({ address }) => address);
  }

  get admin(): Cluster {
    return administer({ servers: this.addresses, acquireTimeoutMs: ELECTION_MS });
  }

  /** Starts a node and makes it a voter of the cluster, or the founder of one. */
  async join(kind: Kind, at?: string): Promise<Member> {
    const address = at ?? (await freeAddress());
    const { base, members, addresses } = this;
    let member: Member;
    if (kind === 'c') {
      dataFolder(base, address);
      const node =
        members.length === 0
          ? await CNode.start(this.#scope, base, address)
          : await CNode.join(this.#scope, base, address, addresses);
      member = new Member(kind, node, address);
      if (members.length > 0) await this.#promote(address);
    } else {
      const id = members.length === 0 ? FOUNDER_ID : this.#nextId++;
      const node = await this.serve(id, address);
      if (members.length > 0) await this.admin.add({ id, address, role: 'voter' });
      member = new Member(kind, node, address);
    }
    members.push(member);
    await this.isVoter(address);
    return member;
  }

  /** Starts a node of ours in the folder of an address. */
  private serve(id: bigint, address: string, bind: string = address): Promise<ServedNode> {
    const directory = dataFolder(this.base, address);
    return serve(this.#scope, { directory, id, address, bind, args: this.#args });
  }

  /** Founds the cluster with a node of ours that all others, and clients, reach through a proxy. */
  async foundBehindProxy(): Promise<{ readonly member: Member; readonly proxy: StoppableProxy }> {
    const address = await freeAddress();
    const bind = await freeAddress();
    const proxy = await StoppableProxy.listen(this.#scope, address, bind);
    const member = new Member('ours', await this.serve(FOUNDER_ID, address, bind), address);
    this.members.push(member);
    return { member, proxy };
  }

  /** Waits until a server is a voter, in the eyes of the leader. */
  async isVoter(address: string): Promise<void> {
    await this.eventually(`${address} is a voter`, async () => (await this.#roleOf(address)) === 'voter');
  }

  async #roleOf(address: string): Promise<string | undefined> {
    return (await this.admin.servers()).find(server => server.address === address)?.role;
  }

  /** A C node stays a spare in a cluster of two, and otherwise makes itself a voter while it is asked to be one. */
  async #promote(address: string): Promise<void> {
    await this.eventually(`${address} becomes a voter`, async () => {
      const server = (await this.admin.servers()).find(one => one.address === address);
      if (server === undefined) return false;
      if (server.role !== 'voter') await this.admin.assign(server.id, 'voter');
      return true;
    });
  }

  /** Waits for what comes with time, also through elections. */
  async eventually(what: string, isSo: () => Promise<boolean>, deadlineMs: number = ELECTION_MS): Promise<void> {
    let last: unknown;
    try {
      await until(
        async () => {
          try {
            return await isSo();
          } catch (error) {
            // A member that lags may not have the database yet.
            if (!(error instanceof DqliteError || error instanceof Failure)) throw error;
            last = error;
            return false;
          }
        },
        what,
        deadlineMs,
      );
    } catch (error) {
      throw new Error(`${String(error)}\nlast: ${String(last)}\n${this.#said}`, { cause: error });
    }
  }

  get #said(): string {
    return this.members.map(member => member.said).join('');
  }

  async leader(): Promise<Member> {
    let found: Member | undefined;
    await this.eventually('a leader', async () => {
      const { address } = await this.admin.leader();
      found = this.members.find(member => member.address === address);
      return found !== undefined;
    });
    return found!;
  }

  async idOf({ address }: Member): Promise<bigint> {
    const servers = await this.admin.servers();
    const server = servers.find(one => one.address === address);
    assert.ok(server !== undefined, `${address} is a member`);
    return server.id;
  }

  /** Hands the leadership to a member. */
  async transfer(member: Member): Promise<void> {
    try {
      await this.admin.transfer(await this.idOf(member));
    } catch (error) {
      throw new Error(`${String(error)}, to ${member.kind}\n${this.#said}`, { cause: error });
    }
    assert.equal((await this.leader()).address, member.address);
  }

  /**
   * Makes another member the leader, by transfer or, if it comes to that, by an election: now and then Debian's node
   * dies of a segmentation fault when it hands over under load, also to another of its kind.
   */
  async handOver(from: Member, to: Member): Promise<void> {
    try {
      await this.admin.transfer(await this.idOf(to));
    } catch (error) {
      // The connection is lost a little before the end of the process is known.
      const isLost = error instanceof DqliteError && error.code === 'CONNECTION';
      if (from.kind !== 'c' || !isLost) throw error;
      const { signal } = await from.process.child.end(CRASH_MS);
      assert.equal(signal, 'SIGSEGV');
    }
    assert.notEqual(await this.leader(), from);
  }

  async remove(member: Member): Promise<void> {
    const id = await this.idOf(member);
    await this.eventually(`${member.address} is removed`, async () => {
      const isMember = (await this.admin.servers()).some(server => server.id === id);
      if (isMember) await this.admin.remove(id);
      return true;
    });
    await this.kill(member);
  }

  /** Ends a process as a power failure would. Its member stays in the configuration. */
  async kill(member: Member): Promise<void> {
    await member.process.kill();
    this.members.splice(this.members.indexOf(member), 1);
  }

  /** Kills a node of ours and starts it again. */
  async restart(member: Member): Promise<void> {
    const id = await this.idOf(member);
    await member.process.kill();
    member.process = await this.serve(id, member.address);
  }

  /** Ends a member's process and lets the other kind of node go on with its directory. */
  async exchange(member: Member): Promise<Member> {
    const servers = await this.admin.servers();
    const self = servers.find(({ address }) => address === member.address)!;
    await this.kill(member);
    const { id, address } = self;
    let process: CNode | ServedNode;
    if (member.kind === 'c') {
      process = await this.serve(id, address);
    } else {
      const folder = dataFolder(this.base, address);
      const roles = ['voter', 'standby', 'spare'];
      const list = servers.map(
        one => `- Address: ${one.address}\n  ID: ${one.id}\n  Role: ${roles.indexOf(one.role)}\n`,
      );
      writeFileSync(path.join(folder, 'info.yaml'), `Address: ${address}\nID: ${id}\nRole: 0\n`);
      writeFileSync(path.join(folder, 'cluster.yaml'), list.join(''));
      process = await CNode.join(this.#scope, this.base, address);
    }
    const successor = new Member(member.kind === 'c' ? 'ours' : 'c', process, address);
    this.members.push(successor);
    return successor;
  }

  /** A client that looks for the leader among the members of this moment. */
  async client(database: string, servers: readonly string[] = this.addresses): Promise<Client> {
    const db = await connect({ servers, database, acquireTimeoutMs: ELECTION_MS });
    this.#scope.after(() => db.close({ timeoutMs: 100 }));
    return db;
  }

  /** Waits until all members hold the same rows, and gives them as SQL. */
  async sameEverywhere(database: string): Promise<string> {
    const texts = new Map<string, string>();
    try {
      await this.eventually(
        `${database} is the same on all members`,
        async () => {
          for (const member of this.members) texts.set(member.address, await this.content(member, database));
          return new Set(texts.values()).size === 1;
        },
        CATCH_UP_MS,
      );
    } catch (error) {
      const shown = [...texts].map(
        ([address, text]) => `--- ${address}: ${text.length} characters\n${text.slice(0, 500)}`,
      );
      throw new Error(`${String(error)}\n${shown.join('\n')}`, { cause: error });
    }
    return [...texts.values()][0]!;
  }

  /** A database as SQL, from the files that this very member gives out, whole as `PRAGMA integrity_check` sees it. */
  async content({ address }: Member, database: string): Promise<string> {
    const connection = await Connection.connect(address);
    const answer = await connection.call({ kind: 'dump', name: new TextEncoder().encode(database) });
    connection.close();
    assert.ok(answer.kind === 'files', answer.kind);
    const folder = path.join(temporaryDirectory(this.#scope), 'dump');
    mkdirSync(folder);
    for (const { name, content } of answer.files) {
      writeFileSync(path.join(folder, new TextDecoder().decode(name)), content);
    }
    const { code, stdout, stderr } = await run(this.#scope, 'sqlite3', [path.join(folder, database)], {
      input: 'PRAGMA integrity_check;\n.dump\n',
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^ok\n/, `${database} on ${address}`);
    return stdout;
  }
}
