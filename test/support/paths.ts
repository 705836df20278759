/** Where things are, seen from the compiled tests. */

import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository. This file runs as `dist/test/support/paths.js`. */
export const ROOT: string = fileURLToPath(new URL('../../..', import.meta.url));

/** The command line. */
export const MAIN: string = path.join(ROOT, 'dist/src/cli/main.js');

/** Data directories that C dqlite wrote; the README in the folder says how. */
export const C_DIRECTORIES: string = path.join(ROOT, 'test/fixtures/c-dqlite-1.11.1');
