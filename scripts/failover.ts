/**
 * Measures how long a client cannot write when the leader of three nodes on this machine is killed (SIGKILL), and when
 * it hands leadership over as planned.
 *
 * A client writes one row after the other; an interruption is the time from one acknowledgement to the next, which lies
 * around the event. Prints the median and the longest of both kinds, and what the client was told meanwhile.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { numberOption } from '../src/cli/usage.ts';
import { measureFailover } from './bench/failover.ts';
import { failoverLines } from './bench/report.ts';
import { orUsage, scriptArguments } from './options.ts';

const USAGE = `npm run failover -- [--trials N] [--latency-ms N]

Measures how long a client cannot write when the leader of three nodes on this machine is killed, and when it hands over.

  --trials N       how often each of them is done (default 20)
  --latency-ms N   as in dqlite-node serve (default 20)`;

const TEXT = { type: 'string' } as const;
const { values } = scriptArguments({ trials: TEXT, 'latency-ms': TEXT }, USAGE);
const trials = orUsage(() => numberOption('trials', values.trials, [1, 10_000], USAGE)) ?? 20;
const latencyMs = orUsage(() => numberOption('latency-ms', values['latency-ms'], [1, 10_000], USAGE)) ?? 20;

const folder = mkdtempSync(path.join(os.tmpdir(), 'dqlite-node-failover-'));
const times = await measureFailover(folder, trials, latencyMs);
console.log(failoverLines(times).join('\n'));
rmSync(folder, { recursive: true });
if (times.foundRows < times.acknowledgedRows) process.exitCode = 1;
