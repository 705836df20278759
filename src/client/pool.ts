/**
 * The connections of one client: opened when they are wanted, up to a limit, given to one call at a time, checked while
 * nobody wants them, and thrown away when their server no longer leads.
 */

import type { Timer } from '../host/types.ts';
import { assert } from '../lib/assert.ts';
import { DqliteError } from '../lib/errors.ts';
import { Queue } from '../lib/queue.ts';
import type { Cancellation } from './cancellation.ts';
import type { Channels } from './events.ts';
import { withEffect } from './failure.ts';
import { sleep, type ClientHost } from './host.ts';
import type { LeaderFinder } from './leader.ts';
import type { Plan } from './plan.ts';
import { Session } from './session.ts';

export interface PoolSettings {
  readonly host: ClientHost;
  readonly database: string;
  readonly minConnections: number;
  readonly maxConnections: number;
  readonly idleTimeoutMs: number;
  readonly acquireTimeoutMs: number;
  readonly checkIntervalMs: number;
  readonly connectTimeoutMs: number;
  readonly cancelGraceMs: number;
}

/** Numbers of a pool at one moment. */
export interface PoolState {
  /** Connections in use. */
  readonly busy: number;
  readonly idle: number;
  /** Connections being opened. */
  readonly opening: number;
  /** Calls that wait for a connection. */
  readonly waiting: number;
}

interface Waiter {
  readonly give: (session: Session) => void;
  readonly fail: (error: unknown) => void;
}

/** Pauses between rounds of looking for a leader: a planned handover takes some milliseconds, an election a second. */
const FIRST_PAUSE_MS = 5;
const MAX_PAUSE_MS = 250;
const PAUSE_GROWTH = 1.5;
/** Connections that are opened together ask only once for the members. */
const FRESH_MS = 100;

export class Pool {
  readonly #settings: PoolSettings;
  readonly #finder: LeaderFinder;
  readonly #channels: Channels;
  readonly #all = new Set<Session>();
  /** The one used last is at the end, and is used next. */
  #idle: Session[] = [];
  readonly #waiters = new Queue<Waiter>();
  #opening = 0;
  #isClosed = false;
  #closed: (() => void) | undefined = undefined;
  #checkTimer: Timer | undefined = undefined;
  /** Servers that keep calls waiting while another leader is looked for. */
  readonly #suspected = new Set<string>();
  /** Why the last connection could not be opened; nothing since one was. */
  #failure: unknown = undefined;

  constructor(settings: PoolSettings, finder: LeaderFinder, channels: Channels) {
    this.#settings = settings;
    this.#finder = finder;
    this.#channels = channels;
  }

  get state(): PoolState {
    const idle = this.#idle.length;
    return { busy: this.#all.size - idle, idle, opening: this.#opening, waiting: this.#waiters.length };
  }

  get leader(): string | undefined {
    return this.#finder.leader;
  }

  /** A connection that nobody uses, if there is one. */
  takeIdle(): Session | undefined {
    if (this.#isClosed) throw closedError();
    return this.#idle.pop();
  }

  /** A connection, when there is one. Rejects with DqliteError NO_LEADER, TIMEOUT, ABORTED, CLOSED, CONNECTION. */
  acquire(cancellation?: Cancellation): Promise<Session> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw closedError();
      if (cancellation?.error !== undefined) throw withEffect(cancellation.error, { committed: false });
      const { acquireTimeoutMs, host } = this.#settings;
      const timer = host.clock.setTimer(acquireTimeoutMs, () => leave(this.#late()), true);
      const end = (): void => {
        timer.cancel();
        if (cancellation !== undefined) cancellation.handler = undefined;
      };
      const waiter: Waiter = {
        give: session => {
          end();
          resolve(session);
        },
        fail: error => {
          end();
          reject(error);
        },
      };
      const leave = (error: DqliteError): void => {
        if (this.#waiters.remove(waiter)) waiter.fail(error);
        this.#settleClose();
      };
      if (cancellation !== undefined) cancellation.handler = error => leave(withEffect(error, { committed: false }));
      this.#waiters.push(waiter);
      this.#grow();
    });
  }

  /** What to tell who has waited too long. */
  #late(): DqliteError {
    if (this.#failure instanceof DqliteError) return this.#failure;
    const { acquireTimeoutMs, maxConnections } = this.#settings;
    return new DqliteError('TIMEOUT', `no connection within ${acquireTimeoutMs} ms: ${this.#all.size} are in use`, {
      hint: `does a stream or transaction wait for this call? Otherwise raise maxConnections (${maxConnections})`,
      committed: false,
    });
  }

  /** Gives a connection back. */
  release(session: Session): void {
    assert(this.#all.has(session), 'a session belongs to its pool');
    if (session.isBroken || session.address !== this.#finder.leader) {
      this.#remove(session);
      this.#grow();
      return;
    }
    const { host, checkIntervalMs } = this.#settings;
    session.usedMs = host.clock.monotonicMs();
    this.#finder.learn(session.connection, checkIntervalMs);
    this.#offer(session);
  }

  /** A connection that is taken out for good. */
  discard(session: Session): void {
    this.#remove(session);
    this.#grow();
  }

  #offer(session: Session): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.give(session);
    } else if (this.#isClosed) {
      this.#remove(session);
    } else {
      this.#idle.push(session);
    }
  }

  /** The server of a session does not lead any more: nobody shall be sent there. */
  leaderLost(address: string): void {
    this.#finder.forget(address);
    const kept: Session[] = [];
    for (const session of this.#idle) {
      if (session.address === address) this.#remove(session);
      else kept.push(session);
    }
    this.#idle = kept;
  }

  /** Nobody will run the plan again. */
  finalize(plan: Plan): void {
    for (const session of this.#all) session.finalize(plan);
  }

  #remove(session: Session): void {
    this.#all.delete(session);
    if (!session.isBroken) session.close();
    this.#settleClose();
  }

  // --- Opening --------------------------------------------------------------------------------------------------

  #grow(): void {
    const { minConnections, maxConnections } = this.#settings;
    const wanted = (): boolean =>
      this.#opening < this.#waiters.length || (!this.#isClosed && this.#all.size + this.#opening < minConnections);
    while (wanted() && this.#all.size + this.#opening < maxConnections) void this.#open();
  }

  /** Opens one connection, for whoever waits first, and does not give up while somebody waits. Never rejects. */
  async #open(): Promise<void> {
    const { host } = this.#settings;
    this.#opening++;
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      try {
        const session = await this.#openOnce();
        this.#opening--;
        this.#failure = undefined;
        this.#all.add(session);
        session.connection.onBroken = () => this.#broken(session);
        session.usedMs = host.clock.monotonicMs();
        this.#offer(session);
        this.#startChecking();
        return;
      } catch (error) {
        this.#failure = error;
        if (!mayPass(error)) this.#waiters.shift()?.fail(error);
      }
      if (this.#waiters.length < this.#opening) break;
      // Not all clients at the same moment.
      await sleep(host.clock, pauseMs * (0.75 + host.random.uint32() / 2 ** 33));
      if (this.#waiters.length < this.#opening) break;
      pauseMs = Math.min(pauseMs * PAUSE_GROWTH, MAX_PAUSE_MS);
    }
    this.#opening--;
    this.#startChecking();
    this.#settleClose();
  }

  async #openOnce(): Promise<Session> {
    const { host, database, cancelGraceMs, connectTimeoutMs } = this.#settings;
    const startMs = host.clock.monotonicMs();
    let server: string | undefined;
    try {
      const connection = await this.#finder.connect();
      server = connection.address;
      const options = { host, openTimeoutMs: connectTimeoutMs, cancelGraceMs };
      const session = await Session.open(connection, database, options);
      this.#publish(server, startMs, undefined);
      this.#finder.learn(connection, FRESH_MS);
      return session;
    } catch (error) {
      if (server !== undefined && error instanceof DqliteError && mayPass(error)) this.#finder.forget(server);
      this.#publish(server, startMs, error);
      throw error;
    }
  }

  #publish(server: string | undefined, startMs: number, error: unknown): void {
    const { connect } = this.#channels;
    if (!connect.hasSubscribers) return;
    const { host, database } = this.#settings;
    const durationMs = host.clock.monotonicMs() - startMs;
    connect.publish({ database, server, durationMs, ...(error === undefined ? {} : { error }) });
  }

  // --- Idle connections -----------------------------------------------------------------------------------------

  #broken(session: Session): void {
    const position = this.#idle.indexOf(session);
    // One in use is noticed by its user.
    if (position === -1) return;
    this.#idle.splice(position, 1);
    this.#remove(session);
  }

  #startChecking(): void {
    if (this.#checkTimer !== undefined || this.#isClosed) return;
    const { host, checkIntervalMs } = this.#settings;
    this.#checkTimer = host.clock.setTimer(checkIntervalMs, () => {
      this.#checkTimer = undefined;
      this.#check();
      if (this.#all.size > 0 || this.#settings.minConnections > 0) this.#startChecking();
    });
  }

  /** Closes what is not needed, and asks the others whether they are well. */
  #check(): void {
    this.#suspectSilent();
    const { host, idleTimeoutMs, minConnections, checkIntervalMs } = this.#settings;
    const nowMs = host.clock.monotonicMs();
    for (const session of [...this.#idle]) {
      const idleMs = nowMs - session.usedMs;
      if (idleMs >= idleTimeoutMs && this.#all.size > minConnections) {
        this.#idle.splice(this.#idle.indexOf(session), 1);
        this.#remove(session);
      } else if (idleMs >= checkIntervalMs) {
        void this.#examine(session);
      }
    }
    this.#grow();
  }

  /**
   * A call may take its time, but its server may also have been cut off, which TCP notices after a quarter of an hour.
   * If another server leads by now, there will be no answer: whoever waits is told.
   */
  #suspectSilent(): void {
    for (const session of this.#all) {
      const { connection } = session;
      const isSilent = connection.awaitsAnswer && connection.receivedBytes === session.heardBytes;
      session.heardBytes = connection.awaitsAnswer ? connection.receivedBytes : -1;
      if (isSilent && !this.#suspected.has(session.address)) void this.#lookForAnother(session.address);
    }
  }

  async #lookForAnother(address: string): Promise<void> {
    this.#suspected.add(address);
    try {
      const found = await this.#finder.search();
      found.close();
      if (found.address === address) return;
      for (const { connection } of this.#all) {
        if (connection.address !== address || !connection.awaitsAnswer) continue;
        connection.close(new DqliteError('CONNECTION', `${address} does not answer, and ${found.address} leads now`));
      }
      this.leaderLost(address);
    } catch {
      // Nobody leads: it may still answer.
    } finally {
      this.#suspected.delete(address);
    }
  }

  /** Asks an idle connection's server who leads. The question may travel in front of the next statement. */
  async #examine({ connection }: Session): Promise<void> {
    const { host, connectTimeoutMs, checkIntervalMs } = this.#settings;
    const { address } = connection;
    const timer = host.clock.setTimer(connectTimeoutMs, () =>
      connection.close(new DqliteError('CONNECTION', `${address} does not answer`)),
    );
    try {
      const answer = await connection.call({ kind: 'leader' });
      if (answer.kind !== 'server' || answer.address !== address) this.leaderLost(address);
      else this.#finder.learn(connection, checkIntervalMs);
    } catch {
      // It broke, and is taken out.
    } finally {
      timer.cancel();
    }
  }

  // --- The end --------------------------------------------------------------------------------------------------

  /** Takes no more calls, waits for those under way, and closes everything; after the time, whatever is under way. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#checkTimer?.cancel();
    for (const session of this.#idle.splice(0)) this.#remove(session);
    const drained = new Promise<void>(resolve => {
      this.#closed = resolve;
    });
    this.#settleClose();
    const timer = this.#settings.host.clock.setTimer(
      timeoutMs,
      () => {
        for (const waiter of this.#waiters.drain()) waiter.fail(closedError());
        for (const session of this.#all) session.close();
        this.#closed?.();
      },
      true,
    );
    await drained;
    timer.cancel();
  }

  #settleClose(): void {
    if (this.#all.size === 0 && this.#opening === 0 && this.#waiters.length === 0) this.#closed?.();
  }
}

function closedError(): DqliteError {
  return new DqliteError('CLOSED', 'the client was closed', { committed: false });
}

/** Whether trying again may help: nobody leads now, or a connection broke. */
function mayPass(error: unknown): boolean {
  if (!(error instanceof DqliteError)) return false;
  return error.code === 'NO_LEADER' || error.code === 'NOT_LEADER' || error.code === 'CONNECTION';
}
