/**
 * Writes to the log in the order in which the core asks for them, one at a time (design rule 22). Entries that come
 * while another write is under way are gathered and written together.
 */

import type { Log, ReceivedSnapshot } from '../log/index.ts';
import type { Entry, Index } from '../raft/index.ts';

export interface LogWriterEvents {
  /** All entries up to `last` are durable. The next write is under way already. */
  stored(entries: readonly Entry[], last: Index): void;
  truncated(): void;
  /** The snapshot is the beginning of the log. */
  installed(received: ReceivedSnapshot): void;
  /** Entries could not be written; none of them is in the log, and nothing waits any more. */
  appendFailed(error: unknown): void;
  /** What the disk holds is in doubt. */
  failed(error: unknown): void;
}

interface Append {
  readonly kind: 'append';
  readonly entries: Entry[];
  last: Index;
}

type Work =
  | Append
  | { readonly kind: 'truncate'; readonly firstIndex: Index }
  | { readonly kind: 'install'; readonly received: ReceivedSnapshot };

export class LogWriter {
  readonly #log: Log;
  readonly #events: LogWriterEvents;
  #queue: Work[] = [];
  #busy: Work['kind'] | undefined = undefined;
  #idle: (() => void) | undefined = undefined;
  /** Settles when the snapshot that is being taken is written: the log changes in no other way meanwhile. */
  snapshotTaken: Promise<void> | undefined = undefined;
  /** Asked before each write: whether nobody is kept waiting if this thread waits for the disk itself. */
  readonly #mayBlock: () => boolean;

  constructor(log: Log, events: LogWriterEvents, mayBlock: () => boolean) {
    this.#log = log;
    this.#events = events;
    this.#mayBlock = mayBlock;
  }

  get isBusy(): boolean {
    return this.#busy !== undefined;
  }

  /** Only entries are being written: a snapshot may be taken beside. */
  get allowsSnapshot(): boolean {
    return (this.#busy ?? 'append') === 'append' && this.#queue.every(({ kind }) => kind === 'append');
  }

  append(entries: readonly Entry[], last: Index): void {
    const newest = this.#queue[this.#queue.length - 1];
    if (newest?.kind === 'append') {
      for (const entry of entries) newest.entries.push(entry);
      newest.last = last;
    } else {
      this.#queue.push({ kind: 'append', entries: [...entries], last });
    }
    this.#next();
  }

  truncate(firstIndex: Index): void {
    this.#queue.push({ kind: 'truncate', firstIndex });
    this.#next();
  }

  install(received: ReceivedSnapshot): void {
    this.#queue.push({ kind: 'install', received });
    this.#next();
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    if (this.isBusy) await new Promise<void>(resolve => (this.#idle = resolve));
  }

  #next(): void {
    if (this.isBusy) return;
    const work = this.#queue.shift();
    if (work === undefined) {
      this.#idle?.();
      return;
    }
    this.#busy = work.kind;
    this.#do(work).then(
      () => {
        this.#busy = undefined;
        // The disk works on the next write while this one is answered.
        this.#next();
        this.#done(work);
      },
      (error: unknown) => this.#failed(work, error),
    );
  }

  async #do(work: Work): Promise<void> {
    if (work.kind === 'append') return this.#log.append(work.entries, this.#mayBlock);
    await this.snapshotTaken;
    switch (work.kind) {
      case 'truncate':
        return this.#log.truncate(work.firstIndex);
      case 'install':
        return this.#log.installSnapshot(work.received);
    }
  }

  #done(work: Work): void {
    switch (work.kind) {
      case 'append':
        return this.#events.stored(work.entries, work.last);
      case 'truncate':
        return this.#events.truncated();
      case 'install':
        return this.#events.installed(work.received);
    }
  }

  #failed(work: Work, error: unknown): void {
    const waiting = this.#queue;
    this.#queue = [];
    this.#busy = undefined;
    this.#idle?.();
    if (work.kind === 'append' && waiting.every(({ kind }) => kind === 'append')) this.#events.appendFailed(error);
    else this.#events.failed(error);
  }
}
