/** The client against a node of ours, in this process. */

import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Node } from '../../src/node/index.ts';
import { clientSuite } from '../support/client-suite.ts';
import { freePort } from '../support/ports.ts';

clientSuite(
  'our node',
  async () => {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'dqlite-client-'));
    const address = `127.0.0.1:${await freePort()}`;
    const node = await Node.start({ id: 1n, address, directory });
    const stop = async (): Promise<void> => {
      await node.close();
      await rm(directory, { recursive: true, force: true });
    };
    return { address, stop };
  },
  200,
);
