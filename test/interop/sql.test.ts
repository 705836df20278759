/** Our shell on a C node: the transcript of test/cli, and at a terminal, which `script` gives it. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { Child } from '../support/child.ts';
import { until } from '../support/wait.ts';
import { MAIN } from '../support/paths.ts';
import { CNode, FOUNDER_ID, needPrograms } from '../support/peers.ts';
import { freePort } from '../support/ports.ts';
import { serve } from '../support/serve.ts';
import { SqlDesk } from '../support/sql-desk.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';
import { playTranscript } from '../support/transcript.ts';

before(() => needPrograms('dqlite-demo', 'sqlite3', 'script'));

test('our shell on a C node, and on ours', async t => {
  const address = `127.0.0.1:${await freePort()}`;
  await serve(t, { directory: temporaryDirectory(t), id: FOUNDER_ID, address });
  const other = `127.0.0.1:${await freePort()}`;
  await CNode.start(t, temporaryDirectory(t), other);
  const ours = new SqlDesk(t, address);
  const theirs = new SqlDesk(t, other);
  await playTranscript('test/cli/sql.txt', async (input, comments) => {
    const said = await ours.play(input);
    if (comments.some(comment => comment.startsWith('# not on C'))) return said;
    const expected = await theirs.play(input);
    if (comments.some(comment => comment.startsWith('# C differs'))) assert.notEqual(said, expected);
    else assert.equal(said, expected, `${input.join('\n')}\n(ours is the actual, the C node's the expected output)`);
    return said;
  });
});

/** The shell at a terminal. What it prints has the terminal's control sequences in it. */
class Terminal {
  readonly #child: Child;
  #seen = 0;

  constructor(scope: Scope, address: string, history: string) {
    const command = [process.execPath, MAIN, 'sql', '-s', address, 'x.db'].join(' ');
    this.#child = new Child(scope, 'script', ['-qefc', command, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm', DQLITE_NODE_HISTORY: history },
    });
  }

  type(keys: string): void {
    this.#child.process.stdin.write(keys);
  }

  /** Waits for a text in what was printed since the last one that was waited for. */
  async sees(text: string): Promise<void> {
    await until(
      () => this.#child.stdout.includes(text, this.#seen),
      `"${text}" at the terminal, in ${JSON.stringify(this.#child.stdout.slice(this.#seen))}`,
    );
    this.#seen = this.#child.stdout.indexOf(text, this.#seen) + text.length;
  }

  async ends(): Promise<void> {
    assert.deepEqual(await this.#child.end(10_000), { code: 0, signal: null });
  }
}

test('at a terminal: prompts, a statement of two lines, Ctrl-C, history, Ctrl-D', async t => {
  const address = `127.0.0.1:${await freePort()}`;
  const directory = temporaryDirectory(t);
  const node = await serve(t, { directory, id: FOUNDER_ID, address });
  const history = path.join(temporaryDirectory(t), 'history');
  const first = new Terminal(t, address, history);
  await first.sees('.help tells the commands');
  await first.sees('dqlite> ');
  first.type("SELECT 'one',\r");
  await first.sees('...> ');
  first.type("'two' AS b;\r");
  await first.sees('│ one');
  await first.sees('dqlite> ');
  // While a statement runs, Ctrl-C stops it, and the connection is as it was.
  first.type('BEGIN; CREATE TABLE t (a);\r');
  await first.sees('dqlite*> ');
  first.type('ROLLBACK; CREATE TABLE t (a);\r');
  await first.sees('dqlite> ');
  first.type('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;\r');
  await first.sees('│ 1000 │');
  first.type('\x03');
  await first.sees('Interrupted');
  await first.sees('dqlite> ');
  first.type('INSERT INTO t VALUES (1), (2);\r');
  await first.sees('(2 rows changed)');
  await first.sees('dqlite> ');
  // At the prompt it drops what was typed.
  first.type('SELECT nonsense\r');
  await first.sees('...> ');
  first.type('more nonsense\x03');
  await first.sees('^C');
  await first.sees('dqlite> ');
  first.type('SELECT a FROM t WHERE a > 2;\r');
  await first.sees('(no rows)');
  await first.sees('dqlite> ');
  // An error points at its place and ends nothing; what would colour the screen is shown.
  first.type("SELEC 1; SELECT char(27) || '[31m';\r");
  await first.sees('^^^^^');
  first.type("SELECT char(27) || '[31m' AS c;\r");
  await first.sees('│ ^[[31m │');
  // The server restarts: a transaction is gone, and the shell goes on with a new connection.
  first.type('BEGIN; SELECT count(*) AS before FROM t;\r');
  await first.sees('dqlite*> ');
  await node.kill();
  await serve(t, { directory, id: FOUNDER_ID, address });
  first.type("SELECT 'lost';\r");
  await first.sees('The transaction that was open is gone.');
  await first.sees('dqlite> ');
  first.type("SELECT count(*) || ' rows' FROM t;\r");
  await first.sees(`(connected again, to ${address})`);
  await first.sees('2 rows');
  await first.sees('dqlite> ');
  first.type('\x04');
  await first.ends();

  assert.match(readFileSync(history, 'utf8'), /^SELECT 'one',\n'two' AS b;\nBEGIN; /);
  const second = new Terminal(t, address, history);
  await second.sees('dqlite> ');
  second.type('\x1b[A');
  await second.sees("SELECT count(*) || ' rows' FROM t;");
  second.type('\r');
  await second.sees('2 rows');
  await second.sees('dqlite> ');
  second.type('.quit\r');
  await second.ends();
});
