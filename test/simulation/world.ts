/** What all simulated worlds have: time, a network, a machine with clients on it, and a limit for everything that is awaited. */

import type { Logger } from '../../src/host/types.ts';
import {
  Scheduler,
  simulatedHost,
  SimulatedNetwork,
  streamOf,
  type SimulatedHost,
} from '../../src/simulation/index.ts';
import { SCHEMA, Violation, type History } from './history.ts';
import type { SimulatedClient } from './simulated-client.ts';

/** Nothing takes longer than this, whatever the disk does: what does is stuck. */
const ANSWER_MS = 60_000;

/** Short, so that runs meet them. */
export const SHORT_TIMEOUTS = { busyTimeoutMs: 400, transactionIdleTimeoutMs: 500 };

export abstract class World {
  readonly scheduler: Scheduler = new Scheduler();
  readonly network: SimulatedNetwork;
  readonly clientHost: SimulatedHost;
  /** Gets every line of the trace. */
  readonly trace: (line: string) => void;

  constructor(seed: number, trace: (line: string) => void, latencyMs?: (from: string, to: string) => number) {
    const { scheduler } = this;
    this.trace = trace;
    const random = streamOf(seed, 'network');
    this.network = new SimulatedNetwork({ scheduler, random, ...(latencyMs === undefined ? {} : { latencyMs }) });
    this.clientHost = simulatedHost({ seed, scheduler, network: this.network, machine: 'clients' });
  }

  /** A client of whoever serves the database. */
  abstract connect(database: string): Promise<SimulatedClient>;

  sleep(ms: number): Promise<void> {
    return new Promise(resolve => void this.scheduler.schedule(ms, resolve));
  }

  /** The outcome of what must come to an end. */
  async answered<Result>(work: Promise<Result>, what: string, limitMs: number = ANSWER_MS): Promise<Result> {
    let timer: { cancel(): void } | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = this.scheduler.schedule(limitMs, () =>
        reject(new Violation(`stuck: no end within ${limitMs} ms of simulated time: ${what}`)),
      );
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      timer?.cancel();
    }
  }

  /** Records of a node, in the trace. `note` sees the fields. */
  logger(name: string, note: (fields: object) => void = () => {}): Logger {
    const at =
      (level: string) =>
      (fields: object, message: string): void => {
        note(fields);
        this.trace(`${name} ${level}: ${message}`);
      };
    return { debug() {}, info: at('info'), warn: at('warn'), error: at('error'), fatal: at('fatal') };
  }
}

/** Everything that the history knows is there. Makes the tables if that was not done yet. */
export async function verifyHistory(world: World, history: History): Promise<void> {
  const client = await world.connect(history.name);
  const [[tables]] = (await world.answered(client.query('SELECT count(*) FROM sqlite_schema'), 'SELECT')) as [[bigint]];
  if (tables === 0n) {
    if (history.newest > 0) throw new Violation(`${history.name} is empty`);
    await world.answered(client.exec(`BEGIN; ${SCHEMA} COMMIT`), 'the schema');
  }
  await world.answered(history.verify(client), `verification of ${history.name}`);
  client.close();
}
