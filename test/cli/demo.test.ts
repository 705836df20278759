/** The first thing that people run, `npm run demo` (from a fresh clone in `.ci/run`), and what it tells to try next. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Child, run } from '../support/child.ts';
import { MAIN, ROOT } from '../support/paths.ts';
import { canListen, freePort, freePorts } from '../support/ports.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';
import { playTranscript } from '../support/transcript.ts';

const RUN_MS = 60_000;

/** The same for every run: the ports, the folder, who leads, how long it took. */
function withoutAccidents(output: string, port: number): string {
  return output
    .replaceAll(String(port), '<port>')
    .replaceAll(String(port + 1), '<port + 1>')
    .replaceAll(String(port + 2), '<port + 2>')
    .replaceAll(/\S*dqlite-demo-\w+/g, '<folder>')
    .replaceAll(/^Node [23] leads now/gm, 'Node <2 or 3> leads now')
    .replaceAll(/acknowledged rows: \d+ ms/g, 'acknowledged rows: <time> ms')
    .replaceAll(
      /^Rows acknowledged: \d+; found: \d+; lost: 0\..*$/gm,
      'Rows acknowledged: <some>; found: <some>; lost: 0.',
    );
}

test('demo --once; demo serves until Ctrl-C, and what it suggests works', async t => {
  await playTranscript('test/cli/demo.txt', async ([line]) => {
    const port = await freePorts(3);
    if (line === 'demo --once') {
      const { code, stdout, stderr } = await run(
        t,
        process.execPath,
        [MAIN, 'demo', '--once', '--port', String(port)],
        { deadlineMs: RUN_MS },
      );
      assert.equal(code, 0, stdout + stderr);
      assertGone(stdout);
      assert.ok(await canListen(port));
      return withoutAccidents(stdout, port);
    }
    const child = new Child(t, process.execPath, [MAIN, 'demo', '--port', String(port)]);
    await child.line(/^Ctrl-C ends it/, 30_000);
    await tryProgram(t, child.stdout);
    child.signal('SIGINT');
    assert.deepEqual(await child.end(15_000), { code: 0, signal: null });
    assertGone(child.stdout);
    return withoutAccidents(child.stdout, port);
  });
});

function assertGone(stdout: string): void {
  const folder = /their data in (\S+):$/m.exec(stdout)?.[1];
  assert.ok(folder !== undefined, stdout);
  assert.ok(!existsSync(folder), `${folder} is removed`);
}

/** Runs the program that the demo prints, as it stands there. */
async function tryProgram(scope: Scope, stdout: string): Promise<void> {
  const program = /or from a program:\n\n([\s\S]*?)\n\n/.exec(stdout)?.[1];
  assert.ok(program !== undefined, stdout);
  const folder = temporaryDirectory(scope);
  mkdirSync(path.join(folder, 'node_modules'));
  symlinkSync(ROOT, path.join(folder, 'node_modules/dqlite-node'));
  const file = path.join(folder, 'tried.mjs');
  writeFileSync(file, program);
  const { code, stdout: printed, stderr } = await run(scope, process.execPath, [file]);
  assert.equal(code, 0, stderr);
  assert.match(printed, /name: 'Neptune',\s+discovered: 1846,\s+radius_km: 24622,\s+moons: 16/);
}

test('the demo on a port that is taken', async t => {
  const port = await freePort();
  const other = await serve(t, { directory: temporaryDirectory(t), address: `127.0.0.1:${port}` });
  const { code, stdout, stderr } = await run(t, process.execPath, [MAIN, 'demo', '--once', '--port', String(port)]);
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, new RegExp(`^dqlite-node: cannot listen on 127\\.0\\.0\\.1:${port}: .*\\n {2}hint: `));
  await other.stop();
});
