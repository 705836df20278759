/** Waiting in tests: for events, with a deadline, never for a time. */

/** Generous: a test that waits this long has failed. */
export const DEADLINE_MS: number = 15_000;

const POLL_MS = 1;

/** The outcome of a promise, or a failure that says what did not come. */
export async function within<T>(promise: Promise<T>, what: string, deadlineMs: number = DEADLINE_MS): Promise<T> {
  const late = new Error(`not within ${deadlineMs} ms: ${what}`);
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late), deadlineMs);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** For what no event announces: looks until it is so. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs: number = DEADLINE_MS,
): Promise<void> {
  const late = new Error(`not within ${deadlineMs} ms: ${what}`);
  const endMs = performance.now() + deadlineMs;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw late;
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
}

/** Lets everything that is ready now happen: `count` turns of the event loop. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(resolve => setImmediate(resolve));
}
