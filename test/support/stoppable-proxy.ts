/** Stands before a server: what others dial instead of it. What they send can be held back, as by a network that fails. */

import net from 'node:net';
import type { Scope } from './temporary.ts';

export class StoppableProxy {
  readonly address: string;
  readonly #connections: Set<net.Socket> = new Set();
  #isHolding = false;

  private constructor(address: string) {
    this.address = address;
  }

  /** `target` may be any server of this machine, also one that is not there yet. */
  static async listen(scope: Scope, address: string, target: string): Promise<StoppableProxy> {
    const proxy = new StoppableProxy(address);
    const server = net.createServer({ noDelay: true }, socket => proxy.#accept(socket, target));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: '127.0.0.1', port: portOf(address) }, resolve);
    });
    scope.after(() => {
      server.close();
      for (const socket of proxy.#connections) socket.destroy();
    });
    return proxy;
  }

  /** Nothing reaches the server any more, until `release`. What it sends itself, on connections of its own, goes out. */
  hold(): void {
    this.#isHolding = true;
    for (const socket of this.#connections) socket.pause();
  }

  release(): void {
    this.#isHolding = false;
    for (const socket of this.#connections) socket.resume();
  }

  #accept(socket: net.Socket, target: string): void {
    const server = net.connect({ host: '127.0.0.1', port: portOf(target), noDelay: true });
    this.#connections.add(socket);
    const end = (): void => {
      this.#connections.delete(socket);
      socket.destroy();
      server.destroy();
    };
    for (const side of [socket, server]) side.on('error', end).on('close', end);
    socket.on('data', (bytes: Buffer) => server.write(bytes));
    server.on('data', (bytes: Buffer) => socket.write(bytes));
    if (this.#isHolding) socket.pause();
  }
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}
