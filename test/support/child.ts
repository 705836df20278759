/**
 * A child process: its output as lines, its end as a promise. It is killed, by its own id, when the test that
 * started it is over.
 */

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { within } from './wait.ts';
import type { Scope } from './temporary.ts';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

interface Watcher {
  readonly matches: (line: string) => boolean;
  readonly found: (line: string) => void;
}

/** A hanging test file is ended by SIGTERM (scripts/test.ts): what it has started ends with it. */
const running = new Set<ChildProcessWithoutNullStreams>();
process.once('SIGTERM', () => {
  for (const child of running) child.kill('SIGKILL');
  process.exit(143);
});

export class Child {
  readonly command: string;
  readonly process: ChildProcessWithoutNullStreams;
  /** Resolves when the process has ended and its output was read to the end. */
  readonly exited: Promise<Exit>;
  /** Everything it has printed so far. */
  stdout = '';
  stderr = '';
  #watchers: Watcher[] = [];
  #isOver = false;

  constructor(scope: Scope, program: string, args: readonly string[], options: ChildOptions = {}) {
    this.command = [program, ...args].join(' ');
    const child = spawn(program, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
    this.process = child;
    running.add(child);
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#look();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#look();
    });
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.#isOver = true;
        running.delete(child);
        this.#look();
        resolve({ code, signal });
      });
    });
    this.exited.catch(() => {});
    scope.after(async () => {
      if (this.#isOver) return;
      child.kill('SIGKILL');
      await this.exited.catch(() => {});
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  get hasExited(): boolean {
    return this.#isOver;
  }

  /** Resolves with the first complete line of stdout or stderr that matches; rejects if the process ends before. */
  line(pattern: RegExp, deadlineMs: number): Promise<string> {
    const seen = new Promise<string>((resolve, reject) => {
      this.#watchers.push({ matches: line => pattern.test(line), found: resolve });
      this.exited.then(
        ({ code, signal }) => reject(new Error(`${this.command} ended (${code ?? signal}):\n${this.stderr}`)),
        reject,
      );
      this.#look();
    });
    return within(seen, `a line like ${pattern} from ${this.command}\n${this.stdout}${this.stderr}`, deadlineMs);
  }

  /** Sends input and closes it. */
  input(text: string): void {
    this.process.stdin.end(text);
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  end(deadlineMs: number): Promise<Exit> {
    return within(this.exited, `the end of ${this.command}\n${this.stderr}`, deadlineMs);
  }

  /** What Linux says about the process' memory: now, and at its highest, in bytes. */
  memory(): { readonly rss: number; readonly peak: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
    return { rss: kib('VmRSS') * 1024, peak: kib('VmHWM') * 1024 };
  }

  #look(): void {
    if (this.#watchers.length === 0) return;
    const lines = [...completeLines(this.stdout), ...completeLines(this.stderr)];
    this.#watchers = this.#watchers.filter(({ matches, found }) => {
      const line = lines.find(matches);
      if (line !== undefined) found(line);
      return line === undefined;
    });
  }
}

/** The lines of a text, without what follows the last line end. */
export function completeLines(text: string): string[] {
  return text.split('\n').slice(0, -1);
}

export interface Finished extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

const RUN_MS = 30_000;

/** Runs a program to its end. */
export async function run(
  scope: Scope,
  program: string,
  args: readonly string[],
  options: ChildOptions & { readonly input?: string; readonly deadlineMs?: number } = {},
): Promise<Finished> {
  const child = new Child(scope, program, args, options);
  child.input(options.input ?? '');
  const exit = await child.end(options.deadlineMs ?? RUN_MS);
  return { ...exit, stdout: child.stdout, stderr: child.stderr };
}
