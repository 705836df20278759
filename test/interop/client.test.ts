/** The client against the real dqlite. */

import { after, before } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { clientSuite } from '../support/client-suite.ts';
import { CNode, needPrograms } from '../support/peers.ts';
import { freePort } from '../support/ports.ts';

before(() => needPrograms('dqlite-demo'));

clientSuite(
  'C dqlite',
  async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'dqlite-client-'));
    const node = await CNode.start({ after }, directory, `127.0.0.1:${await freePort()}`);
    const stop = async (): Promise<void> => {
      await node.stop();
      rmSync(directory, { recursive: true, force: true });
    };
    return { address: node.address, isOurs: false, stop };
  },
  200,
);
