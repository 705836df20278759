/** A connection for one user, without a net: transactions are begun and ended by hand. */

import { Transaction, type Pinned } from './transaction.ts';

export class Reserved extends Transaction implements AsyncDisposable {
  readonly #release: () => void;
  #isOpen = true;

  constructor(pinned: Pinned, release: () => void) {
    super(pinned, undefined);
    this.#release = release;
  }

  /** Everything is allowed. */
  protected override checkPlan(): void {}

  /** Whether a transaction is open is the user's affair. */
  protected override async examine(): Promise<void> {}

  /** Waits for what runs and closes the connection; a transaction that is open is rolled back. */
  async release(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.close(undefined);
    this.abandon();
    await this.idle();
    this.#release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
