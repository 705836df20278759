/** `dqlite-node inspect`: what is in a data directory, and its databases as files. Changes nothing in it. */

import { checkOutputPath } from './output-path.ts';
import { nodeHost, silentLogger } from '../host/index.ts';
import { assess, dumpDatabase, survey, type EntryReport } from '../tools/index.ts';
import { entryText, inspectText } from './inspect-text.ts';
import { bytesText, Progress } from './progress.ts';
import { namedWords, readArguments, UsageError } from './usage.ts';

const USAGE = `dqlite-node inspect <dir> [--entries] [--json]
dqlite-node inspect --dump <dir> <database> <file> [--force] [--salvage]

Shows what is in a node's data directory, of dqlite-node or of C dqlite: metadata, snapshots, segments, configuration,
databases. It only reads, also while a node uses the directory. Exit code 1 if the directory is damaged.

  --entries    show every entry of the log too
  --json       as JSON, for programs; ids are strings
  --dump       write a database, as of the last entry of the log, to a file that any SQLite opens; in a cluster, the
               last entries may not be committed yet
  --force      replace the file if it is there
  --salvage    of a damaged directory, take what comes before the damage`;

const OPTIONS = {
  entries: { type: 'boolean' },
  json: { type: 'boolean' },
  dump: { type: 'boolean' },
  force: { type: 'boolean' },
  salvage: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

export async function inspect(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  if (values.dump === true) {
    for (const name of ['entries', 'json'] as const) {
      if (values[name] === true) throw new UsageError(`--${name} does not go with --dump`, USAGE);
    }
    const [directory, database, file] = namedWords(positionals, ['dir', 'database', 'file'], USAGE);
    checkOutputPath(file!);
    return dump(directory!, database!, file!, values.force === true, values.salvage === true);
  }
  for (const name of ['force', 'salvage'] as const) {
    if (values[name] === true) throw new UsageError(`--${name} needs --dump`, USAGE);
  }
  const [directory] = namedWords(positionals, ['dir'], USAGE);
  return show(directory!, values.entries === true, values.json === true);
}

async function show(directory: string, withEntries: boolean, asJson: boolean): Promise<number> {
  const host = nodeHost();
  const entries: EntryReport[] = [];
  const progress = new Progress('reading');
  try {
    const report = await survey({
      ...host,
      directory,
      logger: silentLogger,
      ...(withEntries ? { onEntry: entry => entries.push(entry) } : {}),
      onProgress: (done, total) => progress.update(done, total, bytesText(done)),
    });
    const state = await assess(host, report);
    progress.end();
    if (asJson) {
      const value = { ...report, ...(withEntries ? { entries } : {}), state };
      console.log(JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? `${inner}` : inner), 2));
    } else {
      console.log(inspectText(report, state, withEntries ? entries.map(entryText) : undefined));
    }
    return state.kind === 'damaged' ? 1 : 0;
  } finally {
    progress.end();
  }
}

async function dump(
  directory: string,
  database: string,
  path: string,
  force: boolean,
  salvage: boolean,
): Promise<number> {
  const progress = new Progress('dumping');
  try {
    const { pages, index } = await dumpDatabase({
      host: nodeHost(),
      directory,
      database,
      path,
      force,
      salvage,
      onProgress: (work, done, total) => progress.update(done, total, `${work} ${bytesText(done)}`),
    });
    progress.end();
    console.log(`${database} as of entry ${index}: ${pages} pages written to ${path}`);
    return 0;
  } finally {
    progress.end();
  }
}
