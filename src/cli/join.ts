/** Becoming a member of a cluster: added as a spare, then given a role, as any client could ask for. */

import { administer, DqliteError, type Server } from '../client/index.ts';
import type { Logger } from '../host/index.ts';
import type { Node } from '../node/index.ts';

/** So many voters survive the loss of one. */
const WANTED_VOTERS = 3;
/** What a leader answers while it is changing something else. */
const SQLITE_BUSY = 5;
const ATTEMPTS_MS = 60_000;
const PAUSE_MS = 200;

/**
 * Resolves when the node has its role: voter while there are fewer than three, else standby. One that is a member and
 * has a role keeps it. Rejects with DqliteError if the cluster refuses, cannot be reached for a minute, or the signal
 * comes.
 */
export async function joinCluster(
  node: Node,
  servers: readonly string[],
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const cluster = administer({ servers, acquireTimeoutMs: ATTEMPTS_MS });
  const self = { id: node.id, address: node.address };
  logger.info({ servers: servers.join(',') }, 'asking to become a member');
  const members = await cluster.servers({ signal });
  const known = members.find(({ id }) => id === self.id);
  if (known === undefined) {
    await persist(() => cluster.add(self, { signal }), signal);
  } else if (known.address !== self.address) {
    throw new DqliteError(
      'CONFIGURATION',
      `the cluster knows node ${self.id} at ${known.address}, not ${self.address}`,
      {
        hint: 'remove that member first, or choose another id',
      },
    );
  }
  if (known === undefined || known.role === 'spare') {
    await persist(async () => {
      const { length } = votersOf(await cluster.servers({ signal }));
      await cluster.assign(self.id, length < WANTED_VOTERS ? 'voter' : 'standby', { signal });
    }, signal);
    // Several may have joined at the same time: those that came last are not needed.
    const surplus = votersOf(await cluster.servers({ signal })).slice(WANTED_VOTERS);
    if (surplus.some(({ id }) => id === self.id)) {
      await persist(() => cluster.assign(self.id, 'standby', { signal }), signal);
    }
  }
  const role = (await cluster.servers({ signal })).find(({ id }) => id === self.id)?.role;
  logger.info({ role }, 'this node belongs to the cluster');
}

function votersOf(servers: readonly Server[]): Server[] {
  return servers.filter(({ role }) => role === 'voter');
}

/** Changes come one at a time: another node may be joining too. */
async function persist(change: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const endMs = performance.now() + ATTEMPTS_MS;
  for (;;) {
    try {
      await change();
      return;
    } catch (error) {
      const isBusy = error instanceof DqliteError && error.sqliteCode === SQLITE_BUSY;
      const isElection =
        error instanceof DqliteError && (error.code === 'NOT_LEADER' || error.code === 'LEADERSHIP_LOST');
      if ((!isBusy && !isElection) || performance.now() > endMs || signal.aborted) throw error;
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
    }
  }
}
