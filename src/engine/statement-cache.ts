/**
 * Compiled statements, or what is known of a text, by text: the newest of one schema. What a statement touches was
 * found out when it was compiled, so everything is forgotten when the schema changes.
 */

/** Entries kept by caches that all clients share. */
const SHARED_ENTRIES = 200;
/** Texts longer than this are not worth a place. */
const CACHED_TEXT_SIZE = 16 * 1024;

export class StatementCache<T> {
  readonly #entries = new Map<string, T>();
  readonly #drop: (value: T) => void;
  readonly #maxEntries: number;
  #cookie = -1;

  /** `drop` is called with each value that leaves the cache. */
  constructor(drop: (value: T) => void, maxEntries: number = SHARED_ENTRIES) {
    this.#drop = drop;
    this.#maxEntries = maxEntries;
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

  holds(key: string, value: T): boolean {
    return this.#entries.get(key) === value;
  }

  set(key: string, value: T): void {
    if (this.#entries.size >= this.#maxEntries) {
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
