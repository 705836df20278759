/** What elections, followers and leaders may ask of the node as a whole. */

import type { Peer, Term } from './types.ts';

export interface Transitions {
  /** `term` is at least the current one. */
  becomeFollower(term: Term, leader: Peer | undefined): void;
  becomeLeader(): void;
}
