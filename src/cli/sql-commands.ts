/** The dot-commands: those of `sqlite3` that make sense here, and those of go-dqlite's shell. */

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { systemText } from '../host/index.ts';
import { DqliteError } from '../lib/errors.ts';
import {
  ANSWER_MS,
  DESCRIPTION_COLUMNS,
  describeServers,
  serverId,
  serverNamed,
  serverRole,
  transferLeadership,
} from './cluster-admin.ts';
import { dumpSql, likeAny, statementText, texts } from './sql-dump.ts';
import { importRecords } from './sql-import.ts';
import { fileText, linesOf } from './sql-io.ts';
import { MODES, type Mode } from './sql-modes.ts';
import { inTurn, type SqlValue } from './sql-session.ts';
import { AlreadyReported, Script, type Shell } from './sql-shell.ts';
import { displayWidth, onOneLine, padEnd } from './sql-width.ts';

interface Command {
  readonly usage: string;
  readonly help: string;
  /** Further lines of help. */
  readonly more?: readonly string[];
  /** How many arguments it takes. */
  readonly count: readonly [min: number, max: number];
  readonly run: (shell: Shell, args: readonly string[]) => Promise<void> | void;
}

const MAX_READ_DEPTH = 16;
const TERMINAL_COLUMNS = 80;
const HELP_COLUMN = 21;

const COMMANDS: Readonly<Record<string, Command>> = {
  add: {
    usage: 'ID ADDRESS',
    help: 'add a server to the cluster, as a spare',
    count: [2, 2],
    run: (shell, [id, address]) =>
      shell.cluster.add({ id: serverId(id!), address: address! }, { signal: shell.signal }),
  },
  assign: {
    usage: 'SERVER ROLE',
    help: 'give a server (address or id) a role: voter, standby, spare',
    count: [2, 2],
    run: async ({ cluster, signal }, [server, role]) => {
      const wanted = serverRole(role!);
      await cluster.assign((await serverNamed(cluster, server!, signal)).id, wanted, { signal });
    },
  },
  cluster: {
    usage: '',
    help: 'list the servers of the cluster',
    count: [0, 0],
    run: async shell => {
      const servers = await shell.cluster.servers({ signal: shell.signal });
      await showTable(
        shell,
        ['id', 'address', 'role'],
        servers.map(({ id, address, role }) => [id, address, role]),
      );
    },
  },
  describe: {
    usage: '[ADDRESS]',
    help: "show a server's failure domain and weight",
    count: [0, 1],
    run: async (shell, [address]) => {
      await showTable(shell, DESCRIPTION_COLUMNS, await describeServers(shell.cluster, address, shell.signal));
    },
  },
  dump: {
    usage: '[PATTERN...]',
    help: 'print the database, or tables LIKE a pattern, as SQL',
    more: ['or ADDRESS [DATABASE]: save the database file of that server here'],
    count: [0, Infinity],
    run: (shell, args) =>
      args[0] !== undefined && /^@|:/.test(args[0]) ? dumpFiles(shell, args[0], args[1]) : dumpText(shell, args),
  },
  headers: {
    usage: 'on|off',
    help: 'print the names of columns in modes csv and list',
    count: [1, 1],
    run: (shell, [value]) => {
      shell.format = { ...shell.format, headers: isOn(value!) };
    },
  },
  help: {
    usage: '',
    help: 'show this text',
    count: [0, 1],
    run: shell => shell.print(helpText()),
  },
  import: {
    usage: '[--csv|--tsv] [--separator C] [--skip N] [--batch N] FILE TABLE',
    help: 'insert the records of a file into a table: all or none, or N rows at a time',
    more: ['a table that does not exist is made, with the first record for names'],
    count: [2, Infinity],
    run: importFile,
  },
  indexes: {
    usage: '[TABLE]',
    help: 'list the indexes of all tables, or of those LIKE a pattern',
    count: [0, 1],
    run: (shell, patterns) => showNames(shell, `type = 'index' AND ${likeAny(['tbl_name'], patterns)}`),
  },
  leader: {
    usage: '',
    help: 'show the address of the leader',
    count: [0, 0],
    run: async shell => shell.print(`${(await shell.cluster.leader({ signal: shell.signal })).address}\n`),
  },
  mode: {
    usage: 'MODE',
    help: `print results as ${MODES.join(', ')}`,
    count: [1, 1],
    run: (shell, [mode]) => {
      if (!(MODES as readonly string[]).includes(mode!)) {
        throw new DqliteError('USAGE', `there is no mode "${mode}": ${MODES.join(', ')}`);
      }
      shell.format = { ...shell.format, mode: mode as Mode };
    },
  },
  nullvalue: {
    usage: 'TEXT',
    help: 'print TEXT for NULL',
    count: [1, 1],
    run: (shell, [nullText]) => {
      shell.format = { ...shell.format, nullText };
    },
  },
  quit: {
    usage: '[CODE]',
    help: 'leave the shell; so does Ctrl-D',
    count: [0, 1],
    run: (shell, [code = '0']) => {
      if (!/^\d{1,3}$/.test(code) || Number(code) > 255) throw new DqliteError('USAGE', `"${code}" is no exit code`);
      shell.isOver = true;
      shell.exitCode = Number(code);
    },
  },
  read: {
    usage: 'FILE',
    help: 'run the SQL and commands in a file, up to the first error',
    count: [1, 1],
    run: async (shell, [file]) => {
      if (shell.depth === MAX_READ_DEPTH)
        throw new DqliteError('USAGE', `files that read files, ${MAX_READ_DEPTH} deep`);
      shell.depth++;
      try {
        if (!(await new Script(shell, file).all(linesOf(fileText(file!))))) {
          throw new AlreadyReported();
        }
      } finally {
        shell.depth--;
      }
    },
  },
  remove: {
    usage: 'SERVER',
    help: 'remove a server (address or id) from the cluster',
    count: [1, 1],
    run: async ({ cluster, signal }, [server]) =>
      cluster.remove((await serverNamed(cluster, server!, signal)).id, { signal }),
  },
  schema: {
    usage: '[PATTERN]',
    help: 'print the CREATE statements of all tables, or of those LIKE a pattern',
    count: [0, 1],
    run: async (shell, patterns) => {
      const rows = await texts(
        shell.query,
        `SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND ${likeAny(['name', 'tbl_name'], patterns)} ORDER BY rowid`,
      );
      await shell.print(rows.map(([sql = '']) => statementText(sql)).join(''));
    },
  },
  tables: {
    usage: '[PATTERN]',
    help: 'list tables and views, or those LIKE a pattern',
    count: [0, 1],
    run: (shell, patterns) => showNames(shell, `type IN ('table', 'view') AND ${likeAny(['name'], patterns)}`),
  },
  timer: {
    usage: 'on|off',
    help: 'say how long each statement takes',
    count: [1, 1],
    run: (shell, [value]) => {
      shell.isTimed = isOn(value!);
    },
  },
  transfer: {
    usage: '[SERVER]',
    help: 'hand the leadership to a voter (address or id), or to one that the leader chooses',
    count: [0, 1],
    run: ({ cluster, signal }, [server]) => transferLeadership(cluster, server, signal),
  },
  weight: {
    usage: 'ADDRESS N',
    help: 'set the weight of a server',
    count: [2, 2],
    run: ({ cluster, signal }, [address, weight]) => {
      if (!/^\d{1,19}$/.test(weight!)) throw new DqliteError('USAGE', `"${weight}" is no weight: a whole number`);
      return cluster.weight(BigInt(weight!), address, { signal, timeoutMs: ANSWER_MS });
    },
  },
};

const ALIASES: Readonly<Record<string, string>> = { exit: 'quit', indices: 'indexes', header: 'headers' };

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS);

/** Words of a command: separated by space, in quotes of either kind if they have some. */
function words(line: string): string[] {
  return [...line.matchAll(/'((?:[^']|'')*)'|"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single?.replaceAll("''", "'") ?? double?.replaceAll(/\\(.)/g, '$1') ?? bare!,
  );
}

/** Runs a line that begins with a dot. A command may be shortened as long as one begins so. Rejects with DqliteError. */
export async function runCommand(shell: Shell, line: string): Promise<void> {
  const [word = '', ...args] = words(line.slice(1).replace(/;$/, ''));
  const isHere = (name: string): boolean => Object.hasOwn(COMMANDS, name);
  const alias = Object.hasOwn(ALIASES, word) ? ALIASES[word]! : word;
  const names = isHere(alias) ? [alias] : COMMAND_NAMES.filter(name => word !== '' && name.startsWith(word));
  if (names.length !== 1) {
    const meant = names.length === 0 ? 'see .help' : `it could be ${names.map(name => `.${name}`).join(', ')}`;
    throw new DqliteError('USAGE', `there is no command ".${word}": ${meant}`);
  }
  const { usage, count, run } = COMMANDS[names[0]!]!;
  if (args.length < count[0] || args.length > count[1]) {
    throw new DqliteError('USAGE', `usage: .${names[0]}${usage === '' ? '' : ` ${usage}`}`);
  }
  await run(shell, args);
}

function helpText(): string {
  const lines = Object.entries(COMMANDS).map(([name, { usage, help, more = [] }]) => {
    const head = `.${name}${usage === '' ? '' : ` ${usage}`}`;
    const body = [help, ...more].join(`\n${' '.repeat(HELP_COLUMN)}`);
    return `${head.length < HELP_COLUMN ? head.padEnd(HELP_COLUMN) : `${head}\n${' '.repeat(HELP_COLUMN)}`}${body}`;
  });
  return `${lines.join('\n')}

SQL ends with a semicolon and may take several lines. Ctrl-C interrupts a statement that runs, Ctrl-D leaves.
`;
}

function isOn(value: string): boolean {
  if (/^(on|yes|true|1)$/i.test(value)) return true;
  if (/^(off|no|false|0)$/i.test(value)) return false;
  throw new DqliteError('USAGE', `"${value}" is neither on nor off`);
}

async function showTable(shell: Shell, columns: readonly string[], rows: SqlValue[][]): Promise<void> {
  await shell.show({ columns, batches: inTurn(rows) });
}

/** Names of the schema in columns as wide as a terminal, or one a line for programs. */
async function showNames(shell: Shell, condition: string): Promise<void> {
  const rows = await texts(
    shell.query,
    `SELECT name FROM sqlite_master WHERE ${condition} AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`,
  );
  const names = rows.map(([name = '']) => onOneLine(name));
  const width = Math.max(0, ...names.map(displayWidth)) + 2;
  const across = shell.options.output.isTerminal ? Math.max(1, Math.floor(TERMINAL_COLUMNS / width)) : 1;
  const down = Math.ceil(names.length / across);
  for (let line = 0; line < down; line++) {
    const cells = names.filter((_, position) => position % down === line);
    await shell.print(
      `${cells
        .map(name => padEnd(name, width))
        .join('')
        .trimEnd()}\n`,
    );
  }
}

/** All in one read transaction, so that it is one state. */
async function dumpText(shell: Shell, patterns: readonly string[]): Promise<void> {
  const session = await shell.session();
  const isOwn = await session.begin();
  try {
    await dumpSql(shell.query, text => shell.print(text), patterns);
  } finally {
    if (isOwn) await session.rollback();
  }
}

/** As go-dqlite's shell does it: the files lie side by side, under the database's name. */
async function dumpFiles(shell: Shell, address: string, database = shell.options.database): Promise<void> {
  for (const { name, content } of await shell.cluster.dump(database, address, { signal: shell.signal })) {
    // An empty WAL is no WAL.
    const file = path.basename(name);
    if (content.length === 0 && file.endsWith('-wal')) continue;
    try {
      await writeFile(file, content, { flag: 'wx' });
    } catch (error) {
      throw new DqliteError('IO', `cannot write ${file}: ${systemText(error)}`, { cause: error });
    }
    await shell.print(`${file}: ${content.length} bytes\n`);
  }
}

async function importFile(shell: Shell, args: readonly string[]): Promise<void> {
  let separator = ',';
  let skip = 0;
  let batch = 0;
  const rest = [...args];
  const names: string[] = [];
  const count = (name: string): number => {
    const text = rest.shift() ?? '';
    if (!/^\d{1,9}$/.test(text)) throw new DqliteError('USAGE', `${name} takes a whole number`);
    return Number(text);
  };
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--csv' || word === '-csv') separator = ',';
    else if (word === '--tsv' || word === '-tsv') separator = '\t';
    else if (word === '--separator') separator = rest.shift() ?? '';
    else if (word === '--skip' || word === '-skip') skip = count(word);
    else if (word === '--batch') batch = count(word);
    else if (word.startsWith('-')) throw new DqliteError('USAGE', `.import has no option ${word}`);
    else names.push(word);
  }
  const [file, table, ...more] = names;
  if (file === undefined || table === undefined || more.length > 0) {
    throw new DqliteError('USAGE', `usage: .import ${COMMANDS['import']!.usage}`);
  }
  if (separator.length !== 1 || /["\r\n]/.test(separator)) {
    throw new DqliteError('USAGE', 'a separator is one character, and neither a quote nor a line end');
  }
  const { checkInterrupt } = shell;
  const rows = await importRecords(await shell.session(), table, fileText(file), {
    separator,
    skip,
    batch,
    checkInterrupt,
  });
  if (shell.options.isInteractive) shell.say(`(${rows} row${rows === 1 ? '' : 's'} imported)\n`);
}
