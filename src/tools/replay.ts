/**
 * The databases of a data directory without a node: everything in the log is applied, whether or not a majority has
 * committed it, by the engine that a node uses.
 */

import { defaultEngineOptions, Engine } from '../engine/index.ts';
import { silentLogger, type Host } from '../host/index.ts';
import { DecodeError } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import type { LogContent } from '../log/index.ts';

const READ_BYTES = 1024 * 1024;

/**
 * Gives an engine that holds the databases as of the last entry; to be closed. Rejects with DqliteError DAMAGED, or
 * with `FileError`. `onProgress` is called with bytes applied and bytes in all.
 */
export async function replay(
  host: Host,
  log: LogContent,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<Engine> {
  const { clock, random, sameBytes } = host;
  const environment = {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    fillRandom: (bytes: Uint8Array) => random.fill(bytes),
    sameBytes,
  };
  const engine = await Engine.create(defaultEngineOptions, clock, environment, silentLogger);
  try {
    let applied = log.snapshot?.index ?? 0;
    if (log.snapshot !== undefined) await log.readSnapshot(engine.restorer());
    const total = log.bytesAfter(applied);
    let done = 0;
    while (applied < log.lastIndex) {
      for (const { type, data } of await log.readEntries(applied + 1, log.lastIndex, READ_BYTES)) {
        applied++;
        done += data.length;
        if (type === 'command') apply(engine, applied, data);
      }
      onProgress(done, total);
    }
    return engine;
  } catch (error) {
    engine.close();
    throw error;
  }
}

function apply(engine: Engine, index: number, data: Uint8Array): void {
  try {
    engine.apply(index, data);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DqliteError('DAMAGED', `entry ${index} cannot be applied: ${error.message}`, {
      cause: error,
      hint: 'a newer version of dqlite may have written it',
    });
  }
}
