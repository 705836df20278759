/**
 * A server that speaks the protocol and does what a test tells it, to bring a client into situations that a real one
 * gets into once in a year.
 */

import { once } from 'node:events';
import net from 'node:net';
import { encodeUtf8, Writer } from '../../src/lib/bytes.ts';
import {
  decodeRequest,
  encodeResponse,
  FrameParser,
  valueType,
  writeColumns,
  writeRow,
  writeRowsEnd,
  beginMessage,
  endMessage,
  responseType,
  type Request,
  type Response,
} from '../../src/wire/index.ts';

/** What to do with a request: answer, say nothing, or close the connection. */
/** `endless`: rows as fast as the client takes them. */
export type Reaction =
  | Response
  | 'silence'
  | 'hang up'
  | 'garbage'
  | 'endless'
  | 'default'
  | { readonly rows: readonly number[] };

export const notLeader: Response = { kind: 'failure', code: 10250, message: 'not leader' };
export const leadershipLost: Response = { kind: 'failure', code: 10506, message: 'disk I/O error' };
export const busy: Response = { kind: 'failure', code: 5, message: 'database is locked' };

const result: Response = { kind: 'result', lastInsertId: 0n, rowsAffected: 0 };

function writeNumbers(writer: Writer, numbers: readonly number[], done: boolean): void {
  const start = beginMessage(writer, responseType.rows);
  writeColumns(writer, [encodeUtf8('x')]);
  for (const number of numbers) writeRow(writer, [{ type: valueType.integer, value: BigInt(number) }]);
  writeRowsEnd(writer, done);
  endMessage(writer, start);
}

export class FakeServer {
  readonly address: string;
  /** Who it says leads. */
  leader: string;
  /** Decides about requests; `default` leaves it to the usual. */
  react: (request: Request, sql: string) => Reaction = () => 'default';
  /** The members it names; itself if none. */
  members: readonly string[] = [];
  /** What was asked, connection by connection together. */
  readonly requests: { readonly kind: string; readonly sql: string }[] = [];
  /** Bytes of endless rows. */
  streamedBytes = 0;
  readonly #streaming = new Set<net.Socket>();
  readonly #server: net.Server;
  readonly sockets: Set<net.Socket> = new Set();

  private constructor(server: net.Server, address: string) {
    this.#server = server;
    this.address = address;
    this.leader = address;
    server.on('connection', socket => this.#accept(socket));
  }

  static async start(): Promise<FakeServer> {
    const server = net.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FakeServer(server, `127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  }

  get connections(): number {
    return this.sockets.size;
  }

  /** The statements that came, without those of the pool itself. */
  statements(): string[] {
    return this.requests.filter(({ sql }) => sql !== '').map(({ sql }) => sql);
  }

  hangUp(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.hangUp();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  #accept(socket: net.Socket): void {
    this.sockets.add(socket);
    const parser = new FrameParser(2 ** 24);
    let greeted = false;
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', bytes => {
      parser.push(bytes);
      greeted ||= parser.handshake() !== undefined;
      for (let frame = parser.next(); frame !== undefined && !socket.destroyed; frame = parser.next()) {
        this.#serve(socket, decodeRequest(frame.type, frame.schema, frame.body));
      }
    });
  }

  #serve(socket: net.Socket, request: Request): void {
    const sql = 'sql' in request ? new TextDecoder().decode(request.sql) : '';
    this.requests.push({ kind: request.kind, sql });
    const chosen = this.react(request, sql);
    const reaction = chosen === 'default' ? this.#usual(request) : chosen;
    if (reaction === 'hang up') return void socket.destroy();
    if (reaction === 'silence') return;
    if (reaction === 'endless') return this.#stream(socket);
    if (request.kind === 'interrupt') this.#streaming.delete(socket);
    const writer = new Writer();
    if (reaction === 'garbage') writer.raw(new Uint8Array([1, 0, 0, 0, 99, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]));
    else if ('rows' in reaction) writeNumbers(writer, reaction.rows, true);
    else encodeResponse(writer, reaction);
    socket.write(writer.copy());
  }

  #stream(socket: net.Socket): void {
    const writer = new Writer();
    writeNumbers(
      writer,
      Array.from({ length: 1000 }, (_, i) => i),
      false,
    );
    const message = writer.copy();
    this.#streaming.add(socket);
    const more = (): void => {
      if (!this.#streaming.has(socket) || socket.destroyed) return;
      this.streamedBytes += message.length;
      // A turn later: an INTERRUPT must have a chance.
      if (socket.write(message)) setImmediate(more);
      else socket.once('drain', more);
    };
    more();
  }

  #usual(request: Request): Response | { readonly rows: readonly number[] } {
    switch (request.kind) {
      case 'leader':
        return { kind: 'server', id: 1n, address: this.leader };
      case 'client':
        return { kind: 'welcome', heartbeatTimeoutMs: 15_000 };
      case 'open':
        return { kind: 'db', database: 0 };
      case 'cluster': {
        const members = this.members.length > 0 ? this.members : [this.address];
        return { kind: 'servers', servers: members.map((address, i) => ({ id: BigInt(i + 1), address, role: 0 })) };
      }
      case 'query':
      case 'querySql':
        return { rows: [1] };
      case 'exec':
      case 'execSql':
        return result;
      default:
        return { kind: 'empty' };
    }
  }
}
