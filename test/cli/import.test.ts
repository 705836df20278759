/** `dqlite-node import` and `export`, as far as they can be tested without SQLite's own programs. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { CommandLine } from '../support/command-line.ts';
import { readContent } from '../support/content.ts';
import { copyOf } from '../support/copies.ts';
import { freePort } from '../support/ports.ts';
import { serve, type ServedNode } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

test('import and export', async t => {
  const { dqliteNode } = new CommandLine(t);
  const folder = temporaryDirectory(t);
  const address = `127.0.0.1:${await freePort()}`;
  const node: ServedNode = await serve(t, { directory: temporaryDirectory(t), address });
  const source = path.join(folder, 'source.db');

  await t.test('what was dumped from a directory goes in, comes out, goes in again and is the same', async () => {
    const dumped = await dqliteNode('inspect', '--dump', copyOf(t, 'three-node-clean/node2'), 'demo', source);
    assert.equal(dumped.code, 0, dumped.stderr);
    const first = await dqliteNode('import', '-s', address, 'first', source);
    assert.deepEqual([first.code, first.stderr], [0, '']);
    assert.equal(first.stdout, `first: 2 tables with 59 rows imported from ${source}\n`);
    const out = path.join(folder, 'out.db');
    const exported = await dqliteNode('export', '--servers', `127.0.0.1:1,${address}`, 'first', out);
    assert.match(exported.stdout, /^first: \d+ pages written to /, exported.stderr);
    const second = await dqliteNode('import', '-s', address, 'second', out);
    assert.equal(second.code, 0, second.stderr);
    const content = await readContent(address, 'first');
    assert.deepEqual([...content.tables.keys()], ['big', 'model']);
    assert.deepEqual(await readContent(address, 'second'), content);
  });

  await t.test('300 columns, more than a request has parameters', async () => {
    const client = await Connection.open(address, 'wide');
    const columns = Array.from({ length: 300 }, (_, column) => `c${column}`).join(', ');
    await client.exec(`CREATE TABLE wide (${columns})`);
    for (const value of [
      '1.0',
      "'it''s'",
      "x'00ff'",
      'NULL',
      '-9223372036854775808',
      '9e999',
      "CAST(x'610062' AS TEXT)",
    ]) {
      await client.exec(`INSERT INTO wide VALUES (${Array.from({ length: 300 }, () => value).join(', ')})`);
    }
    await client.exec('CREATE VIEW first AS SELECT c0 FROM wide -- and no more');
    client.close();
    const out = path.join(folder, 'wide.db');
    assert.equal((await dqliteNode('export', '-s', address, 'wide', out)).code, 0);
    const imported = await dqliteNode('import', '-s', address, 'wide again', out);
    assert.equal(imported.code, 0, imported.stderr);
    assert.deepEqual(await readContent(address, 'wide again'), await readContent(address, 'wide'));
    const check = await Connection.open(address, 'wide again');
    assert.deepEqual(await check.values('SELECT DISTINCT hex(c299), typeof(c299) FROM wide WHERE rowid = 7'), [
      ['610062', 'text'],
    ]);
    check.close();
  });

  await t.test('files that are no databases, and names that are not there', async () => {
    const cases: readonly (readonly [name: string, content: Buffer | undefined, message: RegExp])[] = [
      ['text', Buffer.from('key,value\n1,2\n'), /the file is not an SQLite database\n {2}hint: encrypted/],
      ['cut', readFileSync(source).subarray(0, 5000), /the file cannot be read: .*malformed/],
      ['missing', undefined, /missing cannot be opened: no such file or directory \(ENOENT\)$/m],
    ];
    for (const [name, content, message] of cases) {
      const file = path.join(folder, name);
      if (content !== undefined) writeFileSync(file, content);
      const { code, stdout, stderr } = await dqliteNode('import', '-s', address, 'none', file);
      assert.deepEqual([code, stdout], [1, ''], `${name}: ${stderr}`);
      assert.match(stderr, message);
    }
    const out = path.join(folder, 'nothing.db');
    const unknown = await dqliteNode('export', '-s', address, 'unknown', out);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /has no database "unknown"\n/);
    assert.match((await dqliteNode('export', '-s', address, 'first', source)).stderr, /source\.db exists already/);
    assert.ok(!readdirSync(folder).includes('nothing.db'));
  });

  await node.stop();
});
