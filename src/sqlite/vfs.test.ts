import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LOCK_BYTE_PAGE, PAGE_SIZE, PageSlabs, PageStore, readUint32, writeUint32 } from '../pages/index.ts';
import {
  LOCK_NONE,
  LOCK_RESERVED,
  LOCK_SHARED,
  SQLITE_BUSY,
  SQLITE_BUSY_SNAPSHOT,
  SQLITE_CANTOPEN,
  SQLITE_IOERR,
  SQLITE_IOERR_SHORT_READ,
  SQLITE_IOERR_TRUNCATE,
  SQLITE_IOERR_WRITE,
  SQLITE_NOTFOUND,
  SQLITE_OK,
  SQLITE_ROW,
  SqliteError,
  type Connection,
} from './index.ts';
import {
  attempt,
  checkIntegrity,
  column,
  commitAll,
  failure,
  Follower,
  isClean,
  numbers,
  pagesOf,
  prepare,
  RawFile,
  run,
  stateOf,
  stepAll,
  trusted,
  value,
  World,
} from './sqlite.test.helpers.ts';

const FCNTL_SIZE_HINT = 5;
const FCNTL_PRAGMA = 14;
const FCNTL_COMMIT_PHASETWO = 22;
const LOCK_EXCLUSIVE = 4;

let world: World;

before(async () => {
  world = await World.create();
});

/** A new database for each test, in one instance. */
const fresh = (): World => world.renew();

after(() => world.closeAll());

describe('open and close', () => {
  test('a database is born with one page, and the first table needs no more than the second', () => {
    const { store } = fresh();
    const connection = world.connect();
    assert.deepEqual(run(connection, 'PRAGMA page_count; PRAGMA page_size; PRAGMA schema_version'), [[1], [4096], [0]]);
    assert.deepEqual(run(connection, 'SELECT * FROM sqlite_schema'), []);
    run(connection, 'CREATE TABLE t(a)');
    assert.equal(store.size, 2);
  });

  test('a named file cannot be attached, also not past the authorizer', () => {
    fresh();
    const connection = world.connect();
    for (const name of ['other', 'dqlite', '/tmp/x', 'file:other']) {
      assert.throws(() => trusted(connection, `ATTACH '${name}' AS other`), { code: SQLITE_CANTOPEN });
    }
    assert.equal(world.sqlite.vfs.openFiles, 1);
  });

  test('closing in the middle of a transaction gives back its pages, its version and its temporary files', () => {
    const { store, slabs } = fresh();
    const connection = world.connect({ cachePages: 5 });
    run(connection, 'CREATE TABLE t(a, b)');
    commitAll(store);
    const before = slabs.used;
    run(connection, 'CREATE TEMP TABLE x AS SELECT 1');
    run(connection, `BEGIN; INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(100)}`);
    run(connection, `INSERT INTO x SELECT zeroblob(3000) FROM ${numbers(500)}`);
    const { file } = connection;
    assert.ok(file.set!.pageCount > 50 && file.lock === LOCK_EXCLUSIVE && world.sqlite.tempBudget.used > 0);
    connection.close();
    assert.deepEqual(
      { lock: file.lock, pin: file.pin, set: file.set, isOpen: file.isOpen },
      { lock: LOCK_NONE, pin: undefined, set: undefined, isOpen: false },
    );
    assert.equal(slabs.used, before);
    world.closeAndCheck();
  });

  test('an abandoned connection holds nothing in the store', () => {
    const { store } = fresh();
    const writer = world.connect();
    run(writer, 'CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)');
    const reader = world.connect();
    const stream = prepare(reader, 'SELECT 1 UNION ALL SELECT 2');
    stream.step();
    writer.abandon();
    reader.abandon();
    assert.ok(writer.file.set === undefined && writer.file.pin === undefined && reader.file.pin === undefined);
    commitAll(store);
    assert.equal(store.retainedImages, 0);
  });

  test('what virtual tables have compiled is theirs: closing does not free it twice', () => {
    fresh();
    const writer = world.connect();
    run(writer, 'CREATE VIRTUAL TABLE f USING fts5(a); CREATE VIRTUAL TABLE r USING rtree(id, x, y)');
    for (let round = 0; round < 50; round++) {
      const connection = world.connect();
      run(connection, `INSERT INTO f VALUES ('some words ${round}'); INSERT INTO r VALUES (${round}, 0, ${round})`);
      assert.equal(value(connection, "SELECT count(*) FROM f WHERE f MATCH 'words'"), round + 1);
      assert.equal(value(connection, 'SELECT count(*) FROM r WHERE y >= 0'), round + 1);
      // Statements of ours that are left open are finalized all the same.
      prepare(connection, 'SELECT * FROM f, r').step();
      connection.close();
    }
    assert.equal(value(writer, "SELECT count(*) FROM f WHERE f MATCH 'some'"), 50);
    checkIntegrity(world);
    world.closeAndCheck();
  });

  test('an open that fails leaves no file behind', () => {
    fresh();
    const { vfs } = world.sqlite;
    vfs.fault = callback => (callback === 'open' ? SQLITE_CANTOPEN : undefined);
    assert.throws(() => world.connect(), { name: 'SqliteError', code: SQLITE_CANTOPEN });
    vfs.fault = undefined;
    assert.equal(vfs.openFiles, 0);
    assert.equal(world.sqlite.connections.size, 0);
    assert.equal(value(world.connect(), 'SELECT 1'), 1);
  });

  test('a connection whose first steps fail is closed', () => {
    fresh();
    const { vfs } = world.sqlite;
    vfs.fault = callback => (callback === 'read' ? SQLITE_IOERR : undefined);
    assert.throws(() => world.connect(), { name: 'SqliteError', code: SQLITE_IOERR });
    vfs.fault = undefined;
    assert.equal(vfs.openFiles, 0);
    assert.equal(world.sqlite.connections.size, 0);
  });
});

describe('read', () => {
  test('page 1 is presented with our version as its counters, the size of the version and rollback format', () => {
    const { store, slabs } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    for (let i = 0; i < 3; i++) run(connection, 'UPDATE t SET a = a + 1');
    const [[presented]] = trusted(connection, 'SELECT data FROM sqlite_dbpage WHERE pgno = 1') as [[Buffer]];
    assert.deepEqual([presented[18], presented[19]], [1, 1]);
    assert.equal(readUint32(presented, 24), store.newest);
    assert.equal(readUint32(presented, 92), store.newest);
    assert.equal(readUint32(presented, 28), store.size);
    const stored = slabs.view(store.imageAt(1, store.newest));
    assert.deepEqual([stored[18], stored[19]], [2, 2]);
    assert.equal(readUint32(stored, 28), store.size);
  });

  test('any part of page 1 is presented the same way', () => {
    fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a)');
    const file = new RawFile(connection);
    file.lock(LOCK_SHARED);
    const whole = file.read(0, PAGE_SIZE).bytes;
    for (const [offset, size] of [
      [0, 100],
      [24, 16],
      [16, 8],
      [18, 2],
      [24, 4],
      [28, 4],
      [92, 4],
      [40, 60],
      [96, 4000],
      [4095, 1],
    ] as const) {
      const { code, bytes } = file.read(offset, size);
      assert.equal(code, SQLITE_OK);
      assert.deepEqual(bytes, whole.subarray(offset, offset + size), `${size} bytes at ${offset}`);
    }
    file.unlock(LOCK_NONE);
    file.free();
  });

  test('what C wrote without vouching for its size is presented with the number of its pages', () => {
    const { store, slabs } = fresh();
    run(world.connect(), 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    world.closeAll();
    const set = store.begin();
    const image = set.write(1);
    const bytes = slabs.view(image);
    bytes.set(slabs.view(store.imageAt(1, store.newest)));
    writeUint32(bytes, 24, 77);
    writeUint32(bytes, 28, 0);
    writeUint32(bytes, 92, 76);
    store.publish(set);
    commitAll(store);
    const connection = world.connect();
    assert.deepEqual(run(connection, 'SELECT a FROM t; PRAGMA page_count'), [[1], [2]]);
    checkIntegrity(world);
    run(connection, 'INSERT INTO t VALUES (2)');
    assert.equal(readUint32(slabs.view(store.imageAt(1, store.newest)), 28), 2, 'the next transaction mends it');
  });

  test('beyond the end there is nothing: a short read, filled with zeros', () => {
    fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a)');
    const file = new RawFile(connection);
    for (const locked of [false, true]) {
      if (locked) file.lock(LOCK_SHARED);
      for (const page of [3, 4, 1_000_000]) {
        const { code, bytes } = file.read((page - 1) * PAGE_SIZE, PAGE_SIZE);
        assert.equal(code, SQLITE_IOERR_SHORT_READ);
        assert.ok(bytes.every(byte => byte === 0));
      }
    }
    file.unlock(LOCK_NONE);
    file.free();
  });

  test('a writer reads what it wrote, zeros where it grew without writing, and nothing beyond its own end', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a)');
    const file = new RawFile(connection);
    file.lock(LOCK_SHARED);
    file.lock(LOCK_RESERVED);
    const page = (fill: number): Buffer => Buffer.alloc(PAGE_SIZE, fill);
    const read = (number: number): { code: number; bytes: Buffer } => file.read((number - 1) * PAGE_SIZE, PAGE_SIZE);
    const old = read(2).bytes;
    assert.equal(file.write(4 * PAGE_SIZE, page(5)), SQLITE_OK);
    assert.equal(file.size(), 5 * PAGE_SIZE);
    assert.deepEqual(read(5), { code: SQLITE_OK, bytes: page(5) });
    assert.deepEqual(read(4), { code: SQLITE_OK, bytes: page(0) }, 'never written');
    assert.equal(read(6).code, SQLITE_IOERR_SHORT_READ);
    assert.equal(file.write(PAGE_SIZE, page(2)), SQLITE_OK);
    assert.deepEqual(read(2).bytes, page(2));
    assert.equal(file.truncate(PAGE_SIZE), SQLITE_OK);
    assert.equal(read(2).code, SQLITE_IOERR_SHORT_READ);
    assert.equal(file.write(2 * PAGE_SIZE, page(3)), SQLITE_OK);
    assert.deepEqual(read(2), { code: SQLITE_OK, bytes: page(0) }, 'cut off: the page of the base is gone');
    file.unlock(LOCK_SHARED);
    assert.deepEqual(read(2), { code: SQLITE_OK, bytes: old }, 'nothing was published');
    file.unlock(LOCK_NONE);
    file.free();
    assert.equal(store.size, 2);
  });

  test('a writer reads back page 1 as it wrote it, and it counts only if it differs from that of the base', () => {
    fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a)');
    const file = new RawFile(connection);
    file.lock(LOCK_SHARED);
    file.lock(LOCK_RESERVED);
    const base = file.read(0, PAGE_SIZE).bytes;
    const written = Buffer.from(base);
    writeUint32(written, 24, 0x01010101);
    writeUint32(written, 92, 0x01010101);
    assert.equal(file.write(0, written), SQLITE_OK);
    assert.equal(connection.file.set!.pageCount, 0, 'nothing but counters');
    assert.deepEqual(file.read(0, PAGE_SIZE).bytes, base);
    for (const offset of [28, 36, 40, 60, 99, 100, 1000, PAGE_SIZE - 1]) {
      const changed = Buffer.from(written);
      changed[offset]! ^= 1;
      assert.equal(file.write(0, changed), SQLITE_OK);
      const isCounted = offset !== 99; // SQLite's version number is one of the counters
      assert.equal(connection.file.set!.pageCount, isCounted ? 1 : 0, `byte ${offset}`);
      assert.deepEqual(file.read(0, PAGE_SIZE).bytes, isCounted ? changed : base);
      assert.equal(file.write(0, written), SQLITE_OK);
      assert.equal(connection.file.set!.pageCount, 0, 'as before again');
    }
    file.unlock(LOCK_NONE);
    file.free();
  });

  test('a read across pages is refused', () => {
    fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a)');
    const file = new RawFile(connection);
    assert.equal(file.read(PAGE_SIZE - 8, 16).code & 0xff, SQLITE_IOERR);
    file.free();
    world.sqlite.vfs.defect = undefined;
    world.sqlite.vfs.cause = undefined;
  });

  test('overflow pages of large values come whole, from the cache or around it', () => {
    fresh();
    const writer = world.connect();
    run(writer, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b)');
    const sizes = [100, 4057, 4058, 4061, 8000, 8192, 100_000, 1_000_003, 5_000_000];
    for (const size of sizes) {
      run(
        writer,
        `INSERT INTO t VALUES (${size}, CAST(replace(hex(zeroblob(${Math.ceil(size / 16)})), '00', '${size % 97}-abc-') AS BLOB))`,
      );
    }
    let reads = 0;
    for (const cachePages of [3, 250]) {
      const reader = world.connect({ view: 'newest', cachePages });
      world.sqlite.vfs.fault = callback => void (callback === 'read' ? reads++ : 0);
      for (const size of sizes) {
        const pattern = `${size % 97}-abc-`;
        const [[blob]] = run(reader, `SELECT b FROM t WHERE a = ${size}`) as [[Buffer]];
        assert.equal(blob.toString(), pattern.repeat(Math.ceil(size / 16)));
        const middle = run(reader, `SELECT substr(b, ${size >> 1}, 7) FROM t WHERE a = ${size}`) as [[Buffer]];
        assert.deepEqual(middle[0][0], blob.subarray((size >> 1) - 1, (size >> 1) + 6));
      }
    }
    assert.ok(reads > 2000, 'pages were read');
    world.sqlite.vfs.fault = undefined;
  });
});

describe('write', () => {
  test('only whole pages, and only under RESERVED', () => {
    fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a)');
    const file = new RawFile(connection);
    assert.equal(file.write(PAGE_SIZE, Buffer.alloc(PAGE_SIZE)), SQLITE_IOERR_WRITE);
    assert.equal(file.truncate(PAGE_SIZE), SQLITE_IOERR_TRUNCATE);
    file.lock(LOCK_SHARED);
    assert.equal(file.write(PAGE_SIZE, Buffer.alloc(PAGE_SIZE)), SQLITE_IOERR_WRITE);
    file.lock(LOCK_RESERVED);
    assert.equal(file.write(PAGE_SIZE, Buffer.alloc(16)), SQLITE_IOERR_WRITE);
    assert.equal(file.write(PAGE_SIZE + 8, Buffer.alloc(PAGE_SIZE)), SQLITE_IOERR_WRITE);
    file.unlock(LOCK_NONE);
    file.free();
    world.sqlite.vfs.defect = undefined;
  });

  for (const [what, offset, bytes, cause] of [
    ['magic', 3, [0], /does not start with the SQLite magic string/],
    ['page size', 16, [0x20, 0], /page size 8192 is not 4096/],
    ['reserved bytes', 20, [8], /8 reserved bytes per page/],
  ] as const) {
    test(`a page 1 with a wrong ${what} is refused while SQLite can roll back`, () => {
      const { store } = fresh();
      const connection = world.connect();
      run(connection, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
      const before = pagesOf(store, store.newest);
      world.sqlite.exports.sqlite3__wasm_db_config_ip(connection.pointer, 1010, 0, 0); // not defensive
      const [[page]] = trusted(connection, 'SELECT data FROM sqlite_dbpage WHERE pgno = 1') as [[Buffer]];
      page.set(bytes, offset);
      const sql = `UPDATE sqlite_dbpage SET data = x'${page.toString('hex')}' WHERE pgno = 1`;
      assert.throws(
        () => trusted(connection, sql),
        (error: SqliteError) => error.code === SQLITE_IOERR_WRITE && cause.test(error.message),
      );
      assert.ok(connection.autocommit && isClean(connection));
      assert.deepEqual(pagesOf(store, store.newest), before);
      run(connection, 'INSERT INTO t VALUES (2)');
      assert.deepEqual(run(connection, 'SELECT a FROM t'), [[1], [2]]);
      checkIntegrity(world);
    });
  }

  test('shrinking is refused while an old member could not follow, and growing is not', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, `CREATE TABLE t(a, b); INSERT INTO t SELECT value, zeroblob(2000) FROM ${numbers(50)}`);
    run(connection, 'DELETE FROM t WHERE a > 10');
    const size = store.size;
    const content = run(connection, 'SELECT * FROM t');
    store.mayShrink = false;
    for (const sql of ['VACUUM', 'VACUUM main']) {
      const error = failure(connection, sql);
      assert.equal(error.code, SQLITE_IOERR_WRITE);
      assert.match(error.message, /a member of the cluster runs a dqlite version that cannot shrink databases/);
      assert.ok(connection.autocommit && isClean(connection));
      assert.equal(store.size, size);
      assert.deepEqual(run(connection, 'SELECT * FROM t'), content);
      checkIntegrity(world);
    }
    run(connection, `INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(100)}`);
    assert.ok(store.size > size);
    store.mayShrink = true;
    run(connection, 'DELETE FROM t WHERE a > 10; VACUUM');
    assert.ok(store.size < size);
    checkIntegrity(world);
    world.closeAndCheck();
  });
});

describe('truncate and size', () => {
  test('the size is that of the version that is looked at, and that of the write set while one is open', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, `CREATE TABLE t(a); INSERT INTO t SELECT zeroblob(3000) FROM ${numbers(20)}`);
    commitAll(store);
    const committed = store.size;
    run(connection, `INSERT INTO t SELECT zeroblob(3000) FROM ${numbers(20)}`);
    const reader = world.connect({ view: 'committed' });
    const file = new RawFile(reader);
    assert.equal(file.size(), committed * PAGE_SIZE);
    reader.lookAt('newest');
    assert.equal(file.size(), store.size * PAGE_SIZE);
    file.free();
    assert.equal(value(reader, 'PRAGMA page_count'), store.size);
  });

  test('a header that states another size than the transaction leaves is not published, and the connection must go', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    const before = pagesOf(store, store.newest);
    world.sqlite.exports.sqlite3__wasm_db_config_ip(connection.pointer, 1010, 0, 0); // not defensive
    const [[page]] = trusted(connection, 'SELECT data FROM sqlite_dbpage WHERE pgno = 1') as [[Buffer]];
    for (const stated of [1, 3]) {
      writeUint32(page, 28, stated);
      const error = thrown(() =>
        trusted(connection, `UPDATE sqlite_dbpage SET data = x'${page.toString('hex')}' WHERE pgno = 1`),
      );
      assert.equal(error.code, SQLITE_IOERR);
      assert.equal(error.message, `the database header states ${stated} pages, but the transaction leaves 2`);
      assert.ok(connection.file.unusable);
      assert.deepEqual(pagesOf(store, store.newest), before);
      connection.file.unusable = false;
    }
    connection.close();
    assert.deepEqual(run(world.connect(), 'SELECT a FROM t'), [[1]]);
    checkIntegrity(world);
  });
});

describe('lock and unlock', () => {
  test('a reader stays at its version, whatever is published and recycled, until its statement ends', () => {
    const { store } = fresh();
    const writer = world.connect();
    run(writer, `CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t SELECT value, 0 FROM ${numbers(3000)}`);
    commitAll(store);
    const reader = world.connect({ view: 'committed', cachePages: 3 });
    const stream = prepare(reader, 'SELECT a, b FROM t');
    stream.step();
    let seen = 1;
    for (let round = 1; round <= 20; round++) {
      run(writer, `UPDATE t SET b = ${round}`);
      if (round % 5 === 0)
        run(writer, 'DELETE FROM t WHERE a % 3 = 0; VACUUM; INSERT INTO t SELECT max(a) + 1, 7 FROM t');
      commitAll(store);
      store.recycle(100);
      for (let i = 0; i < 100; i++, seen++) {
        assert.equal(stream.step(), SQLITE_ROW);
        assert.deepEqual([column(stream, 0), column(stream, 1)], [seen + 1, 0]);
      }
    }
    for (; seen < 3000; seen++) {
      assert.equal(stream.step(), SQLITE_ROW);
      assert.equal(column(stream, 1), 0);
    }
    stream.finalize();
    assert.equal(value(reader, 'SELECT b FROM t WHERE a = 1'), 20);
    world.closeAndCheck();
  });

  test('the committed view does not see what is executed, the newest view does', () => {
    const { store } = fresh();
    const writer = world.connect();
    const committed = world.connect({ view: 'committed', ticket: false });
    const newest = world.connect({ view: 'newest', ticket: false });
    run(writer, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    assert.match(failure(committed, 'SELECT * FROM t').message, /no such table: t/);
    assert.deepEqual(run(newest, 'SELECT * FROM t'), [[1]]);
    commitAll(store);
    run(writer, 'INSERT INTO t VALUES (2); ALTER TABLE t ADD COLUMN b DEFAULT 7');
    assert.deepEqual(run(committed, 'SELECT * FROM t'), [[1]]);
    assert.deepEqual(run(newest, 'SELECT * FROM t'), [
      [1, 7],
      [2, 7],
    ]);
    commitAll(store);
    assert.deepEqual(run(committed, 'SELECT * FROM t'), run(newest, 'SELECT * FROM t'));
  });

  test('one connection that looks at both views by turns compiles and reads right on each', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    commitAll(store);
    for (let round = 0; round < 10; round++) {
      connection.lookAt('newest');
      run(connection, `ALTER TABLE t ADD COLUMN c${round} DEFAULT ${round}; UPDATE t SET a = a + 1`);
      const uncommitted = run(connection, 'SELECT * FROM t');
      connection.lookAt('committed');
      const { statement } = connection.prepare(new TextEncoder().encode('SELECT * FROM t'));
      assert.equal(statement!.columnCount, round + 1, 'compiled on the committed version');
      statement!.finalize();
      assert.equal(value(connection, 'SELECT a FROM t'), round + 1);
      assert.match(failure(connection, `SELECT c${round} FROM t`).message, /no such column/);
      commitAll(store);
      assert.deepEqual(run(connection, 'SELECT * FROM t'), uncommitted);
    }
  });

  test('a statement that read the schema of the other view as it ran does not mislead the next compilation', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a); INSERT INTO t VALUES (1)');
    commitAll(store);
    const kept = prepare(connection, 'SELECT * FROM t');
    for (let round = 1; round <= 3; round++) {
      connection.lookAt('newest');
      run(connection, `ALTER TABLE t ADD COLUMN c${round} DEFAULT ${round}`);
      prepare(connection, `SELECT c${round} FROM t`).finalize();
      connection.lookAt('committed');
      assert.equal(stepAll(kept)[0]!.length, round);
      kept.reset();
      connection.lookAt('newest');
      prepare(connection, `SELECT c${round} FROM t`).finalize();
      commitAll(store);
    }
  });

  test('a schema that could not be read is read again by the next statement', () => {
    fresh();
    const writer = world.connect();
    const reader = world.connect({ cachePages: 1 });
    run(writer, 'CREATE TABLE t(a)');
    assert.deepEqual(run(reader, 'SELECT * FROM t'), []);
    run(writer, 'DROP TABLE t; CREATE TABLE t(b, c); INSERT INTO t VALUES (1, 2)');
    world.sqlite.vfs.fault = callback => (callback === 'read' ? SQLITE_IOERR : undefined);
    assert.equal(failure(reader, 'SELECT * FROM t').code, SQLITE_IOERR);
    world.sqlite.vfs.fault = undefined;
    const statement = prepare(reader, 'SELECT * FROM t');
    assert.equal(statement.columnCount, 2);
    statement.finalize();
  });

  test('RESERVED needs the write ticket', () => {
    const { store } = fresh();
    run(world.connect(), 'CREATE TABLE t(a)');
    const connection = world.connect({ ticket: false });
    const file = new RawFile(connection);
    assert.equal(file.lock(LOCK_SHARED), SQLITE_OK);
    assert.equal(file.lock(LOCK_RESERVED), SQLITE_BUSY_SNAPSHOT);
    assert.equal(connection.file.lock, LOCK_SHARED);
    assert.equal(file.unlock(LOCK_NONE), SQLITE_OK);
    file.free();
    const size = store.newest;
    // SQLite makes 517 a plain BUSY for a statement that began the transaction.
    for (const sql of [
      'INSERT INTO t VALUES (1)',
      'CREATE TABLE u(a)',
      'BEGIN IMMEDIATE',
      'BEGIN EXCLUSIVE',
      'VACUUM',
    ]) {
      assert.equal(failure(connection, sql).code, SQLITE_BUSY, sql);
      assert.ok(isClean(connection) && connection.autocommit);
    }
    run(connection, 'BEGIN; SELECT * FROM t');
    assert.equal(failure(connection, 'INSERT INTO t VALUES (1)').code, SQLITE_BUSY_SNAPSHOT);
    assert.ok(!connection.autocommit);
    run(connection, 'COMMIT');
    assert.ok(isClean(connection));
    assert.equal(store.newest, size);
  });

  test('RESERVED needs a snapshot that is the newest version', () => {
    const { store } = fresh();
    const writer = world.connect();
    run(writer, 'CREATE TABLE t(a)');
    commitAll(store);
    const old = world.connect();
    run(old, 'BEGIN; SELECT * FROM t');
    run(writer, 'INSERT INTO t VALUES (1)');
    assert.equal(failure(old, 'INSERT INTO t VALUES (2)').code, SQLITE_BUSY_SNAPSHOT);
    assert.deepEqual(run(old, 'SELECT * FROM t'), [], 'the transaction goes on reading');
    run(old, 'ROLLBACK');
    old.lookAt('committed');
    run(old, 'BEGIN; SELECT * FROM t');
    assert.equal(failure(old, 'INSERT INTO t VALUES (2)').code, SQLITE_BUSY_SNAPSHOT, 'committed is not newest');
    run(old, 'ROLLBACK');
    commitAll(store);
    run(old, 'BEGIN; SELECT * FROM t; INSERT INTO t VALUES (2); COMMIT');
    assert.deepEqual(run(writer, 'SELECT * FROM t'), [[1], [2]]);
  });

  test('nobody is ever told of a RESERVED lock: there are no hot journals', () => {
    fresh();
    const writer = world.connect();
    run(writer, 'CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)');
    const reader = world.connect({ ticket: false });
    const file = new RawFile(reader);
    assert.ok(!file.isReserved());
    file.free();
    assert.deepEqual(run(reader, 'SELECT * FROM t'), []);
    run(writer, 'COMMIT');
    assert.deepEqual(run(reader, 'SELECT * FROM t'), [[1]]);
  });
});

describe('file control', () => {
  test('everything but the end of a commit is unknown to the VFS', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a)');
    const version = store.newest;
    const file = new RawFile(connection);
    for (let operation = 1; operation < 60; operation++) {
      assert.equal(file.control(operation), SQLITE_NOTFOUND, `file control ${operation}`);
    }
    file.free();
    assert.equal(store.newest, version, 'nothing to publish');
    assert.ok(FCNTL_SIZE_HINT < 60 && FCNTL_PRAGMA < 60 && FCNTL_COMMIT_PHASETWO < 60);
  });

  test('a transaction is published exactly once, when SQLite has made it durable, and is visible at once', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a)');
    const versions: number[] = [];
    world.sqlite.vfs.fault = (callback, argument) => {
      if (callback === 'control' && argument === FCNTL_COMMIT_PHASETWO) versions.push(store.newest);
      return undefined;
    };
    const before = store.newest;
    connection.file.published = 0;
    run(connection, 'BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)');
    assert.equal(store.newest, before);
    run(connection, 'COMMIT');
    world.sqlite.vfs.fault = undefined;
    assert.deepEqual(versions, [before]);
    assert.equal(store.newest, before + 1);
    assert.equal(connection.file.published, before + 1);
  });

  test('a commit without the ticket is a defect, and nothing is published', () => {
    const { store } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)');
    const before = store.newest;
    connection.file.ticket = false;
    assert.match(failure(connection, 'COMMIT').message, /internal error: .* without the write ticket/);
    assert.ok(world.sqlite.vfs.defect instanceof Error);
    world.sqlite.vfs.defect = undefined;
    assert.equal(store.newest, before);
    connection.file.ticket = true;
    assert.deepEqual(run(connection, 'SELECT * FROM t'), []);
  });
});

describe('page 1', () => {
  /** Runs SQL and gives the pages of the batch that it makes. */
  const batchOf = (sql: string): readonly number[] | undefined => {
    const { store } = world;
    const [connection] = world.sqlite.connections;
    run(connection!, sql);
    if (!store.hasOpenBatch) return undefined;
    const batch = store.seal();
    store.commit();
    return [...batch.pages].sort((a, b) => a - b);
  };

  test('is left out of a batch when nothing but counters changed', () => {
    fresh();
    world.connect();
    assert.deepEqual(batchOf('CREATE TABLE t(a INTEGER PRIMARY KEY, b)'), [1, 2]);
    assert.deepEqual(batchOf('INSERT INTO t VALUES (1, 1), (2, 2)'), [2]);
    assert.deepEqual(batchOf('UPDATE t SET b = 5'), [2]);
    assert.deepEqual(batchOf('BEGIN; UPDATE t SET b = 6; DELETE FROM t WHERE a = 2; COMMIT'), [2]);
    assert.deepEqual(batchOf('INSERT INTO t VALUES (3, zeroblob(20000))'), [1, 2, 3, 4, 5, 6], 'the size changed');
    assert.ok(batchOf('DELETE FROM t WHERE a = 3')!.includes(1), 'the free list changed');
    assert.deepEqual(batchOf('PRAGMA user_version = 5'), [1]);
    assert.deepEqual(batchOf('CREATE INDEX i ON t(b)')?.slice(0, 1), [1], 'the schema cookie changed');
  });

  test('a transaction that leaves everything as it was publishes nothing', () => {
    const { store } = fresh();
    world.connect();
    batchOf('CREATE TABLE t(a); INSERT INTO t VALUES (1); PRAGMA user_version = 5');
    const before = store.newest;
    assert.equal(batchOf('PRAGMA user_version = 5'), undefined);
    assert.equal(batchOf('BEGIN IMMEDIATE; COMMIT'), undefined);
    assert.equal(batchOf('BEGIN; PRAGMA user_version = 6; PRAGMA user_version = 5; COMMIT'), undefined);
    assert.equal(batchOf('DELETE FROM t WHERE a = 9'), undefined);
    assert.equal(store.newest, before);
  });

  test('no page cache outlives a transaction that published nothing', () => {
    const { store } = fresh();
    const connections = [world.connect(), world.connect()];
    run(connections[0]!, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 0)');
    let expected = 0;
    const check = (connection: Connection): void => assert.equal(value(connection, 'SELECT b FROM t'), expected);
    // All orders in which two connections do nothing, write, or read.
    for (let code = 0; code < 6 ** 4; code++) {
      for (let rest = code, i = 0; i < 4; i++, rest = Math.floor(rest / 6)) {
        const connection = connections[rest % 2]!;
        const action = (rest >> 1) % 3;
        if (action === 0) run(connection, 'PRAGMA user_version = 0');
        else if (action === 1) run(connection, `UPDATE t SET b = ${++expected}`);
        else check(connection);
      }
      for (const connection of connections) check(connection);
      if (code % 7 === 0) commitAll(store);
    }
  });

  test('no page cache outlives an undo, although stored counters come back', () => {
    const { store } = fresh();
    run(world.connect(), 'CREATE TABLE t(a); INSERT INTO t VALUES (0)');
    commitAll(store);
    // A reader that stays open and only looks at committed versions.
    const reader = world.connect({ role: 'shared', view: 'committed' });
    for (let round = 1; round <= 30; round++) {
      const writer = world.connect();
      run(writer, `UPDATE t SET a = ${-round}`);
      assert.equal(value(writer, 'SELECT a FROM t'), -round);
      if (round % 2 === 0) run(writer, 'PRAGMA user_version = 0');
      for (const connection of world.sqlite.connections) if (connection !== reader) connection.close();
      store.undo();
      assert.equal(value(reader, 'SELECT a FROM t'), round - 1);
      const again = world.connect();
      assert.equal(value(again, 'SELECT a FROM t'), round - 1);
      run(again, `UPDATE t SET a = ${round}`);
      commitAll(store);
      assert.equal(value(reader, 'SELECT a FROM t'), round);
    }
  });
});

describe('holes', () => {
  test('pages that a transaction allocated and freed are zeros in the batch', () => {
    const { store, slabs } = fresh();
    const connection = world.connect();
    run(connection, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b)');
    commitAll(store);
    const follower = new Follower(store, store.newest);
    run(
      connection,
      `BEGIN; INSERT INTO t VALUES (1, zeroblob(100000)); DELETE FROM t; INSERT INTO t VALUES (2, 'x'); COMMIT`,
    );
    assert.ok(store.size > 20);
    const batch = store.seal();
    assert.equal(batch.pages.length, store.size, 'every new page is there');
    assert.ok(batch.images.filter(image => slabs.view(image).every(byte => byte === 0)).length > 10);
    follower.apply(batch, slabs);
    assert.deepEqual(follower.bytes, pagesOf(store, store.newest));
    checkIntegrity(world);
  });

  test('ROLLBACK TO after a spill leaves no page behind that was never part of the database', () => {
    const { store, slabs } = fresh();
    const connection = world.connect({ cachePages: 5 });
    run(connection, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 1)');
    commitAll(store);
    const follower = new Follower(store, store.newest);
    const before = stateOf(store, store.newest);
    run(connection, `BEGIN; SAVEPOINT s; INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(100, 2)}`);
    assert.ok(connection.file.set!.size > 50, 'it spilled');
    run(connection, 'ROLLBACK TO s; UPDATE t SET b = 2; COMMIT');
    assert.equal(store.size, 2);
    follower.apply(store.seal(), slabs);
    assert.deepEqual(follower.bytes, pagesOf(store, store.newest));
    assert.equal(stateOf(store, store.newest).length, before.length);
    assert.deepEqual(run(connection, 'SELECT * FROM t'), [[1, 2]]);
    checkIntegrity(world);
  });

  test('ROLLBACK after a spill leaves exactly the version before', () => {
    const { store } = fresh();
    const connection = world.connect({ cachePages: 5 });
    run(connection, `CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t SELECT value, value FROM ${numbers(500)}`);
    const version = store.newest;
    const pages = pagesOf(store, version);
    for (const spoil of [
      `INSERT INTO t SELECT value, zeroblob(3000) FROM ${numbers(200, 1000)}`,
      'UPDATE t SET b = zeroblob(500)',
      'CREATE TABLE u AS SELECT * FROM t; CREATE INDEX ui ON u(b); DROP TABLE t',
    ]) {
      run(connection, `BEGIN; ${spoil}`);
      assert.ok(connection.file.set!.pageCount > 0);
      run(connection, 'ROLLBACK');
      assert.equal(store.newest, version);
      assert.deepEqual(pagesOf(store, version), pages);
      assert.equal(value(connection, 'SELECT sum(b) FROM t'), 125250);
      assert.equal(value(connection, 'PRAGMA integrity_check'), 'ok');
    }
    world.closeAndCheck();
  });
});

/** Slabs that give one image of zeros for many pages: a database of a gibibyte takes no memory. */
class ThinSlabs extends PageSlabs {
  readonly #zeros = super.allocate();
  thin = false;

  override allocate(): number {
    return this.thin ? this.#zeros : super.allocate();
  }

  override free(image: number): void {
    if (image !== this.#zeros) super.free(image);
  }
}

describe('the lock-byte page', () => {
  test('is never written, whichever way a database grows over it, and shrinks', () => {
    fresh();
    const slabs = new ThinSlabs();
    const store = new PageStore(slabs);
    const setUp = world.connect({ store });
    run(setUp, 'CREATE TABLE t(a INTEGER PRIMARY KEY, b)');
    setUp.close();
    // Unused pages up to the one before it.
    const set = store.begin();
    const first = slabs.view(set.write(1));
    first.set(slabs.view(store.imageAt(1, store.newest)));
    writeUint32(first, 28, LOCK_BYTE_PAGE - 2);
    set.truncate(LOCK_BYTE_PAGE - 2);
    slabs.thin = true;
    store.publish(set);
    slabs.thin = false;
    commitAll(store);

    const offsets: number[] = [];
    world.sqlite.vfs.fault = (callback, offset, isMain) => {
      if (isMain && (callback === 'read' || callback === 'write')) offsets.push(offset / PAGE_SIZE + 1);
      return undefined;
    };
    const writer = world.connect({ store, cachePages: 5 });
    for (let i = 1; i <= 5; i++) run(writer, `INSERT INTO t VALUES (${i}, zeroblob(4000 * ${i}))`);
    const beyond = store.size - LOCK_BYTE_PAGE;
    assert.ok(beyond > 10);
    const batch = store.seal();
    assert.deepEqual(
      [...batch.pages].sort((a, b) => a - b),
      [1, 2, LOCK_BYTE_PAGE - 1, ...Array.from({ length: beyond }, (_, i) => LOCK_BYTE_PAGE + 1 + i)],
    );
    store.commit();
    const reader = world.connect({ store, view: 'committed', cachePages: 5 });
    assert.deepEqual(run(reader, 'SELECT count(*), sum(length(b)) FROM t'), [[5, 60_000]]);
    run(writer, 'BEGIN; INSERT INTO t VALUES (6, zeroblob(100000)); ROLLBACK; DELETE FROM t WHERE a > 1');
    assert.deepEqual(run(writer, 'SELECT count(*), sum(length(b)) FROM t'), [[1, 4000]]);
    world.sqlite.vfs.fault = undefined;
    assert.ok(offsets.includes(LOCK_BYTE_PAGE + 1) && !offsets.includes(LOCK_BYTE_PAGE));
  });
});

describe('what comes from outside', () => {
  test('the time and random numbers are those of the environment', async () => {
    const [first, second] = [(await World.create()).connect(), (await World.create()).connect()];
    const random = 'SELECT hex(randomblob(32)), random()';
    assert.deepEqual(run(second, random), run(first, random), 'the same seed');
    const { environment } = first.sqlite;
    assert.equal(value(first, "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"), '2026-11-22 12:00:00.000');
    Object.assign(environment, { wall: Date.UTC(2031, 1, 3, 4, 5, 6, 789) });
    assert.equal(value(first, "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"), '2031-02-03 04:05:06.789');
  });

  test('an environment that fails is an error, not an exception through SQLite', async () => {
    const broken = await World.create();
    const connection = broken.connect();
    broken.environment.wallMs = () => {
      throw new Error('no clock');
    };
    attempt(connection, "SELECT datetime('now')");
    assert.match(String(broken.sqlite.vfs.defect), /no clock/);
    assert.equal(value(connection, 'SELECT 1'), 1);
  });
});

function thrown(work: () => unknown): SqliteError {
  try {
    work();
  } catch (error) {
    if (error instanceof SqliteError) return error;
    throw error;
  }
  return assert.fail('an error was expected');
}
