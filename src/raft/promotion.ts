/**
 * Catching up a server before it becomes a voter (Raft dissertation, section 4.2.1; raft and disk spec section 6.11):
 * rounds, each up to what was the end of the log at its start. A round that takes less than an election timeout shows
 * that the server keeps pace.
 */

import type { Index, RequestId, ServerId } from './types.ts';

/** dqlite's settings. */
const MAX_ROUNDS = 100;
const MAX_ROUND_MS = 50_000;

export class Promotion {
  readonly server: ServerId;
  readonly request: RequestId;
  readonly #electionTimeoutMs: number;
  #round = 1;
  #target: Index;
  #startMs: number;

  constructor(server: ServerId, request: RequestId, target: Index, nowMs: number, electionTimeoutMs: number) {
    this.server = server;
    this.request = request;
    this.#target = target;
    this.#startMs = nowMs;
    this.#electionTimeoutMs = electionTimeoutMs;
  }

  /** The server has entries up to `match`. Says whether it has caught up. */
  progress(match: Index, lastIndex: Index, nowMs: number): boolean {
    if (match < this.#target) return false;
    if (match === lastIndex || nowMs - this.#startMs < this.#electionTimeoutMs) return true;
    this.#round++;
    this.#target = lastIndex;
    this.#startMs = nowMs;
    return false;
  }

  hasFailed(nowMs: number): boolean {
    const elapsedMs = nowMs - this.#startMs;
    return elapsedMs > MAX_ROUND_MS || (this.#round >= MAX_ROUNDS && elapsedMs > this.#electionTimeoutMs);
  }
}
