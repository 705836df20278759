/** Which operations of a simulated disk fail. */

export type OperationKind =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'size'
  | 'close'
  | 'list'
  | 'makeDirectory'
  | 'rename'
  | 'remove'
  | 'syncDirectory';

/**
 * | code and operation  | what happens                                                        |
 * | ------------------- | ------------------------------------------------------------------- |
 * | write               | some sectors, from the first on, are written all the same; with EIO |
 * |                     | sometimes all                                                       |
 * | sync, durable write | also: with EIO, nothing that was dirty is tried again (fsync lies)  |
 * | close               | the file is closed all the same                                     |
 * | any other           | nothing is done                                                     |
 *
 * ENOSPC concerns only operations that can need space.
 */
export interface Fault {
  readonly code: 'ENOSPC' | 'EIO';
  /** The how manieth operation from now on, of those that can fail this way; 1 is the next one. */
  readonly at: number;
  /** Only operations of these kinds count and fail. */
  readonly kinds?: readonly OperationKind[];
  /** All later ones fail too, until `heal`. */
  readonly repeat?: boolean;
}

/** Can fail by ENOSPC. */
export function needsSpace(kind: OperationKind): boolean {
  return NEED_SPACE.includes(kind);
}

const NEED_SPACE: readonly OperationKind[] = [
  'create',
  'write',
  'sync',
  'truncate',
  'makeDirectory',
  'rename',
  'syncDirectory',
];

export class FaultPlan {
  #faults: { readonly fault: Fault; countdown: number }[] = [];
  /** How many operations have failed by a fault. */
  failures = 0;

  add(fault: Fault): void {
    this.#faults.push({ fault, countdown: fault.at });
  }

  clear(): void {
    this.#faults = [];
  }

  /** Counts an operation; the code with which it fails, if it does. */
  next(kind: OperationKind): Fault['code'] | undefined {
    let code: Fault['code'] | undefined;
    for (const entry of this.#faults) {
      const { kinds, repeat = false } = entry.fault;
      if (kinds !== undefined && !kinds.includes(kind)) continue;
      if (entry.fault.code === 'ENOSPC' && !needsSpace(kind)) continue;
      entry.countdown--;
      if (entry.countdown === 0 || (repeat && entry.countdown < 0)) code ??= entry.fault.code;
    }
    if (code !== undefined) this.failures++;
    return code;
  }
}
