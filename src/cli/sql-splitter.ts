/**
 * Cuts a text that arrives in pieces into statements, at the semicolons that end one: not those in strings, names,
 * comments and the bodies of triggers. Each character is looked at once, however long a statement is.
 */

import { endOfQuoted, tokenAt } from './sql-tokens.ts';

export interface Statement {
  /** From its first token to its semicolon, which the last of a text may lack. */
  readonly sql: string;
  /** Line of its first token in what was given so far, from 1. */
  readonly line: number;
}

/**
 * How far the statement's beginning is understood. A trigger's body holds semicolons and ends with one, END and
 * another; what else begins with CREATE does not.
 */
type Stage = 'none' | 'explain' | 'create' | 'trigger' | 'trigger;' | 'trigger;end' | 'other';

function advance(stage: Stage, word: string): Stage {
  switch (stage) {
    case 'none':
      if (word === 'EXPLAIN') return 'explain';
      return word === 'CREATE' ? 'create' : 'other';
    case 'explain':
      // QUERY PLAN may come between.
      if (word === 'CREATE') return 'create';
      return ['EXPLAIN', 'TEMP', 'TEMPORARY', 'TRIGGER', 'END'].includes(word) ? 'other' : 'explain';
    case 'create':
      if (word === 'TRIGGER') return 'trigger';
      return word === 'TEMP' || word === 'TEMPORARY' ? 'create' : 'other';
    case 'trigger;':
      return word === 'END' ? 'trigger;end' : 'trigger';
    case 'trigger':
    case 'trigger;end':
      return 'trigger';
    case 'other':
      return 'other';
  }
}

export class StatementSplitter {
  /** The statement's part in earlier pieces. */
  #before: string[] = [];
  #piece = '';
  /** Up to where the piece is understood. */
  #position = 0;
  /** Where the statement starts in this piece, if one has started. */
  #start = 0;
  #stage: Stage = 'none';
  /** The mark that ends the string, name or comment in which the earlier pieces stopped. */
  #open: string | undefined = undefined;
  #line: number;
  #startLine = 0;

  constructor(line = 1) {
    this.#line = line;
  }

  /** True between statements: nothing but space and whole comments since the last. */
  get isIdle(): boolean {
    return this.#stage === 'none' && this.#open === undefined;
  }

  /** The line at which the next piece begins, from 1. */
  get line(): number {
    return this.#line;
  }

  /** Adds a piece: whole lines with their ends, or the last line. `next` must have taken what was there. */
  push(piece: string): void {
    if (this.#stage !== 'none') this.#before.push(this.#piece.slice(this.#start));
    this.#piece = piece;
    this.#position = 0;
    this.#start = 0;
  }

  /** The next whole statement. */
  next(): Statement | undefined {
    while (this.#position < this.#piece.length) {
      if (this.#open !== undefined) {
        const end = endOfQuoted(this.#piece, this.#position, this.#open);
        if (end !== -1) this.#open = undefined;
        this.#moveTo(end === -1 ? this.#piece.length : end);
        continue;
      }
      const { kind, start, end, open } = tokenAt(this.#piece, this.#position);
      this.#open = open;
      if (kind === 'semicolon') {
        this.#moveTo(end);
        if (this.#stage === 'trigger' || this.#stage === 'trigger;') this.#stage = 'trigger;';
        else if (this.#stage !== 'none') return this.#take();
        continue;
      }
      if (kind !== 'space' && kind !== 'comment') {
        if (this.#stage === 'none') {
          this.#start = start;
          this.#startLine = this.#line;
        }
        this.#stage = advance(this.#stage, kind === 'word' ? this.#piece.slice(start, end).toUpperCase() : '');
      }
      this.#moveTo(end);
    }
    return undefined;
  }

  /** The statement that the end of the text ends, without a semicolon. */
  rest(): Statement | undefined {
    if (this.#stage === 'none') {
      this.#open = undefined;
      return undefined;
    }
    this.#position = this.#piece.length;
    return this.#take();
  }

  #moveTo(end: number): void {
    for (let at = this.#piece.indexOf('\n', this.#position); at !== -1 && at < end;) {
      this.#line++;
      at = this.#piece.indexOf('\n', at + 1);
    }
    this.#position = end;
  }

  #take(): Statement {
    const sql = [...this.#before, this.#piece.slice(this.#start, this.#position)].join('').trimEnd();
    this.#before = [];
    this.#start = this.#position;
    this.#stage = 'none';
    this.#open = undefined;
    return { sql, line: this.#startLine };
  }
}
