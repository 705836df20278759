/** Which files of a data directory belong to the log. */

import { parseFileName } from '../format/index.ts';

const METADATA: ReadonlySet<string> = new Set(['metadata1', 'metadata2']);

/** What a start reads; `info.yaml`, locks and whatever else lies there is not the log's. */
export function isDirectoryFile(name: string): boolean {
  return METADATA.has(name) || parseFileName(name) !== undefined;
}
