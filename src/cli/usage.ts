/** Reading command lines. */

import { parseArgs, type ParseArgsConfig } from 'node:util';
import { messageOf } from '../lib/errors.ts';

/** The command line is wrong: the message says how, the usage how it is right. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly usage: string;

  constructor(message: string, usage: string) {
    super(message);
    this.usage = usage;
  }
}

type Values<Options extends NonNullable<ParseArgsConfig['options']>> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Options; strict: true }>
>['values'];

/** The options of a command line without positional arguments. Throws UsageError. */
export function readOptions<Options extends NonNullable<ParseArgsConfig['options']>>(
  args: string[],
  options: Options,
  usage: string,
): Values<Options> {
  return readArguments(args, options, usage, false).values;
}

/** The options of a command line, and its other words. Throws UsageError. */
export function readArguments<Options extends NonNullable<ParseArgsConfig['options']>>(
  args: string[],
  options: Options,
  usage: string,
  allowPositionals = true,
): { readonly values: Values<Options>; readonly positionals: readonly string[] } {
  try {
    const { values, positionals } = parseArgs({ args, options, strict: true, allowPositionals });
    return { values, positionals };
  } catch (error) {
    throw new UsageError(inOwnWords(messageOf(error), Object.keys(options)), usage);
  }
}

/** Node's own messages show an option with its placeholder, and explain at length what no command here takes. */
function inOwnWords(message: string, names: readonly string[]): string {
  const [, unknown] = /^Unknown option '(.*?)'/s.exec(message) ?? [];
  const long = names.map(name => `--${name}`);
  if (unknown !== undefined) return `there is no option ${unknown}${closestOf(unknown, long)}`;
  const [, word] = /^Unexpected argument '(.*?)'\. /s.exec(message) ?? [];
  if (word !== undefined) return `"${word}" is one word too many`;
  const [, option] = /^Option '(?:-\w, )?(-[-\w]+)/.exec(message) ?? [];
  if (option === undefined) return message;
  if (message.includes('does not take an argument')) return `${option} takes no value`;
  return `${option} needs a value${message.includes('ambiguous') && long.includes(option) ? `; one that begins with a dash is written ${option}=VALUE` : ''}`;
}

/** `: did you mean X?` if one of the names is meant, by the number of letters that differ; else nothing. */
export function closestOf(word: string, names: readonly string[]): string {
  const [closest] = names
    .map(name => ({ name, distance: distance(word, name) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 3)))
    .toSorted((a, b) => a.distance - b.distance);
  return closest === undefined ? '' : `: did you mean ${closest.name}?`;
}

/** Letters to add, drop or replace, or pairs to swap, to make one word of the other. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let least = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** A whole number in a range, or undefined if the option was not given. Throws UsageError. */
export function numberOption(
  name: string,
  text: string | undefined,
  [min, max]: readonly [min: number, max: number],
  usage: string,
): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, not "${text}"`, usage);
  }
  return value;
}

/** A 64-bit id, or undefined. Throws UsageError. */
export function idOption(name: string, text: string | undefined, min: bigint, usage: string): bigint | undefined {
  if (text === undefined) return undefined;
  const value = /^(\d+|0x[0-9a-fA-F]+)$/.test(text) ? BigInt(text) : -1n;
  if (value < min || value >= 1n << 64n) {
    throw new UsageError(`--${name} must be a number from ${min} to 2^64 - 1, not "${text}"`, usage);
  }
  return value;
}

/** The words of a command line by their names in the usage. Throws UsageError unless each is there, and no more. */
export function namedWords(words: readonly string[], names: readonly string[], usage: string): readonly string[] {
  const missing = names.slice(words.length);
  if (missing.length > 0) throw new UsageError(`${missing.map(name => `<${name}>`).join(' ')} is missing`, usage);
  if (words.length > names.length) throw new UsageError(`"${words[names.length]}" is one word too many`, usage);
  const empty = words.indexOf('');
  if (empty >= 0) throw new UsageError(`<${names[empty]}> is empty`, usage);
  return words;
}
