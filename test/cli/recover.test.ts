/** `dqlite-node recover`: a member of a cluster that has lost its majority goes on alone. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { CommandLine } from '../support/command-line.ts';
import { copyOf } from '../support/copies.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

const { dqliteNode } = new CommandLine({ after });

const ID = 3297041220608546238n;
const MEMBER = `${ID},node.test:1,voter`;

function contents(directory: string): Map<string, string> {
  return new Map(readdirSync(directory).map(name => [name, readFileSync(path.join(directory, name), 'latin1')]));
}

test('a node of three goes on alone with what it has, and nothing happens without a yes', async t => {
  const directory = copyOf(t, 'three-node-clean/node1');
  // It names the address of before.
  rmSync(path.join(directory, 'info.yaml'));
  const before = contents(directory);
  const refused = await dqliteNode('recover', '--dir', directory, '--member', MEMBER);
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /the log ends with entry 68 of term 3\./);
  assert.match(refused.stdout, /Dropped: 3287592638544079449, 13186195581393062085\. They must never run again/);
  assert.match(refused.stdout, /Lost: every transaction that is in no entry up to 68 of this directory/);
  assert.match(refused.stderr, /there is no terminal to ask at; nothing was changed\n {2}hint: add --yes/);
  assert.deepEqual(contents(directory), before);

  const done = await dqliteNode('recover', '--dir', directory, '--member', MEMBER, '--yes');
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /Entry 69 of .* now says that these are the members\.\ncluster\.yaml were left/);
  const after = contents(directory);
  const added = [...after.keys()].filter(name => !before.has(name));
  assert.deepEqual(added, ['0000000000000069-0000000000000069']);
  for (const [name, content] of before) assert.equal(after.get(name), content, `${name} stays as it was`);

  const node = await serve(t, { directory, id: ID });
  const client = await Connection.open(node.address, 'demo');
  assert.deepEqual(await client.values('SELECT count(*) FROM model'), [[58n]]);
  await client.exec("INSERT INTO model VALUES ('after', 'recovery')");
  const answer = await client.call({ kind: 'cluster', format: 1 });
  assert.deepEqual(answer.kind === 'servers' && answer.servers.map(({ address }) => address), ['node.test:1']);
  const inUse = await dqliteNode('recover', '--dir', directory, '--member', MEMBER, '--yes');
  assert.equal(inUse.code, 1);
  assert.match(inUse.stderr, /is in use by process \d+/);
  await node.stop();
  const again = await serve(t, { directory, id: ID });
  const second = await Connection.open(again.address, 'demo');
  assert.deepEqual(await second.values('SELECT count(*) FROM model'), [[59n]]);
  await again.stop();
});

test('a directory without a log, and one that is damaged', async t => {
  const empty = temporaryDirectory(t);
  const nothing = await dqliteNode('recover', '--dir', empty, '--member', MEMBER, '--yes');
  assert.equal(nothing.code, 1);
  assert.match(nothing.stderr, /holds no log of a cluster: there is nothing to recover/);
  assert.deepEqual(readdirSync(empty), []);
  const damaged = copyOf(t, 'three-node-clean/node1');
  rmSync(path.join(damaged, '0000000000000001-0000000000000001'));
  const refused = await dqliteNode('recover', '--dir', damaged, '--member', MEMBER, '--yes');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /the log does not begin at entry 1/);
});
