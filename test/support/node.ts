/**
 * A real node of one voter in this process: its own directory, a free port, and a view of its inside that no client
 * has. Whoever starts one says when it ends (`t.after`, `after`); then it must be quiet: nothing of a client is left.
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { defaultEngineOptions, Engine, type Database, type EngineOptions } from '../../src/engine/index.ts';
import type { Logger } from '../../src/host/types.ts';
import { Node, type NodeOptions } from '../../src/node/index.ts';
import { Connection, type ConnectOptions } from './connection.ts';
import { TestHost } from './host.ts';
import { until, within } from './wait.ts';

/** What C dqlite's examples were captured from, so that answers are byte-identical. */
export const NODE_ID = 0x2dc171858c3155ben;
export const NODE_ADDRESS = '127.0.0.1:19001';

const MIB = 1024 * 1024;

/** Limits that a test can reach. */
export const smallLimits: EngineOptions = {
  ...defaultEngineOptions,
  maxStepMs: 300,
  maxSpoolBytes: MIB,
  maxRowBytes: 4 * MIB,
  maxVacuumBytes: 4 * MIB,
  sqlite: {
    maxValueBytes: 2 * MIB,
    maxTransactionBytes: 4 * MIB,
    heapBytes: 48 * MIB,
    tempBytesPerConnection: 8 * MIB,
    tempBytes: 32 * MIB,
    cacheKib: 256,
  },
};

interface LogRecord {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

export interface StartOptions extends Partial<Omit<NodeOptions, 'host' | 'logger'>> {
  /** Errors that are logged do not fail the test. */
  readonly expectErrors?: boolean;
}

export class TestNode {
  readonly node: Node;
  readonly engine: Engine;
  readonly host: TestHost;
  readonly directory: string;
  readonly log: LogRecord[];
  readonly #connections: Connection[] = [];
  readonly #expectErrors: boolean;
  #isTemporary: boolean;

  private constructor(
    node: Node,
    engine: Engine,
    host: TestHost,
    directory: string,
    log: LogRecord[],
    expectErrors: boolean,
    isTemporary: boolean,
  ) {
    this.node = node;
    this.engine = engine;
    this.host = host;
    this.directory = directory;
    this.log = log;
    this.#expectErrors = expectErrors;
    this.#isTemporary = isTemporary;
  }

  static async start({ expectErrors = false, ...options }: StartOptions = {}): Promise<TestNode> {
    const directory = options.directory ?? (await mkdtemp(path.join(tmpdir(), 'dqlite-protocol-')));
    const host = new TestHost();
    const log: LogRecord[] = [];
    const create = Engine.create;
    let engine: Engine | undefined;
    // The node keeps its engine to itself; it is caught while it is made.
    Engine.create = async (...list) => {
      Engine.create = create;
      engine = await create.apply(Engine, list);
      return engine;
    };
    const node = await Node.start({
      id: NODE_ID,
      address: NODE_ADDRESS,
      bind: '127.0.0.1:0',
      onFailure: error => log.push({ level: 'fatal', fields: { error }, message: 'the node failed' }),
      ...options,
      directory,
      host,
      logger: recorder(log),
    });
    return new TestNode(node, engine!, host, directory, log, expectErrors, options.directory === undefined);
  }

  get address(): string {
    return this.node.boundAddress;
  }

  /** A connection that has said which protocol it speaks. */
  async raw(options?: ConnectOptions): Promise<Connection> {
    const connection = await Connection.connect(this.address, options);
    this.#connections.push(connection);
    return connection;
  }

  /** A connection with a database. */
  async connect(database: string, options?: ConnectOptions): Promise<Connection> {
    const connection = await this.raw(options);
    await connection.open(database);
    return connection;
  }

  /** Several of them. */
  async connectMany(database: string, count: number): Promise<Connection[]> {
    const connections: Connection[] = [];
    for (let i = 0; i < count; i++) connections.push(await this.connect(database));
    return connections;
  }

  database(name: string): Database {
    const database = this.engine.databases.get(name);
    assert.ok(database !== undefined, `database ${name}`);
    return database;
  }

  /** Waits until the node has noticed that clients are gone. */
  connectionCount(count: number, deadlineMs?: number): Promise<void> {
    return until(() => this.node.metrics().connections === count, `${count} connections`, deadlineMs);
  }

  /** Waits until so many writes wait for the lock of a database. */
  queued(name: string, count: number): Promise<void> {
    return until(() => this.database(name).lock.waiting === count, `${count} queued writes`);
  }

  errors(): LogRecord[] {
    return this.log.filter(({ level }) => level === 'error' || level === 'fatal');
  }

  /** All clients leave; nothing of them may be left. */
  async quiet(): Promise<void> {
    this.host.files.release();
    for (const connection of this.#connections) connection.close();
    this.#connections.length = 0;
    await this.connectionCount(0);
    const { engine } = this;
    for (const { store, key } of engine.databases.values()) {
      await until(() => store.newest === store.committed, `all of ${key} committed`);
      await until(() => !store.hasPending, `old versions of ${key} recycled`);
    }
    for (const { store, key, lock, sessions } of engine.databases.values()) {
      assert.equal(lock.owner, undefined, `the write lock of ${key} is free`);
      assert.equal(lock.waiting, 0, `nobody waits for the write lock of ${key}`);
      assert.equal(sessions.size, 0, `nobody uses ${key}`);
      assert.equal(store.retainedImages, 0, `old versions of ${key} are recycled`);
    }
    const { sqlite } = engine;
    assert.equal(sqlite.tempBudget.used, 0, 'temporary files are empty');
    // Each connection that is kept for reads has its main file open, and nothing else.
    assert.equal(sqlite.vfs.openFiles, sqlite.connections.size, 'temporary files are closed');
    assert.equal(sqlite.vfs.defect, undefined, 'no callback failed');
  }

  /** Ends the node, which must have been quiet and well. */
  async close(): Promise<void> {
    try {
      await this.quiet();
    } finally {
      await within(this.node.close(), 'the end of the node');
      if (this.#isTemporary) await rm(this.directory, { recursive: true, force: true });
    }
    if (!this.#expectErrors) assert.deepEqual(this.errors(), []);
  }

  /** Ends the node as it is and starts another one on its directory. */
  async restart(options: StartOptions = {}): Promise<TestNode> {
    await this.quiet();
    await within(this.node.close(), 'the end of the node');
    const again = await TestNode.start({ ...options, directory: this.directory });
    again.#isTemporary = this.#isTemporary;
    return again;
  }
}

function recorder(log: LogRecord[]): Logger {
  const at = (level: string) => (fields: object, message: string) => {
    log.push({ level, fields, message });
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), fatal: at('fatal') };
}

/** The next step of any statement fails as a trap in WebAssembly does. */
export function breakSqlite({ engine }: TestNode): void {
  const { sqlite } = engine;
  const trap = new Error('unreachable');
  trap.name = 'RuntimeError';
  const exports = Object.create(sqlite.exports, {
    sqlite3_step: {
      value: () => {
        throw trap;
      },
    },
  }) as typeof sqlite.exports;
  Object.assign(sqlite, { exports });
}
