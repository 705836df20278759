/**
 * Runs the compiled tests of one suite and prints the counts as its last line.
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

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Separate programs: their tests are not part of the unit suite. */
const SUITES = ['interop', 'stress'];
const CONCURRENCY = 2;
/** A file that takes longer hangs, because something of a failed test is still open. */
const FILE_TIMEOUT_MS = 180_000;

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
    .sort();
}

const [suite = 'unit', ...filters] = process.argv.slice(2);
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
}
process.on('exit', () => console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`));
if (process.env['SUMMARY_FILE'] !== undefined) {
  appendFileSync(process.env['SUMMARY_FILE'], `${passed} ${failed} ${skipped}\n`);
}
if (failed > 0) process.exitCode = 1;
