/** The public types, as the compiler sees them: this file compiles, or the API has changed. */

import { test } from 'node:test';
import type { Logger, NodeEvent, NodeMetrics, NodeOptions } from 'dqlite-node';
import { DqliteError as NodeError, FOUNDER_IDS, Node } from 'dqlite-node';
import type {
  Client,
  Cluster,
  DatabaseFile,
  ErrorCode,
  ExecResult,
  Fragment,
  PoolState,
  Query,
  QueryResult,
  Reserved,
  Row,
  Server,
  ServerDescription,
  Statement,
  Transaction,
  Value,
} from 'dqlite-node/client';
import { administer, connect, DqliteError, sql } from 'dqlite-node/client';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only if the type of the value is exactly this. */
function expectType<Expected>() {
  return <Actual>(_value: Actual, ..._proof: Same<Actual, Expected> extends true ? [] : ['types differ']): void => {};
}

interface User {
  id: number;
  name: string | null;
}

/** None of these is ever called. */
const compiled = {
  async connecting(db: Client): Promise<void> {
    expectType<Promise<Client>>()(connect({ servers: ['a:1'], database: 'x' }));
    const options = { integers: 'bigint', dates: 'date', timeoutMs: 1, minConnections: 1, maxConnections: 2 } as const;
    expectType<Client>()(await connect({ servers: ['a:1'], database: 'x', ...options }));
    expectType<string | undefined>()(db.server);
    expectType<PoolState>()(db.pool);
    expectType<void>()(await db.close());
    await using closed = await connect({ servers: ['a:1'], database: 'x' });
    void closed;
    // @ts-expect-error a database is needed
    void connect({ servers: ['a:1'] });
    // @ts-expect-error misspelt
    void connect({ servers: ['a:1'], database: 'x', maxConnection: 1 });
    // @ts-expect-error there are number and bigint
    void connect({ servers: ['a:1'], database: 'x', integers: 'string' });
  },

  async templates(db: Client): Promise<void> {
    expectType<Row[]>()(await db.sql`SELECT 1`);
    expectType<User[]>()(await db.sql<User>`SELECT ${1}, ${'a'}, ${null}, ${1n}, ${new Date()}, ${new Uint8Array()}`);
    expectType<User | undefined>()(await db.sql<User>`SELECT 1`.first());
    expectType<ExecResult>()(await db.sql`DELETE FROM t`.run());
    expectType<QueryResult<User>>()(await db.sql<User>`SELECT 1`.result());
    expectType<Fragment>()(sql`a = ${1} ${sql.list([1, [2, 'x']])} ${sql.identifier('a')} ${db.sql`SELECT 1`}`);
    expectType<Fragment>()(sql.join([sql`a`, db.sql.raw('b')], ' AND '));
    // @ts-expect-error undefined is not a value
    void db.sql`SELECT ${undefined}`;
    // @ts-expect-error an array needs list()
    void db.sql`SELECT ${[1]}`;
    // @ts-expect-error text is no fragment
    void sql.join(['a', 'b']);
  },

  async options(db: Client): Promise<void> {
    expectType<null | number | bigint | string | boolean | Uint8Array | Date>()({} as Row[string]);
    expectType<Row[]>()(await db.query('SELECT ?', [1]));
    expectType<User[]>()(await db.query<User>('SELECT ?', [1], { integers: 'number' }));
    expectType<Value[][]>()(await db.query('SELECT ?', [1], { rows: 'array' }));
    expectType<Value[][]>()(await db.query('SELECT ?', [1], { rows: 'array', integers: 'bigint' }));
    expectType<QueryResult<Value[]>>()(await db.query('SELECT 1', [], { rows: 'array' }).result());
    // What an integer is read as changes no type: who asks for bigints declares them.
    expectType<{ n: bigint }[]>()(await db.query<{ n: bigint }>('SELECT 1 AS n', [], { integers: 'bigint' }));
    expectType<Query<User>>()(db.sql<User>`SELECT 1`.with({ timeoutMs: 1, signal: new AbortController().signal }));
    expectType<Value[][]>()(await db.sql<User>`SELECT 1`.with({ rows: 'array' }));
    expectType<Query<User>>()(db.sql<User>`SELECT 1`.with({ rows: 'object' }));
    expectType<Query<Row>>()(db.query('SELECT 1', [], { rows: 'array' }).with({ rows: 'object' }));
    // @ts-expect-error an object is not a value
    void db.query('SELECT ?', [{}]);
    // @ts-expect-error there are objects and arrays
    void db.query('SELECT 1', [], { rows: 'arrays' });
    // @ts-expect-error misspelt
    void db.sql`SELECT 1`.with({ timeout: 1 });
  },

  async statements(db: Client): Promise<void> {
    expectType<Statement<Row>>()(db.prepare('SELECT 1'));
    expectType<Statement<User>>()(db.prepare<User>('SELECT 1', { integers: 'number' }));
    expectType<User[]>()(await db.prepare<User>('SELECT 1').query([1]));
    expectType<User | undefined>()(await db.prepare<User>('SELECT 1').query([1], { timeoutMs: 1 }).first());
    expectType<ExecResult>()(await db.prepare('DELETE FROM t').run([1]));
    expectType<Statement<Value[]>>()(db.prepare('SELECT 1', { rows: 'array' }));
    expectType<Query<Value[]>>()(db.prepare<User>('SELECT 1').query([1], { rows: 'array' }));
    expectType<Query<User>>()(db.prepare<User>('SELECT 1').query([1], { rows: 'object' }));
    expectType<Query<Row>>()(db.prepare('SELECT 1', { rows: 'array' }).query([1], { rows: 'object' }));
    using statement = db.prepare('SELECT 1');
    // @ts-expect-error what rows are is not for a statement without rows
    void statement.run([1], { rows: 'array' });
  },

  async streams(db: Client): Promise<void> {
    for await (const user of db.sql<User>`SELECT 1`) expectType<User>()(user);
    for await (const row of db.sql`SELECT 1`.with({ rows: 'array' })) expectType<Value[]>()(row);
    for await (const user of db.prepare<User>('SELECT 1').query()) expectType<User>()(user);
  },

  async writing(db: Client): Promise<void> {
    const { rowsAffected, lastInsertId } = await db.exec('DELETE FROM t WHERE a = ?', [1], { timeoutMs: 1 });
    expectType<number>()(rowsAffected);
    expectType<bigint>()(lastInsertId);
    expectType<ExecResult>()(await db.batch(['a', { sql: 'b', parameters: [1] }, sql`c ${1}`, db.sql`d`]));
    // @ts-expect-error misspelt
    void db.batch([{ sql: 'b', params: [1] }]);
  },

  async transactions(db: Client, transaction: Transaction): Promise<void> {
    expectType<number>()(await db.transaction(async inner => (await inner.sql<User>`SELECT 1`).length, { retries: 1 }));
    expectType<User[]>()(await transaction.query<User>('SELECT 1'));
    expectType<string>()(await transaction.transaction(async inner => inner.server));
    expectType<ExecResult>()(await transaction.batch(['a']));
    expectType<Reserved>()(await db.reserve());
    // @ts-expect-error there is no such mode
    void db.transaction(async () => {}, { mode: 'exclusive' });
    // @ts-expect-error the function gives a promise
    void db.transaction(() => 1);
  },

  errors(error: DqliteError): void {
    expectType<ErrorCode>()(error.code);
    expectType<boolean | 'unknown' | undefined>()(error.committed);
    expectType<string | undefined>()(error.hint);
    expectType<number | undefined>()(error.sqliteCode);
    expectType<string | undefined>()(error.sqliteName);
    expectType<string | undefined>()(error.sql);
    expectType<DqliteError>()(new DqliteError('SQLITE', 'x', { hint: 'y' }));
    expectType<typeof DqliteError>()(NodeError);
    // @ts-expect-error the codes are a closed set
    void (error.code === 'BUSY');
  },

  async cluster({ cluster }: Client): Promise<void> {
    expectType<Cluster>()(cluster);
    expectType<Cluster>()(administer({ servers: ['a:1'], connectTimeoutMs: 1 }));
    expectType<Server[]>()(await cluster.servers());
    expectType<'voter' | 'standby' | 'spare'>()((await cluster.servers())[0]!.role);
    expectType<{ readonly id: bigint; readonly address: string }>()(await cluster.leader({ timeoutMs: 1 }));
    expectType<void>()(await cluster.add({ id: 2n, address: 'a:2', role: 'standby' }));
    expectType<void>()(await cluster.assign(2n, 'voter'));
    expectType<void>()(await cluster.transfer());
    expectType<void>()(await cluster.remove(2n));
    expectType<ServerDescription>()(await cluster.describe('a:1'));
    expectType<DatabaseFile[]>()(await cluster.dump('x'));
    // @ts-expect-error ids are bigints
    void cluster.remove(2);
    // @ts-expect-error there is no such role
    void cluster.assign(2n, 'idle');
  },

  async node(options: NodeOptions, logger: Logger): Promise<void> {
    const node = await Node.start({
      id: FOUNDER_IDS[0]!,
      address: 'a:1',
      directory: 'x',
      logger,
      engine: { maxStepMs: 1 },
    });
    expectType<Promise<Node>>()(Node.start(options));
    expectType<bigint>()(node.id);
    expectType<string>()(node.boundAddress);
    expectType<boolean>()(node.isLeader);
    expectType<bigint | undefined>()(node.leader?.id);
    expectType<'voter' | 'standby' | 'spare' | undefined>()(node.role);
    expectType<boolean>()(await node.handover());
    expectType<NodeMetrics>()(node.metrics());
    expectType<number>()(node.metrics().commitIndex);
    for await (const event of node.events()) {
      expectType<NodeEvent>()(event);
      if (event.kind === 'role') expectType<'follower' | 'candidate' | 'leader'>()(event.role);
      else if (event.kind === 'leader') expectType<string | undefined>()(event.leader?.address);
      else expectType<readonly Server[]>()(event.configuration.servers);
    }
    expectType<void>()(await node.close());
    // @ts-expect-error an id is a bigint
    void Node.start({ id: 1, address: 'a:1', directory: 'x' });
    // @ts-expect-error misspelt
    void Node.start({ id: 1n, address: 'a:1', directory: 'x', latency: 1 });
  },
};

test('the public types are as this file says', () => {
  void compiled;
});
