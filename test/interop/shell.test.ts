/** Debian's `dqlite` shell on our node, and the same on a C node: `shell.txt`. */

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { run } from '../support/child.ts';
import { CNode, dataFolder, dqliteShell, FOUNDER_ID, needPrograms } from '../support/peers.ts';
import { freePort } from '../support/ports.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';
import { playTranscript } from '../support/transcript.ts';
import { Connection } from '../support/connection.ts';

before(() => needPrograms('dqlite', 'dqlite-demo', 'sqlite3'));

/** One cluster and one folder, in which the dumps arrive. */
class Desk {
  readonly #scope: Scope;
  readonly #address: string;
  readonly #folder: string;

  constructor(scope: Scope, address: string) {
    this.#scope = scope;
    this.#address = address;
    this.#folder = temporaryDirectory(scope);
  }

  /** Plays a case: the command, then its input. */
  async play([command = '', ...input]: readonly string[]): Promise<string> {
    const lines = input.map(line => `${line.replaceAll('<address>', this.#address)}\n`).join('');
    const [program, ...rest] = command.split(' ');
    const { code, stdout, stderr } =
      program === 'sqlite3'
        ? await run(this.#scope, 'sqlite3', [rest[0]!], { cwd: this.#folder, input: lines })
        : await dqliteShell(this.#scope, ['-s', this.#address, ...shellArguments(rest)], lines, this.#folder);
    // Go's command line library prints the usage after an error.
    const said = `${stdout.replaceAll('dqlite> ', '')}${stderr.split('\nUsage:')[0]}`.trimEnd();
    return `${code === 0 ? '' : `exit ${code}\n`}${said}`.replaceAll(this.#address, '<address>');
  }
}

/** Options one by one, the database, and what follows as one argument. */
function shellArguments(words: readonly string[]): string[] {
  const database = words.findIndex(word => word.endsWith('.db'));
  const command = words.slice(database + 1).join(' ');
  return [...words.slice(0, database + 1), ...(command === '' ? [] : [command])];
}

test('the shell, on our node and on a C node', async t => {
  const address = `127.0.0.1:${await freePort()}`;
  await serve(t, { directory: temporaryDirectory(t), id: FOUNDER_ID, address });
  const other = `127.0.0.1:${await freePort()}`;
  await CNode.start(t, temporaryDirectory(t), other);
  const ours = new Desk(t, address);
  const theirs = new Desk(t, other);
  await playTranscript('test/interop/shell.txt', async (input, comments) => {
    const said = await ours.play(input);
    if (comments.some(comment => comment.startsWith('# not on C'))) return said;
    const expected = await theirs.play(input);
    if (comments.some(comment => comment.startsWith('# C differs'))) assert.notEqual(said, expected);
    else assert.equal(said, expected, `${input.join('\n')}\n(ours is the actual, the C node's the expected output)`);
    return said;
  });
});

test('.reconfigure gives a directory of ours another address', async t => {
  const base = temporaryDirectory(t);
  const before = `127.0.0.1:${await freePort()}`;
  const after = `127.0.0.1:${await freePort()}`;
  const directory = dataFolder(base, after);
  const first = await serve(t, { directory, id: FOUNDER_ID, address: before, args: ['--snapshot-threshold', '16'] });
  const client = await Connection.open(before, 'x.db');
  await client.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)');
  for (let row = 0; row < 20; row++) await client.exec('INSERT INTO t DEFAULT VALUES');
  await first.stop();

  const file = path.join(base, 'cluster.yaml');
  writeFileSync(file, `- ID: ${FOUNDER_ID}\n  Address: ${after}\n  Role: 0\n`);
  const { stdout } = await dqliteShell(t, ['-s', after, 'x.db'], `.reconfigure ${directory} ${file}\n`);
  assert.match(stdout, /OK/);

  // The configuration that it appends has term 1, whatever came before (raft and disk spec section 6.14).
  const second = await serve(t, { directory, id: FOUNDER_ID, address: after });
  const again = await Connection.open(after, 'x.db');
  assert.deepEqual(await again.values('SELECT count(*) FROM t'), [[20n]]);
  await again.exec('INSERT INTO t DEFAULT VALUES');
  assert.deepEqual(await again.call({ kind: 'cluster', format: 1 }), {
    kind: 'servers',
    servers: [{ id: FOUNDER_ID, address: after, role: 0 }],
  });
  await second.stop();
  const c = await CNode.start(t, base, after);
  const theirs = await Connection.open(after, 'x.db');
  assert.deepEqual(await theirs.values('SELECT count(*) FROM t'), [[21n]]);
  theirs.close();
  await c.stop();
  assert.ok(readdirSync(directory).includes('info.yaml'));
  const third = await serve(t, { directory, id: FOUNDER_ID, address: after });
  await third.stop();
});
