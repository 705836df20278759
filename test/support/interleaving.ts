/**
 * Many clients at once against the engine, by way of the protocol, and the same statements one after the other on plain
 * SQLite connections, one for each client. The order in which they run is known: that of arrival, but for those who
 * wait for the write lock, which pass it on first come first served. Compared are
 *
 * 1. each answer: rows, errors, last row id, changes. A read outside of a transaction may be of any state from the
 *    newest that was committed when it was sent to the newest that was executed when it was answered;
 * 2. when it comes: not before what it stands on is committed;
 * 3. what is left after an undo: exactly what was committed, and of clients' connections what is theirs.
 *
 * All of it depends on the seed alone.
 */

import assert from 'node:assert/strict';
import type { Session } from '../../src/engine/index.ts';
import { SeededRandom } from '../../src/lib/random.ts';
import {
  FACT_MAY_WRITE,
  FACT_STICKY,
  LOCK_SHARED,
  SqliteError,
  type Connection,
  type Statement,
} from '../../src/sqlite/index.ts';
import { run, stepAll, World } from '../../src/sqlite/sqlite.test.helpers.ts';
import { requests } from './connection.ts';
import { EngineWorld, type Outcome } from './engine-world.ts';
import {
  Client,
  compile,
  countersOf,
  describe,
  isFree,
  isUnfixed,
  sorted,
  takeBack,
  toPlain,
  withValues,
  type Operation,
  type Sent,
} from './interleaving-client.ts';
import { change, definition, query, returning, SCHEMA, setting } from './interleaving-sql.ts';

const NAME = 'x';
const BUSY_SNAPSHOT = { kind: 'failure', code: 517, message: 'database is locked' } as const;
const FULL = { kind: 'failure', code: 13, message: 'database or disk is full' } as const;

export interface Counts {
  operations: number;
  failures: number;
  queued: number;
  grouped: number;
  undone: number;
}

export class Interleaving {
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #world: EngineWorld;
  readonly #plain: World;
  readonly #clients: Client[] = [];
  /** Who holds the write lock, and who waits for it. */
  #owner: Client | undefined = undefined;
  readonly #queue: Client[] = [];
  /** The reference's newest version by the engine's, where no transaction is open in a group. */
  readonly #versions = new Map<number, number>();
  /** Versions of the reference: some numbers are never used. */
  readonly #written = new Set<number>();
  readonly #trace: string[] = [];
  readonly counts: Counts = { operations: 0, failures: 0, queued: 0, grouped: 0, undone: 0 };

  private constructor(seed: number, world: EngineWorld, plain: World) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#world = world;
    this.#plain = plain;
  }

  /** Plays `steps` steps of a seed. Rejects with what differs. */
  static async play(seed: number, steps: number): Promise<Counts> {
    const interleaving = new Interleaving(seed, await EngineWorld.create(), await World.create());
    try {
      interleaving.#play(steps);
    } catch (error) {
      const trace = interleaving.#trace.slice(-Number(process.env['TRACE'] ?? 40)).join('\n');
      throw new Error(
        `INTERLEAVING_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}\n${trace}`,
        {
          cause: error,
        },
      );
    }
    return interleaving.counts;
  }

  get #store(): World['store'] {
    return this.#plain.store;
  }

  #play(steps: number): void {
    const random = this.#random;
    const setup = this.#plain.connect();
    run(setup, SCHEMA);
    this.#published();
    setup.close();
    const count = 2 + random.below(6);
    for (let number = 0; number < count; number++) {
      this.#clients.push(new Client(number, this.#world.connect(NAME), this.#newSession(), this.#connectPlain()));
    }
    const [first] = this.#clients;
    assert.equal(this.#world.exec(first!.real, SCHEMA).kind, 'result');
    // The counters of the one who has made the schema are like everybody's.
    this.#replace(first!);
    this.#synchronize();
    this.#world.lease = this.#seed % 3 !== 0;
    for (let step = 0; step < steps; step++) this.#step();
    this.#settle();
    while (this.#clients.some(client => client.plain.autocommit === false)) {
      for (const client of this.#clients) {
        if (!client.plain.autocommit && client.operation === undefined) this.#run(client, false, ['ROLLBACK']);
      }
      this.#settle();
    }
    for (const client of this.#clients)
      assert.equal(client.operation, undefined, `client ${client.number} is answered`);
    for (const client of this.#clients) {
      // A full-text table keeps what its connection has read of it.
      this.#replace(client);
      this.#run(client, true, ['PRAGMA integrity_check']);
    }
    this.#settle();
    this.#world.lease = true;
    this.#compareAll();
    this.#world.close();
  }

  #step(): void {
    const random = this.#random;
    const idle = this.#clients.filter(({ operation }) => operation === undefined);
    const chance = random.float();
    if (chance < 0.75 && idle.length > 0) this.#request(random.pick(idle));
    else if (chance < 0.86) this.#turn();
    else if (chance < 0.95) this.#commit();
    else if (chance < 0.97) this.#settle();
    else if (chance < 0.98) this.#leave(random.pick(this.#clients));
    else if (chance < 0.99) this.#undo();
    else if (chance < 0.992) this.#loseLeadership();
  }

  // --- What happens ---------------------------------------------------------------------------------------------

  #request(client: Client): void {
    const random = this.#random;
    const isOpen = !client.plain.autocommit;
    // A connection that meets a full-text table for the first time fixes the version of its transaction by that.
    if (isOpen && this.#hasModules && isUnfixed(client)) return this.#run(client, true, ['SELECT count(*) FROM t']);
    if (client.aborted && random.chance(0.6)) return this.#run(client, false, ['ROLLBACK']);
    if (random.chance(isOpen ? 0.35 : 0.08)) {
      const control = isOpen
        ? ['COMMIT', 'COMMIT', 'ROLLBACK', 'SAVEPOINT a', 'RELEASE a', 'ROLLBACK TO a', 'BEGIN']
        : ['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK', ...(client.sticky ? [] : ['BEGIN', 'BEGIN', 'SAVEPOINT a'])];
      return this.#run(client, random.chance(0.2), [random.pick(control)]);
    }
    const texts = [...client.prepared];
    if (texts.length > 0 && random.chance(0.15)) {
      const [text, prepared] = random.pick(texts);
      const values = Array.from(text.matchAll(/\?/g), () => random.below(9));
      return this.#run(client, prepared.isQuery, [withValues(text, values)], { text, values, id: prepared.id });
    }
    if (random.chance(0.04)) return this.#prepare(client);
    if (random.chance(0.3)) return this.#run(client, true, [this.#known(() => query(random))]);
    if (random.chance(0.06)) return this.#run(client, true, [returning(random)]);
    // So does a schema that has to be read again.
    const mayDefine = !this.#clients.some(isUnfixed);
    if (mayDefine && random.chance(0.04)) return this.#run(client, false, [definition(random)]);
    // One client makes its connection its own.
    if (!isOpen && random.chance(client.number === 0 ? 0.15 : 0.01)) return this.#run(client, false, [setting(random)]);
    if (!isOpen && random.chance(0.01)) return this.#run(client, false, ['VACUUM']);
    if (random.chance(0.1)) {
      const middle = Array.from({ length: 1 + random.below(3) }, () => this.#known(() => change(random)));
      const isWhole = !isOpen && random.chance(0.5);
      const begin = client.sticky || this.#hasModules || random.chance(0.5) ? 'BEGIN IMMEDIATE' : 'BEGIN';
      return this.#run(client, false, isWhole ? [begin, ...middle, random.pick(['COMMIT', 'ROLLBACK'])] : middle);
    }
    this.#run(client, random.chance(0.1), [this.#known(() => change(random))]);
  }

  /** Modules come in half of the runs. */
  get #hasModules(): boolean {
    return this.#seed % 2 === 1;
  }

  #known(make: () => string): string {
    for (;;) {
      const sql = make();
      // A full-text table writes what it has gathered, and counts it, when a transaction ends or a savepoint begins.
      if (this.#hasModules) return sql.replaceAll(/(?:total_)?changes\(\)/g, '0');
      if (!/\b[fg]\b/.test(sql)) return sql;
    }
  }

  /** What is compiled now runs later, perhaps on another schema. */
  #prepare(client: Client): void {
    const isQuery = this.#random.chance(0.4);
    const { text } = this.#parametrized(this.#known(() => (isQuery ? query(this.#random) : change(this.#random))));
    this.#note(`${client.number}: prepare ${text}`);
    client.real.send(requests.prepare(text));
    if (client.real.answers.length === 0) this.#settle(client);
    const answer = client.real.take();
    if (answer.kind === 'other') client.prepared.set(text, { id: answer.statement!, isQuery });
    this.#synchronize();
    this.#collect();
  }

  /** A text with some of its numbers as parameters. */
  #parametrized(sql: string): Sent {
    const values: number[] = [];
    // In a schema there are none, and 1 behind ORDER BY is no number.
    if (/CREATE|ALTER|ORDER BY \d|PRAGMA/.test(sql)) return { text: sql, values };
    const text = sql.replaceAll(/(?<![\w'.-])\d{1,9}(?![\w'.])/g, digits => {
      if (this.#random.chance(0.6)) return digits;
      values.push(Number(digits));
      return '?';
    });
    return { text, values };
  }

  /** Sends a request and lets the reference do the same. */
  #run(client: Client, isQuery: boolean, statements: readonly string[], prepared?: Sent): void {
    const { real } = client;
    const { text, values, id } = prepared ?? this.#parametrized(statements.join('; '));
    const from = this.#committed();
    const group = this.#hasGroup;
    this.counts.operations++;
    this.#note(`${client.number}: ${isQuery ? 'query' : 'exec'} ${text} ${values.join()}`);
    const operation: Operation = {
      isQuery,
      statements,
      position: 0,
      waiting: undefined,
      from,
      to: from,
      mark: 0,
      own: 0,
      outcome: undefined,
      isFree: false,
      isUnknown: false,
    };
    client.operation = operation;
    if (id !== undefined) real.send(isQuery ? requests.query(id, ...values) : requests.exec(id, ...values));
    else if (isQuery) real.query(text, ...values);
    else real.exec(text, ...values);
    if (this.#hasGroup && (!group || real.answers.length === 0)) this.counts.grouped++;
    this.#advance(client);
    this.#synchronize();
    // What does not compile waits until everything is committed, and would run later than in this order.
    if (operation.isUnknown && real.answers.length === 0) this.#settle();
    // The same for schemas that are not committed yet.
    else if (this.#schemaIsMoving) this.#settle();
    this.#collect();
  }

  #turn(): void {
    this.#note('turn');
    this.#world.turn();
    this.#world.confirm(true);
    this.#synchronize();
    this.#collect();
  }

  #commit(): void {
    this.#note('commit');
    this.#world.commit();
    this.#synchronize();
    this.#collect();
  }

  #settle(preparing?: Client): void {
    this.#note('settle');
    do {
      this.#world.settle();
    } while (this.#world.confirm(true));
    this.#synchronize();
    this.#collect(preparing);
  }

  /** A client goes, and another one comes. */
  #leave(client: Client): void {
    // What has run together with others may run again without it: nobody would know.
    if (client.operation !== undefined && client.operation.waiting === undefined) this.#settle();
    this.#note(`${client.number} leaves`);
    client.real.close();
    this.#replace(client);
    this.#synchronize();
    this.#collect();
  }

  #replace(client: Client): void {
    client.operation?.waiting?.finalize();
    client.operation = undefined;
    const position = this.#queue.indexOf(client);
    if (position !== -1) this.#queue.splice(position, 1);
    client.real.close();
    client.plain.close();
    client.real = this.#world.connect(NAME);
    client.session = this.#newSession();
    client.plain = this.#connectPlain();
    client.counters = countersOf(client.plain);
    client.prepared = new Map();
    client.aborted = false;
    client.sticky = false;
    if (this.#owner === client) this.#passOn();
  }

  /** The write that is on its way fails, and with it all that was executed since. */
  #undo(): void {
    const world = this.#world;
    // Who only has to know whether this node leads is not concerned.
    while (world.confirm(true)) this.#synchronize();
    this.#collect();
    const base = this.#versions.get(world.database(NAME).store.committed);
    if (base === undefined || !world.database(NAME).hasUncommitted) return;
    this.#note(`undo to ${base}`);
    this.counts.undone++;
    world.proposed.length = 0;
    world.canPropose = false;
    world.engine.writeFailed(() => new SqliteError(FULL.code, FULL.message));
    world.turn();
    world.confirm(true);
    const lost = this.#takeBack(base, answer => assert.deepEqual(answer, FULL));
    for (const client of lost) this.#replace(client);
    world.canPropose = true;
    world.engine.writeRecovered();
    this.#settle();
  }

  /** Another node leads for a while. It may have got what was proposed, as a whole. */
  #loseLeadership(): void {
    const world = this.#world;
    const { store } = world.database(NAME);
    const last = world.proposed.at(-1)?.version ?? store.committed;
    const isKept = this.#random.chance(0.5);
    const base = this.#versions.get(isKept ? last : store.committed);
    if (base === undefined) return;
    this.#note(`leadership lost, back to ${base}`);
    this.counts.undone++;
    const kept = isKept ? world.proposed.map(({ data }) => data.slice()) : [];
    const proposed = this.#versions.get(last);
    world.loseLeadership();
    world.confirm(false);
    for (const data of kept) world.apply(data);
    const open = this.#clients.map(({ operation }) => operation);
    this.#takeBack(base, (answer, { number }) => {
      assert.ok(answer.kind === 'failure', 'nothing is acknowledged');
      // "Not leader" says that it was not done.
      const own = open[number]?.own ?? 0;
      if (answer.code === 10_250 && own > 0 && proposed !== undefined) assert.ok(own > proposed, 'not even proposed');
      else assert.ok(answer.code === 10_250 || answer.code === 10_506, answer.message);
    });
    world.lead();
    for (const client of this.#clients) this.#replace(client);
    this.#owner = undefined;
    this.#synchronize();
  }

  /** The reference goes back to a version; whoever waits was told. Gives the clients that must connect again. */
  #takeBack(base: number, told: (answer: Outcome, client: Client) => void): Client[] {
    const unsure: Client[] = [];
    for (const client of this.#clients) {
      const { plain, real, operation } = client;
      // Answers that had come before are judged as always.
      if (operation !== undefined) {
        assert.equal(real.answers.length, 1, `client ${client.number} is told`);
        told(real.answers.shift()!, client);
        operation.waiting?.finalize();
        client.operation = undefined;
        unsure.push(client);
      }
      if (!plain.autocommit) client.aborted = true;
      plain.close();
    }
    this.#queue.length = 0;
    this.#owner = undefined;
    const store = this.#store;
    while (store.committed < base) store.commit();
    store.undo();
    for (const [version, plain] of this.#versions) if (plain > base) this.#versions.delete(version);
    for (const client of this.#clients) {
      client.plain = this.#connectPlain();
    }
    // Their connections are lost with what is only theirs; and of whoever was told nobody knows the counters.
    return this.#clients.filter(client => client.sticky || unsure.includes(client));
  }

  /** That of the client that has connected last. */
  #newSession(): Session {
    return [...this.#world.database(NAME).sessions].at(-1)!;
  }

  // --- The reference --------------------------------------------------------------------------------------------

  #connectPlain(): Connection {
    const connection = this.#plain.connect({ ticket: false });
    const { file } = connection;
    // Statements look at the newest version, or at one that the test chooses.
    Object.defineProperty(file, 'version', { get: () => file.pin?.version ?? this.#looksAt ?? this.#store.newest });
    return connection;
  }

  #looksAt: number | undefined = undefined;

  /** Runs the statements of a client's operation until one has to wait. */
  #advance(client: Client): void {
    const operation = client.operation!;
    const { statements } = operation;
    try {
      while (operation.position < statements.length) {
        if (!this.#runOne(client, operation)) return;
        operation.position++;
      }
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      operation.outcome = { kind: 'failure', code: error.code, message: error.message };
      this.counts.failures++;
      return;
    }
    if (operation.outcome === undefined && !operation.isFree) {
      const { lastInsertId, changes } = client.counters;
      operation.outcome = { kind: 'result', lastInsertId, changes };
    }
  }

  /** Runs the statement at the operation's position; false if it waits for the lock. */
  #runOne(client: Client, operation: Operation): boolean {
    const { plain } = client;
    const sql = operation.statements[operation.position]!;
    if (client.aborted) {
      if (sql !== 'ROLLBACK') throw new SqliteError(516, 'aborted');
      client.aborted = false;
      if (operation.isQuery) operation.outcome = { kind: 'rows', columns: [], rows: [] };
      return true;
    }
    operation.isUnknown = true;
    const statement = operation.waiting ?? compile(plain, sql);
    operation.isUnknown = false;
    operation.waiting = undefined;
    if ((statement.facts & FACT_STICKY) !== 0) client.sticky = true;
    try {
      const writes = !statement.isReadOnly || (statement.facts & FACT_MAY_WRITE) !== 0;
      if (writes) {
        const { file } = plain;
        const isOld = file.lock === LOCK_SHARED && file.version !== this.#store.newest && this.#owner !== client;
        const mustWait = this.#owner !== client && (this.#owner !== undefined || this.#queue.length > 0);
        if (isOld || this.#isOldThere(client, sql, mustWait)) {
          throw new SqliteError(BUSY_SNAPSHOT.code, BUSY_SNAPSHOT.message);
        }
        if (mustWait) {
          this.#queue.push(client);
          operation.waiting = statement;
          this.counts.queued++;
          this.#note(`   ${client.number} waits`);
          return false;
        }
      } else if (plain.autocommit && operation.isQuery && isFree(sql)) {
        operation.isFree = true;
        operation.to = this.#store.newest;
        return true;
      }
      this.#execute(client, operation, statement, writes);
      return true;
    } finally {
      if (operation.waiting === undefined) statement.finalize();
    }
  }

  /**
   * Whether the engine says that the transaction's snapshot is old where the reference would not: there a statement that
   * was taken back may have made a version. Then it neither waits nor has the lock, and its transaction is open.
   * Clients that could have written to a temporary table are not asked: they begin with the lock. Nor are definitions,
   * which may find that there is nothing to do.
   */
  #isOldThere({ plain, session }: Client, sql: string, mustWait: boolean): boolean {
    if (plain.file.lock !== LOCK_SHARED || plain.isWriting || !/^(?:INSERT|REPLACE|UPDATE|DELETE|WITH)/.test(sql))
      return false;
    const { lock } = this.#world.database(NAME);
    if (mustWait) return lock.waiting === this.#queue.length;
    return session.inTransaction && lock.owner !== session;
  }

  #granting = false;

  #execute(client: Client, operation: Operation, statement: Statement, hasLock: boolean): void {
    const { plain } = client;
    const { newest } = this.#store;
    // What compiling does on the side does not count.
    plain.continueCounting(client.counters);
    plain.file.ticket = true;
    try {
      const rows = toPlain(stepAll(statement));
      if (operation.isQuery) operation.outcome = { kind: 'rows', columns: [], rows };
    } catch (error) {
      if (error instanceof SqliteError && error.code === BUSY_SNAPSHOT.code) takeBack(client, operation);
      throw error;
    } finally {
      // What alone changes nothing may have looked at what is committed.
      const isRead = !hasLock && plain.autocommit && operation.statements.length === 1;
      if (!isRead) operation.mark = Math.max(operation.mark, newest);
      if (this.#store.newest !== newest) {
        this.#published();
        operation.mark = this.#store.newest;
        if (operation.own === 0) operation.own = operation.mark;
      }
      client.counters = countersOf(plain);
      statement.reset();
      plain.letGo();
      if (plain.isWriting) {
        this.#owner = client;
      } else {
        plain.file.ticket = false;
        if (this.#owner === client || hasLock) this.#passOn();
      }
    }
  }

  /** A transaction is a version, and a batch of its own. */
  #published(): void {
    this.#store.seal();
    this.#written.add(this.#store.newest);
  }

  /** The lock is free: those who wait get it one after the other. */
  #passOn(): void {
    this.#owner = undefined;
    if (this.#granting) return;
    this.#granting = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        this.#note(`   ${next.number} gets the lock`);
        this.#resume(next);
        // What it does may set it.
        if ((this.#owner as Client | undefined) !== undefined) break;
      }
    } finally {
      this.#granting = false;
    }
  }

  #resume(client: Client): void {
    const operation = client.operation!;
    const statement = operation.waiting!;
    operation.waiting = undefined;
    try {
      if (this.#isOldThere(client, operation.statements[operation.position]!, false)) {
        takeBack(client, operation);
        client.counters = countersOf(client.plain);
        throw new SqliteError(BUSY_SNAPSHOT.code, BUSY_SNAPSHOT.message);
      }
      this.#execute(client, operation, statement, true);
      operation.position++;
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      operation.outcome = { kind: 'failure', code: error.code, message: error.message };
      this.counts.failures++;
      return;
    } finally {
      statement.finalize();
    }
    this.#advance(client);
  }

  // --- Comparing ------------------------------------------------------------------------------------------------

  get #hasGroup(): boolean {
    return this.#world.database(NAME).hasGroup;
  }

  get #schemaIsMoving(): boolean {
    const { store } = this.#world.database(NAME);
    return store.schemaCookieAt(store.newest) !== store.schemaCookieAt(store.committed);
  }

  /** Notes which version of the reference the engine's newest one is. */
  #synchronize(): void {
    const { store, hasGroup } = this.#world.database(NAME);
    if (!hasGroup) this.#versions.set(store.newest, this.#store.newest);
    const committed = this.#versions.get(store.committed);
    if (committed === undefined) return;
    // Versions that reads may still be of stay.
    const needed = this.#clients.flatMap(({ operation }) => (operation === undefined ? [] : [operation.from]));
    const limit = Math.min(committed, ...needed);
    while (this.#store.committed < limit) this.#store.commit();
  }

  /** The newest version of the reference that is certainly committed. */
  #committed(): number {
    const { store } = this.#world.database(NAME);
    let newest = 1;
    for (const [version, plain] of this.#versions) if (version <= store.committed) newest = Math.max(newest, plain);
    return newest;
  }

  /** Judges the answers that have come. */
  #collect(preparing?: Client): void {
    for (const client of this.#clients) {
      const { operation, real } = client;
      if (real.answers.length === 0 || client === preparing) continue;
      assert.ok(operation !== undefined, `client ${client.number} gets an answer to nothing`);
      const answer = real.take();
      client.operation = undefined;
      this.#note(`   ${client.number} gets ${describe(answer)}`);
      const { outcome } = operation;
      if (operation.isFree) this.#compareRead(client, operation, answer);
      else {
        assert.ok(outcome !== undefined, `client ${client.number} should wait for the lock`);
        assert.equal(describe(answer), describe(outcome), operation.statements.join('; '));
        if (this.#needsCommit(operation, outcome)) {
          const exact = this.#versions.get(this.#world.database(NAME).store.committed);
          if (exact !== undefined) assert.ok(operation.mark <= exact, 'answered before it is committed');
        }
      }
    }
  }

  /** BEGIN, SAVEPOINT and ROLLBACK alone tell nothing, nor does a COMMIT of nothing. */
  #needsCommit({ statements }: Operation, outcome: Outcome): boolean {
    const [first = '', ...others] = statements;
    const isSilent =
      outcome.kind === 'failure' ? /^(?:BEGIN|SAVEPOINT|ROLLBACK|COMMIT|RELEASE)/ : /^(?:BEGIN|SAVEPOINT|ROLLBACK)/;
    return others.length > 0 || !isSilent.test(first);
  }

  #compareRead(client: Client, operation: Operation, answer: Outcome): void {
    const [sql] = operation.statements as [string];
    const seen = new Set<string>();
    const committed = this.#versions.get(this.#world.database(NAME).store.committed);
    for (let version = Math.min(operation.to, committed ?? Infinity); version >= operation.from; version--) {
      if (!this.#written.has(version) || version < this.#store.committed) continue;
      this.#looksAt = version;
      let found: Outcome;
      try {
        const statement = compile(client.plain, sql);
        client.plain.continueCounting(client.counters);
        try {
          found = { kind: 'rows', columns: [], rows: toPlain(stepAll(statement)) };
        } finally {
          statement.finalize();
        }
      } catch (error) {
        if (!(error instanceof SqliteError)) throw error;
        found = { kind: 'failure', code: error.code, message: error.message };
      } finally {
        this.#looksAt = undefined;
      }
      if (describe(found) === describe(answer)) return;
      seen.add(describe(found));
    }
    assert.fail(`${sql}: ${describe(answer)} is none of\n${[...seen].join('\n')}`);
  }

  /** In the end both hold the same. */
  #compareAll(): void {
    const real = this.#world.connect(NAME);
    const plain = this.#connectPlain();
    // In how many pieces a full-text index lies depends on the transactions.
    const tables = run(
      plain,
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'f\\__%' ESCAPE '\\'",
    );
    for (const [name] of tables) {
      const sql = `SELECT * FROM "${String(name)}"`;
      assert.deepEqual(sorted(this.#world.query(real, sql)), sorted(toPlain(run(plain, sql))), String(name));
    }
    plain.close();
  }

  #note(line: string): void {
    this.#trace.push(line);
  }
}
