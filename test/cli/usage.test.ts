/** Command lines that are wrong, and the ones that ask how it is right: `usage.txt`. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { run } from '../support/child.ts';
import { CommandLine } from '../support/command-line.ts';
import { MAIN } from '../support/paths.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { playTranscript } from '../support/transcript.ts';

/** The words of a command line; '' is an empty one. */
function words(line: string): string[] {
  return line === '(nothing)' ? [] : line.split(' ').map(word => (word === "''" ? '' : word));
}

test('usage errors name the option and exit with 2, help exits with 0', async t => {
  const cwd = temporaryDirectory(t);
  const commandLine = new CommandLine(t);
  await playTranscript('test/cli/usage.txt', async ([line]) => {
    const { code, stdout, stderr } = await commandLine.run(words(line!), { cwd });
    assert.deepEqual(readdirSync(cwd), [], `${line}: nothing was made`);
    if (code !== 2 || stdout !== '') return `exit ${code}\n${stdout}${stderr}`;
    const [what, ...rest] = stderr.split('\n\n');
    assert.match(rest.join('\n\n'), /^dqlite-node/, `${line}: the usage follows`);
    return `exit 2\n${what}`;
  });
});

test('an old Node is told that it is', async t => {
  const pretence = "Object.defineProperty(process.versions, 'node', { value: '18.20.8' })";
  const args = ['--import', `data:text/javascript,${encodeURIComponent(pretence)}`, MAIN, '--help'];
  const { code, stdout, stderr } = await run(t, process.execPath, args);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  assert.match(stderr, /^dqlite-node: this is Node 18\.20\.8, and 20\.19 or newer is needed/);
});
