/**
 * What the client tells observers, through Node's `diagnostics_channel`. Subscribe with
 * `diagnostics_channel.subscribe('dqlite-node:client:query', listener)`. Nothing is computed while nobody listens.
 */

import { diagnosticsChannel, type DiagnosticsChannel } from '../host/index.ts';

/** `dqlite-node:client:connect`: a connection was opened, or could not be. */
export interface ConnectEvent {
  readonly database: string;
  /** Undefined if no leader was found. */
  readonly server: string | undefined;
  readonly durationMs: number;
  readonly error?: unknown;
}

/** `dqlite-node:client:query`: a statement or a script has ended, one way or the other. */
export interface QueryEvent {
  readonly database: string;
  readonly server: string;
  readonly sql: string;
  readonly durationMs: number;
  /** Rows received; 0 for what gives none. */
  readonly rowCount: number;
  readonly error?: unknown;
}

/** `dqlite-node:client:transaction`: a transaction has ended. */
export interface TransactionEvent {
  readonly database: string;
  readonly outcome: 'committed' | 'rolled back' | 'unknown';
  readonly durationMs: number;
  readonly error?: unknown;
}

/** `dqlite-node:client:retry`: something that had no effect is tried again. */
export interface RetryEvent {
  readonly database: string;
  readonly attempt: number;
  readonly delayMs: number;
  readonly error: unknown;
}

/** `dqlite-node:client:failover`: another server leads than before. */
export interface FailoverEvent {
  readonly from: string;
  readonly to: string;
}

export interface Channels {
  readonly connect: DiagnosticsChannel;
  readonly query: DiagnosticsChannel;
  readonly transaction: DiagnosticsChannel;
  readonly retry: DiagnosticsChannel;
  readonly failover: DiagnosticsChannel;
}

export function clientChannels(): Channels {
  const channel = (name: string): DiagnosticsChannel => diagnosticsChannel(`dqlite-node:client:${name}`);
  return {
    connect: channel('connect'),
    query: channel('query'),
    transaction: channel('transaction'),
    retry: channel('retry'),
    failover: channel('failover'),
  };
}
