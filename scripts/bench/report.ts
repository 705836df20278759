/** What the benchmark found, as text, Markdown and a chart. */

import { middle, type FailoverTimes } from './failover.ts';
import type { LoadResult } from './load.ts';
import { WORKLOADS, type WorkloadName } from './workloads.ts';

export interface CaseResult {
  readonly workload: WorkloadName;
  readonly connections: number;
  /** Connections of the C node's run: writers beyond the first only get in each other's way there. */
  readonly peerConnections: number;
  readonly ours: LoadResult;
  readonly peer: LoadResult | undefined;
}

export interface Report {
  readonly date: string;
  readonly command: string;
  readonly machine: string;
  readonly rounds: number;
  readonly seconds: number;
  /** Median time of a durable write of 4 KiB, in microseconds. */
  readonly fsyncUs: number;
  readonly cases: readonly CaseResult[];
  /** Point reads of 16 callers through our client, and as raw bytes. */
  readonly client: { readonly ours: LoadResult; readonly raw: LoadResult } | undefined;
  /** Point reads of 16 connections, and the same while 16 others write. */
  readonly reads: { readonly alone: LoadResult; readonly beside: LoadResult } | undefined;
  /** Three nodes each, and the memory of each process at the end in MiB, the leader's first. */
  readonly cluster:
    | { readonly cases: readonly CaseResult[]; readonly memory: { readonly ours: number[]; readonly peer: number[] } }
    | undefined;
  readonly failover: FailoverTimes | undefined;
}

const number = (value: number): string =>
  Number.isNaN(value) ? '' : value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 1 : 0 });

const ratio = ({ ours, peer }: CaseResult): string =>
  peer === undefined || peer.rate === 0 ? '' : `${(ours.rate / peer.rate).toFixed(2)}x`;

const HEADINGS = [
  'workload',
  'conns',
  'ours/s',
  'p50 µs',
  'p99',
  'p99.9',
  'errors/s',
  'C conns',
  'C/s',
  'C p50 µs',
  'C p99',
  'C errors/s',
  'ours : C',
];

function cells(result: CaseResult): string[] {
  const { workload, connections, peerConnections, ours, peer } = result;
  return [
    ...[workload, String(connections), number(ours.rate), number(ours.p50), number(ours.p99), number(ours.p999)],
    number(ours.errorRate),
    ...(peer === undefined
      ? ['', '', '', '', '']
      : [String(peerConnections), number(peer.rate), number(peer.p50), number(peer.p99), number(peer.errorRate)]),
    ratio(result),
  ];
}

function heading({ date, machine, rounds, seconds, fsyncUs }: Report): string {
  return `${date}, ${machine}; medians of ${rounds} rounds of ${seconds} s; a durable write of 4 KiB takes ${fsyncUs} µs`;
}

function clientLine({ client }: Report): string {
  if (client === undefined) return '';
  const part = Math.round((client.ours.rate / client.raw.rate) * 100);
  return `Our client, 16 callers, point reads: ${number(client.ours.rate)}/s, ${part} % of the ${number(client.raw.rate)}/s of raw messages in the same rounds.`;
}

function readsLine({ reads }: Report): string {
  if (reads === undefined) return '';
  const part = Math.round((reads.beside.rate / reads.alone.rate) * 100);
  return `Point reads of 16 connections while 16 others write: ${number(reads.beside.rate)}/s, ${part} % of the ${number(reads.alone.rate)}/s without them.`;
}

function memoryLine({ cluster }: Report): string {
  if (cluster === undefined || cluster.memory.ours.length === 0) return '';
  const { ours, peer } = cluster.memory;
  const theirs = peer.length === 0 ? '' : `, of the C nodes ${peer.join(', ')} MiB`;
  return `Memory at the end, the leader's first: of ours ${ours.join(', ')} MiB${theirs}.`;
}

export function failoverLines({ kills, handovers, acknowledgedRows, foundRows, failures }: FailoverTimes): string[] {
  const line = (what: string, list: readonly number[]): string =>
    `${what}: median ${number(middle(list))} ms, shortest ${number(list[0]!)}, longest ${number(list.at(-1)!)}, of ${list.length}.`;
  return [
    line('A client could not write after SIGKILL of the leader', kills),
    line('and around a planned handover', handovers),
    `${number(acknowledgedRows)} rows acknowledged, ${number(foundRows)} found; calls that failed: ${JSON.stringify(failures)}.`,
  ];
}

/** What is said below the tables. */
function notes(report: Report): string[] {
  return [
    ...[clientLine(report), readsLine(report), memoryLine(report)],
    ...(report.failover === undefined ? [] : failoverLines(report.failover)),
  ].filter(line => line !== '');
}

function textTable(cases: readonly CaseResult[]): string[] {
  const lines = [HEADINGS, ...cases.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map(line => line[column]!.length)));
  return lines.map(line =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  '),
  );
}

function markdownTable(cases: readonly CaseResult[]): string[] {
  const row = (values: readonly string[]): string => `| ${values.join(' | ')} |`;
  return [
    row(HEADINGS),
    row(HEADINGS.map((_, column) => (column === 0 ? '---' : '--:'))),
    ...cases.map(result => row(cells(result))),
  ];
}

export function textReport(report: Report): string {
  const { cases, cluster } = report;
  return [
    heading(report),
    ...(cases.length === 0 ? [] : ['', ...textTable(cases)]),
    ...(cluster === undefined ? [] : ['', 'three nodes', ...textTable(cluster.cases)]),
    '',
    ...notes(report),
  ]
    .join('\n')
    .trimEnd();
}

export function markdownReport(report: Report): string {
  const { cases, cluster } = report;
  const workloads = new Set([...cases, ...(cluster?.cases ?? [])].map(({ workload }) => workload));
  return [
    `\`${report.command}\`: ${heading(report)}.`,
    ...(cases.length === 0 ? [] : ['', ...markdownTable(cases)]),
    ...(cluster === undefined ? [] : ['', 'Three nodes, one of them the leader:', '', ...markdownTable(cluster.cases)]),
    '',
    ...Object.entries(WORKLOADS)
      .filter(([name]) => workloads.has(name as WorkloadName))
      .map(([name, description]) => `- \`${name}\`: ${description}.`),
    ...notes(report).flatMap(line => ['', line]),
  ].join('\n');
}

const CHART = { left: 150, width: 720, row: 34, bar: 12, top: 46, right: 170 };

/** Bars of rates, relative to the faster of the two. */
export function chart(report: Report): string {
  const { left, width, row, bar, top, right } = CHART;
  const entries = [
    ...report.cases.map(result => ({ result, label: result.workload as string })),
    ...(report.cluster?.cases ?? []).map(result => ({ result, label: `3 nodes, ${result.workload}` })),
  ];
  const height = top + entries.length * row + 10;
  const span = width - left - right;
  const text = (x: number, y: number, content: string, extra = ''): string =>
    `<text x="${x}" y="${y}" ${extra}>${content}</text>`;
  const bars = entries.flatMap(({ result, label }, index) => {
    const { connections, ours, peer } = result;
    const y = top + index * row;
    const most = Math.max(ours.rate, peer?.rate ?? 0) || 1;
    const own = Math.max(1, Math.round((ours.rate / most) * span));
    const other = peer === undefined ? 0 : Math.max(1, Math.round((peer.rate / most) * span));
    return [
      text(left - 8, y + 16, `${label}, ${connections}`, 'text-anchor="end"'),
      `<rect x="${left}" y="${y}" width="${own}" height="${bar}" fill="#2f6fde"/>`,
      text(left + own + 6, y + 10, `${number(ours.rate)}/s ${ratio(result)}`),
      ...(peer === undefined
        ? []
        : [
            `<rect x="${left}" y="${y + bar + 1}" width="${other}" height="${bar}" fill="#b9bfca"/>`,
            text(left + other + 6, y + bar + 11, `${number(peer.rate)}/s`),
          ]),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(left, 18, 'dqlite-node (blue) and C dqlite (grey): workload, connections', 'font-weight="bold"'),
    text(left, 34, heading(report).replaceAll('&', '&amp;').replaceAll('<', '&lt;'), 'fill="#666" font-size="10"'),
    ...bars,
    '</svg>',
    '',
  ].join('\n');
}
