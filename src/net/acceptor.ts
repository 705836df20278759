/** Accepts connections up to a limit, and knows them, to end them when the node stops. */

import type { Clock, Connection, ConnectionHandlers, Listener, Net } from '../host/types.ts';
import { Inbound, InboundBudget, type ClientHandler } from './inbound.ts';

export interface AcceptorOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly maxConnections: number;
  readonly maxRequestBytes: number;
  /** Bytes of requests that all connections together may hold. */
  readonly maxBufferedBytes: number;
  readonly handler: (inbound: Inbound, legacy: boolean) => ClientHandler;
  /**
   * Makes the handler for a connection above the limit: it answers its first request with a failure, unless that says
   * that a peer has connected. Members must reach each other however many clients there are.
   */
  readonly refuse: (inbound: Inbound, reason: string) => ClientHandler;
}

/** Connections above the limit that are answered; further ones are closed without a word. */
const MAX_REFUSALS = 100;

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #connections = new Set<Inbound>();
  /** How many of them are above the limit, and how many belong to peers. */
  #refusals = 0;
  #peers = 0;
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
    const { clock, maxConnections, maxRequestBytes, handler, refuse } = this.#options;
    let isRefused = this.#connections.size - this.#refusals - this.#peers >= maxConnections;
    let isPeer = false;
    const reason = `this node serves ${maxConnections} connections already (maxConnections)`;
    const inbound = new Inbound(connection, {
      clock,
      maxRequestBytes,
      budget: this.#budget,
      isRefused,
      handler: isRefused ? (refused): ClientHandler => refuse(refused, reason) : handler,
      takenOver: () => {
        isPeer = true;
        this.#peers++;
        if (isRefused) this.#refusals--;
        isRefused = false;
      },
      closed: gone => {
        this.#connections.delete(gone);
        if (isRefused) this.#refusals--;
        if (isPeer) this.#peers--;
      },
    });
    this.#connections.add(inbound);
    if (isRefused && ++this.#refusals > MAX_REFUSALS) inbound.drop();
    return inbound;
  }
}
