/**
 * Random use of one database by many connections: transactions with and without the write lock, two views, results
 * left open across commits, tiny caches, faults, connections that close anywhere; and around them what the engine does
 * to the store: seal, commit, undo, recycle, a new SQLite instance. Everything follows from a seed.
 *
 * What is checked. Each version's content is recorded when it is published; whoever reads a version later, from
 * whichever cache, must read just that. A follower that gets batches only has the same pages. `integrity_check` holds
 * on every version looked at. In the end nothing is held.
 */

import assert from 'node:assert/strict';
import { SeededRandom } from '../lib/random.ts';
import type { Batch } from '../pages/index.ts';
import {
  LOCK_RESERVED,
  SQLITE_BUSY,
  SQLITE_BUSY_SNAPSHOT,
  SQLITE_CORRUPT,
  SQLITE_DONE,
  SQLITE_FULL,
  SQLITE_IOERR,
  SQLITE_ROW,
  SqliteError,
  type Connection,
  type Role,
  type Statement,
} from './index.ts';
import type { World } from './sqlite.test.helpers.ts';
import { checkIntegrity, column, commitAll, Follower, isClean, pagesOf, prepare, run } from './sqlite.test.helpers.ts';
import type { CallbackName } from './vfs.ts';

interface Client {
  readonly connection: Connection;
  readonly role: Role;
  /** A result that is being read, the version that it reads, and what was read so far. */
  stream: { readonly statement: Statement; readonly version: number; count: number; sum: number } | undefined;
}

interface Content {
  readonly digest: string;
  readonly count: number;
  readonly sum: number;
}

const DIGEST = `SELECT (SELECT count(*) FROM t), (SELECT coalesce(sum(id), 0) FROM t), (SELECT total(length(v)) FROM t),
  (SELECT coalesce(max(k), '') FROM t), (SELECT coalesce(sum(id), 0) FROM t WHERE k > 'm'), (SELECT count(*) FROM f),
  (SELECT group_concat(name || coalesce(sql, ''), ',') FROM (SELECT name, sql FROM main.sqlite_schema ORDER BY name))`;

const CLIENTS = 6;
const READERS = 3;

/** How many things have happened, to see that a run was one. */
export type Counts = Record<string, number>;

export class Torture {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly counts: Counts = {};
  #clients: Client[] = [];
  #checker: Connection | undefined = undefined;
  /** The client that has the write ticket. */
  #owner: Client | undefined = undefined;
  readonly #contents = new Map<number, Content>();
  #batches: { batch: Batch; pages: Buffer[] }[] = [];
  readonly #follower: Follower;
  #tables = 0;

  constructor(world: World, seed: number, autoVacuum: number) {
    this.#world = world;
    this.#random = new SeededRandom(seed);
    const setUp = world.connect();
    if (autoVacuum > 0) run(setUp, `PRAGMA auto_vacuum = ${autoVacuum}; VACUUM`);
    run(setUp, 'CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v BLOB); CREATE INDEX tk ON t(k)');
    run(setUp, 'CREATE VIRTUAL TABLE f USING fts5(x)');
    setUp.close();
    this.#record();
    commitAll(world.store);
    this.#follower = new Follower(world.store, world.store.committed);
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  #below(limit: number): number {
    return this.#random.below(limit);
  }

  /** Notes what the newest version holds, if it is new; checks it otherwise. */
  #record(): void {
    const { store } = this.#world;
    this.#checker ??= this.#world.connect({ ticket: false, cachePages: this.#below(2) === 0 ? 10 : 250 });
    const content = this.#read(this.#checker);
    const known = this.#contents.get(store.newest);
    if (known === undefined) this.#contents.set(store.newest, content);
    else assert.deepEqual(content, known, `version ${store.newest} has changed`);
  }

  #read(connection: Connection): Content {
    const [row] = run(connection, DIGEST);
    return { digest: JSON.stringify(row), count: Number(row![0]), sum: Number(row![1]) };
  }

  #connect(role: Role): Client {
    const cachePages = this.#random.pick([3, 10, 250]);
    const view = role === 'shared' ? 'committed' : 'newest';
    return { connection: this.#world.connect({ role, view, ticket: false, cachePages }), role, stream: undefined };
  }

  #client(): Client {
    const role = this.#clients.filter(client => client.role === 'shared').length < READERS ? 'shared' : 'session';
    if (this.#clients.length < CLIENTS + READERS) this.#clients.push(this.#connect(role));
    return this.#random.pick(this.#clients);
  }

  step(): void {
    const client = this.#client();
    const dice = this.#below(1000);
    if (dice < 40) this.#seal();
    else if (dice < 90) this.#commit();
    else if (dice < 94) this.#undo();
    else if (dice < 110) this.#world.store.recycle(1 + this.#below(300));
    else if (dice < 118) this.#leave(client);
    else if (dice < 122) checkIntegrity(this.#world, this.#below(2) === 0 ? 'newest' : 'committed');
    else if (client.stream !== undefined) this.#continue(client);
    else if (client.role === 'shared') this.#readCommitted(client);
    else if (!client.connection.autocommit) this.#inTransaction(client, dice);
    else if (dice < 250) this.#readCommitted(client);
    else if (dice < 300) this.#readNewest(client);
    else if (dice < 420) this.#begin(client);
    else this.#write(client);
  }

  /** A client closes, wherever it is. */
  #leave(client: Client): void {
    this.#count('left');
    this.#release(client);
    client.connection.close();
    this.#clients.splice(this.#clients.indexOf(client), 1);
  }

  // --- Reading --------------------------------------------------------------------------------------------------

  #readCommitted(client: Client): void {
    const { store } = this.#world;
    const { connection } = client;
    const version = store.committed;
    connection.lookAt('committed');
    if (this.#below(3) > 0) {
      this.#count('reads');
      assert.deepEqual(
        this.#read(connection),
        this.#contents.get(version),
        `version ${version}, committed, was misread`,
      );
    } else if (this.#contents.get(version)!.count > 0) {
      this.#count('streams');
      const statement = prepare(connection, this.#random.pick(['SELECT id FROM t', 'SELECT id FROM t ORDER BY v, k']));
      assert.equal(statement.step(), SQLITE_ROW);
      client.stream = { statement, version, count: 1, sum: Number(column(statement, 0)) };
      return;
    }
    if (client.role === 'session') connection.lookAt('newest');
  }

  #readNewest(client: Client): void {
    const content = this.#read(client.connection);
    assert.deepEqual(content, this.#contents.get(this.#world.store.newest), 'the newest version was misread');
  }

  /** Some more rows of a result, or all. */
  #continue(client: Client): void {
    const stream = client.stream!;
    const { statement, version } = stream;
    for (let rows = this.#below(3) === 0 ? Infinity : this.#below(100); rows > 0; rows--) {
      const code = statement.step();
      if (code === SQLITE_ROW) {
        stream.count++;
        stream.sum += Number(column(statement, 0));
        continue;
      }
      assert.equal(code, SQLITE_DONE);
      const content = this.#contents.get(version)!;
      assert.deepEqual([stream.count, stream.sum], [content.count, content.sum], `stream of version ${version}`);
      this.#closeStream(client);
      return;
    }
    if (this.#below(20) === 0) this.#closeStream(client);
  }

  #closeStream(client: Client): void {
    client.stream?.statement.finalize();
    client.stream = undefined;
    assert.ok(isClean(client.connection));
    if (client.role === 'session') client.connection.lookAt('newest');
  }

  // --- Writing --------------------------------------------------------------------------------------------------

  /** Gives a client the ticket if nobody has it. */
  #acquire(client: Client): boolean {
    if (this.#owner === undefined) this.#owner = client;
    client.connection.file.ticket = this.#owner === client;
    return client.connection.file.ticket;
  }

  #release(client: Client): void {
    client.connection.file.ticket = false;
    if (this.#owner === client) this.#owner = undefined;
  }

  #begin(client: Client): void {
    const immediate = this.#below(2) === 0;
    const ticket = immediate && this.#acquire(client);
    const error = this.#execute(client, immediate ? 'BEGIN IMMEDIATE' : 'BEGIN');
    if (immediate && !ticket) assert.equal(error?.code, SQLITE_BUSY);
    else assert.equal(error, undefined);
  }

  #inTransaction(client: Client, dice: number): void {
    if (dice < 300) {
      // What a transaction reads is one version and its own changes.
      const { file } = client.connection;
      const content = this.#read(client.connection);
      if (file.set === undefined)
        assert.deepEqual(content, this.#contents.get(file.pin!.version), 'a transaction misread');
      else assert.deepEqual(content, this.#read(client.connection));
    } else if (dice < 560) {
      this.#execute(client, this.#below(4) > 0 ? 'COMMIT' : 'ROLLBACK');
    } else if (dice < 680) {
      this.#execute(client, `SAVEPOINT s${this.#below(3)}`);
    } else if (dice < 760) {
      this.#execute(client, `${this.#random.pick(['ROLLBACK TO', 'RELEASE'])} s${this.#below(3)}`);
    } else {
      this.#writeIn(client);
    }
  }

  #writeIn(client: Client): void {
    const { store } = this.#world;
    const { file } = client.connection;
    const snapshot = file.pin?.version;
    const ticket = this.#acquire(client);
    const old = snapshot !== undefined && snapshot !== store.newest && file.lock < LOCK_RESERVED;
    const isWriting = file.lock >= LOCK_RESERVED;
    const error = this.#execute(client, this.#statement(true));
    if (isWriting || (ticket && !old)) return;
    // It may have failed before it came to writing, or had nothing to write to.
    assert.ok(
      [undefined, 1, SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT].includes(error?.code),
      `${error?.code} ${error?.message}`,
    );
    assert.ok(file.lock < LOCK_RESERVED && file.set === undefined, 'RESERVED was granted');
    if (!client.connection.autocommit && this.#below(2) === 0) this.#execute(client, 'ROLLBACK');
  }

  #write(client: Client): void {
    if (this.#owner !== undefined && this.#below(10) > 0) {
      // Most of the time somebody else's transaction goes on instead.
      this.#inTransaction(this.#owner, this.#below(1000));
      return;
    }
    const ticket = this.#acquire(client);
    if (ticket && this.#below(12) === 0) {
      this.#writeWithFault(client);
      return;
    }
    const error = this.#execute(client, this.#statement(false));
    if (!ticket) assert.ok([undefined, 1, SQLITE_BUSY].includes(error?.code), `${error?.code} ${error?.message}`);
  }

  #writeWithFault(client: Client): void {
    const { store, sqlite } = this.#world;
    const callback = this.#random.pick<CallbackName>(['read', 'write', 'write', 'truncate', 'size', 'lock', 'control']);
    const code = callback === 'write' && this.#below(2) === 0 ? SQLITE_FULL : SQLITE_IOERR;
    let countdown = 1 + this.#below(callback === 'control' ? 6 : 25);
    const before = store.newest;
    sqlite.vfs.fault = (called, _argument, isMain) =>
      called === callback && isMain && --countdown === 0 ? code : undefined;
    const error = this.#execute(client, this.#statement(false));
    sqlite.vfs.fault = undefined;
    if (countdown <= 0) this.#count('faults');
    if (error !== undefined && countdown <= 0) assert.equal(store.newest, before, 'an error, and a new version');
  }

  /** Runs a statement that may fail; what it left behind is checked, and what it published recorded. */
  #execute(client: Client, sql: string): SqliteError | undefined {
    const { connection } = client;
    const { store, sqlite } = this.#world;
    const { file } = connection;
    const before = store.newest;
    file.published = 0;
    let error: SqliteError | undefined;
    try {
      run(connection, sql);
      this.#count('statements');
    } catch (thrown) {
      if (!(thrown instanceof SqliteError)) throw thrown;
      error = thrown;
      assert.notEqual(error.code & 0xff, SQLITE_CORRUPT, `${sql}: ${error.message}`);
      this.#count(`error ${error.code}`);
    }
    assert.equal(sqlite.vfs.defect, undefined);
    assert.equal(file.published > 0, store.newest !== before, 'published is told');
    if (store.newest !== before) this.#count('versions');
    sqlite.vfs.fault = undefined;
    if (connection.autocommit) {
      assert.ok(isClean(connection), `something is left after ${sql}`);
      this.#release(client);
      this.#record();
    }
    return error;
  }

  #statement(inTransaction: boolean): string {
    const dice = this.#below(100);
    const id = this.#below(400);
    const size = this.#random.pick([10, 300, 300, 2000, 5000, 30_000]);
    const many = 1 + this.#below(this.#random.pick([3, 3, 60]));
    const rows = `(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${many}) SELECT i FROM n)`;
    if (dice < 30) {
      return `INSERT OR REPLACE INTO t SELECT ${id} + i, 'k' || (i * ${1 + this.#below(90)}), zeroblob(${size}) FROM ${rows}`;
    }
    if (dice < 45) return `UPDATE t SET v = zeroblob(${size}), k = 'u' || id WHERE id % ${2 + this.#below(30)} = 1`;
    if (dice < 60) return `DELETE FROM t WHERE id % ${2 + this.#below(9)} = 1`;
    if (dice < 64) return `UPDATE t SET k = k WHERE id = ${id}`;
    if (dice < 68) return `PRAGMA user_version = ${this.#below(2)}`;
    if (dice < 71) return `CREATE TABLE x${this.#tables++}(a, b)`;
    if (dice < 74) return `DROP TABLE IF EXISTS x${this.#below(this.#tables + 1)}`;
    if (dice < 77) return `CREATE INDEX IF NOT EXISTS i${id % 3} ON t(v, k)`;
    if (dice < 79) return `DROP INDEX IF EXISTS i${id % 3}`;
    if (dice < 84) return `INSERT INTO f SELECT 'word' || i || ' text ' || ${id} FROM ${rows}`;
    if (dice < 86) return `DELETE FROM f WHERE rowid % 3 = ${id % 3}`;
    if (dice < 88) return "INSERT INTO f(f) VALUES ('optimize')";
    if (dice < 90) return 'INSERT INTO t SELECT id, k, v FROM t LIMIT 2'; // violates the primary key
    if (dice < 92) return `CREATE TEMP TABLE IF NOT EXISTS z AS SELECT * FROM t`;
    if (dice < 94) return 'DROP TABLE IF EXISTS temp.z';
    if (dice < 96) return `PRAGMA incremental_vacuum(${this.#below(20)})`;
    if (dice < 98 && !inTransaction) return 'VACUUM';
    return `INSERT OR ROLLBACK INTO t(id) VALUES (${id}), (${id})`;
  }

  // --- What the engine does -------------------------------------------------------------------------------------

  #seal(): void {
    const { store, slabs } = this.#world;
    if (!store.hasOpenBatch) return;
    const batch = store.seal();
    this.#count('batches');
    this.#batches.push({ batch, pages: batch.images.map(image => Buffer.from(slabs.view(image))) });
  }

  #commit(): void {
    const { store, slabs } = this.#world;
    const next = this.#batches.shift();
    if (next === undefined) return;
    const { batch, pages } = next;
    for (const [i, image] of batch.images.entries()) {
      assert.ok(pages[i]!.equals(slabs.view(image)), `page ${batch.pages[i]} changed after it was sealed`);
    }
    this.#follower.apply(batch, slabs);
    store.commit();
    assert.ok(this.#follower.bytes.equals(pagesOf(store, store.committed)), 'the follower differs');
    for (const version of this.#contents.keys()) {
      const isRead = this.#clients.some(({ connection }) => connection.file.pin?.version === version);
      if (version < store.committed && !isRead) this.#contents.delete(version);
    }
    if (this.#below(6) === 0) this.checkFollower();
  }

  /** A follower that becomes the leader reads the same. */
  checkFollower(): void {
    const { slabs, store } = this.#world;
    this.#count('followers');
    const copy = this.#follower.toStore(slabs);
    checkIntegrity(this.#world, 'committed', copy);
    const connection = this.#world.connect({ store: copy, view: 'committed' });
    assert.deepEqual(this.#read(connection), this.#contents.get(store.committed), 'what the follower reads');
    connection.close();
    copy.destroy();
  }

  /** Leadership is lost: connections of clients close, the shared ones stay. */
  #undo(): void {
    const { store } = this.#world;
    if (store.newest === store.committed) return;
    this.#count('undos');
    for (const client of this.#clients.filter(client => client.role === 'session')) this.#leave(client);
    this.#checker?.close();
    this.#checker = undefined;
    store.undo();
    this.#batches = [];
    for (const version of this.#contents.keys()) if (version > store.committed) this.#contents.delete(version);
    this.#record();
  }

  /** The SQLite instance breaks: all connections are gone, the versions are not. */
  async breakInstance(): Promise<void> {
    this.#count('instances');
    this.#clients = [];
    this.#checker = undefined;
    this.#owner = undefined;
    await this.#world.restart();
    this.#record();
  }

  /** All is closed and committed; nothing is held any more. */
  finish(): void {
    for (const client of [...this.#clients]) this.#leave(client);
    this.#checker?.close();
    this.#seal();
    while (this.#batches.length > 0) this.#commit();
    this.checkFollower();
    checkIntegrity(this.#world);
    this.#world.closeAndCheck();
  }
}
