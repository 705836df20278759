/** The public types, as the compiler sees them: this file compiles, or the API has changed. */

import { test } from 'node:test';
import type {
  Client,
  Cluster,
  DatabaseFile,
  ExecResult,
  Fragment,
  Query,
  QueryResult,
  Reserved,
  Row,
  Server,
  Statement,
  Transaction,
  Value,
} from 'dqlite-node/client';
import { connect, DqliteError, sql } from 'dqlite-node/client';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only if the type of the value is exactly this. */
function expectType<Expected>() {
  return <Actual>(_value: Actual, ..._proof: Same<Actual, Expected> extends true ? [] : ['types differ']): void => {};
}

interface User {
  id: number;
  name: string | null;
}

/** Never called. */
async function compiled(db: Client, transaction: Transaction): Promise<void> {
  expectType<Promise<Client>>()(connect({ servers: ['a:1'], database: 'x' }));
  expectType<Row[]>()(await db.sql`SELECT 1`);
  expectType<User[]>()(await db.sql<User>`SELECT ${1}, ${'a'}, ${null}, ${1n}, ${new Date()}, ${new Uint8Array()}`);
  expectType<User | undefined>()(await db.sql<User>`SELECT 1`.first());
  expectType<ExecResult>()(await db.sql`DELETE FROM t`.run());
  expectType<QueryResult<User>>()(await db.sql<User>`SELECT 1`.result());
  expectType<Query<User>>()(db.sql<User>`SELECT 1`.with({ timeoutMs: 1 }));
  expectType<Value[][]>()(await db.sql<User>`SELECT 1`.with({ rows: 'array' }));
  expectType<Row[]>()(await db.query('SELECT ?', [1]));
  expectType<User[]>()(await db.query<User>('SELECT ?', [1], { integers: 'number' }));
  expectType<Value[][]>()(await db.query('SELECT ?', [1], { rows: 'array' }));
  for await (const user of db.sql<User>`SELECT 1`) expectType<User>()(user);
  expectType<Statement<User>>()(db.prepare<User>('SELECT 1'));
  expectType<User[]>()(await db.prepare<User>('SELECT 1').query([1]));
  expectType<number>()(await db.transaction(async inner => (await inner.sql<User>`SELECT 1`).length, { retries: 1 }));
  expectType<string>()(await transaction.transaction(async inner => inner.server));
  expectType<ExecResult>()(await db.batch(['a', { sql: 'b', parameters: [1] }, sql`c ${1}`, db.sql`d`]));
  expectType<Fragment>()(sql`a = ${1} ${sql.list([1, [2, 'x']])} ${sql.identifier('a')} ${db.sql`SELECT 1`}`);
  expectType<Cluster>()(db.cluster);
  expectType<Server[]>()(await db.cluster.servers());
  expectType<DatabaseFile[]>()(await db.cluster.dump('x'));
  expectType<Reserved>()(await db.reserve());
  expectType<boolean | 'unknown' | undefined>()(new DqliteError('SQLITE', 'x').committed);
  // @ts-expect-error undefined is not a value
  void db.sql`SELECT ${undefined}`;
  // @ts-expect-error nor is an object
  void db.query('SELECT ?', [{}]);
  // @ts-expect-error an array needs list()
  void db.sql`SELECT ${[1]}`;
  // @ts-expect-error misspelt
  void connect({ servers: ['a:1'], database: 'x', maxConnection: 1 });
  // @ts-expect-error there is no such mode
  void db.transaction(async () => {}, { mode: 'exclusive' });
}

test('the public types are as this file says', () => {
  void compiled;
});
