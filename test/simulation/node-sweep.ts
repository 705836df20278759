/**
 * A short life of a whole node, with a crash or a fault of the disk at every operation. One client writes in several
 * ways and reads after each write; the node takes snapshots and ends cleanly. Whatever happened, the next start has
 * everything that was acknowledged, nothing that was refused, and can be used.
 */

import { DqliteError, messageOf } from '../../src/lib/errors.ts';
import { SeededRandom } from '../../src/lib/random.ts';
import type { Fault, OperationKind, SimulatedFiles } from '../../src/simulation/index.ts';
import { History, INSERT, SCHEMA, SUMMARY, Violation } from './history.ts';
import { NodeWorld } from './node-world.ts';
import type { SimulatedClient } from './simulated-client.ts';
import { verifyHistory } from './world.ts';

export interface SweepOptions {
  /** Every how manieth operation is tried. */
  readonly stride: number;
  /** Outcomes of a power failure that are looked at for each. */
  readonly outcomes?: number;
}

const WRITES = 9;
/** An operation that fails is tried again each second; and then it may take a while. */
const RECOVERY_MS = 5000;
const WRITING: readonly OperationKind[] = ['create', 'write', 'sync', 'truncate', 'rename', 'remove', 'syncDirectory'];

class Life {
  readonly world: NodeWorld;
  readonly #random: SeededRandom;
  #history = new History('x.db');
  hasTables = false;

  constructor(seed: number) {
    this.world = new NodeWorld({ seed, snapshotThreshold: 4, snapshotTrailing: 1 });
    this.#random = new SeededRandom(seed);
  }

  get files(): SimulatedFiles {
    return this.world.host.files;
  }

  get history(): History {
    return this.#history;
  }

  /** From the start of the node to its clean end. */
  async live(write: (client: SimulatedClient, number: number) => Promise<void>): Promise<void> {
    const { world } = this;
    await world.startHealing();
    const client = await world.connect(this.#history.name);
    for (let number = 0; number <= WRITES; number++) {
      await write(client, number);
      // Nothing of the log is needed for it, whatever is wrong with the disk.
      if (this.hasTables) await this.read(client);
    }
    client.close();
  }

  async read(client: SimulatedClient): Promise<void> {
    const floor = this.#history.newest;
    this.#history.sawSummary(await this.world.answered(client.query(SUMMARY), 'a read'), floor);
  }

  /** The tables first, then transactions of all sizes. Rejects with what the node answers. */
  async write(client: SimulatedClient, number: number): Promise<void> {
    if (number === 0) {
      try {
        await this.world.answered(client.exec(`BEGIN; ${SCHEMA} COMMIT`), 'the schema');
        this.hasTables = true;
      } catch (error) {
        await this.#rollBack(client);
        throw error;
      }
      return;
    }
    const transaction = this.#history.begin(this.#random, number % 4 === 3 ? 40_000 : 300);
    const values = this.#history.values(transaction);
    try {
      const place = await this.world.answered(
        number % 2 === 0
          ? client.exec(`BEGIN IMMEDIATE; ${INSERT}; COMMIT`, ...values)
          : client.exec(INSERT, ...values),
        `write ${number}`,
      );
      this.#history.acknowledge(transaction, place);
    } catch (error) {
      // 13 is a promise, 10 leaves it open.
      if (error instanceof DqliteError && error.sqliteCode === 13) this.#history.refuse(transaction);
      await this.#rollBack(client);
      throw error;
    }
  }

  /** A transaction that the node has ended is over for the client when it says so; 1: there is none. */
  async #rollBack(client: SimulatedClient): Promise<void> {
    try {
      await this.world.answered(client.exec('ROLLBACK'), 'ROLLBACK');
    } catch (error) {
      if (!(error instanceof DqliteError) || error.sqliteCode !== 1) throw error;
    }
  }

  /** The next process finds everything, can be used, and so does the one after it. */
  async check(): Promise<void> {
    const { world } = this;
    this.#history.life++;
    await world.start();
    await verifyHistory(world, this.#history);
    const client = await world.connect(this.#history.name);
    await this.write(client, 1);
    world.end('crash');
    this.#history.life++;
    await world.start();
    await verifyHistory(world, this.#history);
    const [failure] = world.failures;
    if (failure !== undefined) throw new Violation(`the node gave up: ${messageOf(failure)}`, { cause: failure });
  }

  /** Checks several outcomes of the end of the process that runs now. */
  async checkOutcomes(outcomes: number): Promise<void> {
    const { world } = this;
    const history = this.#history;
    const ended = world.host;
    for (let outcome = 0; outcome <= outcomes; outcome++) {
      if (outcome > 0) world.end('kill');
      world.host = outcome === 0 ? ended.kill() : ended.crash().restart();
      this.#history = history.clone();
      await this.check();
    }
  }
}

/** Ends the process, or the machine, at every operation. Gives how many there are. */
export async function sweepCrashes({ stride, outcomes = 2 }: SweepOptions): Promise<number> {
  for (let operation = 1, over = false; ; operation += stride) {
    const life = new Life(operation);
    const { world, files } = life;
    files.stopAt(operation);
    try {
      const living = life.live((client, number) => life.write(client, number)).then(() => world.close());
      const finished = living.then(() => true);
      // Clients of a process that stands still wait in vain.
      finished.catch(() => {});
      over = (await world.scheduler.run(Promise.race([finished, files.stopped]))) === true;
      if (over) return operation;
      await world.scheduler.run(life.checkOutcomes(outcomes));
    } catch (error) {
      throw new Error(`operation ${operation} (${files.lastOperation}): ${messageOf(error)}`, { cause: error });
    }
  }
}

/** The disk fails at every operation that writes, once or from then on. Gives how many there are. */
export async function sweepFaults(code: Fault['code'], repeat: boolean, { stride }: SweepOptions): Promise<number> {
  for (let at = 1; ; at += stride) {
    const life = new Life(at);
    const { world, files } = life;
    files.inject({ code, at, repeat, kinds: WRITING });
    try {
      await world.scheduler.run(liveWithFault(life, code));
      if (files.failureCount === 0) return at;
      await world.scheduler.run(life.check());
    } catch (error) {
      const what = `${code} at ${at}${repeat ? ' and later' : ''} of those that write, last ${files.lastOperation}`;
      throw new Error(`${what}: ${messageOf(error)}`, { cause: error });
    }
  }
}

async function liveWithFault(life: Life, code: Fault['code']): Promise<void> {
  const { world, files } = life;
  let broken = false;
  await life.live(async (client, number) => {
    try {
      await life.write(client, number);
    } catch (error) {
      expectAnswer(error, code, broken);
      if (code === 'EIO') {
        broken = true;
        return;
      }
      if (life.hasTables) await life.read(client);
      files.heal();
      await world.answered(untilWritten(life, client, number), 'a write after there is space again', RECOVERY_MS);
    }
  });
  // The clean end may be what the fault hits.
  await world.close(true);
  world.host.files.heal();
}

/** A node that waits for space is closed, at moments around its next attempt: it leaves the directory alone. */
export async function closeWhileFull(): Promise<void> {
  for (let delayMs = 998; delayMs < 1003; delayMs += 0.25) {
    const life = new Life(1);
    const { world } = life;
    const work = async (): Promise<void> => {
      await world.start();
      const client = await world.connect(life.history.name);
      await life.write(client, 0);
      life.files.inject({ code: 'ENOSPC', at: 1, repeat: true });
      await life.write(client, 1).catch((error: unknown) => expectAnswer(error, 'ENOSPC', false));
      await world.sleep(delayMs);
      await world.close(true);
    };
    await world.scheduler.run(work());
  }
}

/** The disk is full: 13, or 10 if it cannot even be repaired. It is broken: 10; later also 10250, not leader. */
function expectAnswer(error: unknown, code: Fault['code'], broken: boolean): void {
  const found = error instanceof DqliteError ? error.sqliteCode : undefined;
  const allowed = code === 'ENOSPC' ? [13, 10] : broken ? [10, 10250, 1] : [10];
  if (found === undefined || !allowed.includes(found)) throw error;
}

async function untilWritten(life: Life, client: SimulatedClient, number: number): Promise<void> {
  for (;;) {
    try {
      await life.write(client, number);
      return;
    } catch (error) {
      expectAnswer(error, 'ENOSPC', false);
      await life.world.sleep(100);
    }
  }
}
