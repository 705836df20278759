/**
 * The worked examples of the wire spec (section 8), asked again of a running node: the answers are the reference's,
 * byte for byte, but where the reference garbles them.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { dumpNames, readDumps, type Dump } from '../../src/wire/dumps.test.helpers.ts';
import { encoded, requests, type Connection } from '../support/connection.ts';
import { NODE_ADDRESS, NODE_ID, TestNode } from '../support/node.ts';

let server: TestNode;
before(async () => {
  server = await TestNode.start();
  // Rows that take long are sent in smaller parts.
  server.host.clock.freeze();
});
after(() => server.close());

/** Examples that are shown elsewhere. */
const elsewhere: Readonly<Record<string, string>> = {
  connect: 'peers.test.ts',
  'failure-behind-rows': 'query.test.ts: ours is clean',
  'failure-busy-and-not-leader': 'locking.test.ts',
  dump: 'dump.test.ts: ours has everything in the main file',
};

const TYPES =
  'CREATE TABLE ty (i INT, f REAL, s TEXT, b BLOB, n INT, u DATETIME, d TIMESTAMP, z DATE, bo BOOLEAN, bn BOOLEAN)';

function bytesOf({ size, pieces }: Dump): Buffer {
  const bytes = Buffer.alloc(size);
  for (const piece of pieces) bytes.set(piece.bytes, piece.offset);
  return bytes;
}

async function expectShown(connection: Connection, dump: Dump): Promise<void> {
  const { bytes } = await connection.next();
  assert.equal(bytes.length, dump.size);
  for (const piece of dump.pieces) {
    const shown = Buffer.from(piece.bytes);
    assert.deepEqual(bytes.subarray(piece.offset, piece.offset + shown.length), shown);
  }
}

/** Sends what the client of an example sent, and compares what comes back. `count`: as many dumps as are asked. */
async function replay(connection: Connection, name: string, count = Infinity): Promise<void> {
  for (const dump of readDumps(name).slice(0, count)) {
    if (dump.fromClient) connection.write(bytesOf(dump));
    else await expectShown(connection, dump);
  }
}

/** One connection lives through the examples as the captured one did; others need a database of their own. */
test('a session: LEADER, CLIENT, OPEN, PREPARE, EXEC, QUERY, FINALIZE, EXEC_SQL', async () => {
  const connection = await server.raw();
  await replay(connection, 'leader', 2);
  await replay(connection, 'client');
  await replay(connection, 'open');
  await connection.exec(TYPES);
  await replay(connection, 'prepare');
  await replay(connection, 'exec');
  await replay(connection, 'query-sql');
  await connection.prepare('SELECT i, s FROM ty WHERE i < ?');
  await replay(connection, 'query');
  await replay(connection, 'finalize');
  await replay(connection, 'exec-sql');
});

test('the other forms of SERVER', async () => {
  const legacy = await server.raw({ version: 0x86104dd760433fe5n });
  legacy.send(requests.leader);
  await expectShown(legacy, readDumps('leader')[3]!);
});

const setUp: Readonly<Record<string, (connection: Connection) => Promise<void>>> = {
  describe: async () => {},
  interrupt: async () => {},
  'eight-parameters': connection => connection.open('parameters'),
  'row-of-17-columns': connection => connection.open('columns'),
  'go-session': connection => connection.open('go'),
  'failure-statement': connection => connection.open('statement'),
  'failure-constraint': async connection => {
    await connection.open('constraint');
    await connection.exec('CREATE TABLE k (a UNIQUE); INSERT INTO k VALUES (1)');
  },
  'rows-empty': async connection => {
    await connection.open('empty');
    await connection.exec('CREATE TABLE k (a)');
  },
  'rows-in-parts': async connection => {
    await connection.open('parts');
    await connection.exec(`CREATE TABLE big (id INTEGER PRIMARY KEY, s);
      WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 300) INSERT INTO big SELECT x, 'row ' || x FROM c`);
  },
};

for (const [name, prepare] of Object.entries(setUp)) {
  test(name, async () => {
    const connection = await server.raw();
    await prepare(connection);
    await replay(connection, name);
  });
}

test('schema 1: PREPARE with a tail, parameters with a long count, a write through QUERY_SQL', async () => {
  const connection = await server.connect('schema');
  await connection.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)');
  const [prepare, stmt, execSql, result, querySql, rows] = readDumps('schema-1');
  connection.write(bytesOf(prepare!));
  await expectShown(connection, stmt!);
  connection.write(bytesOf(execSql!));
  await expectShown(connection, result!);
  connection.write(bytesOf(querySql!));
  const answer = await connection.rows();
  assert.deepEqual(
    answer.rows[0]!.map(({ value }) => value),
    [0n, 1n, 2n, 3n, 4n],
  );
  connection.write(encoded(requests.querySql('INSERT INTO t VALUES (9)')));
  await expectShown(connection, rows!);
});

test('CLUSTER, ADD and ASSIGN', async () => {
  const own = await TestNode.start();
  try {
    const connection = await own.raw();
    await replay(connection, 'cluster', 2);
    const [add, empty] = readDumps('add-and-assign');
    connection.write(bytesOf(add!));
    await expectShown(connection, empty!);
    const response = await connection.call({ kind: 'cluster', format: 1 });
    assert.deepEqual(response, {
      kind: 'servers',
      servers: [
        { id: NODE_ID, address: NODE_ADDRESS, role: 0 },
        { id: 77n, address: '127.0.0.1:19103', role: 2 },
      ],
    });
  } finally {
    await own.close();
  }
});

test('every example is asked, here or elsewhere', () => {
  const here = ['leader', 'client', 'open', 'prepare', 'exec', 'query', 'query-sql', 'finalize', 'exec-sql'];
  const asked = [...here, 'schema-1', 'cluster', 'add-and-assign', ...Object.keys(setUp), ...Object.keys(elsewhere)];
  assert.deepEqual(asked.sort(), dumpNames());
});
