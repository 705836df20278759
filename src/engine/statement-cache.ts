/**
 * Compiled statements, or what is known of a text, by text: the newest of one schema. What a statement touches was
 * found out when it was compiled, so everything is forgotten when the schema changes.
 */

/** Entries kept. */
const MAX_ENTRIES = 200;
/** Texts longer than this are not worth a place. */
export const CACHED_TEXT_SIZE: number = 16 * 1024;

export class StatementCache<T> {
  readonly #entries = new Map<string, T>();
  readonly #drop: (value: T) => void;
  #cookie = -1;

  /** `drop` is called with each value that leaves the cache. */
  constructor(drop: (value: T) => void) {
    this.#drop = drop;
  }

  /** What is known of a text under the schema with this cookie. */
  get(key: string, cookie: number): T | undefined {
    if (cookie !== this.#cookie) {
      this.clear();
      this.#cookie = cookie;
    }
    return this.#entries.get(key);
  }

  /** Whether a text of this length would be kept. */
  accepts(key: string): boolean {
    return key.length <= CACHED_TEXT_SIZE;
  }

  set(key: string, value: T): void {
    if (this.#entries.size >= MAX_ENTRIES) {
      for (const [oldest, old] of this.#entries) {
        this.#entries.delete(oldest);
        this.#drop(old);
        break;
      }
    }
    this.#entries.set(key, value);
  }

  clear(): void {
    for (const value of this.#entries.values()) this.#drop(value);
    this.#entries.clear();
  }
}
