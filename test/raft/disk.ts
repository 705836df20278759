/**
 * The disk of a simulated node, as the consensus core's host sees it: what is durable, and writes that are under way,
 * one after the other. A crash loses what is under way, but for a part that may have arrived.
 */

import { assert } from '../../src/lib/assert.ts';
import {
  decodeConfiguration,
  RaftLog,
  type Entry,
  type Index,
  type LoadedState,
  type ServerId,
  type SnapshotInfo,
  type Term,
} from '../../src/raft/index.ts';
import type { SeededRandom } from '../../src/lib/random.ts';

export interface StoredSnapshot {
  readonly info: SnapshotInfo;
  /** The state machine: the entries applied. */
  readonly state: ReadonlyMap<string, Index>;
}

export type Write =
  | { readonly kind: 'append'; readonly firstIndex: Index; readonly entries: readonly Entry[] }
  | { readonly kind: 'truncate'; readonly firstIndex: Index }
  | { readonly kind: 'install'; readonly snapshot: StoredSnapshot };

export class Disk {
  term: Term = 0;
  votedFor: ServerId | undefined = undefined;
  firstIndex: Index = 1;
  entries: Entry[] = [];
  snapshot: StoredSnapshot | undefined = undefined;

  get lastIndex(): Index {
    return this.firstIndex + this.entries.length - 1;
  }

  write(write: Write): void {
    switch (write.kind) {
      case 'append':
        assert(write.firstIndex === this.lastIndex + 1, `append at ${write.firstIndex} after ${this.lastIndex}`);
        for (const entry of write.entries) assert(entry.term <= this.term, 'a term is stored before its entries');
        this.entries.push(...write.entries);
        return;
      case 'truncate':
        assert(write.firstIndex > (this.snapshot?.info.index ?? 0), 'a snapshot is not cut');
        if (write.firstIndex <= this.lastIndex) this.entries.length = write.firstIndex - this.firstIndex;
        return;
      case 'install':
        this.snapshot = write.snapshot;
        this.entries = [];
        this.firstIndex = write.snapshot.info.index + 1;
    }
  }

  /** A crash in the middle of a write: a part of it may be there. */
  tear(write: Write, random: SeededRandom): void {
    if (write.kind !== 'append') {
      if (random.chance(0.5)) this.write(write);
      return;
    }
    const count = random.below(write.entries.length + 1);
    this.write({ ...write, entries: write.entries.slice(0, count) });
  }

  read(first: Index, last: Index, maxBytes: number): Entry[] {
    if (first < this.firstIndex) return [];
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = first; index <= Math.min(last, this.lastIndex); index++) {
      const entry = this.entries[index - this.firstIndex]!;
      bytes += entry.data.length;
      if (entries.length > 0 && bytes > maxBytes) break;
      entries.push(entry);
    }
    return entries;
  }

  keepSnapshot(snapshot: StoredSnapshot, trailing: number): void {
    this.snapshot = snapshot;
    const first = Math.max(this.firstIndex, snapshot.info.index + 1 - trailing);
    this.entries.splice(0, first - this.firstIndex);
    this.firstIndex = first;
  }

  load(): LoadedState {
    const info = this.snapshot?.info;
    const log = new RaftLog(this.firstIndex - 1, info?.index === this.firstIndex - 1 ? info.term : 0);
    const found = info === undefined ? [] : [{ index: info.configurationIndex, configuration: info.configuration }];
    this.entries.forEach((entry, i) => {
      log.appendStored(entry.term);
      const index = this.firstIndex + i;
      if (entry.type === 'change' && index > (info?.configurationIndex ?? 0)) {
        found.push({ index, configuration: decodeConfiguration(entry.data) });
      }
    });
    const last = found.pop();
    const isCommitted = last !== undefined && (last.index === 1 || last.index === info?.configurationIndex);
    const committed = isCommitted ? last : found.pop();
    const uncommitted = isCommitted ? undefined : last;
    return {
      term: this.term,
      votedFor: this.votedFor,
      snapshotIndex: info?.index ?? 0,
      snapshotTerm: info?.term ?? 0,
      snapshotConfiguration: info?.configuration,
      snapshotConfigurationIndex: info?.configurationIndex ?? 0,
      log,
      committedConfiguration: committed?.configuration,
      committedConfigurationIndex: committed?.index ?? 0,
      uncommittedConfiguration: uncommitted?.configuration,
      uncommittedConfigurationIndex: uncommitted?.index ?? 0,
    };
  }
}
