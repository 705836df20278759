/**
 * One client connection: takes requests, gives answers, strictly in order, one at a time (wire spec section 1.6 and
 * sections 3 to 5; where versions of dqlite differ, as 1.18.6 does).
 *
 * Pipelined requests wait in the connection. The one exception is an INTERRUPT right behind the running request: it
 * stops rows that are being sent and a write that waits for the lock, and then takes the place of their answer.
 */

import type { Clock, Connection } from '../host/types.ts';
import type { Writer } from '../lib/bytes.ts';
import { DecodeError } from '../lib/bytes.ts';
import { unreachable } from '../lib/assert.ts';
import type { Change, Configuration, RaftErrorCode, ServerId } from '../raft/index.ts';
import {
  bytesKey,
  noDatabase,
  noStatement,
  SqliteError,
  type Answer,
  type Engine,
  type RowSource,
  type Session,
} from '../engine/index.ts';
import {
  clientRole,
  decodeRequest,
  dqliteCode,
  encodeResponse,
  requestType,
  sqliteCode,
  UnsupportedRequestError,
  writeEmpty,
  writeFailure,
  writeResult,
  type Frame,
  type Request,
} from '../wire/index.ts';
import { DumpStream } from './dump.ts';
import { membershipFailure } from './membership.ts';
import { nameDefect } from './name.ts';
import type { ClientStream } from './stream.ts';

/** What a connection needs of the node that it belongs to. */
export interface GatewayNode {
  readonly engine: Engine;
  readonly clock: Clock;
  /** Response memory shared by all connections: a response is built and sent in one turn. */
  readonly writer: Writer;
  /** The leader as this node knows it, if it is a voter. */
  leader(): { readonly id: ServerId; readonly address: string } | undefined;
  configuration(): Configuration;
  change(change: Change, finished: (error: RaftErrorCode | undefined) => void): void;
  transfer(target: ServerId, finished: (error: RaftErrorCode | undefined) => void): void;
  /** A peer's connection: raft messages follow. */
  peerConnected(
    connection: Connection,
    peer: { readonly id: ServerId; readonly address: string },
  ): { received(bytes: Uint8Array): void; close(): void };
  weight: bigint;
  readonly failureDomain: bigint;
}

/** What dqlite answers to CLIENT; nothing enforces it. */
const HEARTBEAT_TIMEOUT_MS = 15_000;
/** Bytes of rows produced before the connection is looked at again. */
const PIECE_SIZE = 64 * 1024;
/** A response buffer that has grown beyond this is not kept. */
const MAX_KEPT_BUFFER = 1024 * 1024;

/**
 * Bytes sent that the client has not taken, above which nothing more is produced for it. Not less than what any
 * version of Node keeps before it promises a `drained`.
 */
const MAX_PENDING_BYTES = 64 * 1024;
/** Requests served in one turn. */
const REQUESTS_PER_TURN = 100;

/** An answer in several pieces: rows, or a dump. */
interface PieceSource {
  /** Whether an INTERRUPT may end it between two pieces. */
  readonly mayStop: boolean;
  fill(writer: Writer, size: number): boolean;
  close(): void;
}

export class Gateway implements Answer {
  readonly #inbound: ClientStream;
  readonly #node: GatewayNode;
  readonly #legacy: boolean;
  #session: Session | undefined = undefined;
  /** What is being sent piece by piece. */
  #source: PieceSource | undefined = undefined;
  /** The connection has to take what was sent before there is more. */
  #congested = false;
  /** The request that runs, for answers that depend on it. */
  #request: Request | undefined = undefined;
  #busy = false;
  #processing = false;
  #clientEnded = false;
  #gone = false;

  constructor(inbound: ClientStream, node: GatewayNode, legacy: boolean) {
    this.#inbound = inbound;
    this.#node = node;
    this.#legacy = legacy;
  }

  // --- Events of the connection ---------------------------------------------------------------------------------

  readable(): void {
    if (this.#busy) this.#lookForInterrupt();
    else this.#process();
  }

  drained(): void {
    if (!this.#congested) return;
    this.#congested = false;
    if (this.#source === undefined) this.#next();
    else this.#sendPiece(this.#source);
  }

  ended(): void {
    this.#clientEnded = true;
    this.#session?.withdraw();
    this.#process();
  }

  closed(): void {
    this.#gone = true;
    const source = this.#source;
    this.#source = undefined;
    source?.close();
    this.#session?.forget(noDatabase());
  }

  refused(message: string): void {
    writeFailure(this.#node.writer, TOO_BIG, message);
    this.#inbound.send(this.#node.writer);
    this.#inbound.finish();
  }

  // --- Requests -------------------------------------------------------------------------------------------------

  /** Serves requests until one has to wait. A loop: most are answered at once. */
  #process(): void {
    if (this.#processing) return;
    this.#processing = true;
    for (let served = 0; !this.#busy && !this.#gone; served++) {
      if (served === REQUESTS_PER_TURN) {
        this.#processing = false;
        this.#node.clock.defer(() => this.#process());
        return;
      }
      const frame = this.#inbound.next();
      if (frame === undefined) break;
      this.#setBusy(true);
      this.#serve(frame);
    }
    this.#processing = false;
    if (this.#busy) this.#lookForInterrupt();
    else if (this.#clientEnded && !this.#gone) this.#inbound.finish();
  }

  #setBusy(busy: boolean): void {
    this.#busy = busy;
    this.#inbound.busy = busy;
  }

  #serve(frame: Frame): void {
    if (frame.body.length === 0) {
      this.#answerFailure(dqliteCode.parse, 'a request must have a body');
      return;
    }
    let request: Request;
    try {
      request = decodeRequest(frame.type, frame.schema, frame.body);
    } catch (error) {
      if (error instanceof UnsupportedRequestError) this.#answerFailure(error.failure.code, error.failure.message);
      else if (error instanceof DecodeError) this.#inbound.drop();
      else throw error;
      return;
    }
    this.#request = request;
    this.#dispatch(request);
  }

  #dispatch(request: Request): void {
    const node = this.#node;
    switch (request.kind) {
      case 'leader': {
        const { id, address } = node.leader() ?? { id: 0n, address: '' };
        encodeResponse(node.writer, this.#legacy ? { kind: 'legacyServer', address } : { kind: 'server', id, address });
        return this.#answered();
      }
      case 'client':
        encodeResponse(node.writer, { kind: 'welcome', heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS });
        return this.#answered();
      case 'open':
        return this.#whenLeading(() => this.#open(request.name));
      case 'prepare':
      case 'execSql':
      case 'querySql':
      case 'exec':
      case 'query':
        return this.#whenLeading(() => this.#execute(request));
      case 'finalize':
        return this.#finalize(request.database, request.statement);
      case 'interrupt':
        writeEmpty(node.writer);
        return this.#answered();
      case 'connect':
        return this.#inbound.takeOver(connection =>
          node.peerConnected(connection, { id: request.id, address: request.address }),
        );
      case 'add':
        return node.change({ kind: 'add', id: request.id, address: request.address }, this.#membership);
      case 'assign':
        return this.#assign(request.id, request.role);
      case 'remove':
        return node.change({ kind: 'remove', id: request.id }, this.#membership);
      case 'transfer':
        return node.transfer(request.id, this.#membership);
      case 'dump':
        return this.#dump(request.name);
      case 'cluster':
        return this.#cluster(request.format);
      case 'describe':
        if (request.format !== 0) return this.#answerFailure(sqliteCode.protocol, 'bad format version');
        encodeResponse(node.writer, { kind: 'metadata', failureDomain: node.failureDomain, weight: node.weight });
        return this.#answered();
      case 'weight':
        node.weight = request.weight;
        writeEmpty(node.writer);
        return this.#answered();
      case 'heartbeat':
        // Not served: `decodeRequest` has refused it.
        return this.#answerFailure(dqliteCode.parse, 'unrecognized request type');
      default:
        return unreachable(request);
    }
  }

  /** Runs work that needs the leader, once it is known whether this node leads. */
  #whenLeading(work: () => void): void {
    const { engine } = this.#node;
    if (engine.isReady) return work();
    engine.whenReady(() => {
      if (this.#gone) return;
      const refusal = engine.refusal();
      if (refusal === undefined) work();
      else this.failed(refusal);
    });
  }

  #open(name: Uint8Array): void {
    if (this.#openSession() !== undefined) {
      return this.#answerFailure(sqliteCode.busy, 'a database for this connection is already open');
    }
    const defect = nameDefect(name);
    if (defect !== undefined) return this.#answerFailure(CANNOT_OPEN, defect);
    this.#session = this.#node.engine.open(bytesKey(name));
    encodeResponse(this.#node.writer, { kind: 'db', database: 0 });
    return this.#answered();
  }

  /** The session, unless the server has ended it (leadership lost): then the client must OPEN again. */
  #openSession(): Session | undefined {
    if (this.#session?.closed === true) this.#session = undefined;
    return this.#session;
  }

  #execute(request: Extract<Request, { kind: 'prepare' | 'exec' | 'query' | 'execSql' | 'querySql' }>): void {
    const session = request.database === 0 ? this.#openSession() : undefined;
    if (session === undefined) return this.failed(noDatabase());
    switch (request.kind) {
      case 'exec':
      case 'query': {
        const prepared = session.prepared(request.statement);
        if (prepared === undefined) return this.failed(noStatement());
        const { parameters } = request;
        const { sql, key } = prepared;
        return session.execute({ mode: request.kind, sql, key, parameters, mayHaveTail: false }, this);
      }
      case 'execSql':
      case 'querySql': {
        const { sql, parameters } = request;
        const mode = request.kind === 'execSql' ? 'script' : 'query';
        return session.execute({ mode, sql, key: bytesKey(sql), parameters, mayHaveTail: false }, this);
      }
      case 'prepare': {
        const { maxStatements } = this.#node.engine.options;
        if (session.preparedCount >= maxStatements) {
          const message = `this connection has ${maxStatements} prepared statements (maxStatements): finalize some`;
          return this.#answerFailure(sqliteCode.error, message);
        }
        const { sql } = request;
        const mayHaveTail = request.schema === 1;
        return session.execute({ mode: 'prepare', sql, key: bytesKey(sql), parameters: undefined, mayHaveTail }, this);
      }
    }
  }

  #finalize(database: number, statement: number): void {
    const session = database === 0 ? this.#openSession() : undefined;
    if (session === undefined) return this.failed(noDatabase());
    try {
      session.finalize(statement);
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      return this.failed(error);
    }
    writeEmpty(this.#node.writer);
    return this.#answered();
  }

  #assign(id: ServerId, code: number | undefined): void {
    const role = code === undefined ? 'voter' : ROLES[code];
    // dqlite takes any other number for standby, by a slip.
    if (role === undefined) return this.#membership('badRole');
    return this.#node.change({ kind: 'assign', id, role }, this.#membership);
  }

  readonly #membership = (error: RaftErrorCode | undefined): void => {
    if (this.#gone) return;
    if (error === undefined) {
      writeEmpty(this.#node.writer);
    } else {
      const { code, message } = membershipFailure(error);
      writeFailure(this.#node.writer, code, message);
    }
    this.#answered();
  };

  #cluster(format: number): void {
    const { writer } = this.#node;
    const { servers } = this.#node.configuration();
    if (format === 0) {
      encodeResponse(writer, { kind: 'serversV0', servers: servers.map(({ id, address }) => ({ id, address })) });
    } else if (format === 1) {
      const withRoles = servers.map(({ id, address, role }) => ({ id, address, role: clientRole[role] }));
      encodeResponse(writer, { kind: 'servers', servers: withRoles });
    } else {
      return this.#answerFailure(dqliteCode.parse, 'unrecognized cluster format');
    }
    return this.#answered();
  }

  #dump(name: Uint8Array): void {
    const image = this.#node.engine.image(bytesKey(name));
    if (image === undefined) return this.#answerFailure(dqliteCode.notFound, 'database does not exists');
    const source = new DumpStream(image);
    this.#source = source;
    return this.#sendPiece(source);
  }

  // --- Answers --------------------------------------------------------------------------------------------------

  prepared(parameterCount: number, tail: number): void {
    const request = this.#request;
    const session = this.#openSession();
    if (request?.kind !== 'prepare') return;
    if (session === undefined) return this.failed(noDatabase());
    // A copy: the view would keep everything that arrived with it.
    const sql = new Uint8Array(request.sql.subarray(0, tail));
    const statement = session.addPrepared({ sql, key: bytesKey(sql) });
    const tailOffset = request.schema === 1 ? tail : undefined;
    encodeResponse(this.#node.writer, { kind: 'stmt', database: 0, statement, parameterCount, tailOffset });
    this.#answered();
  }

  result(lastInsertId: bigint, changes: number): void {
    writeResult(this.#node.writer, lastInsertId, changes);
    this.#answered();
  }

  failed(error: SqliteError): void {
    this.#answerFailure(error.code, error.message);
  }

  rows(source: RowSource): void {
    if (this.#gone) return source.close();
    const { writer } = this.#node;
    this.#source = source;
    const done = this.#fill(source);
    // Until the gate opens, the first piece is kept here: the writer belongs to everybody.
    let held: Uint8Array | undefined = undefined;
    let isOpen = false;
    source.gate(error => {
      isOpen = true;
      if (this.#source !== source) return; // interrupted, or the client has gone
      if (error !== undefined) {
        writer.clear();
        this.#source = undefined;
        source.close();
        this.failed(error);
        return;
      }
      if (held !== undefined) writer.raw(held);
      this.#pieceReady(source, done);
    });
    if (isOpen) return;
    held = writer.copy();
    writer.clear();
  }

  /** Fills the writer from a source; an error becomes the last message. */
  #fill(source: PieceSource): boolean {
    const { writer } = this.#node;
    try {
      return source.fill(writer, PIECE_SIZE);
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      writeFailure(writer, error.code, error.message);
      return true;
    }
  }

  #sendPiece(source: PieceSource): void {
    if (this.#source === source) this.#pieceReady(source, this.#fill(source));
  }

  /** The writer holds the next piece. The one after it comes when the connection has taken this, and others had their turn. */
  #pieceReady(source: PieceSource, done: boolean): void {
    this.#inbound.send(this.#node.writer);
    if (done) {
      this.#source = undefined;
      source.close();
      return this.#answered();
    }
    if (this.#inbound.pendingBytes >= MAX_PENDING_BYTES) this.#congested = true;
    else this.#node.clock.defer(() => this.#sendPiece(source));
  }

  #answerFailure(code: number, message: string): void {
    writeFailure(this.#node.writer, code, message);
    this.#answered();
  }

  /** The writer holds the answer, or its end: send it and go on with what the client has sent meanwhile. */
  #answered(): void {
    const { writer } = this.#node;
    if (this.#gone) {
      writer.clear();
      return;
    }
    this.#inbound.send(writer);
    if (writer.bytes.length > MAX_KEPT_BUFFER) writer.renew();
    this.#request = undefined;
    // A client that does not read is not served: its answers would pile up here.
    if (this.#inbound.pendingBytes >= MAX_PENDING_BYTES) this.#congested = true;
    else this.#next();
  }

  #next(): void {
    this.#setBusy(false);
    this.#inbound.regulate();
    this.#process();
  }

  /** An INTERRUPT right behind the running request stops it, if it can be stopped, and is answered in its place. */
  #lookForInterrupt(): void {
    if (this.#inbound.peek()?.type !== requestType.interrupt) return;
    const source = this.#source;
    if (source !== undefined) {
      if (!source.mayStop) return;
      this.#source = undefined;
      this.#congested = false;
      source.close();
    } else if (this.#session?.interrupt() !== 'stopped') {
      return;
    }
    // The INTERRUPT itself answers EMPTY, once, for both.
    this.#setBusy(false);
    this.#process();
  }
}

const TOO_BIG = 18;
const CANNOT_OPEN = 14;

/** By the numbers of the client protocol. */
const ROLES = ['voter', 'standby', 'spare'] as const;
