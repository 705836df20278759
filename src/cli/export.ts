/** `dqlite-node export`: a database of a running server as a plain SQLite file. */

import { checkOutputPath } from './output-path.ts';
import { nodeHost } from '../host/index.ts';
import { exportDatabase } from '../tools/index.ts';
import { bytesText, Progress } from './progress.ts';
import { SERVERS_OPTION, serversOption } from './servers.ts';
import { namedWords, readArguments } from './usage.ts';

const USAGE = `dqlite-node export -s <host:port,...> <database> <file> [--force]

Writes a database of a running server, of dqlite-node or of C dqlite, to a file that any SQLite opens: its state at one
moment, in rollback-journal mode.

  -s, --servers   servers of the cluster; the leader is found from any of them
  --force         replace the file if it is there`;

const OPTIONS = {
  servers: SERVERS_OPTION,
  force: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

export async function exportCommand(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const servers = serversOption(values.servers, USAGE);
  const [database, path] = namedWords(positionals, ['database', 'file'], USAGE);
  checkOutputPath(path!);
  const progress = new Progress('exporting');
  try {
    const pages = await exportDatabase({
      host: nodeHost(),
      servers,
      database: database!,
      path: path!,
      force: values.force === true,
      onProgress: (written, total) => progress.update(written, total, bytesText(written)),
    });
    progress.end();
    console.log(`${database}: ${pages} pages written to ${path}`);
    return 0;
  } finally {
    progress.end();
  }
}
