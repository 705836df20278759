/**
 * Statements whose compilation recurses on the native stack as deep as SQLite's own limits allow. As the main program
 * of a worker thread, which has a larger stack, it runs them and tells the results.
 */

import { isMainThread, parentPort } from 'node:worker_threads';
import type { Connection } from './index.ts';
import { numbers, run, World, type Value } from './sqlite.test.helpers.ts';

/** Columns generated each from the one before. */
export function generatedColumns(connection: Connection, count: number): Value {
  const columns = Array.from({ length: count }, (_, i) => `c${i + 1} AS (c${i} + 1)`);
  run(connection, `CREATE TABLE g(c0, ${columns.join(', ')}); INSERT INTO g(c0) VALUES (0)`);
  return run(connection, `SELECT c${count} FROM g`)[0]![0]!;
}

/** Tables whose rows go with those of the table before. */
export function cascade(connection: Connection, count: number): Value {
  const tables = Array.from(
    { length: count },
    (_, i) => `CREATE TABLE c${i}(id INTEGER PRIMARY KEY ${i === 0 ? '' : `REFERENCES c${i - 1} ON DELETE CASCADE`})`,
  );
  const rows = Array.from({ length: count }, (_, i) => `INSERT INTO c${i} VALUES (1)`);
  run(connection, `BEGIN; ${tables.join(';')}; ${rows.join(';')}; COMMIT`);
  run(connection, 'DELETE FROM c0');
  return run(connection, `SELECT count(*) FROM c${count - 1}`)[0]![0]!;
}

if (!isMainThread && parentPort !== null) {
  const world = await World.create();
  const results = [
    generatedColumns(world.connect(), 1990),
    cascade(world.connect(), 990),
    // What was overwritten would show here: functions, collations, the file system.
    ...run(
      world.connect(),
      `SELECT count(*), printf('%X', max(value)), upper('x'), 'B' = 'b' COLLATE NOCASE FROM ${numbers(1000)}`,
    ),
    ...run(world.connect(), 'PRAGMA integrity_check'),
  ];
  parentPort.postMessage(results);
}
