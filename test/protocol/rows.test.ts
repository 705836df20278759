/** Results in parts: C dqlite's batching rule, byte for byte (wire spec sections 2.4 and 4.4). */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { rowsMarker } from '../../src/wire/index.ts';
import { fails, requests, type Connection, type Message } from '../support/connection.ts';
import { TestNode } from '../support/node.ts';

const PAGE = 4096;

let server: TestNode;
let connection: Connection;
before(async () => {
  server = await TestNode.start();
  // Rows that take long are sent in smaller parts: how long does not matter here.
  server.host.clock.freeze();
  connection = await server.connect('rows');
});
after(() => server.close());

function counting(count: number, columns: string): string {
  return `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ${count}) SELECT ${columns} FROM c`;
}

async function parts(sql: string): Promise<Message[]> {
  connection.send(requests.querySql(sql));
  return connection.parts();
}

/** What is checked in every result: header, preamble, one marker at the end, the right one. */
function check(messages: readonly Message[]): void {
  const preambles = new Set<string>();
  for (const [index, { type, schema, extra, body }] of messages.entries()) {
    assert.deepEqual([type, schema, extra], [7, 0, 0]);
    const marker = body.subarray(body.length - 8);
    const expected = index === messages.length - 1 ? rowsMarker.done : rowsMarker.part;
    assert.deepEqual(marker, Buffer.alloc(8, expected));
    preambles.add(body.subarray(0, 16).toString('hex'));
  }
  assert.equal(preambles.size, 1, 'every part repeats the columns');
}

/** Sizes of the messages that the C server makes of `count` rows of `rowSize` bytes after a preamble. */
function sizesInC(count: number, preambleSize: number, rowSize: number): number[] {
  const sizes: number[] = [];
  let size = 8 + preambleSize;
  for (let row = 0; ;) {
    if (size >= PAGE) {
      sizes.push(size + 8);
      size = 8 + preambleSize;
    } else if (row === count) {
      sizes.push(size + 8);
      return sizes;
    } else {
      row++;
      size += rowSize;
    }
  }
}

test('sizes of parts are those of the C server', async () => {
  // Rows of 16, 24 and 32 bytes; names of one and two words.
  const shapes: readonly (readonly [string, number, number])[] = [
    ['x', 16, 16],
    ["x, 'abcdefg' AS s", 24, 24],
    ["x, 'abcdefgh' AS s", 24, 32],
    ['x AS a_name_of_17_char', 32, 16],
  ];
  for (const [columns, preambleSize, rowSize] of shapes) {
    for (const count of [1, 2, 100, 168, 169, 170, 171, 253, 254, 255, 256, 257, 340, 341, 511, 512, 1000]) {
      const messages = await parts(counting(count, columns));
      check(messages);
      assert.deepEqual(
        messages.map(({ bytes }) => bytes.length),
        sizesInC(count, preambleSize, rowSize),
        `${count} rows of ${columns}`,
      );
    }
  }
});

test('a part that is full after the last row is followed by one without rows', async () => {
  // 24 + 255 x 16 = 4104.
  const messages = await parts(counting(255, 'x'));
  check(messages);
  assert.deepEqual(
    messages.map(({ bytes }) => bytes.length),
    [4112, 32],
  );
  // 24 + 254 x 16 = 4088 is not full.
  assert.equal((await parts(counting(254, 'x'))).length, 1);
});

test('a result without rows is one message', async () => {
  const [only, ...others] = await parts('SELECT 1 AS a WHERE 0');
  assert.equal(others.length, 0);
  assert.deepEqual(only!.body, Buffer.from(`0100000000000000${'6100000000000000'}ffffffffffffffff`, 'hex'));
});

test('a large row is one message', async () => {
  const messages = await parts("SELECT 1, printf('%.*c', 100000, 'x') AS s, zeroblob(50001)");
  check(messages);
  assert.equal(messages.length, 2, 'the full part, and the end');
  assert.ok(messages[0]!.bytes.length > 150_000);
  const many = await parts(counting(5, "x, printf('%.*c', 100000, 'x') AS s"));
  check(many);
  assert.equal(many.length, 6);
});

test('names of columns that fill a part alone still leave room for a row in it', async () => {
  // C servers send parts without rows for ever.
  const name = 'n'.repeat(4200);
  const messages = await parts(counting(3, `x AS "${name}"`));
  check(messages);
  assert.equal(messages.length, 4);
  for (const { bytes } of messages.slice(0, 3)) assert.equal(bytes.length, 8 + 8 + 4208 + 16 + 8);
  const wide = Array.from({ length: 600 }, (_, index) => `x AS column_${index}`).join(', ');
  connection.send(requests.querySql(counting(4, wide)));
  const { rows, columns } = await connection.rows();
  assert.equal(columns.length, 600);
  assert.deepEqual(
    rows.map(row => row[599]),
    [1n, 2n, 3n, 4n].map(value => ({ type: 1, value })),
  );
});

test('headers of rows: a nibble per column, sixteen columns per word', async () => {
  for (const count of [1, 2, 15, 16, 17, 31, 32, 33, 100]) {
    const columns = Array.from({ length: count }, (_, index) => (index % 3 === 0 ? 'NULL' : index)).join(', ');
    const { rows } = await connection.queryTyped(`SELECT ${columns}`);
    assert.deepEqual(
      rows[0]!.map(({ type }) => type),
      Array.from({ length: count }, (_, index) => (index % 3 === 0 ? 5 : 1)),
    );
  }
});

test('all rows of a long result arrive, in order, also to a reader that stops now and then', async () => {
  const count = 100_000;
  const slow = await server.connect('rows');
  slow.send(requests.querySql(counting(count, "x, 'row ' || x AS s")));
  let seen = 0;
  let pauses = 0;
  for (;;) {
    const { body } = await slow.next();
    // The preamble, then rows of header, number and text.
    for (let offset = 24; offset < body.length - 8;) {
      seen++;
      assert.equal(body.readBigUInt64LE(offset + 8), BigInt(seen));
      offset += 16 + Math.ceil((`row ${seen}`.length + 1) / 8) * 8;
    }
    if (body[body.length - 1] === rowsMarker.done) break;
    if (++pauses % 100 !== 0) continue;
    slow.pause();
    await new Promise(resolve => setImmediate(resolve));
    slow.resume();
  }
  assert.equal(seen, count);
});

test('rows larger than the limit end the result with a failure', async () => {
  const own = await TestNode.start({ engine: { maxRowBytes: 10_000 } });
  const limited = await own.connect('limited');
  await fails(limited.query('SELECT zeroblob(20000)'), 18, /larger than 10000 bytes/);
  await limited.exec('CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (zeroblob(20000))');
  await fails(limited.query('SELECT a FROM t'), 18, /larger than 10000 bytes/);
  // The transaction goes on.
  await limited.exec('COMMIT');
  assert.equal(await limited.value('SELECT length(a) FROM t'), 20_000);
  await own.close();
});
