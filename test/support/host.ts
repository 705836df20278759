/**
 * The real host with two handles for tests: writes to the disk can be held back, and time can be put forward. What
 * is not touched works as always.
 */

import { nodeHost, sameBytes } from '../../src/host/node.ts';
import type {
  Clock,
  Connection,
  ConnectionHandlers,
  File,
  Files,
  Host,
  Listener,
  Net,
  OpenOptions,
  Timer,
} from '../../src/host/types.ts';
import { until } from './wait.ts';

interface PendingTimer {
  readonly dueMs: number;
  readonly callback: () => void;
  readonly real: Timer;
}

/** Goes like the real clock, and in leaps or not at all when told to. */
export class LeapingClock implements Clock {
  readonly #clock: Clock;
  readonly #timers = new Set<PendingTimer>();
  #aheadMs = 0;
  #frozenMs: number | undefined = undefined;
  #hurryMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  monotonicMs(): number {
    this.#aheadMs += this.#hurryMs;
    return (this.#frozenMs ?? this.#clock.monotonicMs()) + this.#aheadMs;
  }

  /** Each look at the clock finds it so much later: everything seems to take long. */
  hurry(ms: number): void {
    this.#hurryMs = ms;
  }

  wallMs(): number {
    return this.#clock.wallMs() + this.#aheadMs;
  }

  /** For whoever reads it, time stands still but for leaps: nothing depends on how fast this machine is. */
  freeze(): void {
    this.#frozenMs ??= this.#clock.monotonicMs();
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer: PendingTimer = {
      dueMs: this.monotonicMs() + delayMs,
      callback,
      real: this.#clock.setTimer(delayMs, () => {
        this.#timers.delete(timer);
        callback();
      }),
    };
    this.#timers.add(timer);
    return { cancel: () => this.#drop(timer) };
  }

  defer(callback: () => void): void {
    this.#clock.defer(callback);
  }

  /** Puts time forward; what becomes due on the way happens in its order. */
  leap(ms: number): void {
    const endMs = this.monotonicMs() + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#aheadMs += Math.max(0, due.dueMs - this.monotonicMs());
      this.#drop(due);
      due.callback();
    }
    this.#aheadMs += Math.max(0, endMs - this.monotonicMs());
  }

  #drop(timer: PendingTimer): void {
    timer.real.cancel();
    this.#timers.delete(timer);
  }
}

/** Files whose writes wait while they are held. */
export class HeldFiles implements Files {
  readonly #files: Files;
  #held: (() => void)[] | undefined = undefined;
  /** Writes that were asked for. */
  writes = 0;
  /** Makes the next writes fail with what it gives. */
  fault: (() => Error | undefined) | undefined = undefined;

  constructor(files: Files) {
    this.#files = files;
  }

  /** From now on no write reaches the disk. */
  hold(): void {
    this.#held ??= [];
  }

  /** Lets the writes that wait happen, and all later ones. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const proceed of held) proceed();
  }

  /** Lets the writes that wait now happen; later ones wait. */
  releaseOnce(): void {
    const held = this.#held ?? [];
    this.#held = [];
    for (const proceed of held) proceed();
  }

  /** Writes that wait. */
  get waiting(): number {
    return this.#held?.length ?? 0;
  }

  /** Resolves when a write waits. */
  stuck(): Promise<void> {
    return until(() => this.waiting > 0, 'a write that is held back');
  }

  async open(path: string, options: OpenOptions): Promise<File> {
    const file = await this.#files.open(path, options);
    const write = file.write.bind(file);
    file.write = async (pieces, offset) => {
      this.writes++;
      if (this.#held !== undefined) await new Promise<void>(resolve => this.#held!.push(resolve));
      const failure = this.fault?.();
      if (failure !== undefined) throw failure;
      await write(pieces, offset);
    };
    return file;
  }

  list(path: string): Promise<string[]> {
    return this.#files.list(path);
  }

  makeDirectory(path: string): Promise<void> {
    return this.#files.makeDirectory(path);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#files.rename(from, to);
  }

  remove(path: string): Promise<void> {
    return this.#files.remove(path);
  }

  syncDirectory(path: string): Promise<void> {
    return this.#files.syncDirectory(path);
  }

  join(...parts: string[]): string {
    return this.#files.join(...parts);
  }

  lock(path: string): ReturnType<Files['lock']> {
    return this.#files.lock(path);
  }
}

/** Knows the connections that were accepted. */
export class WatchedNet implements Net {
  readonly #net: Net;
  readonly accepted: Set<Connection> = new Set();

  constructor(net: Net) {
    this.#net = net;
  }

  listen(address: string, accept: (connection: Connection) => ConnectionHandlers): Promise<Listener> {
    return this.#net.listen(address, connection => {
      this.accepted.add(connection);
      const handlers = accept(connection);
      const closed = handlers.closed.bind(handlers);
      handlers.closed = error => {
        this.accepted.delete(connection);
        closed(error);
      };
      return handlers;
    });
  }

  flush(): void {
    this.#net.flush();
  }

  connect(address: string, timeoutMs: number): ReturnType<Net['connect']> {
    return this.#net.connect(address, timeoutMs);
  }

  /** Bytes that the operating system has not taken, of all connections. */
  get pendingBytes(): number {
    let bytes = 0;
    for (const connection of this.accepted) bytes += connection.pendingBytes;
    return bytes;
  }
}

export class TestHost implements Host {
  readonly clock: LeapingClock;
  readonly files: HeldFiles;
  readonly random: Host['random'];
  readonly net: WatchedNet;
  readonly sameBytes: Host['sameBytes'] = sameBytes;

  constructor() {
    const { clock, files, random, net } = nodeHost();
    this.clock = new LeapingClock(clock);
    this.files = new HeldFiles(files);
    this.random = random;
    this.net = new WatchedNet(net);
  }
}
