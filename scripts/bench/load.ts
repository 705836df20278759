/**
 * A closed-loop load generator, in a process of its own: `load.js ADDRESS WORKLOAD CONNECTIONS SECONDS`. Speaks the
 * protocol as bytes, so that what is measured is the server. Prints one line of JSON: `LoadResult`.
 */

import net from 'node:net';
import { encodeUtf8 } from '../../src/lib/bytes.ts';
import { ParameterTuple, responseType } from '../../src/wire/index.ts';
import { percentile } from './percentile.ts';
import {
  bytesOf,
  openRequest,
  PREPARED,
  RequestSource,
  SETUP,
  statementText,
  WORKLOADS,
  type WorkloadName,
} from './workloads.ts';

export interface LoadResult {
  /** Completed units of work per second. */
  readonly rate: number;
  /** Failed ones per second. */
  readonly errorRate: number;
  readonly firstError: string;
  /** Latencies of completed units in microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

const HEADER = 8;
const MORE_ROWS = 0xee;
const CAPACITY = 1 << 18;

/** Counts for the time between start and end. */
class Recorder {
  readonly latencies: number[] = [];
  errors = 0;
  firstError = '';
  isOver = false;
}

class LoadConnection {
  readonly socket: net.Socket;
  #buffer: Buffer = Buffer.allocUnsafe(CAPACITY);
  #size = 0;
  #answered: ((type: number, body: Buffer) => void) | undefined;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('close', () => {
      console.error('the server closed a connection');
      process.exit(1);
    });
    socket.on('error', error => console.error(error.message));
  }

  static async open(address: string): Promise<LoadConnection> {
    const colon = address.lastIndexOf(':');
    const socket = net.connect({
      host: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      noDelay: true,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const connection = new LoadConnection(socket);
    const version = Buffer.alloc(8);
    version[0] = 1;
    socket.write(version);
    await connection.call(bytesOf(openRequest));
    return connection;
  }

  /** Sends a request and waits; throws what a FAILURE says. */
  call(request: Buffer): Promise<Buffer> {
    this.socket.write(request);
    return new Promise((resolve, reject) => {
      this.#answered = (type, body) => {
        if (type === responseType.failure) reject(new Error(failureText(body)));
        else resolve(Buffer.from(body));
      };
    });
  }

  exec(sql: string): Promise<Buffer> {
    return this.call(
      bytesOf({ kind: 'execSql', database: 0, sql: encodeUtf8(sql), parameters: ParameterTuple.of([]) }),
    );
  }

  /** One request after the other until the recorder says that it is over. */
  async load(source: RequestSource, recorder: Recorder): Promise<void> {
    await new Promise<void>(resolve => {
      let begunMs = performance.now();
      let isRollback = false;
      const begin = (): void => {
        begunMs = performance.now();
        if (recorder.isOver) resolve();
        else this.socket.write(source.next());
      };
      this.#answered = (type, body) => {
        if (isRollback) {
          isRollback = false;
        } else if (type === responseType.failure) {
          recorder.errors++;
          if (recorder.firstError === '') recorder.firstError = failureText(body);
          if (source.restart()) {
            isRollback = true;
            this.socket.write(ROLLBACK);
            return;
          }
        } else if (source.completes) {
          recorder.latencies.push(performance.now() - begunMs);
        } else {
          this.socket.write(source.next());
          return;
        }
        begin();
      };
      begin();
    });
  }

  #receive(bytes: Buffer): void {
    if (this.#size + bytes.length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#size + bytes.length));
      this.#buffer.copy(larger, 0, 0, this.#size);
      this.#buffer = larger;
    }
    bytes.copy(this.#buffer, this.#size);
    this.#size += bytes.length;
    let offset = 0;
    while (this.#size - offset >= HEADER) {
      const end = offset + HEADER + this.#buffer.readUInt32LE(offset) * 8;
      if (end > this.#size) break;
      const type = this.#buffer[offset + 4]!;
      const isPart = type === responseType.rows && this.#buffer[end - 1] === MORE_ROWS;
      const body = this.#buffer.subarray(offset + HEADER, end);
      offset = end;
      if (!isPart) this.#answered?.(type, body);
    }
    this.#buffer.copyWithin(0, offset, this.#size);
    this.#size -= offset;
  }
}

const ROLLBACK = bytesOf({
  kind: 'execSql',
  database: 0,
  sql: encodeUtf8('ROLLBACK'),
  parameters: ParameterTuple.of([]),
});

function failureText(body: Buffer): string {
  return body.toString('utf8', 8, body.indexOf(0, 8));
}

const [address = '', name = '', connections = '1', seconds = '1'] = process.argv.slice(2);
if (!(name in WORKLOADS))
  throw new Error(`usage: load.js ADDRESS ${Object.keys(WORKLOADS).join('|')} CONNECTIONS SECONDS`);
const workload = name as WorkloadName;
const first = await LoadConnection.open(address);
for (const sql of SETUP) await first.exec(sql);
const open: LoadConnection[] = [];
for (let i = 0; i < Number(connections); i++) {
  const connection = await LoadConnection.open(address);
  for (const statement of PREPARED[workload]) {
    const sql = encodeUtf8(statementText(statement));
    await connection.call(bytesOf({ kind: 'prepare', schema: 0, database: 0, sql }));
  }
  open.push(connection);
}
const recorder = new Recorder();
const startMs = performance.now();
let elapsedMs = 0;
let counted = 0;
let errors = 0;
setTimeout(
  () => {
    recorder.isOver = true;
    elapsedMs = performance.now() - startMs;
    counted = recorder.latencies.length;
    errors = recorder.errors;
  },
  Number(seconds) * 1000,
);
await Promise.all(open.map((connection, index) => connection.load(new RequestSource(workload, index), recorder)));
const sorted = recorder.latencies.slice(0, counted).sort((a, b) => a - b);
const result: LoadResult = {
  rate: (counted / elapsedMs) * 1000,
  errorRate: (errors / elapsedMs) * 1000,
  firstError: recorder.firstError,
  p50: percentile(sorted, 0.5),
  p99: percentile(sorted, 0.99),
  p999: percentile(sorted, 0.999),
};
console.log(JSON.stringify(result));
process.exit(0);
