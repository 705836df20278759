/**
 * Many runs of `dqlite-node` in one process, for transcripts of dozens: the start of a process takes longer than most
 * commands. What comes out and the exit code are the same; that nothing is left open which would keep a process from
 * ending is checked. Signals, terminals and `main.ts` itself need a `Child`.
 */

import path from 'node:path';
import { Child, type Finished } from './child.ts';
import { ROOT } from './paths.ts';
import type { Scope } from './temporary.ts';

export interface CommandRequest {
  readonly args: string[];
  readonly cwd: string;
  /** All of the standard input. */
  readonly input: string;
}

const PROGRAM = path.join(ROOT, 'dist/test/support/command-line-process.js');
const RUN_MS = 30_000;

export class CommandLine {
  readonly #child: Child;
  #count = 0;

  constructor(scope: Scope) {
    this.#child = new Child(scope, process.execPath, [PROGRAM]);
  }

  /** As the `dqliteNode` of serve.ts, for a test that needs no process of its own. */
  readonly dqliteNode = (...args: string[]): Promise<Finished> => this.run(args);

  async run(
    args: readonly string[],
    options: { readonly cwd?: string; readonly input?: string } = {},
  ): Promise<Finished> {
    const request: CommandRequest = { args: [...args], cwd: options.cwd ?? ROOT, input: options.input ?? '' };
    this.#child.process.stdin.write(`${JSON.stringify(request)}\n`);
    const prefix = `answer ${this.#count++} `;
    const line = await this.#child.line(new RegExp(`^${prefix}`), RUN_MS);
    return JSON.parse(line.slice(prefix.length)) as Finished;
  }
}
