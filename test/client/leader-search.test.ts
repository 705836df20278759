/** The search for the leader among servers that lead astray: it ends. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientChannels } from '../../src/client/events.ts';
import { LeaderFinder } from '../../src/client/leader.ts';
import { searchLeader } from '../../src/client/leader-search.ts';
import { nodeHost } from '../../src/host/node.ts';
import { rejects } from '../support/client-suite.ts';
import { FakeServer } from '../support/fake-server.ts';
import { until } from '../support/wait.ts';

test('servers that name a new one each time are followed to the tenth', async () => {
  const { clock } = nodeHost();
  const asked = new Set<string>();
  const search = searchLeader(clock, ['0'], address => {
    asked.add(address);
    return Promise.resolve({ leader: String(Number(address) + 1) });
  });
  await rejects(search, { code: 'NO_LEADER' });
  assert.deepEqual(
    [...asked],
    Array.from({ length: 11 }, (_, i) => String(i)),
  );
});

test('of a thousand members that a server names a hundred are asked', async t => {
  const server = await FakeServer.start();
  t.after(() => server.stop());
  server.members = Array.from({ length: 1000 }, (_, i) => `127.0.0.1:${i + 1}`);
  const { clock, net, random } = nodeHost();
  const asked = new Set<string>();
  const counting: typeof net = {
    flush: () => net.flush(),
    listen: () => assert.fail('a client does not listen'),
    connect(address, timeoutMs) {
      asked.add(address);
      return address === server.address ? net.connect(address, timeoutMs) : Promise.reject(new Error('refused'));
    },
  };
  const finder = new LeaderFinder({ clock, random, net: counting }, [server.address], 1000, clientChannels());
  const connection = await finder.connect();
  await until(() => server.requests.some(({ kind }) => kind === 'cluster'), 'members named');
  await connection.call({ kind: 'leader' });
  server.leader = '';
  finder.forget(server.address);
  await rejects(finder.search(), { code: 'NO_LEADER' });
  assert.equal(asked.size, 101);
  connection.close();
});
