/**
 * The program behind `CommandLine`: runs one command line after the other, each as a process of its own would. Requests
 * come as lines of JSON, and so go the answers.
 */

import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { runCommandLine } from '../../src/cli/commands.ts';
import type { CommandRequest } from './command-line.ts';
import type { Finished } from './child.ts';

const END_MS = 5000;

/** Takes what is written to a stream. Gives the text so far. */
function capture(stream: NodeJS.WriteStream): () => string {
  const pieces: Buffer[] = [];
  const write = (piece: string | Uint8Array, ...rest: unknown[]): boolean => {
    pieces.push(Buffer.from(piece as Uint8Array));
    const done = rest.at(-1);
    if (typeof done === 'function') process.nextTick(done);
    return true;
  };
  stream.write = write;
  return () => Buffer.concat(pieces).toString();
}

/** What a process would not end with. */
function openResources(): string[] {
  return process.getActiveResourcesInfo().filter(name => name !== 'Immediate');
}

async function play({ args, cwd, input }: CommandRequest): Promise<Finished> {
  process.chdir(cwd);
  process.exitCode = undefined;
  const stdin = Readable.from(input === '' ? [] : [Buffer.from(input)]);
  Object.defineProperty(process, 'stdin', { value: stdin, configurable: true });
  const stdout = capture(process.stdout);
  const stderr = capture(process.stderr);
  const before = openResources().length;
  await runCommandLine(args);
  const endMs = performance.now() + END_MS;
  while (openResources().length > before) {
    if (performance.now() > endMs) throw new Error(`the process would not end: ${openResources().join(', ')}`);
    await setImmediate();
  }
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error');
  for (const signal of ['SIGINT', 'SIGTERM']) process.removeAllListeners(signal);
  return { code: process.exitCode ?? 0, signal: null, stdout: stdout(), stderr: stderr() };
}

const requests = createInterface({ input: process.stdin });
const answer = process.stdout.write.bind(process.stdout);
let number = 0;
for await (const line of requests) {
  const finished = await play(JSON.parse(line) as CommandRequest);
  answer(`answer ${number++} ${JSON.stringify(finished)}\n`);
}
