/** What a statement does to the transaction that the shell shows. */

import { tokensOf } from './sql-tokens.ts';

/** Whether a transaction is open after a statement succeeded, as far as its words tell. */
export function transactionAfter(sql: string, isOpen: boolean): boolean {
  const words = wordsOf(sql);
  switch (words.next().value) {
    case 'BEGIN':
    case 'SAVEPOINT':
      return true;
    case 'COMMIT':
    case 'END':
      return false;
    case 'ROLLBACK':
      return isOpen && [...words].includes('TO');
    default:
      return isOpen;
  }
}

function* wordsOf(sql: string): Generator<string, undefined> {
  for (const { kind, start, end } of tokensOf(sql)) if (kind === 'word') yield sql.slice(start, end).toUpperCase();
}
