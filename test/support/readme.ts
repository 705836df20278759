/** The README's pieces: fenced blocks with their languages, and the words of command lines. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './paths.ts';

export const README: string = readFileSync(path.join(ROOT, 'README.md'), 'utf8');

export interface Block {
  /** The first line of its content. */
  readonly line: number;
  /**
   * `ts` is compiled and run, `sh` run, `text` what the `sh` before it prints. `console` is for commands that cannot
   * run in a test, or never end: only their words are checked.
   */
  readonly language: string;
  readonly text: string;
}

export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(({ index, 1: language, 2: text }) => ({
    line: markdown.slice(0, index).split('\n').length + 1,
    language: language!,
    text: text!,
  }));
}

/** The commands of a block, each as its words; `&&` is between two. Quotes are those of a POSIX shell. */
export function commandsOf({ text }: Block): string[][] {
  return text
    .trim()
    .split(/\n| && /)
    .map(command => [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(match => match[1] ?? match[2]!));
}
