/**
 * Measures our node and, where it is installed, Debian's C node, in alternating rounds on this machine.
 *
 * `npm run bench -- --help` tells the options.
 */

import { execFile, execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { closestOf, numberOption, UsageError } from '../src/cli/usage.ts';
import { measureFailover } from './bench/failover.ts';
import type { LoadResult } from './bench/load.ts';
import { chart, markdownReport, textReport, type CaseResult, type Report } from './bench/report.ts';
import {
  hasProgram,
  memoryMib,
  newFolder,
  startOurCluster,
  startOurs,
  startPeer,
  startPeerCluster,
  stop,
  type Server,
} from './bench/servers.ts';
import type { WorkloadName } from './bench/workloads.ts';
import { orUsage, scriptArguments } from './options.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LOAD = fileURLToPath(new URL('bench/load.js', import.meta.url));
const CLIENT_LOAD = fileURLToPath(new URL('bench/client-load.js', import.meta.url));
const CALLERS = 16;
const DOCUMENT = path.join(ROOT, 'docs/PERFORMANCE.md');

/** The C node refuses concurrent writers, so its best is what one of them gets. */
const CASES: readonly (readonly [workload: WorkloadName, connections: number, peerConnections: number])[] = [
  ['write', 1, 1],
  ['write', 16, 1],
  ['write', 64, 1],
  ['small', 1, 1],
  ['small', 16, 1],
  ['small', 64, 1],
  ['read', 1, 1],
  ['read', 16, 16],
  ['scan', 1, 1],
  ['scan', 4, 4],
  ['mix', 16, 16],
  ['transaction', 1, 1],
  ['transaction', 16, 1],
];
/** With three nodes each. */
const CLUSTER_CASES: typeof CASES = [
  ['write', 1, 1],
  ['write', 16, 1],
  ['write', 64, 1],
];
const CLUSTER = 'cluster';
const FAILOVER = 'failover';
const FAILOVER_TRIALS = 20;
const FAILOVER_LATENCY_MS = 20;
/**
 * New servers get so much of their workloads, in equal parts, before a round is measured: programs that compile as they
 * run need it.
 */
const WARM_UP_SECONDS = 10;
const WORKLOADS: readonly string[] = [...new Set<string>(CASES.map(([workload]) => workload)), CLUSTER, FAILOVER];
const DQBENCH_KNOWS: readonly WorkloadName[] = ['write', 'small', 'read', 'scan'];

const USAGE = `npm run bench -- [options]

Measures this node and, where it is installed, Debian's C node, in alternating rounds on this machine. Prints a table and
writes bench-results/bench.json and bench.svg.

  --rounds N         rounds, of which the median counts (default 5)
  --seconds N        how long each workload runs in each round, such as 2 or 0.5 (default 2)
  --only NAME,...    workloads: ${WORKLOADS.join(', ')}; read measures the client of this package
                     too, and reads beside 16 writers; ${CLUSTER} runs write on clusters of three
  --no-peer          without the C node
  --dqbench FILE.c   a load generator to compile with gcc and to use for ${DQBENCH_KNOWS.join(', ')}
  --update           write the table into docs/PERFORMANCE.md too`;

const TEXT = { type: 'string' } as const;
const FLAG = { type: 'boolean', default: false } as const;
const { values } = scriptArguments(
  { rounds: TEXT, seconds: TEXT, only: TEXT, 'no-peer': FLAG, dqbench: TEXT, update: FLAG },
  USAGE,
);
const rounds = orUsage(() => numberOption('rounds', values.rounds, [1, 1000], USAGE)) ?? 5;
const seconds = orUsage(secondsOption);
const only = orUsage(onlyOption);

function secondsOption(): number {
  const value = Number(values.seconds ?? '2');
  if (value > 0 && value <= 3600) return value;
  throw new UsageError(`--seconds must be a number above 0, up to 3600, not "${values.seconds}"`, USAGE);
}

const run = promisify(execFile);

function onlyOption(): readonly string[] {
  const names = values.only?.split(',') ?? WORKLOADS;
  const unknown = names.find(name => !WORKLOADS.includes(name));
  if (unknown === undefined) return names;
  throw new UsageError(`--only: there is no workload "${unknown}"${closestOf(unknown, WORKLOADS)}`, USAGE);
}

/** What gcc has to say about the file it says itself. */
function compiled(file: string, folder: string): string {
  const program = path.join(folder, 'dqbench');
  try {
    execFileSync('gcc', ['-O2', '-o', program, file], { stdio: 'inherit' });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    console.error(`--dqbench ${file}: ${isMissing ? 'gcc is not installed' : 'it was not compiled'}`);
    process.exit(1);
  }
  return program;
}

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1]!;

function medianResult(results: readonly LoadResult[]): LoadResult {
  const of = (field: 'rate' | 'errorRate' | 'p50' | 'p99' | 'p999'): number =>
    median(results.map(result => result[field]));
  return {
    ...{ rate: of('rate'), errorRate: of('errorRate'), p50: of('p50'), p99: of('p99'), p999: of('p999') },
    firstError: results.find(({ firstError }) => firstError !== '')?.firstError ?? '',
  };
}

async function load(
  server: Server,
  workload: WorkloadName,
  connections: number,
  dqbench: string | undefined,
  forSeconds: number = seconds,
): Promise<LoadResult> {
  const options = [server.address, workload, String(connections), String(forSeconds)];
  if (dqbench === undefined || !DQBENCH_KNOWS.includes(workload)) {
    const { stdout } = await run(process.execPath, [LOAD, ...options]);
    return JSON.parse(stdout) as LoadResult;
  }
  const { stdout } = await run(dqbench, options);
  const field = (name: string): number => Number(new RegExp(`${name}=([0-9.]+)`).exec(stdout)?.[1] ?? NaN);
  const firstError = /p99us=\S+ (.*)/.exec(stdout)?.[1] ?? '';
  return {
    rate: field('ok/s'),
    errorRate: field('err/s'),
    p50: field('p50us'),
    p99: field('p99us'),
    p999: NaN,
    firstError,
  };
}

/** Median time of a durable write of one page, in microseconds. */
function fsyncUs(folder: string): number {
  const flags = constants.O_CREAT | constants.O_WRONLY | (constants.O_DSYNC ?? 0);
  const file = openSync(path.join(folder, 'fsync'), flags);
  const page = new Uint8Array(4096);
  const times: number[] = [];
  for (let i = 0; i < 500; i++) {
    const startMs = performance.now();
    writeSync(file, page, 0, page.length, i * page.length);
    times.push((performance.now() - startMs) * 1000);
  }
  closeSync(file);
  return Math.round(median(times));
}

function updateDocument(report: Report): void {
  const [begin, end] = ['<!-- npm run bench -->', '<!-- end -->'];
  const text = readFileSync(DOCUMENT, 'utf8');
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to === -1) throw new Error(`${DOCUMENT} has no place for the table: ${begin} ... ${end}`);
  writeFileSync(DOCUMENT, `${text.slice(0, from + begin.length)}\n\n${markdownReport(report)}\n\n${text.slice(to)}`);
}

/** The last case of each workload. */
function lastOfEach(cases: typeof CASES): typeof CASES {
  return [...new Map(cases.map(entry => [entry[0], entry])).values()];
}

/** Runs each case on both sides, round by round, with new servers in each. */
async function measureCases(
  cases: typeof CASES,
  kind: string,
  start: (folder: string) => Promise<Server>,
  startOther: ((folder: string) => Promise<Server>) | undefined,
  eachRound: (ours: Server, peer: Server | undefined) => Promise<void>,
): Promise<CaseResult[]> {
  const found = cases.map(() => ({ ours: [] as LoadResult[], peer: [] as LoadResult[] }));
  for (let round = 0; round < rounds; round++) {
    // New ones in each round: the faster side would otherwise work on an ever larger database.
    const ours = await start(newFolder(base, `ours-${kind}-${round}`));
    servers.push(ours);
    const peer = await startOther?.(newFolder(base, `peer-${kind}-${round}`));
    if (peer !== undefined) servers.push(peer);
    const last = lastOfEach(cases);
    const part = WARM_UP_SECONDS / last.length;
    for (const [workload, connections, peerConnections] of last) {
      console.error(`round ${round + 1}/${rounds}: ${kind} ${workload}, warming up`);
      await load(ours, workload, connections, dqbench, part);
      if (peer !== undefined) await load(peer, workload, peerConnections, dqbench, part);
    }
    for (const [index, [workload, connections, peerConnections]] of cases.entries()) {
      console.error(`round ${round + 1}/${rounds}: ${kind} ${workload}, ${connections}`);
      found[index]!.ours.push(await load(ours, workload, connections, dqbench));
      if (peer !== undefined) found[index]!.peer.push(await load(peer, workload, peerConnections, dqbench));
    }
    await eachRound(ours, peer);
    for (const server of servers.splice(0)) await stop(server);
  }
  return cases.map(([workload, connections, peerConnections], index): CaseResult => ({
    ...{ workload, connections, peerConnections, ours: medianResult(found[index]!.ours) },
    peer: startOther === undefined ? undefined : medianResult(found[index]!.peer),
  }));
}

const base = mkdtempSync(path.join(os.tmpdir(), 'dqlite-bench-'));
const servers: Server[] = [];
const dqbench = values.dqbench === undefined ? undefined : compiled(values.dqbench, base);
try {
  const hasPeer = !values['no-peer'] && hasProgram('dqlite-demo');
  if (values['no-peer']) console.error('without a C node, as asked');
  else if (!hasPeer) {
    console.error(
      'dqlite-demo is not installed (Debian: apt-get install go-dqlite libdqlite0): measuring our node alone',
    );
  }

  const measuresReads = only.includes('read');
  const client = { ours: [] as LoadResult[], raw: [] as LoadResult[] };
  const beside = { alone: [] as LoadResult[], beside: [] as LoadResult[] };
  const chosen = CASES.filter(([workload]) => only.includes(workload));
  const cases = await measureCases(chosen, 'node', startOurs, hasPeer ? startPeer : undefined, async ours => {
    if (!measuresReads) return;
    console.error(`client, ${CALLERS}; reads beside writers`);
    client.raw.push(await load(ours, 'read', CALLERS, dqbench));
    const { stdout } = await run(process.execPath, [CLIENT_LOAD, ours.address, String(CALLERS), String(seconds)]);
    client.ours.push(JSON.parse(stdout) as LoadResult);
    beside.alone.push(await load(ours, 'read', CALLERS, dqbench));
    const both = [load(ours, 'read', CALLERS, dqbench), load(ours, 'write', CALLERS, dqbench)];
    beside.beside.push((await Promise.all(both))[0]!);
  });
  const memory = { ours: [] as number[], peer: [] as number[] };
  const clusterCases = await measureCases(
    only.includes(CLUSTER) ? CLUSTER_CASES : [],
    CLUSTER,
    startOurCluster,
    hasPeer ? startPeerCluster : undefined,
    async (ours, peer) => {
      memory.ours = memoryMib(ours);
      if (peer !== undefined) memory.peer = memoryMib(peer);
    },
  );
  let failover: Report['failover'];
  if (only.includes(FAILOVER)) {
    console.error(`failover, ${FAILOVER_TRIALS} trials`);
    failover = await measureFailover(newFolder(base, FAILOVER), FAILOVER_TRIALS, FAILOVER_LATENCY_MS);
  }
  const report: Report = {
    date: new Date().toISOString().slice(0, 10),
    command: `npm run bench -- ${process.argv
      .slice(2)
      .filter(argument => argument !== '--update')
      .map(argument => (argument === values.dqbench ? path.basename(argument) : argument))
      .join(' ')}`.replace(/ -- $/, ''),
    machine: `${os.cpus().length} x ${os.cpus()[0]?.model.trim() ?? 'CPU'}, ${os.platform()}, Node ${process.versions.node}`,
    rounds,
    seconds,
    fsyncUs: fsyncUs(base),
    client: measuresReads ? { ours: medianResult(client.ours), raw: medianResult(client.raw) } : undefined,
    reads: measuresReads ? { alone: medianResult(beside.alone), beside: medianResult(beside.beside) } : undefined,
    cases,
    cluster: clusterCases.length > 0 ? { cases: clusterCases, memory } : undefined,
    failover,
  };
  console.log(textReport(report));
  const folder = path.join(ROOT, 'bench-results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'bench.json'), `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(path.join(folder, 'bench.svg'), chart(report));
  if (values.update) {
    updateDocument(report);
    writeFileSync(path.join(ROOT, 'docs/performance.svg'), chart(report));
  }
  const failed = [...cases, ...clusterCases].filter(({ ours: { errorRate } }) => errorRate > 0);
  for (const {
    workload,
    connections,
    ours: { firstError },
  } of failed) {
    console.error(`errors in ${workload}, ${connections}: ${firstError}`);
    process.exitCode = 1;
  }
} finally {
  for (const server of servers) await stop(server);
  rmSync(base, { recursive: true, force: true });
}
