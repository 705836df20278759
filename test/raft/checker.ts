/** The properties that Raft guarantees at all times (Raft paper, figure 3), and linearizable reads. */

import type { Entry, Index, Raft, ServerId, Term } from '../../src/raft/index.ts';

export class SafetyError extends Error {
  override readonly name = 'SafetyError';
}

function fail(property: string, what: string): never {
  throw new SafetyError(`${property}: ${what}`);
}

interface Applied {
  readonly term: Term;
  readonly text: string;
}

export class Checker {
  readonly #leaders = new Map<Term, ServerId>();
  /** What was applied anywhere, by index. */
  readonly #applied: Applied[] = [];
  /** The last entry of each leadership, which only grows. */
  readonly #leaderLast = new Map<Term, Index>();
  /** The newest write that was acknowledged or read by anybody. */
  #observed: Index = 0;
  reads = 0;
  writes = 0;

  get committed(): Index {
    return this.#applied.length;
  }

  get terms(): number {
    return this.#leaders.size;
  }

  /** After every step of a node. */
  stepped(raft: Raft): void {
    if (raft.role !== 'leader') return;
    const { term, id, log } = raft;
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== id) fail('election safety', `${other} and ${id} lead term ${term}`);
    const last = this.#leaderLast.get(term) ?? 0;
    // One that nobody gets anything from may lose what its disk refused.
    if (log.lastIndex < last && raft.hasPeers)
      fail('leader append-only', `${id} had ${last} entries, has ${log.lastIndex}`);
    this.#leaderLast.set(term, log.lastIndex);
    if (other !== undefined) return;
    this.#leaders.set(term, id);
    for (let index = Math.max(1, log.firstIndex); index <= this.#applied.length; index++) {
      if (log.termAt(index) !== this.#applied[index - 1]!.term) {
        fail('leader completeness', `leader ${id} of term ${term} lacks committed entry ${index}`);
      }
    }
  }

  /** A founder alone may lead its term again, without what it had not made durable: nobody else has that. */
  restarted(raft: Raft): void {
    for (const [term, id] of this.#leaders) if (id === raft.id) this.#leaderLast.delete(term);
  }

  applied(node: ServerId, index: Index, { term, type, data }: Entry): void {
    const text = `${type} ${Buffer.from(data).toString('hex')}`;
    const known = this.#applied[index - 1];
    if (known === undefined) {
      if (index !== this.#applied.length + 1) fail('state machine safety', `${node} applied ${index} out of order`);
      this.#applied.push({ term, text });
    } else if (known.term !== term || known.text !== text) {
      fail('state machine safety', `${node} applied another entry ${index}: term ${term}, not ${known.term}`);
    }
  }

  logs(rafts: readonly Raft[]): void {
    for (const [i, one] of rafts.entries()) {
      for (const other of rafts.slice(i + 1)) compareLogs(one, other);
    }
  }

  old(node: ServerId, count: number): void {
    if (count > 0) fail('survival of old members', `${node} got an entry that makes a database smaller`);
  }

  get observed(): Index {
    return this.#observed;
  }

  acknowledged(index: Index): void {
    this.writes++;
    this.#observed = Math.max(this.#observed, index);
  }

  /** A read saw everything up to `seen`; `before` was observed when it began. */
  read(node: ServerId, seen: Index, before: Index): void {
    if (seen < before) fail('linearizable reads', `a read at ${node} saw ${seen} after ${before} was observed`);
    this.reads++;
    this.#observed = Math.max(this.#observed, seen);
  }
}

function compareLogs({ log: one, id: a }: Raft, { log: other, id: b }: Raft): void {
  const first = Math.max(one.firstIndex, other.firstIndex);
  let isSame = false;
  for (let index = Math.min(one.lastIndex, other.lastIndex); index >= first; index--) {
    const isEqual = one.termAt(index) === other.termAt(index);
    if (isSame && !isEqual) fail('log matching', `${a} and ${b} differ at ${index}, before an equal entry`);
    isSame ||= isEqual;
  }
}
