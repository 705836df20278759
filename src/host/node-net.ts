/** `Net` over TCP and, on Linux, abstract Unix sockets. */

import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { DqliteError } from '../lib/errors.ts';
import { parseAddress, type ParsedAddress } from './address.ts';
import { Outbox, type OutboxMember } from './outbox.ts';
import { codeOf, systemText } from './system-text.ts';
import type { Connection, ConnectionHandlers, Listener, Net } from './types.ts';

/**
 * Connections that wait to be accepted. C dqlite has 128; when all clients of a node come back at once, those beyond
 * lose seconds to retransmissions. The system may cap it.
 */
const BACKLOG = 4096;
/** A machine that is gone without a word is found out this long after the last that was heard of it, and ten seconds. */
const KEEP_ALIVE_MS = 60_000;
const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
/** A client that has sent its last request may close its side and still read the answers. */
const ACCEPT_OPTIONS = { allowHalfOpen: true, ...SOCKET_OPTIONS };
/** What any connection reads into. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);
/** Bytes of an abstract name without the leading NUL. */
const ABSTRACT_NAME_SIZE = 107;
const NODE_MAJOR = Number(process.versions.node.split('.')[0]);

const LISTEN_HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'choose another address, or stop the process that has this one',
  EADDRNOTAVAIL:
    'this machine has no such address: choose one that it has; serve --bind says where to listen if that differs',
  ENOTFOUND: 'the name is not known here: correct it, or write the IP address',
  EACCES: 'ports below 1024 are for root: choose a higher one',
};

class NodeConnection implements Connection, OutboxMember {
  readonly peer: string;
  readonly #socket: net.Socket;
  readonly #outbox: Outbox;
  /** Bytes in the outbox. */
  #waitingBytes = 0;
  #isHeld = false;
  #drained: () => void = () => {};
  #received: (bytes: Uint8Array) => void = () => {};
  /**
   * Node's own drain event comes only after a write beyond its high-water mark. Of writes that failed it tells while
   * the socket is not destroyed yet: who sent more then would be told again, within the same turn, without end.
   */
  readonly #written = (error?: Error | null): void => {
    if (error || !this.#isHeld || this.#socket.writableLength > 0 || this.#socket.destroyed) return;
    this.#isHeld = false;
    this.#drained();
  };

  constructor(socket: net.Socket, peer: string, outbox: Outbox) {
    this.#socket = socket;
    this.peer = peer;
    this.#outbox = outbox;
  }

  attach(handlers: ConnectionHandlers): void {
    const socket = this.#socket;
    let failure: Error | undefined;
    this.#received = bytes => handlers.received(bytes);
    socket.on('data', (bytes: Buffer) => this.#received(bytes));
    this.#drained = () => handlers.drained();
    socket.on('end', () => handlers.ended());
    socket.on('error', error => {
      failure = error;
    });
    socket.on('close', () => handlers.closed(failure));
  }

  /** Bytes that come by way of `intoOneBuffer`. */
  received(bytes: Uint8Array): void {
    this.#received(bytes);
  }

  get pendingBytes(): number {
    return this.#socket.writableLength + this.#waitingBytes;
  }

  send(bytes: Uint8Array): boolean {
    if (this.#socket.destroyed) return true;
    if (!this.#isHeld && this.#outbox.accepts(bytes.length, this.#waitingBytes > 0)) {
      this.#outbox.add(this, bytes); // first: it may have to hand over what waits
      this.#waitingBytes += bytes.length;
      return true;
    }
    if (this.#waitingBytes > 0) this.#outbox.flush();
    return this.writeNow(bytes);
  }

  writeNow(bytes: Uint8Array): boolean {
    this.#waitingBytes = 0;
    if (this.#socket.destroyed) return true;
    this.#socket.write(bytes, this.#written);
    // libuv writes at once what the kernel takes; then the memory is free again.
    if (this.#socket.writableLength > 0) this.#isHeld = true;
    return !this.#isHeld;
  }

  turnEnded(): void {
    if (!this.#isHeld && this.#waitingBytes === 0 && !this.#socket.destroyed) this.#drained();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    if (this.#waitingBytes > 0) this.#outbox.flush();
    this.#socket.end();
  }

  destroy(): void {
    if (this.#waitingBytes > 0) this.#outbox.flush();
    this.#socket.destroy();
  }
}

export class NodeNet implements Net {
  readonly #outbox = new Outbox();

  async listen(address: string, accept: (connection: Connection) => ConnectionHandlers): Promise<Listener> {
    const target = socketTarget(parseAddress(address), address);
    const server = net.createServer({ ...ACCEPT_OPTIONS, pauseOnConnect: true }, accepted => {
      const peer = peerOf(accepted);
      const socket = readingIntoOneBuffer(accepted, bytes => connection.received(bytes));
      const connection: NodeConnection = new NodeConnection(socket, peer, this.#outbox);
      connection.attach(accept(connection));
    });
    return new Promise((resolve, reject) => {
      server.once('error', error => {
        const hint = LISTEN_HINTS[codeOf(error)] ?? 'choose another address';
        reject(new DqliteError('IO', `cannot listen on ${address}: ${systemText(error)}`, { cause: error, hint }));
      });
      server.listen({ ...target, backlog: BACKLOG }, () => {
        server.removeAllListeners('error');
        server.on('error', () => {}); // a failed accept concerns that connection only
        resolve({
          address: boundAddress(server),
          close: () =>
            new Promise(done => {
              // The callback comes when all connections are gone; the name and port are free at once.
              server.close();
              setImmediate(done);
            }),
        });
      });
    });
  }

  async connect(address: string, timeoutMs: number): Promise<(handlers: ConnectionHandlers) => Connection> {
    const target = socketTarget(parseAddress(address), address);
    return new Promise((resolve, reject) => {
      const onread = intoOneBuffer(bytes => connection.received(bytes));
      const socket = net.connect({ ...target, ...SOCKET_OPTIONS, onread } as net.NetConnectOpts);
      const connection: NodeConnection = new NodeConnection(socket, address, this.#outbox);
      // Nothing is read before there is somebody to receive it.
      socket.pause();
      const fail = (error: Error): void => {
        socket.destroy();
        reject(new DqliteError('CONNECTION', `cannot connect to ${address}: ${systemText(error)}`, { cause: error }));
      };
      socket.setTimeout(timeoutMs, () => fail(new Error(`no answer within ${timeoutMs} ms`)));
      socket.once('error', fail);
      socket.once('connect', () => {
        socket.setTimeout(0);
        socket.removeListener('error', fail);
        resolve(handlers => {
          connection.attach(handlers);
          socket.resume();
          return connection;
        });
      });
    });
  }

  flush(): void {
    this.#outbox.flush();
  }
}

/**
 * For every read Node allocates 64 KiB, cuts them to what has arrived and passes them through a stream, which is a
 * quarter of what a short request costs. With this option of a socket it does not.
 */
function intoOneBuffer(received: (bytes: Buffer) => void): net.OnReadOpts {
  const callback = (size: number): boolean => {
    received(Buffer.from(readBuffer.subarray(0, size)));
    return true;
  };
  return { buffer: readBuffer, callback };
}

/**
 * The same for a connection that was accepted, and is paused: servers have no such option, so that the handle is put
 * into a socket that has. A Node whose sockets have no handle to be taken goes on as it would otherwise.
 */
function readingIntoOneBuffer(accepted: net.Socket, received: (bytes: Buffer) => void): net.Socket {
  const owner = accepted as unknown as { _handle?: object | null };
  const handle = owner._handle;
  if (typeof handle !== 'object' || handle === null) return accepted.resume();
  owner._handle = null;
  const options = { ...ACCEPT_OPTIONS, handle, onread: intoOneBuffer(received) };
  return new net.Socket(options);
}

function socketTarget(parsed: ParsedAddress, address: string): { host: string; port: number } | { path: string } {
  if (parsed.kind === 'tcp') return { host: parsed.host, port: parsed.port };
  if (process.platform !== 'linux') {
    throw new DqliteError('UNSUPPORTED', `${address}: abstract sockets exist on Linux only`, { hint: 'use host:port' });
  }
  const name =
    parsed.name === '' ? randomBytes(ABSTRACT_NAME_SIZE).toString('hex').slice(0, ABSTRACT_NAME_SIZE) : parsed.name;
  if (NODE_MAJOR < 22 && Buffer.byteLength(name) !== ABSTRACT_NAME_SIZE) {
    throw new DqliteError(
      'UNSUPPORTED',
      `${address}: Node ${process.versions.node} pads the names of abstract sockets, so that other programs do not find them`,
      { hint: 'use Node 22 or later, host:port, or @ alone for a name of full length' },
    );
  }
  return { path: `\0${name}` };
}

function boundAddress(server: net.Server): string {
  const address = server.address();
  if (typeof address === 'string') return `@${address.replace(/^\0/, '')}`;
  if (address === null) return '';
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

function peerOf(socket: net.Socket): string {
  return socket.remoteAddress === undefined ? 'a local socket' : `${socket.remoteAddress}:${socket.remotePort ?? 0}`;
}
