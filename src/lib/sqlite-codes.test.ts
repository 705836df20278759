/** Names of result codes, as sqlite3.h pairs them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sqliteCodeName } from './sqlite-codes.ts';

const NAMES: readonly (readonly [number, string | undefined])[] = [
  [0, 'SQLITE_OK'],
  [1, 'SQLITE_ERROR'],
  [5, 'SQLITE_BUSY'],
  [261, 'SQLITE_BUSY_RECOVERY'],
  [517, 'SQLITE_BUSY_SNAPSHOT'],
  [516, 'SQLITE_ABORT_ROLLBACK'],
  [19, 'SQLITE_CONSTRAINT'],
  [275, 'SQLITE_CONSTRAINT_CHECK'],
  [787, 'SQLITE_CONSTRAINT_FOREIGNKEY'],
  [1299, 'SQLITE_CONSTRAINT_NOTNULL'],
  [1555, 'SQLITE_CONSTRAINT_PRIMARYKEY'],
  [1811, 'SQLITE_CONSTRAINT_TRIGGER'],
  [2067, 'SQLITE_CONSTRAINT_UNIQUE'],
  [3091, 'SQLITE_CONSTRAINT_DATATYPE'],
  [23, 'SQLITE_AUTH'],
  [26, 'SQLITE_NOTADB'],
  [266, 'SQLITE_IOERR_READ'],
  [778, 'SQLITE_IOERR_WRITE'],
  [8714, 'SQLITE_IOERR_IN_PAGE'],
  [10250, 'SQLITE_IOERR_NOT_LEADER'],
  [10506, 'SQLITE_IOERR_LEADERSHIP_LOST'],
  [19 + 99 * 256, 'SQLITE_CONSTRAINT'],
  [100, 'SQLITE_ROW'],
  [1005, undefined],
  [2 ** 40, undefined],
];

test('result codes have their names', () => {
  for (const [code, name] of NAMES) assert.equal(sqliteCodeName(code), name, String(code));
});
