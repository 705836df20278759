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
    // Node goes on to explain how to pass a positional argument, which no command here takes.
    throw new UsageError(messageOf(error).split('. To specify a positional argument')[0]!, usage);
  }
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
