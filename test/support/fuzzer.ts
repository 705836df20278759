/**
 * Hostile clients, by seed: sessions as a good client would send them, bent in every way that comes to mind, cut off,
 * sent in pieces, reset, left alone, or never read. What a session sends depends on the seed alone; when its bytes
 * arrive does not.
 */

import net from 'node:net';
import { encodeUtf8 } from '../../src/lib/bytes.ts';
import type { SeededRandom } from '../../src/lib/random.ts';
import { encodeInstallSnapshot, encodeMessage } from '../../src/rpc/index.ts';
import { decodeResponse, FrameParser, protocolVersion, responseType, RowsReader } from '../../src/wire/index.ts';
import { encoded, message, parameters, requests, words, type Bound } from './connection.ts';
import { turns } from './wait.ts';

/** The databases that sessions name before they are bent. */
export const FUZZED: readonly string[] = ['fuzz-0', 'fuzz-1', 'fuzz-2'];

const SQL = [
  'CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, a, b); CREATE INDEX IF NOT EXISTS i ON t (a)',
  'INSERT INTO t (a, b) VALUES (?, ?)',
  'INSERT INTO t (a, b) VALUES (?, ?) RETURNING id, a, b',
  'INSERT INTO t (a) SELECT randomblob(500) FROM t LIMIT 20',
  'SELECT * FROM t',
  'SELECT * FROM t, t AS other LIMIT 2000',
  'SELECT zeroblob(100000), ? FROM t',
  'UPDATE t SET a = ? WHERE id % 7 = 3',
  'DELETE FROM t WHERE id % 3 = 1',
  'DELETE FROM t',
  'BEGIN',
  'BEGIN IMMEDIATE; INSERT INTO t (a) VALUES (1)',
  'SAVEPOINT s; DELETE FROM t; ROLLBACK TO s',
  'COMMIT',
  'ROLLBACK',
  'CREATE TEMP TABLE IF NOT EXISTS own (a); INSERT INTO own VALUES (?)',
  'SELECT * FROM own',
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, hex(zeroblob(300)) FROM n',
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n',
  'SELECT group_concat(a) FROM t GROUP BY b ORDER BY 1 DESC',
  'DROP TABLE IF EXISTS t',
  'ALTER TABLE t ADD COLUMN c',
  'CREATE VIRTUAL TABLE IF NOT EXISTS f USING fts5(a); INSERT INTO f VALUES (?)',
  'PRAGMA integrity_check',
  'PRAGMA delete_database',
  'VACUUM',
  'ANALYZE',
  'SELECT ?, ?, ?',
  '',
  '-- nothing',
  'this is not SQL',
] as const;

const VALUES: readonly Bound[] = [
  ...[null, 0, -1, 1.5, true, 2n ** 63n - 1n, '', 'text', 'x'.repeat(3000)],
  ...[new Uint8Array(0), new Uint8Array(5000)],
];

/** Who says to be a peer is not one of the members that other sessions may have added. */
const STRANGER = 77n;

/** Lengths, counts and ids at which decoders have been known to fail. */
const EDGES = [
  0n,
  1n,
  2n,
  7n,
  8n,
  255n,
  256n,
  0x7fffn,
  0xffffn,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
] as const;
const ODD_WORDS = [0, 1, 2, 3, 1000, 2 ** 17, 2 ** 25, 2 ** 25 + 1, 2 ** 29, 2 ** 32 - 1] as const;

/** One request as it should be. */
function request(random: SeededRandom): Buffer {
  const sql = random.pick(SQL);
  const values = Array.from({ length: sql.split('?').length - 1 }, () => random.pick(VALUES));
  const id = random.below(4);
  switch (random.below(24)) {
    case 0:
      return encoded(requests.leader);
    case 1:
      return encoded({ kind: 'client', id: 7n });
    case 2:
      return encoded(requests.open(random.pick(FUZZED)));
    case 3:
    case 4:
      return encoded(requests.prepare(sql, random.below(2)));
    case 5:
    case 6:
      return encoded(requests.exec(id, ...values));
    case 7:
    case 8:
      return encoded(requests.query(id, ...values));
    case 9:
      return encoded(requests.finalize(id));
    case 10:
      return encoded(requests.interrupt);
    case 11:
      return encoded({ kind: 'dump', name: encodeUtf8(random.pick(FUZZED)) });
    case 12:
      return encoded({ kind: 'cluster', format: random.below(3) });
    case 13:
      return encoded({ kind: 'describe', format: random.below(2) }, { kind: 'weight', weight: BigInt(id) });
    case 14:
      return encoded(
        random.pick([
          { kind: 'assign', id: 9n, role: id } as const,
          { kind: 'remove', id: 9n } as const,
          { kind: 'transfer', id: 9n } as const,
          { kind: 'connect', id: 9n, address: 'x:1' } as const,
        ]),
      );
    case 15: {
      const many = Array.from({ length: 300 }, () => VALUES[random.below(6)]!);
      const text = `SELECT ${many.map(() => '?').join()}`;
      return encoded({ kind: 'querySql', database: 0, sql: encodeUtf8(text), parameters: parameters(many, 1) });
    }
    case 16: {
      const bytes = Buffer.alloc(8 * random.below(100));
      random.fill(bytes);
      return message(random.below(256), bytes, { schema: random.below(3), words: random.pick(ODD_WORDS) });
    }
    case 17:
    case 18:
    case 19:
      return encoded(requests.execSql(sql, ...values));
    default:
      return encoded(requests.querySql(sql, ...values));
  }
}

/** A message as a peer would send it, who is no member. */
function peerMessage(random: SeededRandom): Buffer {
  const number = (): number => Number(random.pick(EDGES) & 0xffffffffn);
  const [term, previousIndex, lastIndex, lastTerm] = [number(), number(), number(), number()];
  const data = new Uint8Array(8 * random.below(50));
  const types = ['command', 'barrier', 'change'] as const;
  const entries = Array.from({ length: random.below(4) }, () => ({ term: number(), type: random.pick(types), data }));
  const candidate = STRANGER;
  switch (random.below(7)) {
    case 0:
      return peers({ kind: 'requestVote', term, candidate, lastIndex, lastTerm, disruptLeader: true, preVote: false });
    case 1:
      return peers({ kind: 'requestVoteResult', term, granted: true, preVote: undefined });
    case 2:
      return peers({ kind: 'appendEntries', term, previousIndex, previousTerm: 1, commitIndex: lastIndex, entries });
    case 3:
      return peers({ kind: 'appendEntriesResult', term, rejected: previousIndex, lastIndex, features: undefined });
    case 4:
      return peers({ kind: 'timeoutNow', term, lastIndex, lastTerm });
    case 5: {
      const configuration = { servers: [{ id: STRANGER, address: 'x:1', role: 'voter' } as const] };
      const places = { term, lastIndex, lastTerm, configurationIndex: previousIndex, configuration };
      return Buffer.concat([
        encodeInstallSnapshot({ kind: 'installSnapshot', ...places }, data.length + number()),
        data,
      ]);
    }
    default:
      return Buffer.concat([words(random.below(9), random.pick(EDGES)), data]);
  }
}

function peers(message: Parameters<typeof encodeMessage>[0]): Buffer {
  return Buffer.concat(encodeMessage(message));
}

function session(random: SeededRandom): Buffer[] {
  const database = random.pick(FUZZED);
  const count = random.chance(0.05) ? 500 : 1 + random.below(20);
  const messages = [
    words(random.chance(0.1) ? protocolVersion.legacy : protocolVersion.current),
    encoded(requests.open(database)),
    encoded(requests.execSql(SQL[0])),
    ...Array.from({ length: count }, () => request(random)),
  ];
  if (random.chance(0.1)) {
    messages.push(encoded({ kind: 'connect', id: STRANGER, address: 'x:1' }));
    for (let left = random.below(20); left > 0; left--) messages.push(peerMessage(random));
  }
  return messages;
}

type Bend = (stream: Buffer, random: SeededRandom) => Buffer;

/** A place where a word begins. */
function wordAt(stream: Buffer, random: SeededRandom): number {
  return 8 * random.below(Math.max(1, stream.length >> 3));
}

const BENDS: readonly Bend[] = [
  (stream, random) => {
    for (let flips = 1 + random.below(20); flips > 0; flips--) {
      stream[random.below(stream.length)]! ^= 1 << random.below(8);
    }
    return stream;
  },
  (stream, random) => stream.subarray(0, random.below(stream.length)),
  (stream, random) => {
    const [from, to] = [random.below(stream.length), random.below(stream.length)];
    return Buffer.concat([stream.subarray(0, from), stream.subarray(to)]);
  },
  (stream, random) => {
    const at = wordAt(stream, random);
    if (at + 8 <= stream.length) stream.writeBigUInt64LE(random.pick(EDGES), at);
    return stream;
  },
  (stream, random) => {
    const at = wordAt(stream, random);
    if (at + 4 <= stream.length) stream.writeUInt32LE(random.pick(ODD_WORDS), at);
    return stream;
  },
  (stream, random) => {
    const bytes = Buffer.alloc(1 + random.below(200));
    random.fill(bytes);
    const at = random.below(stream.length);
    return Buffer.concat([stream.subarray(0, at), bytes, stream.subarray(at)]);
  },
];

/** All that one client sends. */
function stream(random: SeededRandom): Buffer {
  if (random.chance(0.05)) {
    const noise = Buffer.alloc(random.below(5000));
    random.fill(noise);
    return random.chance(0.5) ? noise : Buffer.concat([words(1), noise]);
  }
  const messages = session(random);
  for (let moves = random.chance(0.5) ? random.below(5) : 0; moves > 0; moves--) {
    const from = random.below(messages.length);
    const moved = random.chance(0.5) ? messages[from]! : messages.splice(from, 1)[0]!;
    messages.splice(random.below(messages.length + 1), 0, moved);
  }
  // A header that lies: type, schema, size.
  for (let lies = random.chance(0.3) ? 1 + random.below(3) : 0; lies > 0; lies--) {
    const header = messages[1 + random.below(messages.length - 1)];
    if (header === undefined || header.length < 16) continue;
    if (random.chance(0.5)) header[4] = random.below(24);
    if (random.chance(0.2)) header[5] = random.below(3);
    if (random.chance(0.2)) header.writeUInt32LE(random.pick(ODD_WORDS), 0);
  }
  let bytes: Buffer = Buffer.concat(messages);
  for (let bends = random.chance(0.6) ? 1 + random.below(3) : 0; bends > 0 && bytes.length > 0; bends--) {
    bytes = random.pick(BENDS)(bytes, random);
  }
  return bytes;
}

/** Whatever was sent, what comes back is messages of the protocol. */
class AnswerCheck {
  readonly #parser = new FrameParser(2 ** 31);
  readonly #legacy: boolean;

  constructor(legacy: boolean) {
    this.#legacy = legacy;
  }

  take(bytes: Uint8Array): void {
    this.#parser.push(bytes);
    for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) {
      const { type, schema, body } = frame;
      if (body.length === 0) throw new Error(`an answer of type ${type} without a body`);
      if (type === responseType.rows) {
        const reader = new RowsReader(body);
        while (reader.row() !== undefined);
        // SERVERS has two forms, and what was asked is not known here.
      } else if (type !== responseType.servers) {
        decodeResponse(type, schema, body, this.#legacy ? 'legacyServer' : undefined);
      }
    }
  }
}

/** A client that reads late lets so many turns pass after it has sent everything, at most. */
const LATE_TURNS = 100;
/** A client that stays does so at most this long: it may wait for an answer that never comes. */
const STAY_TURNS = 300;

export interface Attack {
  readonly sent: number;
  readonly received: number;
}

/** One hostile client, from its connection to its end. Throws what is wrong with the answers. */
export async function attack(address: string, random: SeededRandom): Promise<Attack> {
  const bytes = stream(random);
  const legacy = bytes.length >= 8 && bytes.readBigUInt64LE() === protocolVersion.legacy;
  const [host, port] = address.split(':');
  const pieces = random.chance(0.5) ? 1 : 1 + random.below(30);
  const reads = random.pick(['always', 'always', 'always', 'always', 'late', 'never'] as const);
  const end = random.pick(['half', 'half', 'reset', 'destroy', 'stay'] as const);
  const check = new AnswerCheck(legacy);
  let wrong: unknown;
  let received = 0;
  let over = false;
  const socket = net.connect({ host, port: Number(port), noDelay: true, allowHalfOpen: true });
  const closed = new Promise<void>(resolve => {
    socket.on('close', () => {
      over = true;
      resolve();
    });
  });
  socket.on('error', () => {}); // the server may close at any time
  socket.on('end', () => socket.destroy());
  if (reads !== 'never') {
    socket.on('data', (part: Buffer) => {
      received += part.length;
      try {
        check.take(part);
      } catch (error) {
        wrong ??= error;
        socket.destroy();
      }
    });
    if (reads === 'late') socket.pause();
  }
  await new Promise(resolve => socket.once('connect', resolve).once('close', resolve));
  for (let piece = 0; piece < pieces && !over; piece++) {
    const from = Math.floor((bytes.length * piece) / pieces);
    socket.write(bytes.subarray(from, Math.floor((bytes.length * (piece + 1)) / pieces)));
    await turns(1);
  }
  if (end === 'half') socket.end();
  if (reads === 'late') {
    await turns(random.below(LATE_TURNS));
    socket.resume();
  }
  if (end !== 'reset') for (let turn = 0; turn < STAY_TURNS && !over; turn++) await turns(1);
  if (end === 'reset') socket.resetAndDestroy();
  else socket.destroy();
  await closed;
  if (wrong !== undefined) throw wrong;
  return { sent: bytes.length, received };
}
