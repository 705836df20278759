/**
 * The members of a cluster and their encoding (raft and disk spec section 3), which is the same in the
 * log, in InstallSnapshot and in snapshot metadata. Values are immutable: a change gives a new one.
 */

import { assert } from '../lib/assert.ts';
import { DecodeError, encodeUtf8, Reader, textLength, Writer } from '../lib/bytes.ts';

/** Voters elect, commit and lead; standbys get the log but do not count; spares get nothing. */
export type Role = 'voter' | 'standby' | 'spare';

export interface Server {
  /** Never 0. */
  readonly id: bigint;
  /** What peers dial, compared byte by byte. Never contains a NUL. */
  readonly address: string;
  readonly role: Role;
}

/**
 * 1. No two servers have the same id or the same address.
 * 2. Servers are in the order in which they were added.
 */
export interface Configuration {
  readonly servers: readonly Server[];
}

const FORMAT = 1;
/** Role codes on wire and disk. The client protocol and `info.yaml` number them otherwise. */
const ROLES: readonly Role[] = ['standby', 'voter', 'spare'];
/** An id, the NUL of an empty address, a role. */
const SERVER_SIZE_MIN = 10;
/** Padding is shorter than a word. */
const PADDING_SIZE_MAX = 7;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** At least one server. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  assert(configuration.servers.length > 0, 'a configuration without servers cannot be stored');
  const writer = new Writer();
  writer.uint8(FORMAT);
  writer.safeUint64(configuration.servers.length);
  for (const { id, address, role } of configuration.servers) {
    assert(id !== 0n && !address.includes('\0'), `server ${id} "${address}" cannot be stored`);
    writer.uint64(id);
    writer.raw(encodeUtf8(address));
    writer.uint8(0);
    writer.uint8(ROLES.indexOf(role));
  }
  writer.padFrom(0);
  return writer.copy();
}

/** From `start` to the end of `bytes` there is a configuration and its padding, nothing more. Throws DecodeError. */
export function decodeConfiguration(bytes: Uint8Array, start = 0): Configuration {
  const reader = new Reader(bytes, start);
  const format = reader.uint8('configuration format');
  if (format !== FORMAT) throw new DecodeError(`configuration format ${format}`, start);
  const countOffset = reader.offset;
  const count = reader.uint64('server count');
  if (count === 0n || count > Math.floor(reader.remaining / SERVER_SIZE_MIN)) {
    throw new DecodeError(`configuration of ${count} servers in ${bytes.length - start} bytes`, countOffset);
  }
  const servers: Server[] = [];
  const ids = new Set<bigint>();
  const addresses = new Set<string>();
  while (servers.length < count) {
    const offset = reader.offset;
    const server = decodeServer(reader);
    if (server.id === 0n) throw new DecodeError('server id 0', offset);
    if (ids.has(server.id)) throw new DecodeError(`duplicate server id ${server.id}`, offset);
    if (addresses.has(server.address)) throw new DecodeError(`duplicate address "${server.address}"`, offset);
    ids.add(server.id);
    addresses.add(server.address);
    servers.push(server);
  }
  // C leaves heap garbage in the padding: its content means nothing.
  if (reader.remaining > PADDING_SIZE_MAX) {
    throw new DecodeError(`${reader.remaining} bytes after the configuration`, reader.offset);
  }
  return { servers };
}

function decodeServer(reader: Reader): Server {
  const id = reader.uint64('server id');
  const addressOffset = reader.offset;
  const length = textLength(reader.bytes, addressOffset, reader.end);
  if (length < 0) throw new DecodeError('address without end', addressOffset);
  const address = decodeAddress(reader.slice(length, 'address'), addressOffset);
  reader.skip(1, 'end of the address');
  const roleOffset = reader.offset;
  const code = reader.uint8('role');
  const role = ROLES[code];
  if (role === undefined) throw new DecodeError(`role ${code}`, roleOffset);
  return { id, address, role };
}

/** Strictly, because an address that did not encode back to its bytes would be another address. */
function decodeAddress(bytes: Uint8Array, offset: number): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new DecodeError('address is not UTF-8', offset);
  }
}

export function findServer(configuration: Configuration, id: bigint): Server | undefined {
  return configuration.servers.find(server => server.id === id);
}

export function voters(configuration: Configuration): readonly Server[] {
  return configuration.servers.filter(server => server.role === 'voter');
}

/** `server`, whose id and address must be new, comes last. */
export function withServer(configuration: Configuration, server: Server): Configuration {
  const { servers } = configuration;
  assert(!servers.some(other => other.id === server.id), `server ${server.id} is already a member`);
  assert(!servers.some(other => other.address === server.address), `"${server.address}" is already a member`);
  return { servers: [...servers, server] };
}

/** `id` must be a member. */
export function withoutServer(configuration: Configuration, id: bigint): Configuration {
  assert(findServer(configuration, id) !== undefined, `server ${id} is not a member`);
  return { servers: configuration.servers.filter(server => server.id !== id) };
}

/** `id` must be a member. It keeps its place. */
export function withRole(configuration: Configuration, id: bigint, role: Role): Configuration {
  assert(findServer(configuration, id) !== undefined, `server ${id} is not a member`);
  return { servers: configuration.servers.map(server => (server.id === id ? { ...server, role } : server)) };
}
