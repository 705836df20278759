/** What an import needs of a server: the statements and rows of one session with the leader. */

import { LeaderAccess, Plan, Plans, STORED, type BoundValue, type Session } from '../client/internal.ts';
import type { Value } from '../client/index.ts';
import type { Host } from '../host/index.ts';

/** All methods reject with DqliteError. */
export interface Server {
  /** Runs a statement for effect. Text parameters have no NUL. */
  exec(sql: string, parameters?: readonly BoundValue[]): Promise<void>;
  /** The rows of a query. */
  rows(sql: string): Promise<Value[][]>;
  close(): void;
}

/** Connects to the leader and opens a database there, which makes it. */
export async function connectServer(host: Host, servers: readonly string[], database: string): Promise<Server> {
  return new ConnectedServer(await new LeaderAccess(host, servers).openSession(database));
}

class ConnectedServer implements Server {
  readonly #session: Session;
  readonly #plans = new Plans();

  constructor(session: Session) {
    this.#session = session;
  }

  async exec(sql: string, parameters: readonly BoundValue[] = []): Promise<void> {
    const plan = parameters.length === 0 ? new Plan(sql, { keepsComments: true }) : this.#plans.of(sql);
    await this.#session.execute({ plan, parameters }, STORED);
  }

  async rows(sql: string): Promise<Value[][]> {
    const { rows } = await this.#session.execute({ plan: this.#plans.of(sql), parameters: [] }, STORED);
    return rows as Value[][];
  }

  close(): void {
    this.#session.close();
  }
}
