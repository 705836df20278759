/** `dqlite-node import`: loads an SQLite file into a database of a running server. */

import path from 'node:path';
import { nodeHost } from '../host/index.ts';
import { connectServer, importDatabase, ONE_TRANSACTION_BYTES, SourceDatabase } from '../tools/index.ts';
import { bytesText, Progress } from './progress.ts';
import { SERVERS_OPTION, serversOption } from './servers.ts';
import { openSource } from './source-file.ts';
import { namedWords, readArguments, UsageError } from './usage.ts';

const USAGE = `dqlite-node import -s <host:port,...> <database> <file> [--add | --restart]

Loads an SQLite file into a database of a running server, of dqlite-node or of C dqlite. The database is made if it is
not there, and must be empty. The file is only read; with the file of the same name that ends in -wal, if there is one.

  -s, --servers   servers of the cluster; the leader is found from any of them
  --add           the database may have tables already, but none of the same names; its user_version and
                  application_id stay
  --restart       if an earlier import was interrupted, remove everything in the database first

It is done by SQL statements, since the protocol carries nothing else. A file of up to ${ONE_TRANSACTION_BYTES / 1024 / 1024} MiB is loaded in one
transaction: all of it or nothing. A larger one is loaded in transactions of about 4 MiB, so that other clients can
write in between; they see what is there so far. If it fails or is interrupted (Ctrl-C), what was loaded is removed; if
that cannot be done (kill -9), a table that tells so stays in the database until an import with --restart.

Carried over: tables (also WITHOUT ROWID, STRICT, with generated columns) with their rowids, indexes, views, triggers,
AUTOINCREMENT's counters, ANALYZE's statistics, FTS5 and R*Tree tables, user_version, application_id. Any page size and
journal mode. Not carried over, and told: auto_vacuum. Refused: other virtual tables, contentless FTS5 tables, UTF-16
encodings, files that are half-way through a transaction. Foreign keys are not checked, as in sqlite3's .dump.`;

const OPTIONS = {
  servers: SERVERS_OPTION,
  add: { type: 'boolean' },
  restart: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

export async function importCommand(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const servers = serversOption(values.servers, USAGE);
  const [database, file] = namedWords(positionals, ['database', 'file'], USAGE);
  const add = values.add === true;
  const restart = values.restart === true;
  if (add && restart) throw new UsageError('--add and --restart contradict each other', USAGE);
  const host = nodeHost();
  const { clock } = host;
  const progress = new Progress('importing');
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
  };
  const files = openSource(file!);
  try {
    let read = 0;
    const source = await SourceDatabase.open({ ...files, onRead: size => (read += size) });
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    const imported = await importDatabase({
      clock,
      source,
      connect: () => connectServer(host, servers, database!),
      sourceName: path.basename(file!),
      add,
      restart,
      isStopped: () => isStopped,
      checkSource: () => files.check(),
      onProgress: ({ table, rows }) => progress.update(read, source.size, `${bytesText(read)}, ${rows} rows, ${table}`),
    });
    progress.end();
    source.close();
    const { tables, rows, notes } = imported;
    console.log(`${database}: ${tables} ${tables === 1 ? 'table' : 'tables'} with ${rows} rows imported from ${file}`);
    for (const note of notes) console.log(`note: ${note}`);
    return 0;
  } finally {
    progress.end();
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
    files.close();
  }
}
