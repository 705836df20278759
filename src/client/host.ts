/** What the client needs of the outside. */

import type { Clock, Net, Random } from '../host/types.ts';

export interface ClientHost {
  readonly net: Net;
  readonly clock: Clock;
  readonly random: Random;
}

/** Resolves after a time; the process does not end meanwhile. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise(resolve => clock.setTimer(delayMs, resolve, true));
}
