/** The size of a database in pages, by version. */

export class Sizes {
  /** The versions at which the size changed, with the size from then on; ascending. */
  readonly #changes: { readonly version: number; readonly pages: number }[];
  /** At the newest version. */
  newest: number;

  constructor(version: number, pages: number) {
    this.#changes = [{ version, pages }];
    this.newest = pages;
  }

  /** At a marked version. */
  at(version: number): number {
    const changes = this.#changes;
    if (version >= changes[changes.length - 1]!.version) return this.newest;
    let low = 0;
    let high = changes.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (changes[middle]!.version <= version) low = middle;
      else high = middle - 1;
    }
    return changes[low]!.pages;
  }

  /** From a new version on it is another one. */
  change(version: number, pages: number): void {
    this.#changes.push({ version, pages });
    this.newest = pages;
  }

  /** Versions above this one never were. */
  undo(version: number): void {
    const changes = this.#changes;
    while (changes[changes.length - 1]!.version > version) changes.pop();
    this.newest = changes[changes.length - 1]!.pages;
  }

  /** Drops what no version from `oldest` on can tell apart. */
  forget(oldest: number): void {
    const changes = this.#changes;
    let kept = 0;
    while (kept + 1 < changes.length && changes[kept + 1]!.version <= oldest) kept++;
    if (kept > 0) changes.splice(0, kept);
  }
}
