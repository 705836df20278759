/** A dqlite node: opens its data directory, serves clients, replicates. The wiring of all layers. */

import {
  FileError,
  nodeHost,
  silentLogger,
  type Connection,
  type ConnectionHandlers,
  type Host,
  type Logger,
} from '../host/index.ts';
import { uint32At, Writer } from '../lib/bytes.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import { Engine } from '../engine/index.ts';
import { Gateway, RefusingHandler, type GatewayNode } from '../gateway/index.ts';
import { Log } from '../log/index.ts';
import { Acceptor, Peers } from '../net/index.ts';
import { findServer, Raft, type Configuration, type Peer, type Role, type ServerId } from '../raft/index.ts';
import { FOUNDER_IDS, checkConfiguration, checkInfoFile, writeIdFile } from './identity.ts';
import { checkOptions, engineOptionsOf, type NodeOptions } from './options.ts';
import { EventStream } from './event-stream.ts';
import { Replica, type ReplicaEvent } from './replica.ts';

const DEFAULT_HEARTBEAT_MS = 500;
const DEFAULT_ELECTION_TIMEOUT_MS = 3000;
const HEARTBEAT_PER_LATENCY = 1.5;
const ELECTION_TIMEOUT_PER_LATENCY = 15;
const PEER_CONNECT_MS = 3000;
const DEFAULT_TRAILING = 8192;
const DEFAULT_MAX_CONNECTIONS = 10_000;
const MIB = 1024 * 1024;
const DEFAULT_MAX_REQUEST_BYTES = 256 * MIB;
const DEFAULT_MAX_BUFFERED_BYTES = 512 * MIB;

/** What happens to a node: its role in raft, who leads, who belongs to the cluster. */
export type NodeEvent = ReplicaEvent;

export class Node {
  readonly id: ServerId;
  readonly address: string;
  /** Where the node listens. */
  readonly boundAddress: string;
  readonly #engine: Engine;
  readonly #replica: Replica;
  readonly #raft: Raft;
  readonly #log: Log;
  readonly #acceptor: Acceptor;
  readonly #events: EventStream<NodeEvent>;
  #closing: Promise<void> | undefined = undefined;

  /**
   * Starts a node. Resolves when it accepts connections; the only voter of a cluster leads by then. Rejects with
   * DqliteError: USAGE for wrong options, DAMAGED, LOCKED, CONFIGURATION, IO, UNSUPPORTED.
   */
  static async start(options: NodeOptions): Promise<Node> {
    checkOptions(options);
    const host = options.host ?? nodeHost();
    const logger = options.logger ?? silentLogger;
    const { clock, files, random } = host;
    const self = { id: options.id, address: options.address };
    const log = await Log.open({ files, clock, directory: options.directory, logger });
    try {
      await checkInfoFile(files, options.directory, self);
      if (log.isNew) {
        // The address stays in the directory for good: one that cannot be listened on must not get there.
        await tryAddress(host, options.bind ?? options.address);
        if (FOUNDER_IDS.includes(self.id)) await log.bootstrap({ servers: [{ ...self, role: 'voter' }] });
        else await writeIdFile(files, options.directory, self);
      }
      const state = await log.loadState();
      const { leases = true, logCacheBytes } = options;
      const cache = logCacheBytes === undefined ? {} : { maxCacheBytes: logCacheBytes };
      const raft = new Raft({ ...self, ...timing(options), leases, ...cache, seed: seedOf(host) }, state);
      await checkConfiguration(files, options.directory, self, raft.configuration);
      const environment = {
        wallMs: () => clock.wallMs(),
        monotonicMs: () => clock.monotonicMs(),
        fillRandom: (bytes: Uint8Array) => random.fill(bytes),
        sameBytes: host.sameBytes,
      };
      const engine = await Engine.create(engineOptionsOf(options.engine), clock, environment, logger);
      if (log.snapshot !== undefined) await log.readSnapshot(engine.restorer());
      return await Node.#assemble(options, host, logger, log, raft, engine);
    } catch (error) {
      // What went wrong first is what must be told.
      await log.close().catch(() => {});
      if (!(error instanceof FileError)) throw error;
      throw new DqliteError('IO', `${options.directory} cannot be used: ${error.message}`, { cause: error });
    }
  }

  static async #assemble(
    options: NodeOptions,
    host: Host,
    logger: Logger,
    log: Log,
    raft: Raft,
    engine: Engine,
  ): Promise<Node> {
    let node: Node | undefined;
    let refuseStart: (error: unknown) => void = () => {};
    const startRefused = new Promise<never>((_resolve, reject) => (refuseStart = reject));
    startRefused.catch(() => {});
    const failed = (error: unknown): void => {
      refuseStart(error);
      if (node === undefined) return;
      logger.fatal({ error }, 'the node stops');
      options.onFailure?.(error);
      // The owner may call it too, and is told then.
      node
        .close()
        .catch((reason: unknown) => logger.error({ error: messageOf(reason) }, 'the node did not end cleanly'));
    };
    const events = new EventStream<NodeEvent>();
    const self = { id: options.id, address: options.address };
    const makePeers = (handler: Replica): Peers =>
      new Peers(
        {
          net: host.net,
          clock: host.clock,
          logger,
          self,
          connectTimeoutMs: PEER_CONNECT_MS,
          allocate: size => engine.entryBuffers.take(size),
        },
        {
          message: (from, message) => handler.received(from, message),
          snapshot: (from, message, size) => handler.snapshotOffered(from, message, size),
          unreachable: peer => handler.unreachable(peer),
          isMember: peer => handler.isMember(peer),
        },
      );
    const replica = new Replica(raft, log, engine, {
      clock: host.clock,
      logger,
      ...timing(options),
      peers: makePeers,
      dedicatedThread: options.dedicatedThread ?? false,
      flush: () => host.net.flush(),
      onEvent: event => events.emit(event),
      snapshotThreshold: options.snapshotThreshold ?? 0,
      snapshotTrailing: options.snapshotTrailing ?? DEFAULT_TRAILING,
      failed,
    });
    engine.start(replica);
    const services = gatewayNode(options, host, raft, replica, engine);
    const acceptor = new Acceptor({
      net: host.net,
      clock: host.clock,
      maxConnections: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
      maxRequestBytes: options.maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES,
      maxBufferedBytes: options.maxBufferedBytes ?? DEFAULT_MAX_BUFFERED_BYTES,
      handler: (inbound, legacy) => new Gateway(inbound, services, legacy),
      refuse: (inbound, reason) => new RefusingHandler(inbound, services, reason),
    });
    replica.start();
    try {
      if (raft.isOnlyVoter) {
        await Promise.race([new Promise<void>(resolve => engine.whenReady(resolve)), startRefused]);
      }
      const bound = await acceptor.listen(options.bind ?? options.address);
      await Promise.race([startRefused, Promise.resolve()]);
      node = new Node(options, bound, engine, replica, raft, log, acceptor, events);
      return node;
    } catch (error) {
      engine.close();
      await acceptor.close();
      await replica.stop();
      throw error;
    }
  }

  private constructor(
    options: NodeOptions,
    bound: string,
    engine: Engine,
    replica: Replica,
    raft: Raft,
    log: Log,
    acceptor: Acceptor,
    events: EventStream<NodeEvent>,
  ) {
    this.#events = events;
    this.id = options.id;
    this.address = options.address;
    this.boundAddress = bound;
    this.#engine = engine;
    this.#replica = replica;
    this.#raft = raft;
    this.#log = log;
    this.#acceptor = acceptor;
  }

  /** Whether this node leads and serves SQL. */
  get isLeader(): boolean {
    return this.#engine.isLeading;
  }

  /** The leader, as far as this node knows. */
  get leader(): Peer | undefined {
    return this.#raft.leader;
  }

  /** This node's part in the cluster; undefined: it is no member (yet, or any more). */
  get role(): Role | undefined {
    return findServer(this.#raft.configuration, this.id)?.role;
  }

  /** Changes of role, leader and configuration from this call on. */
  events(): AsyncIterableIterator<NodeEvent> {
    return this.#events.listen();
  }

  /**
   * Hands leadership to another voter, if this node leads and there is one: before a planned stop, so that clients
   * hardly notice. What was begun is committed first. Resolves with whether another node leads now.
   */
  handover(): Promise<boolean> {
    if (this.#raft.role !== 'leader' || this.#raft.isOnlyVoter) return Promise.resolve(false);
    return new Promise(resolve => this.#replica.transfer(0n, error => resolve(error === undefined)));
  }

  get configuration(): Configuration {
    return this.#raft.configuration;
  }

  /** Figures of this moment. */
  metrics(): NodeMetrics {
    const { slabs, sqlite } = this.#engine;
    return {
      connections: this.#acceptor.connectionCount,
      databases: this.#engine.databases.size,
      commitIndex: this.#raft.commitIndex,
      pageBytes: slabs.used * 4096,
      pageBytesHeld: slabs.heldBytes,
      sqliteHeapBytes: sqlite.heap.size,
      sqliteConnections: sqlite.connections.size,
      tempBytes: sqlite.tempBudget.used,
    };
  }

  /** Stops cleanly: what was answered is on disk, the directory and the address are free. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#events.end();
    await this.#replica.stop();
    this.#engine.close();
    await this.#acceptor.close();
    await this.#log.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export interface NodeMetrics {
  readonly connections: number;
  readonly databases: number;
  readonly commitIndex: number;
  /** Bytes of page images in use, and held from the system. */
  readonly pageBytes: number;
  readonly pageBytesHeld: number;
  /** The heap of the SQL engine, which never shrinks. */
  readonly sqliteHeapBytes: number;
  readonly sqliteConnections: number;
  /** Bytes of temporary files. */
  readonly tempBytes: number;
}

function timing({ latencyMs }: NodeOptions): { heartbeatMs: number; electionTimeoutMs: number } {
  return latencyMs === undefined
    ? { heartbeatMs: DEFAULT_HEARTBEAT_MS, electionTimeoutMs: DEFAULT_ELECTION_TIMEOUT_MS }
    : { heartbeatMs: latencyMs * HEARTBEAT_PER_LATENCY, electionTimeoutMs: latencyMs * ELECTION_TIMEOUT_PER_LATENCY };
}

function seedOf({ random }: Host): number {
  const bytes = new Uint8Array(4);
  random.fill(bytes);
  return uint32At(bytes, 0);
}

/** Rejects with DqliteError if an address cannot be listened on now. */
async function tryAddress({ net }: Host, address: string): Promise<void> {
  const refuse = (connection: Connection): ConnectionHandlers => {
    connection.destroy();
    return { received() {}, drained() {}, ended() {}, closed() {} };
  };
  const listener = await net.listen(address, refuse);
  await listener.close();
}

function gatewayNode(options: NodeOptions, host: Host, raft: Raft, replica: Replica, engine: Engine): GatewayNode {
  return {
    engine,
    clock: host.clock,
    writer: new Writer(64 * 1024),
    leader: () => (findServer(raft.configuration, raft.id)?.role === 'voter' ? raft.leader : undefined),
    configuration: () => raft.configuration,
    change: (change, finished) => replica.change(change, finished),
    transfer: (target, finished) => replica.transfer(target, finished),
    peerConnected: (connection, peer) => replica.accept(connection, peer),
    weight: 0n,
    failureDomain: options.failureDomain ?? 0n,
  };
}
