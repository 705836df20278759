/**
 * The architecture as a test: which folder of `src` may import which (docs/ARCHITECTURE.md), and what pure folders
 * may not touch. Tests may import anything.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));

interface Layer {
  /** Folders that may be imported. `x:types` allows `import type` only. */
  readonly may: readonly string[];
  /** No time, randomness, promises, Node: the core is deterministic and synchronous. */
  readonly pure?: true;
  readonly packages?: readonly string[];
  /** Reaches the operating system itself. */
  readonly node?: true;
}

const LAYERS: Readonly<Record<string, Layer>> = {
  lib: { may: [], pure: true },
  host: { may: ['lib'], node: true },
  raft: { may: ['lib'], pure: true },
  wire: { may: ['lib', 'raft:types'], pure: true },
  rpc: { may: ['lib', 'raft'], pure: true },
  format: { may: ['lib', 'raft'], pure: true },
  log: { may: ['lib', 'host', 'format', 'raft'] },
  pages: { may: ['lib'], pure: true },
  sqlite: { may: ['lib', 'pages'], packages: ['@sqlite.org/sqlite-wasm'] },
  engine: { may: ['lib', 'host:types', 'wire', 'format', 'pages', 'sqlite'] },
  gateway: { may: ['lib', 'host:types', 'wire', 'engine', 'raft:types'] },
  net: { may: ['lib', 'host:types', 'wire', 'rpc', 'raft:types'] },
  node: { may: ['lib', 'host', 'raft', 'rpc', 'log', 'engine', 'gateway', 'net'], packages: ['yaml'] },
  client: { may: ['lib', 'host', 'wire'] },
  tools: { may: ['lib', 'host', 'raft', 'wire', 'format', 'log', 'pages', 'sqlite', 'engine', 'client'] },
  cli: { may: ['lib', 'host', 'raft:types', 'wire', 'node', 'client', 'tools'], node: true },
  simulation: { may: ['lib', 'host', 'raft', 'rpc', 'log', 'engine', 'node', 'client', 'wire', 'pages'] },
};

const IMPURE =
  /\b(?:setTimeout|setImmediate|setInterval|queueMicrotask|Promise|async|await|Date|performance|process|Buffer|crypto|Math\.random)\b/;

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
}

function importsOf(text: string): Import[] {
  const imports: Import[] = [];
  const pattern = /^(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)';|^import\s+'([^']+)';|\bimport\('([^']+)'\)/gm;
  for (const match of text.matchAll(pattern)) {
    imports.push({ target: (match[2] ?? match[3] ?? match[4])!, typeOnly: match[1] !== undefined });
  }
  return imports;
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/gm, '');
}

/** What may be imported of a folder beside its index.ts, and by whom: undefined, by all who may import the folder. */
const SECOND_EXITS: Readonly<Record<string, readonly string[] | undefined>> = {
  'host/types.ts': undefined,
  'raft/configuration.ts': undefined,
  'client/internal.ts': ['cli', 'tools'],
};

function isExit(file: string, importer: string): boolean {
  if (file.endsWith('/index.ts')) return file.split('/').length === 2;
  return file in SECOND_EXITS && SECOND_EXITS[file]?.includes(importer) !== false;
}

/** What is wrong with one file, in words. */
export function breaches(folder: string, file: string, text: string): string[] {
  const layer = LAYERS[folder];
  if (layer === undefined) return [`${folder}/${file}: no such layer`];
  const found: string[] = [];
  for (const { target, typeOnly } of importsOf(text)) {
    if (target.startsWith('node:')) {
      if (layer.node !== true) found.push(`${folder}/${file} imports ${target}`);
    } else if (!target.startsWith('.')) {
      if (layer.packages?.includes(target) !== true) found.push(`${folder}/${file} imports ${target}`);
    } else {
      const [to, ...rest] = path.posix.join(folder, path.posix.dirname(file), target).split('/');
      if (to === folder) continue;
      const allowed = layer.may.includes(to!) || layer.may.includes(`${to}:types`);
      if (!allowed) found.push(`${folder}/${file} imports ${target}`);
      // `host` has its types and its implementation behind one exit; types alone may be imported from it.
      else if (layer.may.includes(`${to}:types`) && !typeOnly) found.push(`${folder}/${file} imports values of ${to}`);
      const exit = rest.join('/');
      if (to !== 'lib' && !isExit(`${to}/${exit}`, folder)) {
        found.push(`${folder}/${file} imports ${target}, not the exit of ${to}`);
      }
    }
  }
  const impure = layer.pure === true ? IMPURE.exec(withoutComments(text)) : null;
  if (impure !== null) found.push(`${folder}/${file} uses ${impure[0]}`);
  return found;
}

test('every file keeps to its layer', () => {
  const found: string[] = [];
  let files = 0;
  for (const folder of readdirSync(SOURCE)) {
    for (const file of readdirSync(path.join(SOURCE, folder), { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts') || file.includes('.test.')) continue;
      files++;
      found.push(...breaches(folder, file, readFileSync(path.join(SOURCE, folder, file), 'utf8')));
    }
  }
  assert.ok(files > 50, 'the sources were found');
  assert.deepEqual(found, []);
});

test('docs/ARCHITECTURE.md names every folder and the files of the core', () => {
  const text = readFileSync(path.join(SOURCE, '../docs/ARCHITECTURE.md'), 'utf8');
  const missing = Object.keys(LAYERS).filter(folder => !text.includes(`\n| \`${folder}\` |`));
  const core = readdirSync(path.join(SOURCE, 'raft')).filter(file => !file.includes('.test') && file !== 'index.ts');
  missing.push(...core.filter(file => !text.includes(`\`${file}\``) && file !== 'types.ts'));
  assert.deepEqual(missing, []);
});

test('a breach is seen', () => {
  assert.equal(breaches('raft', 'x.ts', "import { Log } from '../log/index.ts';\n").length, 1);
  assert.equal(breaches('raft', 'x.ts', "import fs from 'node:fs';\n").length, 1);
  assert.equal(breaches('pages', 'x.ts', 'const now = Date.now();\n').length, 1);
  assert.equal(breaches('pages', 'x.ts', '// Date is only in this comment\n').length, 0);
  assert.equal(breaches('gateway', 'x.ts', "import { nodeHost } from '../host/index.ts';\n").length, 1);
  assert.equal(breaches('gateway', 'x.ts', "import type { Clock } from '../host/index.ts';\n").length, 0);
  assert.equal(breaches('engine', 'x.ts', "import { Nodes } from '../pages/nodes.ts';\n").length, 1);
  assert.equal(breaches('tools', 'x.ts', "import { Pool } from '../client/pool.ts';\n").length, 1);
  assert.equal(breaches('cli', 'x.ts', "import { Plan } from '../client/internal.ts';\n").length, 0);
  assert.equal(breaches('simulation', 'x.ts', "import { Plan } from '../client/internal.ts';\n").length, 1);
  assert.equal(breaches('log', 'x.ts', "import { parse } from 'yaml';\n").length, 1);
});
