/** The client against the real dqlite. */

import { before } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { clientSuite } from '../support/client-suite.ts';
import { CNode, needPrograms } from '../support/peers.ts';
import { freePort } from '../support/ports.ts';

const atEnd: (() => void | Promise<void>)[] = [];

before(() => needPrograms('dqlite-demo'));

clientSuite(
  'C dqlite',
  async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'dqlite-client-'));
    const node = await CNode.start(
      { after: work => void atEnd.push(work) },
      directory,
      `127.0.0.1:${await freePort()}`,
    );
    const stop = async (): Promise<void> => {
      await node.stop();
      for (const work of atEnd) await work();
      rmSync(directory, { recursive: true, force: true });
    };
    return { address: node.address, stop };
  },
  200,
);
