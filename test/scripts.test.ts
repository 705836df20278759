/** The scripts of the repository say how they are used, and what is wrong with their options. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { run } from './support/child.ts';
import { ROOT } from './support/paths.ts';

const SCRIPTS = [['bench'], ['failover'], ['sim'], ['soak'], ['test', 'unit']] as const;

for (const [name, ...words] of SCRIPTS) {
  const script = path.join(ROOT, `dist/scripts/${name}.js`);

  test(`${name}: help and wrong options`, async t => {
    const help = await run(t, process.execPath, [script, ...words, '--help']);
    assert.deepEqual({ code: help.code, stderr: help.stderr }, { code: 0, stderr: '' });
    assert.match(help.stdout, /^npm (run|test)/);
    const wrong = await run(t, process.execPath, [script, ...words, '--frobnicate']);
    assert.deepEqual({ code: wrong.code, stdout: wrong.stdout }, { code: 2, stdout: '' });
    assert.equal(wrong.stderr, `there is no option --frobnicate\n\n${help.stdout}`);
  });
}
