/** Options of the scripts, read and refused as the command line does it. */

import type { ParseArgsConfig } from 'node:util';
import { readArguments, UsageError } from '../src/cli/usage.ts';

type Options = NonNullable<ParseArgsConfig['options']>;

const HELP = { help: { type: 'boolean', short: 'h' } } as const;

export interface ScriptArguments<O extends Options> {
  readonly values: ReturnType<typeof readArguments<O>>['values'];
  readonly positionals: readonly string[];
}

/** Prints the usage and ends the process if it is asked for (code 0) or the arguments are wrong (code 2). */
export function scriptArguments<O extends Options>(
  options: O,
  usage: string,
  allowPositionals = false,
): ScriptArguments<O> {
  return orUsage(() => {
    const { values, positionals } = readArguments(
      process.argv.slice(2),
      { ...options, ...HELP },
      usage,
      allowPositionals,
    );
    if ((values as { readonly help?: boolean }).help === true) {
      console.log(usage);
      process.exit(0);
    }
    return { values, positionals };
  });
}

/** Gives what `read` gives; a UsageError ends the process with code 2. */
export function orUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${error.usage}`);
    process.exit(2);
  }
}
