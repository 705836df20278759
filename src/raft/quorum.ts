/** Majorities of voters: arithmetic that knows nothing of messages. */

/** How many of `count` voters are more than half of them. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** The highest value that a majority of the voters has reached; 0 without voters. */
export function reachedByMajority(values: readonly number[]): number {
  if (values.length === 0) return 0;
  return [...values].sort((a, b) => b - a)[majorityOf(values.length) - 1]!;
}
