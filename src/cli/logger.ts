/** Log lines in logfmt on stderr. */

import type { Logger } from '../host/index.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function stderrLogger(level: LogLevel): Logger {
  const least = LOG_LEVELS.indexOf(level);
  const method = (name: LogLevel): ((fields: object, message: string) => void) => {
    if (LOG_LEVELS.indexOf(name) < least) return () => {};
    return (fields, message) => {
      let line = `time=${new Date().toISOString()} level=${name} msg=${quoted(message)}`;
      for (const [key, value] of Object.entries(fields)) {
        if (value !== undefined) line += ` ${key}=${quoted(textOf(value))}`;
      }
      process.stderr.write(`${line}\n`);
    };
  };
  return {
    debug: method('debug'),
    info: method('info'),
    warn: method('warn'),
    error: method('error'),
    fatal: method('fatal'),
  };
}

function textOf(value: unknown): string {
  if (value instanceof Error) return value.stack ?? value.message;
  if (typeof value === 'string') return value;
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner)) ?? '';
}

function quoted(text: string): string {
  return /^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(text);
}
