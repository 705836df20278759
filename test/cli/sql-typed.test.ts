/** The shell as somebody at a terminal has it: `sql-typed.txt`. */

import { Writable } from 'node:stream';
import { test } from 'node:test';
import { runCommand } from '../../src/cli/sql-commands.ts';
import { Output } from '../../src/cli/sql-io.ts';
import { Script, Shell } from '../../src/cli/sql-shell.ts';
import { nodeHost } from '../../src/host/index.ts';
import { freePort } from '../support/ports.ts';
import { serve } from '../support/serve.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { playTranscript } from '../support/transcript.ts';

/** Keeps what a terminal would be sent. */
class Terminal extends Writable {
  readonly isTTY = true;
  text = '';

  override _write(piece: Buffer, _encoding: string, done: () => void): void {
    this.text += piece.toString();
    done();
  }
}

test('statements typed at a terminal', async t => {
  const address = `127.0.0.1:${await freePort()}`;
  await serve(t, { directory: temporaryDirectory(t), address });
  const terminal = new Terminal();
  const shell = new Shell({
    host: nodeHost(),
    servers: [address],
    database: 'typed.db',
    output: new Output(terminal),
    say: text => void (terminal.text += text),
    mode: 'box',
    headers: undefined,
    isInteractive: true,
    command: runCommand,
  });
  t.after(() => shell.close());
  const script = new Script(shell, undefined);
  await playTranscript('test/cli/sql-typed.txt', async lines => {
    terminal.text = '';
    for (const line of lines) {
      terminal.text += `${script.prompt}${line}\n`;
      await script.line(`${line.replaceAll('<esc>', '\x1b')}\n`);
    }
    return terminal.text.replaceAll('\x1b', '<esc>');
  });
});
