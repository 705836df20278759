/** What the operating system says, for people. */

import { getSystemErrorMap } from 'node:util';

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Its words and its code, without the call and the paths that Node adds: who reads it is told those where they matter. */
export function systemText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = codeOf(error);
  if (code === 'ENOTFOUND') return `there is no host of this name (${code})`;
  const errno = 'errno' in error && typeof error.errno === 'number' ? error.errno : 0;
  const words = getSystemErrorMap().get(errno)?.[1];
  return words === undefined ? error.message : `${words} (${code})`;
}
