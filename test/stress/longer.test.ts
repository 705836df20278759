/**
 * Programs and tests that can be told to go on for longer, with seeds that nobody has tried before. What they print
 * names the seed that failed and how to repeat it. STRESS_SECONDS is how long each takes.
 */

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../support/child.ts';
import { ROOT } from '../support/paths.ts';

const SECONDS = process.env['STRESS_SECONDS'] ?? '120';

interface Longer {
  readonly name: string;
  readonly file: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const programs: readonly Longer[] = [
  { name: 'simulation of a node', file: 'scripts/sim.js', args: ['--seconds', SECONDS] },
  { name: 'torture of SQLite', file: 'src/sqlite/torture.test.js', env: { TORTURE_SECONDS: SECONDS } },
  {
    name: 'clients at random',
    file: 'test/engine/interleaving.test.js',
    env: { INTERLEAVING_SECONDS: SECONDS, SEED: String(Math.floor(Date.now() / 1000)) },
  },
  { name: 'crashes of the log', file: 'src/log/crash.test.js', env: { CRASH_TIMES: '10' } },
  { name: 'faults of the log', file: 'src/log/fault.test.js', env: { FAULT_STRIDE: '1' } },
  { name: 'a thousand databases', file: 'test/durability/many-databases.test.js', env: { DATABASES: '1000' } },
  {
    name: 'differential test against sqlite3',
    file: 'test/interop/differential.test.js',
    env: { DIFFERENTIAL_SECONDS: SECONDS },
  },
];

for (const { name, file, args = [], env = {} } of programs) {
  test(`${name}, ${SECONDS} seconds`, async t => {
    // As a program of its own, not as a part of this test.
    const { NODE_TEST_CONTEXT: _context, SUMMARY_FILE: _summary, ...inherited } = process.env;
    const { code, stdout, stderr } = await run(t, process.execPath, [path.join(ROOT, 'dist', file), ...args], {
      env: { ...inherited, ...env },
      deadlineMs: (Number(SECONDS) + 120) * 1000,
    });
    for (const line of stdout.split('\n')) if (line.startsWith('# ') || /passed|SEED/.test(line)) t.diagnostic(line);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
  });
}
