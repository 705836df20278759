/** What `interleaving.ts` knows of a client and of its request, and how answers are compared. */

import assert from 'node:assert/strict';
import type { Session } from '../../src/engine/index.ts';
import type { ClientCounters, Connection, Statement } from '../../src/sqlite/index.ts';
import { utf8, type Row } from '../../src/sqlite/sqlite.test.helpers.ts';
import type { Plain } from './connection.ts';
import type { EngineClient, Outcome } from './engine-world.ts';

/** A request: statements of a script, or one with rows. */
export interface Operation {
  readonly isQuery: boolean;
  readonly statements: readonly string[];
  /** The next statement to run on the reference. */
  position: number;
  /** Compiled, waiting for the lock. */
  waiting: Statement | undefined;
  /** Versions of the reference that a read may be of. */
  from: number;
  to: number;
  /** The newest version that the answer stands on. */
  mark: number;
  /** The first version that it has made, 0 if none. */
  own: number;
  outcome: Outcome | undefined;
  /** A read outside of a transaction: judged when its answer is there. */
  isFree: boolean;
  /** It did not compile. */
  isUnknown: boolean;
}

/** What goes over the wire. */
export interface Sent {
  readonly text: string;
  readonly values: readonly number[];
  /** Of a prepared statement. */
  readonly id?: number;
}

interface Prepared {
  readonly id: number;
  readonly isQuery: boolean;
}

export class Client {
  readonly number: number;
  real: EngineClient;
  /** What the engine knows of it. */
  session: Session;
  /** Its connection on the reference. */
  plain: Connection;
  operation: Operation | undefined = undefined;
  aborted = false;
  /** Its connection has state that a new one would not have. */
  sticky = false;
  counters: ClientCounters;
  /** By text. */
  prepared: Map<string, Prepared> = new Map();

  constructor(number: number, real: EngineClient, session: Session, plain: Connection) {
    this.number = number;
    this.real = real;
    this.session = session;
    this.plain = plain;
    this.counters = countersOf(plain);
  }
}

/** The text with parameters as what they stand for. */
export function withValues(text: string, values: readonly number[]): string {
  let position = 0;
  return text.replaceAll('?', () => String(values[position++]));
}

/** Reads of which nothing depends on the connection alone, so that any state may be the right one. */
export function isFree(sql: string): boolean {
  return /^(?:SELECT|PRAGMA|WITH)/.test(sql);
}

export function compile(connection: Connection, sql: string): Statement {
  const { statement } = connection.prepare(utf8(sql));
  assert.ok(statement !== undefined, sql);
  return statement;
}

export function toPlain(rows: readonly Row[]): Plain[][] {
  return rows.map(row => [...row]);
}

export function sorted(rows: readonly Plain[][]): string[] {
  return rows.map(row => row.map(describeValue).join('|')).sort();
}

function describeValue(value: Plain): string {
  return value instanceof Uint8Array ? `x${Buffer.from(value).toString('hex')}` : `${typeof value} ${String(value)}`;
}

export function describe(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'failure':
      // Whatever has aborted it.
      return outcome.code === 516 ? '516' : `failure ${outcome.code} ${outcome.message}`;
    case 'result':
      return `result ${outcome.lastInsertId} ${outcome.changes}`;
    case 'rows':
      return `rows ${outcome.rows.map(row => row.map(describeValue).join('|')).join(' / ')}`;
    case 'other':
      return outcome.name;
  }
}

export function countersOf({ lastInsertId, changes, totalChanges }: Connection): ClientCounters {
  return { lastInsertId, changes, totalChanges };
}

/** There is a savepoint around a statement that gives rows, which was taken back. */
export function takeBack({ plain, counters }: Client, { statements, position }: Operation): void {
  plain.continueCounting(counters);
  if (statements[position]!.includes('RETURNING')) plain.countFrom(0, counters.totalChanges);
}

/** In a transaction that has not looked at anything. */
export function isUnfixed({ plain }: Client): boolean {
  return !plain.autocommit && plain.file.pin === undefined;
}
