/** Copies of the data directories that C dqlite wrote (`test/fixtures/c-dqlite-1.11.1`), to be opened and changed. */

import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { C_DIRECTORIES } from './paths.ts';
import { temporaryDirectory, type Scope } from './temporary.ts';

/** A copy of a fixture: a folder, or what is in an archive. */
export function copyOf(scope: Scope, fixture: string): string {
  const copy = temporaryDirectory(scope);
  if (fixture.endsWith('.tar.gz')) {
    execFileSync('tar', ['-xzf', path.join(C_DIRECTORIES, fixture), '-C', copy]);
    const [only, ...others] = readdirSync(copy);
    // Some archives hold one folder, some the files.
    return others.length === 0 ? path.join(copy, only!) : copy;
  }
  cpSync(path.join(C_DIRECTORIES, fixture), copy, { recursive: true });
  return copy;
}
