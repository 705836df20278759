/**
 * The feature word of the 32-byte AppendEntriesResult. C leaders store it and use none of it. Members of ours put
 * themselves into its upper half: that they are ours, which means that they acknowledge exactly what was compared and
 * refuse votes for an election timeout after they start, and their election timeout (design rules 4 and 14).
 */

/** The highest byte of the word. */
const OURS = 0xd7n;
const OURS_SHIFT = 56n;
const TIMEOUT_SHIFT = 32n;
const TIMEOUT_MASK = 0xffffffn;

export function encodeFeatures(electionTimeoutMs: number): bigint {
  const timeout = BigInt(Math.min(Math.round(electionTimeoutMs), Number(TIMEOUT_MASK)));
  return (OURS << OURS_SHIFT) | (timeout << TIMEOUT_SHIFT);
}

/** The election timeout of a member of ours in milliseconds; undefined for others. */
export function electionTimeoutOf(features: bigint | undefined): number | undefined {
  if (features === undefined || features >> OURS_SHIFT !== OURS) return undefined;
  return Number((features >> TIMEOUT_SHIFT) & TIMEOUT_MASK);
}
