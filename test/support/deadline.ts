/** Waiting for events, never for time: everything that is waited for has a deadline, and says what it was. */

/** The outcome of a promise, or a rejection that names what did not happen in time. */
export async function within<Result>(promise: Promise<Result>, deadlineMs: number, what: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadlineMs} ms: ${what}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const POLL_MS = 5;

/** For what the operating system does not announce: looks until it is so. */
export async function until(isSo: () => boolean | Promise<boolean>, deadlineMs: number, what: string): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
}

/** The value in the middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}
