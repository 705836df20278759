/**
 * Three nodes at full load for minutes, one follower dead for most of it, then back: shows what each process holds
 * in memory meanwhile, and that the one that returns catches up while writing goes on.
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { numberOption } from '../src/cli/usage.ts';
import { administer, connect } from '../src/client/index.ts';
import { startCluster, type NodeProcess } from './bench/cluster.ts';
import { WORKLOADS } from './bench/workloads.ts';
import { orUsage, scriptArguments } from './options.ts';

const USAGE = `npm run soak -- [options]

Three nodes under full load, one follower killed and brought back; prints the memory of each process as it goes.

  --minutes N       how long one follower is dead (default 10)
  --after N         minutes after its return (default 2)
  --connections N   writers (default 16)`;

const TEXT = { type: 'string' } as const;
const { values } = scriptArguments({ minutes: TEXT, after: TEXT, connections: TEXT }, USAGE);
const count = (name: 'minutes' | 'after' | 'connections', usual: number): number =>
  orUsage(() => numberOption(name, values[name], [1, 1000], USAGE)) ?? usual;
const minutes = count('minutes', 10);
const after = count('after', 2);
const connections = count('connections', 16);

const LOAD = fileURLToPath(new URL('bench/load.js', import.meta.url));
const REPORT_MS = 30_000;
const MINUTE_MS = 60_000;
const CATCH_UP_MS = 60_000;
const DATABASE = 'bench.db';

if (!existsSync('/proc/self/status')) {
  console.error('this needs /proc, which Linux has');
  process.exit(1);
}

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));
const folder = mkdtempSync(path.join(os.tmpdir(), 'dqlite-node-soak-'));
const nodes = await startCluster(folder, 3, []);
const [leader, follower, dead] = nodes as [NodeProcess, NodeProcess, NodeProcess];
const startMs = performance.now();

function memory(node: NodeProcess): string {
  const { child } = node;
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return 'dead'.padStart(18);
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const mib = (name: string): string =>
    String(Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) / 1024));
  return `${mib('VmRSS')} (most ${mib('VmHWM')})`.padStart(18);
}

async function watch(totalMinutes: number): Promise<void> {
  const endMs = performance.now() + totalMinutes * MINUTE_MS;
  for (let leftMs = endMs - performance.now(); leftMs > 1; leftMs = endMs - performance.now()) {
    await sleep(Math.min(REPORT_MS, leftMs));
    const elapsed = ((performance.now() - startMs) / MINUTE_MS).toFixed(1).padStart(5);
    console.log(`${elapsed}  ${nodes.map(memory).join('  ')}`);
  }
}

console.log(`${connections} connections, each: ${WORKLOADS.replace}; memory in MiB`);
console.log('  min              leader            follower      killed and back');
const seconds = String((minutes + after) * 60);
const load = spawn(process.execPath, [LOAD, leader.address, 'replace', String(connections), seconds], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
let output = '';
load.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
const ended = new Promise<number | null>(resolve => load.once('exit', resolve));

await dead.kill();
await watch(minutes);
await dead.start();
await watch(after);
const code = await ended;
console.log(output.trim());

// All three hold the same rows, however each of them came by them.
const db = await connect({ servers: nodes.map(({ address }) => address), database: DATABASE });
const rows = async (): Promise<number> => (await db.query<{ n: number }>('SELECT count(*) AS n FROM model').first())!.n;
const expected = await rows();
const admin = administer({ servers: nodes.map(({ address }) => address) });
await admin.transfer(dead.id);
const endMs = performance.now() + CATCH_UP_MS;
while ((await admin.leader()).id !== dead.id && performance.now() < endMs) await sleep(100);
const found = await rows();
console.log(`${expected} rows with the old leader, ${found} with the node that was dead`);
await db.close();
for (const node of [leader, follower, dead]) await node.stop();
rmSync(folder, { recursive: true });
if (code !== 0 || found !== expected) process.exitCode = 1;
