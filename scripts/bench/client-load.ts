/**
 * Point reads through our own client: `client-load.js ADDRESS CALLERS SECONDS`. What it reaches beside the raw protocol
 * (`load.js ADDRESS read ...`) is what the client costs. Prints one line of JSON: `LoadResult`.
 */

import { connect } from '../../src/client/index.ts';
import type { LoadResult } from './load.ts';
import { percentile } from './percentile.ts';
import { DATABASE, ROWS } from './workloads.ts';

const WARM_UP_MS = 1000;

const [address = '', callers = '16', seconds = '1'] = process.argv.slice(2);
const client = await connect({ servers: [address], database: DATABASE, maxConnections: Number(callers) });
const statement = client.prepare<{ id: number }>('SELECT id, k, v, n FROM r WHERE id = ?');
/** The time before that is not counted: this process is new, and compiles as it runs. */
const startMs = performance.now() + WARM_UP_MS;
const latencies: number[] = [];
let isOver = false;
setTimeout(() => (isOver = true), WARM_UP_MS + Number(seconds) * 1000);

async function call(caller: number): Promise<void> {
  for (let sequence = caller; !isOver; sequence++) {
    const begunMs = performance.now();
    const id = 1 + ((sequence * 7919) % ROWS);
    const [row] = await statement.query([id]);
    if (row?.id !== id) throw new Error(`row ${id} is not ${JSON.stringify(row)}`);
    if (begunMs >= startMs) latencies.push(performance.now() - begunMs);
  }
}

await Promise.all(Array.from({ length: Number(callers) }, (_, caller) => call(caller)));
const elapsedMs = performance.now() - startMs;
const sorted = latencies.sort((a, b) => a - b);
const result: LoadResult = {
  rate: (sorted.length / elapsedMs) * 1000,
  errorRate: 0,
  firstError: '',
  p50: percentile(sorted, 0.5),
  p99: percentile(sorted, 0.99),
  p999: percentile(sorted, 0.999),
};
await client.close();
console.log(JSON.stringify(result));
