/** Plays cases of test/cli/sql.txt: `dqlite-node sql` and `cluster` against one server, in one folder. */

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run, type Finished } from './child.ts';
import { CommandLine } from './command-line.ts';
import { temporaryDirectory, type Scope } from './temporary.ts';

export class SqlDesk {
  readonly #scope: Scope;
  readonly #address: string;
  readonly #commandLine: CommandLine;
  readonly folder: string;

  constructor(scope: Scope, address: string) {
    this.#scope = scope;
    this.#address = address;
    this.#commandLine = new CommandLine(scope);
    this.folder = temporaryDirectory(scope);
  }

  /**
   * The first line is a command, the others are its input. `sql` and `cluster` are this project's; of `sql`, what follows
   * the database is one argument; `> file` keeps what it prints. `write` makes a file of the input, `cat` shows one.
   */
  async play([first = '', ...rest]: readonly string[]): Promise<string> {
    const [command = '', ...words] = first.replaceAll('<address>', this.#address).split(' ');
    const input = rest.map(line => `${line.replaceAll('<address>', this.#address)}\n`).join('');
    if (command === 'write') {
      writeFileSync(path.join(this.folder, words[0]!), input);
      return '';
    }
    if (command === 'cat') return readFileSync(path.join(this.folder, words[0]!), 'utf8').trimEnd();
    const file = words.at(-2) === '>' ? words.splice(-2)[1] : undefined;
    const { code, stdout, stderr } = await this.#run(command, words, input);
    if (file !== undefined) {
      writeFileSync(path.join(this.folder, file), stdout);
      return stderr;
    }
    return [code === 0 ? '' : `exit ${code}\n`, stdout, stderr]
      .join('')
      .trimEnd()
      .replaceAll(this.#address, '<address>')
      .replaceAll(/(Run Time: real) \d+\.\d{3}/g, '$1 <time>');
  }

  #run(command: string, words: readonly string[], input: string): Promise<Finished> {
    const options = { cwd: this.folder, input };
    if (command === 'sqlite3') return run(this.#scope, 'sqlite3', words, options);
    const database = words.findIndex(word => word.endsWith('.db'));
    const sql = words.slice(database + 1).join(' ');
    const args = command === 'cluster' ? words : [...words.slice(0, database + 1), ...(sql === '' ? [] : [sql])];
    return this.#commandLine.run([command, '-s', this.#address, ...args], options);
  }
}
