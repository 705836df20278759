/** A data directory without a node: the databases come out as files that any SQLite opens. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { keyBytes } from '../../src/engine/index.ts';
import { nodeHost, silentLogger } from '../../src/host/index.ts';
import { Log } from '../../src/log/index.ts';
import { replay as replayLog } from '../../src/tools/index.ts';

/** Writes each database of a directory into `target`, under its name. Gives the names. The directory is opened as a start does. */
export async function replay(directory: string, target: string): Promise<string[]> {
  const host = nodeHost();
  const log = await Log.open({ ...host, directory, logger: silentLogger });
  try {
    const engine = await replayLog(host, log);
    const names = [...engine.databases.keys()];
    for (const key of names) {
      const image = engine.image(key);
      assert.ok(image !== undefined);
      writeFileSync(path.join(target, Buffer.from(keyBytes(key)).toString()), Buffer.concat([...image.pages()]));
      image.release();
    }
    engine.close();
    return names.map(key => Buffer.from(keyBytes(key)).toString());
  } finally {
    await log.close();
  }
}
