/** Who imports the client gets the client: no WebAssembly, no raft. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

/** Prints the URL of each module that is loaded. */
const PROGRAM = `
import { register } from 'node:module';
register('data:text/javascript,' + encodeURIComponent(
  'import { writeSync } from "node:fs";' +
  'export async function load(url, context, next) { writeSync(1, url + "\\\\n"); return next(url, context); }'));
globalThis.WebAssembly = new Proxy({}, { get() { throw new Error('WebAssembly is used'); } });
const { connect, sql } = await import('dqlite-node/client');
if (typeof connect !== 'function' || typeof sql !== 'function') throw new Error('not the client');
`;

test('dqlite-node/client loads lib, host, wire and itself only', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(status, 0, stderr);
  const loaded = stdout.split('\n').filter(url => url.startsWith('file:'));
  assert.ok(loaded.length > 20, stdout);
  const folders = new Set(loaded.map(url => /\/dist\/src\/(\w+)\//.exec(url)?.[1] ?? url));
  assert.deepEqual([...folders].sort(), ['client', 'host', 'lib', 'wire']);
});
