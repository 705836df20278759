/**
 * Runs the compiled tests of one suite, names its slowest files and prints the counts as its last line.
 *
 *   unit     everything that needs no other program: src, test
 *   interop  against real peers: test/interop
 *   stress   the long versions: test/stress
 *
 * Further arguments choose files by a part of their path. SUMMARY_FILE, if set, gets the counts appended.
 */

import { appendFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { scriptArguments } from './options.ts';

const USAGE = `npm test -- [part of a file name]...
npm run interop -- [part of a file name]...
npm run stress -- [part of a file name]...

Runs the files of tests whose paths have one of these parts, all of the suite if there are none.

FILE_TIMEOUT_MS=N is how long a file may take (default 180000). KEEP_TEMPORARY=1 keeps the folders that tests make.`;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Separate programs: their tests are not part of the unit suite. */
const SUITES = ['interop', 'stress'];
const CONCURRENCY = 2;
/** A file that takes longer hangs: in a test, or because a test has left something open. */
const FILE_TIMEOUT_MS = Number(process.env['FILE_TIMEOUT_MS'] ?? 180_000);
/** Here the files are that take longest: they begin first, so that no processor is idle at the end. */
const LONG = ['test/durability', 'test/cli', 'test/cluster', 'test/simulation', 'test/readme', 'src/log'];
const SLOWEST_SHOWN = 8;

/** Where a file stands among the others. */
function rank(file: string): number {
  const position = LONG.findIndex(part => file.includes(path.normalize(part)));
  return position === -1 ? LONG.length : position;
}

function testFiles(suite: string, filters: readonly string[]): string[] {
  const sources = ['src', 'test'].flatMap(folder =>
    readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map(file => path.join(folder, file)),
  );
  return sources
    .filter(file => file.endsWith('.test.ts'))
    .filter(file => {
      const own = SUITES.find(name => file.startsWith(path.join('test', name) + path.sep));
      return suite === 'unit' ? own === undefined : own === suite;
    })
    .filter(file => filters.length === 0 || filters.some(filter => file.includes(filter)))
    .map(file => path.join(ROOT, 'dist', file.replace(/\.ts$/, '.js')))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

interface TestFile {
  readonly startMs: number;
  endMs?: number;
  readonly underWay: Set<string>;
  isTimedOut: boolean;
}

/** What each file does. Its own process is announced as a test that has the path as its name. */
class Progress {
  readonly #files = new Map<string, TestFile>();

  begin(name: string, file: string | undefined): void {
    if (file === undefined) return;
    if (name === file) {
      this.#files.set(file, { startMs: performance.now(), underWay: new Set(), isTimedOut: false });
    } else this.#files.get(file)?.underWay.add(name);
  }

  end(name: string, file: string | undefined, isTimedOut: boolean): void {
    const entry = file === undefined ? undefined : this.#files.get(file);
    if (entry === undefined) return;
    if (name === file) {
      entry.endMs = performance.now();
      entry.isTimedOut = isTimedOut;
    } else entry.underWay.delete(name);
  }

  /** For each file that was ended by its limit: what it was at. */
  hung(): string[] {
    return [...this.#files]
      .filter(([, { isTimedOut }]) => isTimedOut)
      .map(([file, { underWay }]) => {
        const cause =
          underWay.size > 0
            ? `in ${[...underWay].map(name => `"${name}"`).join(', ')}`
            : 'after its tests: one of them has left a server, timer or process open';
        return `${path.relative(ROOT, file)} did not end within ${FILE_TIMEOUT_MS} ms and was killed ${cause}`;
      });
  }

  slowest(): string {
    const seconds = [...this.#files].map(([file, { startMs, endMs = performance.now() }]) => ({
      file: path.relative(path.join(ROOT, 'dist'), file),
      seconds: (endMs - startMs) / 1000,
    }));
    return seconds
      .toSorted((a, b) => b.seconds - a.seconds)
      .slice(0, SLOWEST_SHOWN)
      .map(({ file, seconds: s }) => `${file} ${s.toFixed(1)} s`)
      .join(', ');
  }
}

const { positionals } = scriptArguments({}, USAGE, true);
const [suite = 'unit', ...filters] = positionals;
const files = testFiles(suite, filters);
let passed = 0;
let failed = 0;
let skipped = 0;
if (files.length === 0) {
  console.error(`no tests in suite "${suite}"${filters.length > 0 ? ` match ${filters.join(', ')}` : ''}`);
  failed = 1;
} else {
  const timeout = suite === 'stress' ? Infinity : FILE_TIMEOUT_MS;
  const events = run({ files, concurrency: CONCURRENCY, timeout });
  const progress = new Progress();
  events.on('test:dequeue', ({ name, file }) => progress.begin(name, file));
  events.on('test:complete', ({ name, file, details }) => {
    const cause = (details.error as { failureType?: string } | undefined)?.failureType;
    progress.end(name, file, cause === 'testTimeoutFailure');
  });
  events.on('test:pass', ({ skip, todo, details }) => {
    if (details.type === 'suite') return;
    if (skip !== undefined || todo !== undefined) skipped++;
    else passed++;
  });
  events.on('test:fail', ({ details }) => {
    if (details.type !== 'suite') failed++;
  });
  const reporter = new spec();
  events.compose(reporter).pipe(process.stdout);
  await new Promise(resolve => events.once('end', resolve));
  process.on('exit', () => {
    if (filters.length === 0) console.log(`slowest files: ${progress.slowest()}`);
    for (const line of progress.hung()) console.log(line);
  });
}
process.on('exit', () => console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`));
if (process.env['SUMMARY_FILE'] !== undefined) {
  appendFileSync(process.env['SUMMARY_FILE'], `${passed} ${failed} ${skipped}\n`);
}
if (failed > 0) process.exitCode = 1;
