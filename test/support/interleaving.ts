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
import { SqliteError } from '../../src/sqlite/index.ts';
import { run, stepAll } from '../../src/sqlite/sqlite.test.helpers.ts';
import { requests } from './connection.ts';
import { EngineWorld, type Outcome } from './engine-world.ts';
import {
  Client,
  compile,
  countersOf,
  describe,
  isUnfixed,
  sorted,
  toPlain,
  withValues,
  type Operation,
  type Sent,
} from './interleaving-client.ts';
import { Reference } from './interleaving-reference.ts';
import { change, definition, query, returning, SCHEMA, setting } from './interleaving-sql.ts';

const NAME = 'x';
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
  readonly #reference: Reference;
  readonly #clients: Client[] = [];
  /** The reference's newest version by the engine's, where no transaction is open in a group. */
  readonly #versions = new Map<number, number>();
  readonly #trace: string[];
  readonly counts: Counts = { operations: 0, failures: 0, queued: 0, grouped: 0, undone: 0 };

  private constructor(seed: number, world: EngineWorld, reference: Reference, trace: string[]) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#world = world;
    this.#reference = reference;
    this.#trace = trace;
  }

  /** Plays `steps` steps of a seed. Rejects with what differs. */
  static async play(seed: number, steps: number): Promise<Counts> {
    const world = await EngineWorld.create();
    const trace: string[] = [];
    const reference = await Reference.create(
      () => world.database(NAME).lock,
      line => void trace.push(line),
    );
    const interleaving = new Interleaving(seed, world, reference, trace);
    try {
      interleaving.#play(steps);
    } catch (error) {
      const last = trace.slice(-Number(process.env['TRACE'] ?? 40)).join('\n');
      throw new Error(
        `SEED=${seed} npm test -- engine/interleaving: ${error instanceof Error ? error.message : String(error)}\n${last}`,
        {
          cause: error,
        },
      );
    }
    const { failures, queued } = reference;
    return { ...interleaving.counts, failures, queued };
  }

  #play(steps: number): void {
    const random = this.#random;
    this.#reference.setUp(SCHEMA);
    const count = 2 + random.below(6);
    for (let number = 0; number < count; number++) {
      this.#clients.push(new Client(number, this.#world.connect(NAME), this.#newSession(), this.#reference.connect()));
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
    this.#reference.advance(client);
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
    client.real.close();
    client.plain.close();
    client.real = this.#world.connect(NAME);
    client.session = this.#newSession();
    client.plain = this.#reference.connect();
    client.counters = countersOf(client.plain);
    client.prepared = new Map();
    client.aborted = false;
    client.sticky = false;
    this.#reference.left(client);
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
    this.#reference.undo(base);
    for (const [version, plain] of this.#versions) if (plain > base) this.#versions.delete(version);
    for (const client of this.#clients) {
      client.plain = this.#reference.connect();
    }
    // Their connections are lost with what is only theirs; and of whoever was told nobody knows the counters.
    return this.#clients.filter(client => client.sticky || unsure.includes(client));
  }

  /** That of the client that has connected last. */
  #newSession(): Session {
    return [...this.#world.database(NAME).sessions].at(-1)!;
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
    if (!hasGroup) this.#versions.set(store.newest, this.#reference.store.newest);
    const committed = this.#versions.get(store.committed);
    if (committed === undefined) return;
    // Versions that reads may still be of stay.
    const needed = this.#clients.flatMap(({ operation }) => (operation === undefined ? [] : [operation.from]));
    const limit = Math.min(committed, ...needed);
    while (this.#reference.store.committed < limit) this.#reference.store.commit();
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
      if (!this.#reference.has(version)) continue;
      this.#reference.looksAt = version;
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
        this.#reference.looksAt = undefined;
      }
      if (describe(found) === describe(answer)) return;
      seen.add(describe(found));
    }
    assert.fail(`${sql}: ${describe(answer)} is none of\n${[...seen].join('\n')}`);
  }

  /** In the end both hold the same. */
  #compareAll(): void {
    const real = this.#world.connect(NAME);
    const plain = this.#reference.connect();
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
