/** `dqlite-node recover` on a directory of C dqlite, from which C dqlite then starts. */

import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { copyOf } from '../support/copies.ts';
import { CNode, dataFolder, FOUNDER_ID, needPrograms } from '../support/peers.ts';
import { freePort } from '../support/ports.ts';
import { dqliteNode, serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Connection } from '../support/connection.ts';

before(() => needPrograms('dqlite-demo'));

test('one of three C nodes goes on alone, as a C node and then as one of ours', async t => {
  const base = temporaryDirectory(t);
  const address = `127.0.0.1:${await freePort()}`;
  const directory = dataFolder(base, address);
  cpSync(copyOf(t, 'three-node-clean/node1'), directory, { recursive: true });
  // The application layer's own files: whoever moves a node to another address changes them too.
  const info = path.join(directory, 'info.yaml');
  writeFileSync(info, readFileSync(info, 'utf8').replace('127.0.0.1:29001', address));
  writeFileSync(path.join(directory, 'cluster.yaml'), `- Address: ${address}\n  ID: ${FOUNDER_ID}\n  Role: 0\n`);

  const member = `${FOUNDER_ID},${address},voter`;
  const { code, stderr } = await dqliteNode(t, 'recover', '--dir', directory, '--member', member, '--yes');
  assert.equal(code, 0, stderr);
  const theirs = await CNode.start(t, base, address);
  const client = await Connection.open(address, 'demo');
  assert.deepEqual(await client.values('SELECT count(*) FROM model'), [[58n]]);
  await client.exec("INSERT INTO model VALUES ('after', 'recovery')");
  const answer = await client.call({ kind: 'cluster', format: 1 });
  assert.deepEqual(answer.kind === 'servers' && answer.servers.map(server => server.address), [address]);
  client.close();
  await theirs.stop();

  const ours = await serve(t, { directory, id: FOUNDER_ID, address });
  const again = await Connection.open(address, 'demo');
  assert.deepEqual(await again.values('SELECT count(*) FROM model'), [[59n]]);
  await ours.stop();
});
