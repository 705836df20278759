/** Database names (wire spec section 6.4). A name is an opaque byte string; few are refused. */

/** dqlite's limit in bytes. */
const MAX_NAME_SIZE = 511;

/** Why a name is refused, or undefined if it is fine. */
export function nameDefect(name: Uint8Array): string | undefined {
  if (name.length === 0) return 'a database must have a name';
  if (name.length > MAX_NAME_SIZE)
    return `the database name has ${name.length} bytes, at most ${MAX_NAME_SIZE} are allowed`;
  const text = String.fromCharCode(...name);
  if (text === ':memory:') return 'all databases are replicated: ":memory:" cannot be the name of one';
  for (const suffix of ['-wal', '-journal']) {
    if (text.endsWith(suffix)) return `a database name cannot end in "${suffix}"`;
  }
  return undefined;
}
