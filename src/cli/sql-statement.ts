/** Whether a transaction is open, as far as the words of statements tell that succeeded. */

import { tokensOf } from './sql-tokens.ts';

export class TransactionWords {
  #hasBegun = false;
  /** Savepoints, the outermost first. */
  #savepoints: string[] = [];

  get isOpen(): boolean {
    return this.#hasBegun || this.#savepoints.length > 0;
  }

  /** A transaction was begun or ended otherwise. */
  set(isOpen: boolean): void {
    this.#hasBegun = isOpen;
    this.#savepoints = [];
  }

  /** A statement was run. */
  run(sql: string): void {
    const words = wordsOf(sql);
    const verb = words.next().value?.toUpperCase();
    switch (verb) {
      case 'BEGIN':
        this.#hasBegun = true;
        break;
      case 'COMMIT':
      case 'END':
        this.set(false);
        break;
      case 'SAVEPOINT':
        this.#savepoints.push(words.next().value ?? '');
        break;
      case 'RELEASE':
      case 'ROLLBACK': {
        // RELEASE [SAVEPOINT] name, ROLLBACK [TRANSACTION] [TO [SAVEPOINT] name]
        const rest = [...words];
        if (verb === 'ROLLBACK' && !rest.some(word => word.toUpperCase() === 'TO')) this.set(false);
        else this.#endSavepoint(rest.at(-1) ?? '', verb === 'RELEASE');
        break;
      }
    }
  }

  #endSavepoint(name: string, isReleased: boolean): void {
    const position = this.#savepoints.lastIndexOf(name);
    if (position !== -1) this.#savepoints.length = isReleased ? position : position + 1;
  }
}

/** Words and names, without their quotes; names are equal in whatever case. */
function* wordsOf(sql: string): Generator<string, undefined> {
  for (const { kind, start, end } of tokensOf(sql)) {
    const text = sql.slice(start, end).toLowerCase();
    if (kind === 'word') yield text;
    else if (kind === 'name' || kind === 'string') yield text.slice(1, -1);
  }
}
