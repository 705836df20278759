/** One call's AbortSignal and deadline, whichever comes first. Whoever works for the call says what to do then. */

import type { Clock, Timer } from '../host/types.ts';
import { DqliteError } from '../lib/errors.ts';

export class Cancellation {
  readonly #signal: AbortSignal | undefined;
  readonly #timer: Timer | undefined;
  #error: DqliteError | undefined = undefined;
  #action: ((error: DqliteError) => void) | undefined = undefined;
  #handler: ((error: DqliteError) => void) | undefined = undefined;

  /** Undefined if the call has neither a signal nor a deadline. */
  static of(clock: Clock, signal: AbortSignal | undefined, timeoutMs: number): Cancellation | undefined {
    return signal === undefined && timeoutMs === 0 ? undefined : new Cancellation(clock, signal, timeoutMs);
  }

  private constructor(clock: Clock, signal: AbortSignal | undefined, timeoutMs: number) {
    this.#signal = signal;
    if (signal?.aborted === true) {
      this.#error = abortError(signal);
      this.#timer = undefined;
      return;
    }
    signal?.addEventListener('abort', this.#aborted, { once: true });
    const late = (): void => this.#cancel(new DqliteError('TIMEOUT', `not done within ${timeoutMs} ms`));
    this.#timer = timeoutMs === 0 ? undefined : clock.setTimer(timeoutMs, late, true);
  }

  /** Why the call is cancelled, once it is. */
  get error(): DqliteError | undefined {
    return this.#error;
  }

  /** What to do when it happens, at once if it has; replaces what was to be done before. */
  set handler(handler: ((error: DqliteError) => void) | undefined) {
    this.#handler = handler;
    if (this.#error !== undefined) handler?.(this.#error);
  }

  /** Does something besides, once, when it happens. */
  onceCancelled(action: (error: DqliteError) => void): void {
    if (this.#error !== undefined) action(this.#error);
    else this.#action = action;
  }

  /** The call is over. */
  end(): void {
    this.#handler = undefined;
    this.#timer?.cancel();
    this.#signal?.removeEventListener('abort', this.#aborted);
  }

  readonly #aborted = (): void => this.#cancel(abortError(this.#signal!));

  #cancel(error: DqliteError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#handler?.(error);
    this.#action?.(error);
  }
}

function abortError(signal: AbortSignal): DqliteError {
  return new DqliteError('ABORTED', 'the call was aborted', { cause: signal.reason });
}
