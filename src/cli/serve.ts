/** `dqlite-node serve`: runs one node until it is told to stop. */

import { setFlagsFromString } from 'node:v8';
import { isLoopback, isWildcard, parseAddress } from '../host/index.ts';
import { messageOf } from '../lib/errors.ts';
import { DqliteError } from '../lib/errors.ts';
import { FOUNDER_IDS, Node } from '../node/index.ts';
import { joinCluster } from './join.ts';
import { LOG_LEVELS, stderrLogger, type LogLevel } from './logger.ts';
import { serversOption } from './servers.ts';
import { idOption, numberOption, readOptions, UsageError } from './usage.ts';

const USAGE = `dqlite-node serve --id <u64> --address <host:port> --dir <path> [options]

  --id N                   the node's id; 1 and ${FOUNDER_IDS[1]} found a cluster in an empty directory
  --address HOST:PORT      the address that goes into the cluster's configuration: clients and other nodes dial it
  --dir PATH               the data directory, in the format of C dqlite
  --join HOST:PORT,...     servers of the cluster to become a member of: a voter while there are fewer than three,
                           then a standby; not needed again once it is one
  --bind ADDRESS           where to listen if that is not --address: host:port or @abstract-name (port 0, @: any)
  --latency-ms N           latency of the cluster's network, 1 to 3600000; sets heartbeat and election timeout
  --no-leases              confirm every read with the other voters, also where clocks could be relied on
  --snapshot-threshold N   take a snapshot after N entries (default: when the log outweighs the databases)
  --snapshot-trailing N    entries kept on disk before a snapshot (default 8192)
  --failure-domain N       what the node says about its place, for role management
  --busy-timeout-ms N      how long a write waits for another client's transaction (default 5000)
  --max-step-ms N          how long one step of a statement may run (default 2000; 0: no limit)
  --log-level LEVEL        ${LOG_LEVELS.join(', ')} (default info), on stderr

Prints "ready <bound address>" once it accepts connections.`;

/**
 * V8 begins to mark once less than the new space is left up to the limit of the heap. Beside a heap of 10 MB, as a node
 * has it, its own choice leaves less than that from the start, and it marks without end. This leaves three times the
 * heap above it instead.
 */
const HEAP_GROWTH = '--heap-growing-percent=300';

const OPTIONS = {
  id: { type: 'string' },
  address: { type: 'string' },
  dir: { type: 'string' },
  join: { type: 'string', multiple: true },
  bind: { type: 'string' },
  'latency-ms': { type: 'string' },
  'no-leases': { type: 'boolean' },
  'snapshot-threshold': { type: 'string' },
  'snapshot-trailing': { type: 'string' },
  'failure-domain': { type: 'string' },
  'busy-timeout-ms': { type: 'string' },
  'max-step-ms': { type: 'string' },
  'log-level': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

const MAX_MS = 3_600_000;

export async function serve(args: string[]): Promise<number> {
  const values = readOptions(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const id = idOption('id', values.id, 1n, USAGE);
  const { bind } = values;
  const address = neededOption('address', values.address);
  const dir = neededOption('dir', values.dir);
  if (id === undefined) throw new UsageError('--id is needed', USAGE);
  checkAddress(bind === undefined ? 'address' : 'bind', bind ?? address);
  const servers = values.join === undefined ? undefined : serversOption(values.join, USAGE, '--join');
  if (servers !== undefined && FOUNDER_IDS.includes(id)) {
    throw new UsageError(`--id ${id} founds a cluster of its own: choose another one to join with`, USAGE);
  }
  const number = (name: keyof typeof OPTIONS, min: number, max: number): number | undefined =>
    numberOption(name, values[name] as string | undefined, [min, max], USAGE);
  const level = values['log-level'] ?? 'info';
  if (!LOG_LEVELS.includes(level as LogLevel)) {
    throw new UsageError(`--log-level must be one of ${LOG_LEVELS.join(', ')}, not "${level}"`, USAGE);
  }
  const logger = stderrLogger(level as LogLevel);
  const busyTimeoutMs = number('busy-timeout-ms', 0, MAX_MS);
  const maxStepMs = number('max-step-ms', 0, MAX_MS);
  let failure: ((error: unknown) => void) | undefined;
  const failed = new Promise<unknown>(resolve => (failure = resolve));
  const stopped = stopSignal();
  setFlagsFromString(HEAP_GROWTH);
  const node = await Node.start({
    id,
    address,
    directory: dir,
    bind,
    logger,
    latencyMs: number('latency-ms', 1, MAX_MS),
    leases: values['no-leases'] !== true,
    dedicatedThread: true,
    snapshotThreshold: number('snapshot-threshold', 1, Number.MAX_SAFE_INTEGER),
    snapshotTrailing: number('snapshot-trailing', 4, Number.MAX_SAFE_INTEGER),
    failureDomain: idOption('failure-domain', values['failure-domain'], 0n, USAGE),
    engine: {
      ...(busyTimeoutMs === undefined ? {} : { busyTimeoutMs }),
      ...(maxStepMs === undefined ? {} : { maxStepMs }),
    },
    onFailure: error => failure?.(error),
  });
  if (isWildcard(address)) {
    logger.warn(
      { address },
      'nobody can dial this address: --address must name this machine, --bind may be such a one',
    );
  }
  if (!isLoopback(node.boundAddress)) {
    logger.warn(
      { address: node.boundAddress },
      'listening beyond this machine without TLS: anyone there can read and write',
    );
  }
  console.log(`ready ${node.boundAddress}`);
  const leaving = new AbortController();
  const joining = servers === undefined ? undefined : joinCluster(node, servers, logger, leaving.signal);
  const refused = joining?.then(
    () => new Promise<never>(() => {}),
    (error: unknown) => error,
  );
  const outcome = await Promise.race([stopped, failed, ...(refused === undefined ? [] : [refused])]);
  leaving.abort();
  // Clients hardly notice a leader that goes if another one takes over first.
  if (outcome === 'stopped') await node.handover();
  await node.close();
  if (outcome === 'stopped') return 0;
  if (outcome instanceof DqliteError) throw outcome;
  return 1;
}

function neededOption(name: string, text: string | undefined): string {
  if (text === undefined || text === '') throw new UsageError(`--${name} is needed`, USAGE);
  return text;
}

/** What cannot be listened on is refused before a directory is made with it. */
function checkAddress(name: string, address: string): void {
  try {
    parseAddress(address);
  } catch (error) {
    throw new UsageError(`--${name}: ${messageOf(error)}: write host:port, [ipv6]:port or @name`, USAGE);
  }
}

/** Resolves at the first SIGTERM or SIGINT; the second one ends the process as usual. */
export function stopSignal(): Promise<'stopped'> {
  return new Promise(resolve => {
    const stop = (): void => {
      process.removeListener('SIGTERM', stop);
      process.removeListener('SIGINT', stop);
      resolve('stopped');
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}
