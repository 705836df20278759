/** Folders that go when the test does. */

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Whoever runs a piece of work when a test is over: `node:test`'s context. */
export interface Scope {
  after(work: () => void | Promise<void>): void;
}

/** Set it to look at what a failed test has left. */
const keep = process.env['KEEP_TEMPORARY'] !== undefined;

export function temporaryDirectory(scope: Scope): string {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'dqlite-node-test-'));
  scope.after(() => {
    if (keep) console.log(`kept: ${directory}`);
    else rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}
