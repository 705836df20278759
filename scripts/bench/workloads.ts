/** The workloads of the benchmark: what a connection sends, as bytes. One request is in flight per connection. */

import { encodeUtf8, Writer } from '../../src/lib/bytes.ts';
import { encodeRequest, ParameterTuple, valueType, type Request } from '../../src/wire/index.ts';

export const DATABASE = 'bench.db';
export const ROWS = 10_000;
const KEYS = 2000;

export const SETUP: readonly string[] = [
  'CREATE TABLE IF NOT EXISTS model (key TEXT, value TEXT, UNIQUE (key))',
  'CREATE TABLE IF NOT EXISTS r (id INTEGER PRIMARY KEY, k TEXT, v TEXT, n REAL)',
  'CREATE TABLE IF NOT EXISTS s (id INTEGER PRIMARY KEY, v TEXT)',
  `WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ${ROWS})
   INSERT OR IGNORE INTO r SELECT x, 'key-' || x, 'value-' || x || '-abcdefghijklmnopqrstuvwxyz', x * 1.5 FROM c`,
];

export type WorkloadName = 'write' | 'replace' | 'small' | 'read' | 'scan' | 'mix' | 'transaction';

export const WORKLOADS: Readonly<Record<WorkloadName, string>> = {
  write: 'INSERT OR REPLACE of 1 kB under a random unique text key, autocommit',
  replace: `INSERT OR REPLACE of 1 kB under one of ${KEYS} keys, so that the database stays as large as it is`,
  small: 'INSERT of a 16-byte row, autocommit',
  read: 'SELECT of one row by primary key',
  scan: `SELECT of all ${ROWS} rows`,
  mix: '90 % point reads, 10 % writes of 1 kB',
  transaction: 'BEGIN IMMEDIATE, two writes of 1 kB, COMMIT: four requests',
};

const STATEMENTS: Readonly<Record<'write' | 'small' | 'read' | 'scan' | 'begin' | 'commit', string>> = {
  write: 'INSERT OR REPLACE INTO model (key, value) VALUES (?, ?)',
  small: 'INSERT INTO s (v) VALUES (?)',
  read: 'SELECT id, k, v, n FROM r WHERE id = ?',
  scan: 'SELECT id, k, v, n FROM r',
  begin: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
};

type StatementName = keyof typeof STATEMENTS;

/** The statements that a workload needs prepared, in the order of their ids. */
export const PREPARED: Readonly<Record<WorkloadName, readonly StatementName[]>> = {
  write: ['write'],
  replace: ['write'],
  small: ['small'],
  read: ['read'],
  scan: ['scan'],
  mix: ['read', 'write'],
  transaction: ['begin', 'write', 'commit'],
};

export function statementText(name: StatementName): string {
  return STATEMENTS[name];
}

export function bytesOf(request: Request): Buffer {
  const writer = new Writer();
  encodeRequest(writer, request);
  return Buffer.from(writer.copy());
}

const VALUE = 'v'.repeat(1024);
const KEY_SIZE = 40;

/** Requests of one connection. A transaction is over, and counted, with the last request of its steps. */
export class RequestSource {
  readonly #templates = new Map<StatementName, Buffer>();
  readonly #workload: WorkloadName;
  readonly #connection: number;
  #sequence: number;
  #step = 0;

  constructor(workload: WorkloadName, connection: number) {
    this.#workload = workload;
    this.#connection = connection;
    this.#sequence = connection * 7919;
    for (const [id, name] of PREPARED[workload].entries()) this.#templates.set(name, template(name, id));
  }

  /** The next request, in a buffer that is used again for the one after it. */
  next(): Buffer {
    switch (this.#workload) {
      case 'mix':
        return this.#of(this.#sequence % 10 === 9 ? 'write' : 'read');
      case 'transaction':
        this.#step = (this.#step + 1) % 4;
        return this.#of((['commit', 'begin', 'write', 'write'] as const)[this.#step]!);
      case 'replace':
        return this.#of('write');
      case 'write':
      case 'small':
      case 'read':
      case 'scan':
        return this.#of(this.#workload);
    }
  }

  /** Whether the request that `next` gave last completes a unit of work. */
  get completes(): boolean {
    return this.#workload !== 'transaction' || this.#step === 0;
  }

  /** After an error: begins again. True if a transaction may be open. */
  restart(): boolean {
    const wasOpen = this.#workload === 'transaction' && this.#step !== 1;
    this.#step = 0;
    return wasOpen;
  }

  #of(name: StatementName): Buffer {
    const bytes = this.#templates.get(name)!;
    const sequence = this.#sequence++;
    if (name === 'read') {
      bytes.writeUInt32LE(1 + ((sequence * 7919) % ROWS), 24);
    } else if (name === 'write') {
      const scattered = Math.imul(sequence, 2654435761) & 0xffffff;
      const random = this.#workload === 'replace' ? scattered % KEYS : scattered;
      bytes.write(random.toString(16).padStart(8, '0'), 24, 'latin1');
      bytes.write(String(this.#connection).padStart(4, '0'), 24 + KEY_SIZE - 5, 'latin1');
    }
    return bytes;
  }
}

function template(name: StatementName, id: number): Buffer {
  const parameters = ParameterTuple.of(
    name === 'write'
      ? [
          { type: valueType.text, value: `${'0'.repeat(8)}-key-`.padEnd(KEY_SIZE - 1, '0') },
          { type: valueType.text, value: VALUE },
        ]
      : name === 'small'
        ? [{ type: valueType.text, value: 'sixteen-byte-row' }]
        : name === 'read'
          ? [{ type: valueType.integer, value: 1n }]
          : [],
  );
  const kind = name === 'read' || name === 'scan' ? 'query' : 'exec';
  return bytesOf({ kind, database: 0, statement: id, parameters });
}

export const openRequest: Request = {
  kind: 'open',
  name: encodeUtf8(DATABASE),
  flags: 0n,
  vfs: encodeUtf8('volatile'),
};
