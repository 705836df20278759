/**
 * Assertions for programmer errors. They stay on in production: a failed assertion means that an
 * invariant of this project is broken, and going on could lose data. Bad input from outside (network,
 * disk, API) is never an assertion, it is a `DqliteError` or a `DecodeError`.
 */

export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the default branch of an exhaustive `switch`. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}
