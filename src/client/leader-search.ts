/** One search for the leader among servers of which some may be down, hang, or be in the middle of an election. */

import type { Clock } from '../host/types.ts';
import { DqliteError, messageOf } from '../lib/errors.ts';
import type { ServerConnection } from './connection.ts';
import { sleep } from './host.ts';

/** What a server says: the address of the leader, empty if it knows none, and the connection if it leads itself. */
export interface LeaderAnswer {
  readonly leader: string;
  readonly connection?: ServerConnection;
}

const FIRST_PAUSE_MS = 10;
const MAX_PAUSE_MS = 250;
const PAUSE_GROWTH = 1.5;
/** Servers that are asked because others named them: more is no news of an election, but somebody who leads astray. */
const MAX_NAMED = 10;

/**
 * Asks all servers at the same time, and whoever they name, until one leads. Without success it is over when each has
 * answered at least once; until then those that have are asked again, so that a server that hangs does not stand
 * between the client and a leader that is elected meanwhile. Rejects with DqliteError NO_LEADER, which lists each
 * server's last answer.
 */
export function searchLeader(
  clock: Clock,
  servers: Iterable<string>,
  ask: (address: string) => Promise<LeaderAnswer>,
): Promise<ServerConnection> {
  return new Promise((resolve, reject) => {
    const answers = new Map<string, string>();
    const silent = new Set<string>();
    let named = 0;
    let isOver = false;

    const poll = async (address: string): Promise<void> => {
      answers.set(address, `${address} has not answered`);
      silent.add(address);
      for (let pauseMs = FIRST_PAUSE_MS; !isOver; pauseMs = Math.min(pauseMs * PAUSE_GROWTH, MAX_PAUSE_MS)) {
        const answer = await ask(address).catch((error: unknown) => `${address}: ${messageOf(error)}`);
        if (typeof answer === 'string') {
          answers.set(address, answer);
        } else if (answer.connection !== undefined) {
          if (isOver) return answer.connection.close();
          isOver = true;
          return resolve(answer.connection);
        } else {
          const { leader } = answer;
          answers.set(address, leader === '' ? `${address} knows no leader` : `${address} names ${leader}`);
          if (leader !== '' && !answers.has(leader) && ++named <= MAX_NAMED) void poll(leader);
        }
        silent.delete(address);
        if (silent.size === 0 && !isOver) {
          isOver = true;
          reject(noLeader([...answers.values()]));
        }
        if (!isOver) await sleep(clock, pauseMs);
      }
    };

    for (const address of servers) void poll(address);
  });
}

function noLeader(answers: readonly string[]): DqliteError {
  return new DqliteError('NO_LEADER', `no server leads: ${answers.join('; ')}`, {
    hint: 'is a majority of the servers running, and are these their addresses as the cluster knows them?',
    committed: false,
  });
}
