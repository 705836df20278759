/** Each bug of `mutants.ts` in a copy of the compiled core, where the core's own tests or the simulation must fail. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/paths.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { MUTANTS, type Mutant } from './mutants.ts';

const SEEDS = 400;
const COPIED = ['src/lib', 'src/raft', 'src/simulation/event-queue.js', 'test/raft'];
const UNIT_TESTS = ['lease', 'leadership', 'raft-paper'];

function plant(folder: string, { file, find, replace }: Mutant): void {
  const target = path.join(folder, 'src/raft', `${file}.js`);
  const source = readFileSync(target, 'utf8');
  assert.equal(source.split(find).length, 2, `${file}: "${find}" is there once`);
  writeFileSync(
    target,
    source.replace(find, () => replace),
  );
}

/** Whether a program ends well. */
function succeeds(program: readonly string[], folder: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const child = spawn(process.execPath, program, { cwd: folder, env, stdio: 'ignore' });
    child.on('error', reject);
    child.on('exit', code => resolve(code === 0));
  });
}

const HARMLESS: Mutant = {
  what: 'nothing is changed',
  file: 'raft',
  find: 'export class Raft {',
  replace: 'export class Raft {',
};

for (const mutant of [HARMLESS, ...MUTANTS]) {
  test(mutant.what, async t => {
    const folder = temporaryDirectory(t);
    for (const name of COPIED) cpSync(path.join(ROOT, 'dist', name), path.join(folder, name), { recursive: true });
    writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }');
    plant(folder, mutant);
    const isMissed = await succeeds(['--test', ...UNIT_TESTS.map(name => `src/raft/${name}.test.js`)], folder);
    const isMissedByChaos =
      (isMissed || process.env['ALL_MUTANTS'] !== undefined) &&
      (await succeeds(['test/raft/run-seeds.js', '1', String(SEEDS), '1'], folder));
    t.diagnostic(`${isMissed ? 'not ' : ''}found by tests, ${isMissedByChaos ? 'not ' : 'perhaps '}by simulation`);
    assert.equal(isMissed && isMissedByChaos, mutant === HARMLESS);
  });
}
