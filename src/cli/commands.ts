/** The command line: finds the subcommand, prints errors for people, sets the exit code (1 failure, 2 usage). */

import { readFileSync } from 'node:fs';
import { FileError } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import { closestOf, UsageError } from './usage.ts';

const USAGE = `dqlite-node: dqlite in TypeScript

  dqlite-node serve    run a node
  dqlite-node demo     run a node in a new folder with some data, and show what it can do
  dqlite-node sql      a shell on a database, or one run of SQL for scripts
  dqlite-node cluster  list the servers of a cluster, add and remove some, change roles and the leader
  dqlite-node inspect  show what is in a data directory, or write a database of it to a file
  dqlite-node import   load an SQLite file into a database of a running server
  dqlite-node export   write a database of a running server to an SQLite file
  dqlite-node recover  give a cluster that has lost its majority new members

dqlite-node <command> --help tells about a command; dqlite-node --version says which one this is.`;

type Command = (args: string[]) => Promise<number>;

/** A command loads what it needs and no more: the shell starts without the server. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serve,
  demo: async () => (await import('./demo.ts')).demo,
  sql: async () => (await import('./sql.ts')).sql,
  cluster: async () => (await import('./cluster.ts')).clusterCommand,
  inspect: async () => (await import('./inspect.ts')).inspect,
  import: async () => (await import('./import.ts')).importCommand,
  export: async () => (await import('./export.ts')).exportCommand,
  recover: async () => (await import('./recover.ts')).recoverCommand,
};

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(USAGE);
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-v' || name === 'version') {
    console.log(version());
    return 0;
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined) {
    throw new UsageError(`there is no command "${name}"${closestOf(name, Object.keys(COMMANDS))}`, USAGE);
  }
  const command = await load();
  return command(rest);
}

function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Runs a command; its exit code becomes the process'. */
export async function runCommandLine(args: string[]): Promise<void> {
  // A node goes on when nobody reads its output any more, or the disk that keeps it is full.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  try {
    process.exitCode = await main(args);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n\n${error.usage}`);
      process.exitCode = 2;
      return;
    }
    if (error instanceof DqliteError) {
      console.error(`dqlite-node: ${error.message}${error.hint === undefined ? '' : `\n  hint: ${error.hint}`}`);
    } else if (error instanceof FileError) {
      console.error(`dqlite-node: ${error.message}`);
    } else {
      console.error(error);
    }
    process.exitCode = 1;
  }
}
