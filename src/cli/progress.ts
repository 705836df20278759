/** A progress bar for long work: on a terminal only, on stderr, and gone when the work is done. */

const INTERVAL_MS = 100;
const BAR_WIDTH = 24;

export class Progress {
  readonly #title: string;
  readonly #isShown: boolean = process.stderr.isTTY;
  #lastMs = performance.now();
  #drawn = false;

  constructor(title: string) {
    this.#title = title;
  }

  /** Work done, and work in all in the same unit; `detail` follows the bar. */
  update(done: number, total: number, detail = ''): void {
    if (!this.#isShown) return;
    const nowMs = performance.now();
    if (nowMs - this.#lastMs < INTERVAL_MS) return;
    this.#lastMs = nowMs;
    this.#drawn = true;
    const part = total > 0 ? Math.min(1, done / total) : 1;
    const filled = Math.round(part * BAR_WIDTH);
    const bar = '#'.repeat(filled) + '.'.repeat(BAR_WIDTH - filled);
    const percent = String(Math.floor(part * 100)).padStart(3);
    const line = `${this.#title} [${bar}] ${percent} % ${detail}`;
    process.stderr.write(`\r${line.slice(0, (process.stderr.columns ?? 80) - 1)}\u001B[K`);
  }

  /** Removes the bar. */
  end(): void {
    if (this.#drawn) process.stderr.write('\r\u001B[K');
    this.#drawn = false;
  }
}

/** A number of bytes for people. */
export function bytesText(size: number): string {
  if (size < 10_000) return `${size} bytes`;
  if (size < 10_000_000) return `${Math.round(size / 1000)} kB`;
  return `${Math.round(size / 1_000_000)} MB`;
}
