/** Options, checked loudly: a misspelt name or a value out of range is an error that says what there is. */

import { parseAddress } from '../host/index.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import type { ConnectOptions } from './types.ts';

export type Settings = {
  readonly [Name in keyof ConnectOptions]-?: Exclude<ConnectOptions[Name], undefined>;
};

const DEFAULTS: Omit<Settings, 'servers' | 'database'> = {
  minConnections: 0,
  maxConnections: 16,
  idleTimeoutMs: 60_000,
  acquireTimeoutMs: 10_000,
  checkIntervalMs: 5000,
  connectTimeoutMs: 5000,
  timeoutMs: 0,
  busyTimeoutMs: 5000,
  cancelGraceMs: 1000,
  integers: 'number',
  dates: 'stored',
};

const MAX_TIME_MS = 2 ** 31 - 1;
const MAX_CONNECTIONS = 10_000;

/** From and to. */
const RANGES: Readonly<Partial<Record<keyof ConnectOptions, readonly [number, number]>>> = {
  minConnections: [0, MAX_CONNECTIONS],
  maxConnections: [1, MAX_CONNECTIONS],
  idleTimeoutMs: [0, MAX_TIME_MS],
  acquireTimeoutMs: [1, MAX_TIME_MS],
  checkIntervalMs: [1, MAX_TIME_MS],
  connectTimeoutMs: [1, MAX_TIME_MS],
  timeoutMs: [0, MAX_TIME_MS],
  busyTimeoutMs: [0, MAX_TIME_MS],
  cancelGraceMs: [0, MAX_TIME_MS],
};

const CHOICES: Readonly<Partial<Record<keyof ConnectOptions, readonly string[]>>> = {
  integers: ['number', 'bigint'],
  dates: ['stored', 'date'],
};

function refuse(message: string, hint?: string): never {
  throw new DqliteError('USAGE', message, { hint });
}

/** Throws DqliteError USAGE. */
export function settingsOf(options: ConnectOptions): Settings {
  if (typeof options !== 'object' || options === null) refuse('connect needs options', 'write { servers, database }');
  const names = ['servers', 'database', ...Object.keys(DEFAULTS)];
  for (const [name, value] of Object.entries(options)) {
    if (!names.includes(name)) refuse(`there is no option "${name}"`, `options are ${names.join(', ')}`);
    if (value === undefined) continue;
    const range = RANGES[name as keyof ConnectOptions];
    if (range !== undefined) {
      const isRight = Number.isSafeInteger(value) && value >= range[0] && value <= range[1];
      if (!isRight) refuse(`${name} is ${String(value)}, not a whole number from ${range[0]} to ${range[1]}`);
    }
    const choices = CHOICES[name as keyof ConnectOptions];
    if (choices?.includes(value as string) === false)
      refuse(`${name} is ${String(value)}, not ${choices.join(' or ')}`);
  }
  const { servers, database } = options;
  checkServers(servers);
  if (typeof database !== 'string' || database === '' || database.includes('\0')) {
    refuse('database is the name of a database, such as "app.db"');
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const settings = { ...DEFAULTS, ...given } as Settings;
  if (settings.minConnections > settings.maxConnections) refuse('minConnections is more than maxConnections');
  return settings;
}

export function checkServers(servers: readonly string[]): void {
  if (!Array.isArray(servers) || servers.length === 0 || !servers.every(server => typeof server === 'string')) {
    refuse('servers is a list of at least one address', "write servers: ['host:port']");
  }
  for (const server of servers) {
    try {
      parseAddress(server);
    } catch (error) {
      refuse(`servers: ${messageOf(error)}`, 'write host:port, [ipv6]:port or @name');
    }
  }
}
