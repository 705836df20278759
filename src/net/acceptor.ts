/** Accepts connections up to a limit, and knows them, to end them when the node stops. */

import type { Connection, ConnectionHandlers, Listener, Net } from '../host/types.ts';
import { Inbound, InboundBudget, type ClientHandler } from './inbound.ts';

export interface AcceptorOptions {
  readonly net: Net;
  readonly maxConnections: number;
  readonly maxRequestBytes: number;
  /** Bytes of requests that all connections together may hold. */
  readonly maxBufferedBytes: number;
  readonly handler: (inbound: Inbound, legacy: boolean) => ClientHandler;
  /** Makes the handler for a connection above the limit: it answers its first request with a failure. */
  readonly refuse: (inbound: Inbound, reason: string) => ClientHandler;
}

/** Connections above the limit that are answered; further ones are closed without a word. */
const MAX_REFUSALS = 100;

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #connections = new Set<Inbound>();
  /** How many of them are above the limit. */
  #refusals = 0;
  readonly #budget: InboundBudget;
  #listener: Listener | undefined = undefined;

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#budget = new InboundBudget(options.maxBufferedBytes);
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Gives the address as bound. Rejects with DqliteError. */
  async listen(address: string): Promise<string> {
    this.#listener = await this.#options.net.listen(address, connection => this.#accept(connection));
    return this.#listener.address;
  }

  /** Stops accepting and closes all connections. */
  async close(): Promise<void> {
    await this.#listener?.close();
    for (const inbound of this.#connections) inbound.drop();
  }

  #accept(connection: Connection): ConnectionHandlers {
    const { maxConnections, maxRequestBytes, handler, refuse } = this.#options;
    const full = this.#connections.size - this.#refusals >= maxConnections;
    const reason = `this node serves ${maxConnections} connections already (maxConnections)`;
    const inbound = new Inbound(connection, {
      maxRequestBytes,
      budget: this.#budget,
      handler: full ? (refused): ClientHandler => refuse(refused, reason) : handler,
      closed: gone => {
        this.#connections.delete(gone);
        if (full) this.#refusals--;
      },
    });
    this.#connections.add(inbound);
    if (full && ++this.#refusals > MAX_REFUSALS) inbound.drop();
    return inbound;
  }
}
