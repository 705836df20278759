/** The value in milliseconds below which a part of sorted values lies, in microseconds. */
export function percentile(sorted: readonly number[], part: number): number {
  return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0) * 1000);
}
