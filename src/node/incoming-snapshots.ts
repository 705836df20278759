/** Snapshots that other nodes are sending: into files, until the core says what becomes of them. */

import type { Logger } from '../host/types.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log, ReceivedSnapshot } from '../log/index.ts';
import type { SnapshotReceiver } from '../net/index.ts';
import type { Index, InstallSnapshot, Peer, Term } from '../raft/index.ts';

export interface IncomingEvents {
  progress(from: Peer): void;
  received(from: Peer, message: InstallSnapshot): void;
  notReceived(from: Peer, message: InstallSnapshot): void;
}

interface SnapshotKey {
  readonly index: Index;
  readonly term: Term;
}

export class IncomingSnapshots {
  readonly #log: Log;
  readonly #logger: Logger;
  readonly #events: IncomingEvents;
  readonly #complete: ReceivedSnapshot[] = [];

  constructor(log: Log, logger: Logger, events: IncomingEvents) {
    this.#log = log;
    this.#logger = logger;
    this.#events = events;
  }

  /** Begins to keep the data of a snapshot. */
  receive(from: Peer, message: InstallSnapshot, size: number): SnapshotReceiver {
    const { lastIndex, lastTerm, configuration, configurationIndex } = message;
    const meta = { index: lastIndex, term: lastTerm, configuration, configurationIndex };
    const file = this.#log.receiveSnapshot(meta, size);
    file.catch(() => {}); // met by the first push
    let isOver = false;
    const giveUp = (error: unknown): void => {
      if (isOver) return;
      isOver = true;
      if (error !== undefined) {
        const fields = { from: from.address, index: lastIndex, error: messageOf(error) };
        this.#logger.warn(fields, 'a snapshot could not be received');
      }
      void file.then(received => received.discard()).catch(() => {});
      this.#events.notReceived(from, message);
    };
    return {
      push: async bytes => {
        if (isOver) return;
        try {
          await (await file).push(bytes);
          if (!isOver) this.#events.progress(from);
        } catch (error) {
          giveUp(error);
        }
      },
      finish: async () => {
        if (isOver) return;
        try {
          const received = await file;
          await received.finish();
          isOver = true;
          this.#complete.push(received);
          this.#events.received(from, message);
        } catch (error) {
          giveUp(error);
        }
      },
      abandon: () => giveUp(undefined),
    };
  }

  /** Takes a snapshot that has arrived. */
  take({ index, term }: SnapshotKey): ReceivedSnapshot | undefined {
    const position = this.#complete.findIndex(({ snapshot }) => snapshot.index === index && snapshot.term === term);
    return position === -1 ? undefined : this.#complete.splice(position, 1)[0];
  }

  async discard(key: SnapshotKey): Promise<void> {
    try {
      await this.take(key)?.discard();
    } catch (error) {
      this.#logger.warn({ error: messageOf(error) }, 'a snapshot that is not wanted could not be removed');
    }
  }
}
