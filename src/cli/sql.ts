/** `dqlite-node sql`: a shell on a database, or one run of SQL for scripts. */

import { nodeHost } from '../host/index.ts';
import { runCommand } from './sql-commands.ts';
import { Editor } from './sql-editor.ts';
import { Output, OutputClosed, linesOf, textOf } from './sql-io.ts';
import { MODES, type Mode } from './sql-modes.ts';
import { Script, Shell, runText } from './sql-shell.ts';
import { SERVERS_OPTION, serversOption } from './servers.ts';
import { UsageError, readArguments } from './usage.ts';

const USAGE = `dqlite-node sql -s <host:port,...> <database> [sql] [options]

  -s, --servers LIST   addresses of the cluster's servers, separated by commas; one that answers is enough
  --mode MODE          how results are printed: ${MODES.join(', ')}
                       (default: box on a terminal, else list)
  --json, --csv        short for --mode json and --mode csv
  --headers on|off     names of columns in modes csv (default on) and list (default off)

Without sql it reads standard input: from a terminal as a shell (.help tells more), else as a script, up to the first
error. The exit code is 0, or 1 if a statement or the connection failed, 2 if the command line is wrong, 130 if it was
interrupted. The history of the shell is kept in ~/.dqlite_node_history, or what DQLITE_NODE_HISTORY names.`;

const OPTIONS = {
  servers: SERVERS_OPTION,
  mode: { type: 'string' },
  json: { type: 'boolean' },
  csv: { type: 'boolean' },
  headers: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

const INTERRUPTED_EXIT = 130;

export async function sql(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS, USAGE);
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const servers = serversOption(values.servers, USAGE);
  const [database, text, ...more] = positionals;
  if (database === undefined || database === '') throw new UsageError('the name of a database is needed', USAGE);
  if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}": write the SQL in quotes`, USAGE);
  const output = new Output(process.stdout);
  const isInteractive = text === undefined && process.stdin.isTTY && output.isTerminal;
  const shell = new Shell({
    host: nodeHost(),
    servers,
    database,
    output,
    say: text => void process.stderr.write(text),
    mode: chosenMode(values) ?? (output.isTerminal ? 'box' : 'list'),
    headers: headersOption(values.headers),
    isInteractive,
    command: runCommand,
  });
  try {
    const { address } = await shell.session();
    if (isInteractive) return await interact(shell, `${database} at ${address}; .help tells the commands\n`);
    return await runScript(shell, text);
  } catch (error) {
    if (error instanceof OutputClosed) return 1;
    throw error;
  } finally {
    shell.close();
  }
}

function chosenMode(values: {
  readonly mode?: string;
  readonly json?: boolean;
  readonly csv?: boolean;
}): Mode | undefined {
  const chosen = [values.mode, values.json === true ? 'json' : undefined, values.csv === true ? 'csv' : undefined];
  const [mode, ...others] = chosen.filter(name => name !== undefined);
  if (others.length > 0) throw new UsageError('--mode, --json and --csv exclude each other', USAGE);
  if (mode !== undefined && !(MODES as readonly string[]).includes(mode)) {
    throw new UsageError(`--mode must be one of ${MODES.join(', ')}, not "${mode}"`, USAGE);
  }
  return mode as Mode | undefined;
}

function headersOption(text: string | undefined): boolean | undefined {
  if (text !== undefined && text !== 'on' && text !== 'off') {
    throw new UsageError(`--headers must be on or off, not "${text}"`, USAGE);
  }
  return text === undefined ? undefined : text === 'on';
}

async function runScript(shell: Shell, text: string | undefined): Promise<number> {
  let isInterrupted = false;
  const interrupt = (): void => {
    // Nothing runs: it waits for input.
    if (!shell.interrupt()) process.exit(INTERRUPTED_EXIT);
    isInterrupted = true;
  };
  process.on('SIGINT', interrupt);
  try {
    const isGood =
      text === undefined
        ? await new Script(shell, 'the input').all(linesOf(textOf(process.stdin, 'the input')))
        : await runText(shell, text);
    if (isInterrupted && !isGood) return INTERRUPTED_EXIT;
    return isGood ? shell.exitCode : 1;
  } finally {
    process.off('SIGINT', interrupt);
    process.stdin.destroy();
  }
}

async function interact(shell: Shell, greeting: string): Promise<number> {
  const script = new Script(shell, undefined);
  const editor = new Editor(() => {
    if (shell.interrupt()) return;
    process.stdout.write('^C\n');
    editor.clear();
    script.reset();
    editor.skip();
  });
  try {
    await shell.print(greeting);
    while (!shell.isOver) {
      const line = await editor.line(script.prompt);
      if (line === undefined) {
        await shell.print('\n');
        break;
      }
      await script.line(`${line}\n`);
    }
  } finally {
    editor.close();
  }
  return shell.exitCode;
}
