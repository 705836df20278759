/**
 * The shell without its terminal: runs lines of SQL and dot-commands on one session, prints results and errors, and
 * is interrupted. The session is renewed when its leader is lost; what that means for the user is said.
 */

import type { Cluster } from '../client/index.ts';
import { LeaderAccess } from '../client/internal.ts';
import type { Host } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import { sqliteCode } from '../wire/index.ts';
import { marked, placeOf } from './sql-error.ts';
import { OutputClosed, type Output } from './sql-io.ts';
import { formatter, type FormatSettings, type Mode } from './sql-modes.ts';
import { isInterrupted, SqlSession, type Outcome, type Rows } from './sql-session.ts';
import { StatementSplitter, type Statement } from './sql-splitter.ts';
import { withoutControls } from './sql-width.ts';

/** What a file that was read ends with after an error that was reported there. */
export class AlreadyReported extends Error {
  override readonly name = 'AlreadyReported';
}

export interface ShellOptions {
  readonly host: Host;
  readonly servers: readonly string[];
  readonly database: string;
  readonly output: Output;
  /** Takes errors and remarks. */
  readonly say: (text: string) => void;
  readonly mode: Mode;
  readonly headers: boolean | undefined;
  /** Somebody types: errors end nothing, changes are counted aloud. */
  readonly isInteractive: boolean;
  /** Runs a line that begins with a dot. Rejects with DqliteError. */
  readonly command: (shell: Shell, line: string) => Promise<void>;
}

/** On a terminal, rows that wait for others to settle the widths of columns are shown after this. */
const SHOW_AFTER_MS = 300;

/** A statement that goes on for so long after Ctrl-C is remarked upon. */
const PATIENCE_MS = 1000;

/** What to do about an error, by its code. */
const HINTS: ReadonlyMap<number, string> = new Map([
  [sqliteCode.busy, 'another client is writing'],
  [sqliteCode.busySnapshot, 'another client has written since this transaction first read: ROLLBACK, and begin again'],
  [516, 'ROLLBACK ends the transaction that was aborted'],
]);

export class Shell {
  readonly options: ShellOptions;
  readonly #access: LeaderAccess;
  format: FormatSettings;
  isTimed = false;
  /** `.quit` was said. */
  isOver = false;
  /** What the shell ends with if nothing failed. */
  exitCode = 0;
  /** How deep `.read` is in files that read files. */
  depth = 0;
  #session: SqlSession | undefined = undefined;
  #lastAddress: string | undefined = undefined;
  #isRunning = false;
  #interrupts = 0;
  /** Stops what runs. */
  #stop = new AbortController();
  #patience: NodeJS.Timeout | undefined = undefined;

  constructor(options: ShellOptions) {
    this.options = options;
    this.#access = new LeaderAccess(options.host, options.servers);
    this.format = {
      mode: options.mode,
      headers: options.headers,
      nullText: undefined,
    };
  }

  get inTransaction(): boolean {
    return this.#session?.inTransaction === true;
  }

  /** Its calls have connections of their own, so that they disturb no transaction. */
  get cluster(): Cluster {
    return this.#access.cluster;
  }

  /** Aborted by Ctrl-C. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The session with the leader, a new one if there is none. Rejects with DqliteError NO_LEADER. */
  async session(): Promise<SqlSession> {
    if (this.#session?.isBroken === true && !this.inTransaction) this.close();
    if (this.#session === undefined) {
      const { host, database } = this.options;
      this.#session = await SqlSession.open(this.#access, host.clock, database, () => this.signal);
      if (this.#lastAddress !== undefined) this.say(`(connected again, to ${this.#session.address})\n`);
      this.#lastAddress = this.#session.address;
    }
    return this.#session;
  }

  /** Stops what runs; asked a second time, gives up the connection for it. False if nothing runs. */
  interrupt(): boolean {
    if (!this.#isRunning) return false;
    this.#interrupts++;
    if (this.#interrupts > 1) {
      this.#session?.close();
    } else {
      this.#stop.abort();
      this.#patience = setTimeout(
        () => this.say('(the server has not stopped it yet; Ctrl-C again gives up the connection)\n'),
        PATIENCE_MS,
      );
    }
    return true;
  }

  /** For work of many statements. Throws SQLITE_INTERRUPT. */
  readonly checkInterrupt = (): void => {
    if (this.#interrupts > 0) throw new DqliteError('SQLITE', 'interrupted', { sqliteCode: 9 });
  };

  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  async print(text: string): Promise<void> {
    await this.options.output.write(text);
  }

  /** Errors and remarks. */
  say(text: string): void {
    this.options.say(withoutControls(text));
  }

  /** Runs a query; for commands. */
  readonly query = async (sql: string): Promise<Rows> => {
    this.checkInterrupt();
    return (await this.session()).query(sql);
  };

  /** Prints rows in the current mode. */
  async show({ columns, batches }: Rows): Promise<void> {
    const { output, isInteractive } = this.options;
    const format = formatter(columns, this.format);
    const show = (): void => void output.write(format.flush()).catch(() => {});
    const timer = output.isTerminal ? setInterval(show, SHOW_AFTER_MS) : undefined;
    let count = 0;
    try {
      for await (const rows of batches) {
        count += rows.length;
        await output.write(format.rows(rows));
      }
    } finally {
      clearInterval(timer);
      // What an error cuts off is shown up to there.
      await output.write(format.flush());
    }
    if (columns.length > 0) await output.write(format.end());
    if (isInteractive && count === 0 && columns.length > 0) this.say('(no rows)\n');
  }

  /** Runs a statement or command and reports how it fails. False if it did. Rejects with OutputClosed only. */
  async attempt(
    work: () => Promise<void>,
    context: { readonly sql?: string; readonly where: string },
  ): Promise<boolean> {
    // A command that reads a file runs commands.
    const isInner = this.#isRunning;
    this.#isRunning = true;
    if (!isInner) {
      this.#interrupts = 0;
      this.#stop = new AbortController();
    }
    const startMs = performance.now();
    const { isTimed } = this;
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof OutputClosed) throw error;
      if (!(error instanceof AlreadyReported)) await this.#report(error, context);
      return false;
    } finally {
      this.#isRunning = isInner;
      clearTimeout(this.#patience);
      if (isTimed && this.isTimed) this.say(`Run Time: real ${((performance.now() - startMs) / 1000).toFixed(3)}\n`);
    }
  }

  async run(sql: string): Promise<void> {
    this.checkInterrupt();
    const { rows, changed } = await this.#run(sql);
    if (rows !== undefined) await this.show(rows);
    if (changed !== undefined && this.options.isInteractive)
      this.say(`(${changed} row${changed === 1 ? '' : 's'} changed)\n`);
  }

  async #run(sql: string): Promise<Outcome> {
    const session = await this.session();
    try {
      return await session.run(sql);
    } catch (error) {
      // The server is gone, and nothing has happened there: another leader can run it.
      const mayRunElsewhere = session.isLostBy(error) && error instanceof DqliteError && error.committed !== 'unknown';
      if (!mayRunElsewhere || this.inTransaction || this.#interrupts > 0) throw error;
      this.close();
      return (await this.session()).run(sql);
    }
  }

  async #report(error: unknown, { sql, where }: { readonly sql?: string; readonly where: string }): Promise<void> {
    if (!(error instanceof DqliteError)) {
      this.say(`Error${where}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      return;
    }
    if (this.#interrupts > 1) {
      this.say('Interrupted: the connection was given up, because the server did not stop the statement\n');
    } else if (isInterrupted(error)) {
      this.say('Interrupted\n');
    } else {
      const code = error.sqliteCode === undefined || error.sqliteCode <= 1 ? '' : ` (${error.sqliteCode})`;
      this.say(`Error${where}: ${error.message}${code}\n`);
      if (sql !== undefined) await this.#mark(sql, error.message);
      // The shell itself connects again.
      const hint = error.code === 'NOT_LEADER' ? undefined : (HINTS.get(error.sqliteCode ?? 0) ?? error.hint);
      if (hint !== undefined) this.say(`  hint: ${hint}\n`);
    }
    if (this.#session?.isLostBy(error) === true) {
      if (this.inTransaction && error.committed !== 'unknown') this.say('  The transaction that was open is gone.\n');
      this.close();
    } else if (this.options.isInteractive && (await this.#session?.noticeEnd(error)) === true) {
      this.say('  The transaction that was open is gone.\n');
    }
  }

  async #mark(sql: string, message: string): Promise<void> {
    try {
      const session = this.#session;
      const place = await placeOf(sql, message, async text => session?.complaintAbout(text));
      if (place !== undefined) this.say(`${marked(sql, place)}\n`);
    } catch {
      // The mark is only a help; the next statement will find out what is wrong with the connection.
    }
  }
}

/** A text that is run line by line. */
export class Script {
  readonly #shell: Shell;
  /** For messages; undefined if somebody types, or the text is one argument. */
  readonly #name: string | undefined;
  #splitter = new StatementSplitter();
  #lineNumber = 0;

  constructor(shell: Shell, name: string | undefined) {
    this.#shell = shell;
    this.#name = name;
  }

  /** Before the next line: whether a statement has begun, and a transaction is open. */
  get prompt(): string {
    if (!this.#splitter.isIdle) return '   ...> ';
    return this.#shell.inTransaction ? 'dqlite*> ' : 'dqlite> ';
  }

  /** Forgets the statement that has begun. */
  reset(): void {
    this.#splitter = new StatementSplitter(this.#lineNumber + 1);
  }

  /** Runs what a line completes. False if something failed. */
  async line(line: string): Promise<boolean> {
    this.#lineNumber++;
    // As in sqlite3's shell: so that a script can name its interpreter.
    if (this.#splitter.isIdle && line.startsWith('#')) {
      this.reset();
      return true;
    }
    if (this.#splitter.isIdle && line.trimStart().startsWith('.')) {
      this.reset();
      return this.#shell.attempt(() => this.#shell.options.command(this.#shell, line.trim()), {
        where: this.#where(this.#lineNumber),
      });
    }
    this.#splitter.push(line);
    return this.#statements();
  }

  /** Runs what the end of the text completes. False if it failed. */
  async end(): Promise<boolean> {
    const rest = this.#splitter.rest();
    return rest === undefined || this.#run(rest);
  }

  /** Runs all lines, up to the first that fails or to the end of the shell. False if one failed. */
  async all(lines: AsyncIterable<string>): Promise<boolean> {
    for await (const line of lines) {
      if (!(await this.line(line))) return false;
      if (this.#shell.isOver) return true;
    }
    return this.end();
  }

  async #statements(): Promise<boolean> {
    let isGood = true;
    for (let next = this.#splitter.next(); next !== undefined; next = this.#splitter.next()) {
      if (isGood) isGood = await this.#run(next);
      if (this.#shell.isOver) break;
    }
    return isGood;
  }

  #run({ sql, line }: Statement): Promise<boolean> {
    return this.#shell.attempt(() => this.#shell.run(sql), { sql, where: this.#where(line) });
  }

  #where(line: number): string {
    return this.#name === undefined ? '' : ` in ${this.#name}, line ${line}`;
  }
}

/** Runs a text that was given at once. False if a statement failed. */
export async function runText(shell: Shell, text: string): Promise<boolean> {
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const script = new Script(shell, undefined);
  for (const line of lines) {
    if (!(await script.line(line))) return false;
    if (shell.isOver) return true;
  }
  return script.end();
}
