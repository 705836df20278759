/**
 * A data directory without a node: everything in its log is applied, whether or not there is a majority to commit it,
 * by the log and the engine that a node uses; the databases come out as files that any SQLite opens.
 */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { defaultEngineOptions, Engine, keyBytes } from '../../src/engine/index.ts';
import { nodeHost, silentLogger } from '../../src/host/index.ts';
import { Log } from '../../src/log/index.ts';

const READ_BYTES = 1024 * 1024;

/** Writes each database of a directory into `target`, under its name. Gives the names. The directory is opened as a start does. */
export async function replay(directory: string, target: string): Promise<string[]> {
  const { clock, files, random, sameBytes } = nodeHost();
  const log = await Log.open({ files, clock, directory, logger: silentLogger });
  try {
    const engine = await Engine.create(
      defaultEngineOptions,
      clock,
      {
        wallMs: () => clock.wallMs(),
        monotonicMs: () => clock.monotonicMs(),
        fillRandom: bytes => random.fill(bytes),
        sameBytes,
      },
      silentLogger,
    );
    let applied = log.snapshot?.index ?? 0;
    if (log.snapshot !== undefined) await log.readSnapshot(engine.restorer());
    while (applied < log.lastIndex) {
      const entries = await log.readEntries(applied + 1, log.lastIndex, READ_BYTES);
      assert.ok(entries.length > 0);
      for (const entry of entries) {
        applied++;
        if (entry.type === 'command') engine.apply(applied, entry.data);
      }
    }
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
