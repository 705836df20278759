/** One database of a data directory as a file that any SQLite opens, as of the last entry in the log. */

import { bytesKey, keyBytes, type DatabaseImage } from '../engine/index.ts';
import { silentLogger, type Host } from '../host/index.ts';
import { decodeUtf8, encodeUtf8 } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import { ReadOnlyLog, type LogContent } from '../log/index.ts';
import { checkOutput, writeOutput } from './output-file.ts';
import { plainFirstPage } from './plain-page.ts';
import { replay } from './replay.ts';
import { SalvagedLog } from './salvage.ts';
import { survey } from './survey.ts';

export interface DumpOptions {
  readonly host: Host;
  readonly directory: string;
  readonly database: string;
  readonly path: string;
  /** Whether a file of that name may be replaced. */
  readonly force: boolean;
  /** Take what comes before the damage, if the directory is damaged. */
  readonly salvage: boolean;
  readonly onProgress: (work: 'replaying' | 'writing', done: number, total: number) => void;
}

export interface Dumped {
  readonly pages: number;
  /** The entry up to which the log was applied. */
  readonly index: number;
}

/** Rejects with DqliteError DAMAGED, CONFIGURATION, or with `FileError`; then there is no file. */
export async function dumpDatabase({ host, directory, database, path, ...options }: DumpOptions): Promise<Dumped> {
  const output = { files: host.files, random: host.random, path, force: options.force };
  await checkOutput(output);
  const log = await openLog(host, directory, options.salvage);
  try {
    const engine = await replay(host, log, (done, total) => options.onProgress('replaying', done, total));
    try {
      const image = engine.image(bytesKey(encodeUtf8(database)));
      if (image === undefined) {
        const names = [...engine.databases.keys()].map(key => `"${decodeUtf8(keyBytes(key))}"`);
        throw new DqliteError('CONFIGURATION', `${directory} has no database "${database}"`, {
          hint: names.length === 0 ? 'it has none at all' : `it has ${names.join(', ')}`,
        });
      }
      await writeOutput(output, plainPages(image), written => options.onProgress('writing', written, image.size));
      image.release();
      return { pages: image.pageCount, index: log.lastIndex };
    } finally {
      engine.close();
    }
  } finally {
    await log.close();
  }
}

async function openLog(
  host: Host,
  directory: string,
  salvage: boolean,
): Promise<LogContent & { close(): Promise<void> }> {
  const options = { ...host, directory, logger: silentLogger };
  if (!salvage) return ReadOnlyLog.open(options);
  const log = await SalvagedLog.open(options, await survey(options));
  if (log.lastIndex > 0) return log;
  await log.close();
  throw new DqliteError('DAMAGED', `${directory}: neither a snapshot nor the beginning of the log can be read`, {
    hint: 'restore the directory from a backup',
  });
}

function* plainPages(image: DatabaseImage): Generator<Uint8Array> {
  let isFirst = true;
  for (const page of image.pages()) {
    yield isFirst ? plainFirstPage(page, image.pageCount) : page;
    isFirst = false;
  }
}
