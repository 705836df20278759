/** Lines typed at a terminal, with history. */

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { COMMAND_NAMES } from './sql-commands.ts';

const HISTORY_LINES = 1000;
/** Names the file; empty: no history is kept. */
const HISTORY_VARIABLE = 'DQLITE_NODE_HISTORY';

function historyFile(): string | undefined {
  const file = process.env[HISTORY_VARIABLE] ?? path.join(os.homedir(), '.dqlite_node_history');
  return file === '' ? undefined : file;
}

/** The lines of earlier sessions, oldest first. A history that cannot be read is none. */
function loadHistory(file: string | undefined): string[] {
  if (file === undefined) return [];
  try {
    const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
    if (lines.length <= 2 * HISTORY_LINES) return lines;
    writeFileSync(file, `${lines.slice(-HISTORY_LINES).join('\n')}\n`, { mode: 0o600 });
    return lines.slice(-HISTORY_LINES);
  } catch {
    return [];
  }
}

export class Editor {
  readonly #readline: readline.Interface;
  readonly #history: string | undefined;
  readonly #lines: string[] = [];
  #isClosed = false;
  #take: ((line: string | undefined) => void) | undefined = undefined;

  /** `interrupted` is called for Ctrl-C. */
  constructor(interrupted: () => void) {
    this.#history = historyFile();
    this.#readline = readline.createInterface({
      input: process.stdin,
      output: process.stdout,
      terminal: true,
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
      history: loadHistory(this.#history).reverse(),
      completer: (line: string) => [
        line.startsWith('.') ? COMMAND_NAMES.map(name => `.${name} `).filter(name => name.startsWith(line)) : [],
        line,
      ],
    });
    this.#readline.on('line', line => this.#entered(line));
    this.#readline.on('close', () => {
      this.#isClosed = true;
      this.#give(undefined);
    });
    // Typing goes on while a statement runs: only so Ctrl-C is seen.
    this.#readline.on('SIGINT', interrupted);
  }

  /** The next line; undefined at the end. */
  line(prompt: string): Promise<string | undefined> {
    const typed = this.#lines.shift();
    if (typed !== undefined || this.#isClosed) return Promise.resolve(typed);
    this.#readline.setPrompt(prompt);
    this.#readline.prompt();
    return new Promise(resolve => {
      this.#take = resolve;
    });
  }

  /** Drops what is typed, and what was typed ahead. */
  clear(): void {
    this.#lines.length = 0;
    this.#readline.write(null, { ctrl: true, name: 'e' });
    this.#readline.write(null, { ctrl: true, name: 'u' });
  }

  /** Ends a call of `line` as an empty line would. */
  skip(): void {
    this.#give('');
  }

  close(): void {
    this.#readline.close();
  }

  #entered(line: string): void {
    if (this.#history !== undefined && line.trim() !== '') {
      try {
        appendFileSync(this.#history, `${line}\n`, { mode: 0o600 });
      } catch {
        // Without a history it works as well.
      }
    }
    if (this.#take === undefined) this.#lines.push(line);
    else this.#give(line);
  }

  #give(line: string | undefined): void {
    const take = this.#take;
    this.#take = undefined;
    take?.(line);
  }
}
