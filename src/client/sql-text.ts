/**
 * What can be known about SQL without SQLite: how many statements a text has, what each does, whether it gives rows,
 * how many parameters it takes. The client needs it because the protocol makes it choose: rows come from QUERY, effects
 * from EXEC, and old servers answer the wrong choice by ignoring the statement or by ending (wire spec sections 3.5, 3.6).
 *
 * It is a tokenizer, not a parser: it never refuses a text; what is not SQL goes to the server, which says why.
 */

export interface StatementText {
  /** The first word in capitals; behind WITH, that of the statement proper. */
  readonly verb: string;
  /** It gives rows, so it must be sent as a query. */
  readonly givesRows: boolean;
  /** It changes nothing, whatever it is. */
  readonly isRead: boolean;
  /** The highest parameter index, as SQLite numbers them. */
  readonly parameterCount: number;
  /** Has a RETURNING clause. */
  readonly returning: boolean;
}

export interface SqlText {
  readonly statements: readonly StatementText[];
  /** Where the last statement ends, its semicolon included: blanks and comments follow. */
  readonly end: number;
}

// One alternative for each kind of token; a doubled quote reads as two strings side by side, which is as good.
const TOKEN =
  /\s+|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'[^']*(?:'|$)|"[^"]*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$)|\?\d*|[:@$][\w$:\u0080-\uffff]+|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\d[\w.]*|[\s\S]/gy;

const WORD = /^[A-Za-z_\u0080-\uffff]/;
const ROWS = new Set(['SELECT', 'VALUES', 'EXPLAIN', 'PRAGMA']);
const READS = new Set(['SELECT', 'VALUES', 'EXPLAIN']);
const CHANGES = new Set(['INSERT', 'REPLACE', 'UPDATE', 'DELETE']);
const MAIN_VERBS = new Set(['SELECT', 'VALUES', ...CHANGES]);

/** Gathers one statement. */
class Scan {
  verb = '';
  returning = false;
  #depth = 0;
  #words = 0;
  #isTrigger = false;
  /** The last two tokens, in capitals: the end of a trigger is `; END ;`. */
  #last = '';
  #beforeLast = '';
  #parameters = 0;
  readonly #names = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#last === '';
  }

  /** False if the token ends the statement. */
  take(token: string): boolean {
    const first = token.charCodeAt(0);
    const word = WORD.test(token) ? token.toUpperCase() : token;
    if (first === SEMICOLON) {
      if (!this.#isTrigger || (this.#last === 'END' && this.#beforeLast === ';')) return false;
    } else if (first === OPEN) {
      this.#depth++;
    } else if (first === CLOSE) {
      this.#depth--;
    } else if (first === QUESTION || (PARAMETER_MARKS.has(first) && token.length > 1)) {
      this.#parameter(token);
    } else if (word !== token || WORD.test(token)) {
      this.#word(word);
    } else if (this.verb === '') {
      this.verb = token;
    }
    this.#beforeLast = this.#last;
    this.#last = word;
    return true;
  }

  #word(word: string): void {
    this.#words++;
    if (this.verb === '') this.verb = word;
    else if (this.verb === 'WITH' && this.#depth === 0 && MAIN_VERBS.has(word)) this.verb = word;
    else if (word === 'RETURNING' && this.#depth === 0 && CHANGES.has(this.verb)) this.returning = true;
    else if (word === 'TRIGGER' && this.verb === 'CREATE' && this.#words <= 3) this.#isTrigger = true;
  }

  #parameter(token: string): void {
    if (token === '?') {
      this.#parameters++;
    } else if (token.startsWith('?')) {
      this.#parameters = Math.max(this.#parameters, Number(token.slice(1)));
    } else if (!this.#names.has(token)) {
      this.#names.set(token, ++this.#parameters);
    }
  }

  result(): StatementText {
    const { verb, returning } = this;
    const isRead = READS.has(verb);
    return { verb, givesRows: returning || ROWS.has(verb), isRead, parameterCount: this.#parameters, returning };
  }
}

const SEMICOLON = 0x3b;
const OPEN = 0x28;
const CLOSE = 0x29;
const QUESTION = 0x3f;
/** `:name`, `@name`, `$name`. */
const PARAMETER_MARKS = new Set([0x3a, 0x40, 0x24]);

function isBlank(token: string): boolean {
  const first = token.charCodeAt(0);
  return first <= 0x20 || token.startsWith('--') || token.startsWith('/*') || token.trim() === '';
}

export function scanSql(sql: string): SqlText {
  const statements: StatementText[] = [];
  let end = 0;
  let scan = new Scan();
  for (const match of sql.matchAll(TOKEN)) {
    const token = match[0];
    if (isBlank(token)) continue;
    const endsHere = !scan.take(token);
    if (!endsHere || !scan.isEmpty) end = match.index + token.length;
    if (!endsHere) continue;
    if (!scan.isEmpty) statements.push(scan.result());
    scan = new Scan();
  }
  if (!scan.isEmpty) statements.push(scan.result());
  return { statements, end };
}

/** Whether a statement changes rows, and counts them. */
export function isChange({ verb }: StatementText): boolean {
  return CHANGES.has(verb);
}

/** Whether a statement begins, ends or marks a transaction. */
export function isTransactionControl({ verb }: StatementText): boolean {
  return TRANSACTION_CONTROL.has(verb);
}

const TRANSACTION_CONTROL = new Set(['BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT', 'RELEASE']);
