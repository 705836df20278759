/** What kind of statement a text is, by its words: the protocol has one request for rows and one for effects. */

import { tokensOf } from './sql-tokens.ts';

/**
 * `query`: yields rows. `returning`: writes and yields rows. `change`: writes and counts rows. `transaction`: begins or
 * ends one. `exec`: everything else, and what no server will understand.
 */
export type StatementKind = 'query' | 'returning' | 'change' | 'transaction' | 'exec';

const CHANGES = new Set(['INSERT', 'UPDATE', 'DELETE', 'REPLACE']);
const QUERIES = new Set(['SELECT', 'VALUES', 'EXPLAIN', 'PRAGMA']);
const TRANSACTIONS = new Set(['BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT', 'RELEASE']);

/** The words outside all parentheses, in capitals. */
function* outerWords(sql: string): Generator<string> {
  let depth = 0;
  for (const { kind, start, end } of tokensOf(sql)) {
    const text = sql.slice(start, end);
    if (text === '(') depth++;
    else if (text === ')') depth--;
    else if (kind === 'word' && depth === 0) yield text.toUpperCase();
  }
}

export function statementKind(sql: string): StatementKind {
  let verb: string | undefined;
  for (const word of outerWords(sql)) {
    if (verb === undefined) {
      // WITH ... AS (...) comes before the verb.
      verb = word;
      if (QUERIES.has(word)) return 'query';
      if (TRANSACTIONS.has(word)) return 'transaction';
      if (!CHANGES.has(word) && word !== 'WITH') return 'exec';
    } else if (verb === 'WITH') {
      if (QUERIES.has(word)) return 'query';
      if (CHANGES.has(word)) verb = word;
    } else if (word === 'RETURNING') {
      return 'returning';
    }
  }
  return verb === undefined || verb === 'WITH' ? 'exec' : 'change';
}

/** Whether a transaction is open after a statement succeeded, as far as its words tell. */
export function transactionAfter(sql: string, isOpen: boolean): boolean {
  const [verb, ...rest] = outerWords(sql);
  switch (verb) {
    case 'BEGIN':
    case 'SAVEPOINT':
      return true;
    case 'COMMIT':
    case 'END':
      return false;
    case 'ROLLBACK':
      return rest.includes('TO') && isOpen;
    default:
      return isOpen;
  }
}
