/**
 * Sending the log to one member at a time (raft and disk spec section 6.7): what to send in which state, and what
 * answers mean for it. `Progress` holds the state.
 */

import type { Core } from './core.ts';
import type { Progress } from './progress.ts';
import type { Entry, Index } from './types.ts';

/** Rejections in a row of what was acknowledged, before they are believed. */
const MAX_CONTRADICTIONS = 10;

export class Replicator {
  readonly #core: Core;
  /** The first entry of this leadership. */
  readonly #firstIndex: Index;
  /** The last entry that anybody was sent. */
  sentIndex: Index = 0;

  constructor(core: Core, firstIndex: Index) {
    this.#core = core;
    this.#firstIndex = firstIndex;
  }

  /** Sends what may be sent now. */
  replicate(progress: Progress): void {
    if (progress.state === 'probe') {
      if (!progress.isWaiting) this.#sendEntries(progress);
      return;
    }
    while (progress.state === 'pipeline' && this.#hasRoom(progress) && this.#sendEntries(progress));
  }

  heartbeat(progress: Progress): void {
    const core = this.#core;
    const { nowMs, settings } = core;
    if (progress.state === 'snapshot') {
      if (nowMs >= progress.snapshotDeadlineMs) progress.probe(progress.match + 1);
      else this.#greet(progress);
      return;
    }
    if (progress.state === 'probe') {
      // What may be answered later makes every answer doubtful: is anybody there at all?
      const isSilent = progress.isWaiting && progress.isDoubtful(this.#firstIndex);
      progress.isWaiting = false;
      if (isSilent) this.#greet(progress);
      else if (progress.isReading) this.#sendHeartbeat(progress);
      else this.#sendEntries(progress);
      return;
    }
    this.replicate(progress);
    if (nowMs - progress.lastSentMs >= settings.heartbeatMs) this.#sendHeartbeat(progress);
  }

  /** Says whether the member has more than was known. */
  accepted(progress: Progress, lastIndex: Index): boolean {
    const { log } = this.#core;
    progress.contradictions = 0;
    const index = Math.min(progress.trusted(lastIndex, this.#firstIndex), log.lastIndex);
    const isMore = index > progress.match;
    if (isMore) progress.acknowledged(index);
    if (progress.state === 'snapshot') {
      if (progress.match < progress.snapshotIndex) return isMore;
      progress.probe(progress.match + 1);
    }
    if (progress.state === 'probe' && (isMore || progress.next === progress.match + 1)) {
      // Until it has an entry of this term, what it has beyond may be anything: one message at a time.
      if (!progress.isDoubtful(this.#firstIndex)) progress.pipeline();
      else if (isMore) progress.probe(progress.match + 1);
      // It was taken for the answer to an older message: ask again.
      else if (lastIndex > index) progress.isWaiting = false;
    }
    this.replicate(progress);
    return isMore;
  }

  /** Says whether the member rejects what it had acknowledged. */
  rejected(progress: Progress, rejected: Index, hint: Index): boolean {
    progress.rejected(rejected);
    switch (progress.state) {
      case 'probe': {
        if (rejected !== progress.next - 1) return false;
        // Perhaps it answers an old message; if that is all it says, it has lost what it acknowledged.
        if (rejected <= progress.match) return ++progress.contradictions === MAX_CONTRADICTIONS;
        progress.probe(Math.max(1, Math.min(rejected, hint + 1)));
        this.replicate(progress);
        return false;
      }
      case 'pipeline':
        if (rejected <= progress.match) return false;
        progress.probe(progress.match + 1);
        this.replicate(progress);
        return false;
      case 'snapshot':
        if (rejected !== progress.snapshotIndex) return false;
        progress.probe(progress.match + 1);
        // The next attempt is the next heartbeat's.
        progress.isWaiting = true;
        return false;
    }
  }

  /** The answer to a greeting: if somebody is there, a snapshot is not wasted. */
  greeted(progress: Progress): void {
    if (progress.state !== 'probe') return;
    progress.isWaiting = false;
    this.replicate(progress);
  }

  unreachable(progress: Progress): void {
    // A snapshot goes over a connection of its own, whose end is reported apart.
    if (progress.state === 'snapshot' && progress.snapshotDeadlineMs === Infinity) return;
    progress.probe(progress.match + 1);
    progress.isWaiting = true;
  }

  snapshotSent(progress: Progress, isSent: boolean): void {
    const { nowMs, settings } = this.#core;
    if (progress.state !== 'snapshot') return;
    if (isSent) {
      progress.snapshotDeadlineMs = nowMs + settings.installSnapshotTimeoutMs;
      return;
    }
    progress.probe(progress.match + 1);
    progress.isWaiting = true;
  }

  entriesRead(progress: Progress, firstIndex: Index, entries: readonly Entry[]): void {
    const { log } = this.#core;
    progress.isReading = false;
    const isWanted = progress.state !== 'snapshot' && progress.next === firstIndex && !progress.isWaiting;
    const isCurrent = entries.every((entry, i) => log.termAt(firstIndex + i) === entry.term);
    if (isWanted && isCurrent && entries.length > 0 && log.termAt(firstIndex - 1) !== undefined) {
      this.#send(progress, firstIndex - 1, entries);
      this.replicate(progress);
    } else if (entries.length > 0) {
      this.replicate(progress);
    }
    // Nothing could be read: the next heartbeat tries again.
  }

  #hasRoom(progress: Progress): boolean {
    const { log, settings } = this.#core;
    return (
      progress.next <= log.lastIndex &&
      progress.inflightBytes < settings.maxInflightBytes &&
      progress.inflightCount < settings.maxInflightMessages
    );
  }

  /** Sends from the next entry on. Says whether it did: otherwise the entries are being read, or a snapshot goes. */
  #sendEntries(progress: Progress): boolean {
    const { log, settings } = this.#core;
    const { next } = progress;
    // Until it is known what the member is, asking it costs nothing.
    const isRuinous = next <= this.#ruinousIndex(progress);
    if (isRuinous || log.termAt(next - 1) === undefined || next < log.firstIndex) {
      this.#sendSnapshot(progress);
      return false;
    }
    if (next <= log.lastIndex && next < log.dataIndex) {
      this.#read(progress);
      return false;
    }
    this.#send(progress, next - 1, next > log.lastIndex ? [] : log.slice(next, settings.maxBatchBytes));
    return true;
  }

  /** What the member lacks up to here would ruin it, or might (design rule 14). */
  #ruinousIndex(progress: Progress): Index {
    return progress.isOld === false ? 0 : Math.max(this.#core.shrunkIndex, progress.unknownIndex);
  }

  #sendHeartbeat(progress: Progress): void {
    const { log } = this.#core;
    const previous = progress.next - 1;
    if (log.termAt(previous) !== undefined) {
      this.#send(progress, previous, []);
    } else if (progress.isReading) {
      this.#greet(progress);
    } else {
      // A snapshot of this node took the place of what the member was last sent.
      progress.probe(progress.match + 1);
      this.#sendEntries(progress);
    }
  }

  /**
   * A heartbeat that says nothing of the log, where C sends one about its end: if a snapshot ends there, the
   * rejection of one could be taken for that of the other.
   */
  #greet(progress: Progress): void {
    const core = this.#core;
    progress.greeted(core.nowMs);
    core.send(progress.peer, { kind: 'readProbe', term: core.term, number: 0 });
  }

  #send(progress: Progress, previousIndex: Index, entries: readonly Entry[]): void {
    const core = this.#core;
    const previousTerm = core.log.termAt(previousIndex) ?? 0;
    let bytes = 0;
    for (const entry of entries) bytes += entry.data.length;
    this.sentIndex = Math.max(this.sentIndex, previousIndex + entries.length);
    progress.lastSentMs = core.nowMs;
    progress.sent(previousIndex, entries.length, bytes, this.#firstIndex);
    const { term, commitIndex } = core;
    core.send(progress.peer, { kind: 'appendEntries', term, previousIndex, previousTerm, commitIndex, entries });
  }

  #read(progress: Progress): void {
    if (progress.isReading) return;
    const { log, settings } = this.#core;
    progress.isReading = true;
    this.#core.emit({
      kind: 'readEntries',
      peer: progress.peer.id,
      firstIndex: progress.next,
      lastIndex: log.dataIndex - 1,
      maxBytes: settings.maxBatchBytes,
    });
  }

  #sendSnapshot(progress: Progress): void {
    const core = this.#core;
    const { nowMs, settings, snapshot } = core;
    if (!progress.isActive) {
      // Nobody is known to be there: a gigabyte would be wasted.
      progress.probe(progress.match + 1);
      this.#greet(progress);
      return;
    }
    const wanted = Math.max(1, this.#ruinousIndex(progress));
    if (snapshot === undefined || snapshot.index < wanted) {
      core.emit({ kind: 'takeSnapshot', index: wanted });
      progress.probe(progress.match + 1);
      // Every answer comes here again: one at a heartbeat.
      if (nowMs - progress.lastSentMs >= settings.heartbeatMs) this.#greet(progress);
      else progress.isWaiting = true;
      return;
    }
    progress.sendingSnapshot(snapshot.index);
    progress.snapshotClaimed(snapshot.index);
    progress.lastSentMs = core.nowMs;
    core.emit({
      kind: 'sendSnapshot',
      to: progress.peer,
      message: {
        kind: 'installSnapshot',
        term: core.term,
        lastIndex: snapshot.index,
        lastTerm: snapshot.term,
        configurationIndex: snapshot.configurationIndex,
        configuration: snapshot.configuration,
      },
    });
  }
}
