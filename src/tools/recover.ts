/**
 * Giving a cluster that has lost its majority a new configuration, in the directory of a node that is stopped (raft and
 * disk spec section 6.14): one more entry, which names the members that are left, in a closed segment of its own.
 */

import { silentLogger, type Host } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import { Log, ReadOnlyLog } from '../log/index.ts';
import { encodeConfiguration, type Configuration } from '../raft/index.ts';

/** C dqlite writes this term, whatever the log's, and so do all who are to agree with it. */
const RECOVERY_TERM = 1;

export interface Recoverable {
  readonly term: number;
  readonly lastIndex: number;
  /** Term of the last entry. */
  readonly lastTerm: number;
  /** The members as the directory has them now. */
  readonly configuration: Configuration;
}

/** What a directory holds, without changing it. Rejects with DqliteError DAMAGED or CONFIGURATION, or `FileError`. */
export async function inspectRecoverable(host: Host, directory: string): Promise<Recoverable> {
  const log = await ReadOnlyLog.open({ ...host, directory, logger: silentLogger });
  try {
    const { term, lastIndex } = log;
    const { lastTerm, configuration } = await log.end();
    if (configuration !== undefined) return { term, lastIndex, lastTerm, configuration };
  } finally {
    await log.close();
  }
  throw new DqliteError('CONFIGURATION', `${directory} holds no log of a cluster: there is nothing to recover`, {
    hint: 'name the data directory of a node that was a member',
  });
}

/**
 * Appends the configuration. Durable when it resolves, with the index of its entry. Rejects with DqliteError LOCKED,
 * DAMAGED or IO; then nothing is changed, except what a start would have tidied up.
 */
export async function recover(host: Host, directory: string, configuration: Configuration): Promise<number> {
  const log = await Log.open({ ...host, directory, logger: silentLogger });
  try {
    await log.append([{ term: RECOVERY_TERM, type: 'change', data: encodeConfiguration(configuration) }]);
    return log.lastIndex;
  } finally {
    // Closes the segment, under the name of its one entry.
    await log.close();
  }
}
