/** What `Node.start` is given, checked loudly: a misspelt name or a value out of range is an error that says what there is. */

import { defaultEngineOptions, type EngineOptions } from '../engine/index.ts';
import { parseAddress, type Host, type Logger } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';

/** Limits that are not given are the defaults. */
export type PartialEngineOptions = Limits<Omit<EngineOptions, 'sqlite'>> & {
  readonly sqlite?: Limits<EngineOptions['sqlite']> | undefined;
};

type Limits<Of> = { readonly [Name in keyof Of]?: Of[Name] | undefined };

export interface NodeOptions {
  /** 1 and 0x2dc171858c3155be found a cluster in an empty directory. */
  readonly id: bigint;
  /** The text that goes into the cluster's configuration: what clients and peers dial and compare. */
  readonly address: string;
  /** The data directory; made if it is not there. */
  readonly directory: string;
  /** Where to listen if that is not `address`: `host:port` or `@name`; port 0 and `@` choose. */
  readonly bind?: string | undefined;
  readonly logger?: Logger | undefined;
  /** Replaces the operating system, for simulations. */
  readonly host?: Host | undefined;
  /** One-way latency of the cluster's network; sets heartbeat (1.5 x) and election timeout (15 x). */
  readonly latencyMs?: number | undefined;
  /**
   * Whether a leader among nodes of ours answers reads on the strength of a lease, without asking the others (default
   * true). Safe if the clocks of the voters run alike, within a fifth, all have the same `latencyMs`, and no machine is
   * stopped by its host and goes on as if no time had passed; otherwise switch it off: reads ask the others together.
   */
  readonly leases?: boolean | undefined;
  /**
   * Nothing but this node runs on this thread (default false; `dqlite-node serve` says so): when everybody whom it
   * serves waits for the same write, the thread waits for the disk itself, which is faster.
   */
  readonly dedicatedThread?: boolean | undefined;
  /** Take a snapshot after this many entries, as C dqlite does; by default when the log outweighs the databases. */
  readonly snapshotThreshold?: number | undefined;
  /** Entries kept on disk before a snapshot. */
  readonly snapshotTrailing?: number | undefined;
  /** Bytes of the newest log entries kept in memory for followers that lag (default 32 MiB). */
  readonly logCacheBytes?: number | undefined;
  readonly failureDomain?: bigint | undefined;
  readonly maxConnections?: number | undefined;
  /** Largest request in bytes. */
  readonly maxRequestBytes?: number | undefined;
  /** Bytes of requests that all connections together may hold. */
  readonly maxBufferedBytes?: number | undefined;
  readonly engine?: PartialEngineOptions | undefined;
  /** An error that this node cannot go on with: it has stopped serving. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

const MAX_TIME_MS = 3_600_000;
const MAX = Number.MAX_SAFE_INTEGER;

type Check = (name: string, value: unknown) => void;

function refuse(message: string, hint?: string): never {
  throw new DqliteError('USAGE', message, { hint });
}

function range(from: number, to: number): Check {
  return (name, value) => {
    if (Number.isSafeInteger(value) && (value as number) >= from && (value as number) <= to) return;
    refuse(`${name} is ${String(value)}, not a whole number from ${from} to ${to}`);
  };
}

function ofType(type: 'object' | 'function' | 'boolean'): Check {
  return (name, value) => {
    if (typeof value !== type || value === null)
      refuse(`${name} is ${String(value)}, not ${type === 'object' ? 'an' : 'a'} ${type}`);
  };
}

function address(name: string, value: unknown): void {
  if (typeof value !== 'string' || value === '') refuse(`${name} is an address, such as "127.0.0.1:9001"`);
  parseAddress(value);
}

function unsigned(from: bigint): Check {
  return (name, value) => {
    if (typeof value === 'bigint' && value >= from && value < 1n << 64n) return;
    const hint = typeof value === 'number' ? `write ${value}n` : undefined;
    refuse(`${name} is ${String(value)}, not a bigint from ${from} to 2^64 - 1`, hint);
  };
}

const CHECKS: Readonly<Record<keyof NodeOptions, Check>> = {
  id: unsigned(1n),
  address,
  directory: (name, value) => {
    if (typeof value !== 'string' || value === '') refuse(`${name} is the path of the data directory`);
  },
  bind: address,
  logger: ofType('object'),
  host: ofType('object'),
  latencyMs: range(1, MAX_TIME_MS),
  leases: ofType('boolean'),
  dedicatedThread: ofType('boolean'),
  snapshotThreshold: range(0, MAX),
  snapshotTrailing: range(0, MAX),
  logCacheBytes: range(0, MAX),
  failureDomain: unsigned(0n),
  maxConnections: range(1, MAX),
  maxRequestBytes: range(1, MAX),
  maxBufferedBytes: range(1, MAX),
  engine: (_name, value) => checkEngine(value),
  onFailure: ofType('function'),
};

const NEEDED = ['id', 'address', 'directory'] as const;

/** Throws DqliteError USAGE, or CONFIGURATION for an address that is none. */
export function checkOptions(options: NodeOptions): void {
  if (typeof options !== 'object' || options === null)
    refuse('Node.start needs options', `at least ${NEEDED.join(', ')}`);
  checkNames(options, Object.keys(CHECKS));
  for (const [name, check] of Object.entries(CHECKS)) {
    const value = options[name as keyof NodeOptions];
    if (value !== undefined || (NEEDED as readonly string[]).includes(name)) check(name, value);
  }
}

function checkEngine(value: unknown): void {
  ofType('object')('engine', value);
  const { sqlite = {}, ...limits } = value as PartialEngineOptions;
  checkNames(limits, Object.keys(defaultEngineOptions), 'engine.');
  checkNames(sqlite, Object.keys(defaultEngineOptions.sqlite), 'engine.sqlite.');
  for (const [name, limit] of Object.entries({ ...limits, ...sqlite })) {
    if (limit !== undefined) range(0, MAX)(`engine: ${name}`, limit);
  }
}

function checkNames(given: object, names: readonly string[], where = ''): void {
  const unknown = Object.keys(given).find(name => !names.includes(name));
  if (unknown !== undefined) refuse(`there is no option "${where}${unknown}"`, `options are ${names.join(', ')}`);
}

/** All limits of the engine: those given, and the defaults. */
export function engineOptionsOf({ sqlite = {}, ...limits }: PartialEngineOptions = {}): EngineOptions {
  const all = withDefaults(limits, defaultEngineOptions);
  return { ...all, sqlite: withDefaults(sqlite, defaultEngineOptions.sqlite) };
}

function withDefaults<T extends object>(given: object, defaults: T): T {
  return { ...defaults, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}
