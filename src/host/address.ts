/** Addresses as dqlite writes them: `host:port`, `host`, `[ipv6]:port`, or `@name` for an abstract Unix socket. */

import { DqliteError } from '../lib/errors.ts';

/** The port when an address names none (wire spec section 1.1). */
export const DEFAULT_PORT = 8080;

export type ParsedAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'abstract'; readonly name: string };

/** Throws DqliteError CONFIGURATION. */
export function parseAddress(address: string): ParsedAddress {
  if (address.startsWith('@')) return { kind: 'abstract', name: address.slice(1) };
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(address);
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (match === null || port > 65535) {
    throw new DqliteError('CONFIGURATION', `"${address}" is not an address`, {
      hint: 'write host:port, [ipv6]:port or @name',
    });
  }
  return { kind: 'tcp', host: (match[1] ?? match[2])!, port };
}

/** Whether only processes of this machine can reach the address. */
export function isLoopback(address: string): boolean {
  const parsed = parseAddress(address);
  if (parsed.kind === 'abstract') return true;
  return parsed.host === 'localhost' || parsed.host === '::1' || parsed.host.startsWith('127.');
}

/** Whether it stands for all addresses of a machine: to listen on, not to dial. */
export function isWildcard(address: string): boolean {
  const parsed = parseAddress(address);
  return parsed.kind === 'tcp' && /^(?:0+\.0+\.0+\.0+|[0:]+)$/.test(parsed.host);
}
