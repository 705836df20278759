/** The package as users get it: what is in it, what checkers of packages say, that its types hold, what its client loads. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { run } from '../support/child.ts';
import { ROOT } from '../support/paths.ts';
import { temporaryDirectory, type Scope } from '../support/temporary.ts';

const NAME = 'dqlite-node';
const isWindows = process.platform === 'win32';

function tool(...parts: readonly string[]): string {
  return path.join(ROOT, 'node_modules', ...parts);
}

/** npm and tar are other things on Windows: a batch file, and a program that takes C: for a host. */
async function pack(scope: Scope, folder: string): Promise<string> {
  const args = ['pack', '--ignore-scripts', '--pack-destination', folder];
  const npmCli = process.env['npm_execpath'];
  const [program, first] = npmCli === undefined ? ['npm', []] : [process.execPath, [npmCli]];
  const { code, stderr } = await run(scope, program, [...first, ...args], { cwd: ROOT });
  assert.equal(code, 0, stderr);
  return readdirSync(folder).find(name => name.endsWith('.tgz'))!;
}

/** Without npm, which would fetch the dependencies: they are this checkout's. */
async function install(scope: Scope, project: string, tarball: string): Promise<string> {
  const extracted = await run(scope, 'tar', ['-xzf', tarball], { cwd: project });
  assert.equal(extracted.code, 0, extracted.stderr);
  const modules = path.join(project, 'node_modules');
  mkdirSync(modules);
  renameSync(path.join(project, 'package'), path.join(modules, NAME));
  for (const dependency of ['@sqlite.org', '@types', 'undici-types', 'yaml']) {
    symlinkSync(tool(dependency), path.join(modules, dependency), 'junction');
  }
  return path.join(modules, NAME);
}

/** Everything that the package exports is used here, so that no declaration goes unseen. */
const PROGRAM = `
import { Node, FOUNDER_IDS, type NodeOptions } from 'dqlite-node';
import { connect, administer, sql, DqliteError, type Client } from 'dqlite-node/client';
export async function main(options: NodeOptions): Promise<Client> {
  await using node = await Node.start({ ...options, id: FOUNDER_IDS[0]! });
  const servers = [node.address];
  const db = await connect({ servers, database: 'app.db' });
  const [user] = await db.sql<{ name: string }>\`SELECT name FROM user WHERE id = \${1} AND \${sql\`true\`}\`;
  const text: string | undefined = user?.name;
  if (text === undefined) throw new DqliteError('USAGE', String(await administer({ servers }).servers()));
  return db;
}
`;

/** Declarations are checked too (skipLibCheck is off), with the strictest settings and with few. */
const COMPILERS: Readonly<Record<string, object>> = {
  nodenext: { module: 'nodenext' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
  'nodenext with @types/node': { module: 'nodenext', types: ['node'] },
  'every strictness': {
    ...{ module: 'nodenext', exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ noPropertyAccessFromIndexSignature: true, isolatedModules: true, verbatimModuleSyntax: true },
  },
};

/** Prints the URL of every module that is loaded. */
const TRACER = `import { writeSync } from 'node:fs';
export async function load(url, context, next) { writeSync(1, url + '\\n'); return next(url, context); }`;

/** The folders of `src` and the packages that an import of `specifier` loads. */
async function loadedBy(t: TestContext, project: string, specifier: string): Promise<string[]> {
  const tracer = path.join(project, 'tracer.mjs');
  const program = path.join(project, 'program.mjs');
  writeFileSync(tracer, TRACER);
  const url = JSON.stringify(pathToFileURL(tracer).href);
  writeFileSync(program, `import { register } from 'node:module'; register(${url}); await import('${specifier}');\n`);
  const { code, stdout, stderr } = await run(t, process.execPath, [program], { cwd: project });
  assert.equal(code, 0, stderr);
  const parts = stdout
    .split('\n')
    .filter(line => line.startsWith('file:'))
    .map(line => /\/dqlite-node\/dist\/src\/(\w+)\//.exec(line)?.[1] ?? /\/node_modules\/(@?[^/]+)/.exec(line)?.[1]);
  return [...new Set(parts.map(String))].sort();
}

describe('the package', { skip: isWindows && 'needs npm and tar as other systems have them' }, () => {
  const works: (() => void | Promise<void>)[] = [];
  const scope: Scope = { after: work => works.push(work) };
  after(async () => {
    for (const work of works.reverse()) await work();
  });
  let project = '';
  let tarball = '';
  let home = '';
  before(async () => {
    project = temporaryDirectory(scope);
    tarball = path.join(project, await pack(scope, project));
    home = await install(scope, project, tarball);
  });

  test('has what is needed and no more', () => {
    const files = readdirSync(home, { recursive: true, encoding: 'utf8' });
    for (const file of ['LICENSE', 'README.md', 'CHANGELOG.md', 'docs/api.md']) assert.ok(files.includes(file), file);
    assert.deepEqual(
      files.filter(file => /\.test\.|simulation|fixtures|tsbuildinfo|(?<!\.d)\.ts$/.test(file)),
      [],
    );
    const sources = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter(file => file.endsWith('.ts') && !file.includes('.test.') && !file.startsWith('simulation'))
      .map(file => path.join('dist/src', file.slice(0, -'.ts'.length)));
    assert.ok(sources.length > 100, `${sources.length} sources were found`);
    for (const source of sources) {
      for (const ending of ['.js', '.js.map', '.d.ts']) assert.ok(files.includes(source + ending), source + ending);
    }
  });

  test('has source maps with their sources', () => {
    const scripts = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.js'));
    for (const script of scripts) {
      const text = readFileSync(path.join(home, script), 'utf8');
      const mapFile = /^\/\/# sourceMappingURL=(.+)$/m.exec(text)?.[1];
      assert.equal(mapFile, `${path.basename(script)}.map`, script);
      const map = JSON.parse(readFileSync(path.join(home, `${script}.map`), 'utf8')) as Record<string, unknown>;
      const [source] = map['sources'] as string[];
      const original = path.relative(home, path.resolve(home, path.dirname(script), source!));
      assert.deepEqual(map['sourcesContent'], [readFileSync(path.join(ROOT, original), 'utf8')], script);
    }
  });

  test('has no link that leads out of it', () => {
    const documents = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter(file =>
      /^(docs\/)?\w+\.md$/.test(file),
    );
    assert.ok(documents.length > 5, documents.join());
    for (const document of documents) {
      const markdown = readFileSync(path.join(home, document), 'utf8').replaceAll(/^```[^]*?^```$/gm, '');
      for (const [, file] of markdown.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        assert.ok(existsSync(path.join(home, path.dirname(document), file!)), `${document}: ${file}`);
      }
    }
  });

  test('publint finds nothing', async t => {
    const { code, stdout } = await run(t, process.execPath, [tool('publint/src/cli.js'), 'run', tarball, '--strict']);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /All good!/);
  });

  test('attw finds nothing', async t => {
    const args = [tool('@arethetypeswrong/cli/dist/index.js'), '--profile', 'esm-only', '--no-color', tarball];
    const { code, stdout } = await run(t, process.execPath, args);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /"dqlite-node\/client"/);
  });

  test('has types for every compiler', async t => {
    writeFileSync(path.join(project, 'package.json'), '{"type":"module"}');
    writeFileSync(path.join(project, 'program.ts'), PROGRAM);
    for (const [name, options] of Object.entries(COMPILERS)) {
      const compilerOptions = {
        target: 'es2022',
        types: [],
        strict: true,
        skipLibCheck: false,
        noEmit: true,
        ...options,
      };
      writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
      const { code, stdout } = await run(t, process.execPath, [tool('typescript/bin/tsc'), '-p', project]);
      assert.equal(code, 0, `${name}: ${stdout}`);
    }
  });

  test('loads neither WebAssembly nor raft for the client', async t => {
    assert.deepEqual(await loadedBy(t, project, 'dqlite-node/client'), ['client', 'host', 'lib', 'wire']);
    // That this can fail:
    const all = await loadedBy(t, project, 'dqlite-node');
    for (const part of ['@sqlite.org', 'raft', 'sqlite']) assert.ok(all.includes(part), part);
  });

  test('has a command line that runs', async t => {
    const { bin, version } = JSON.parse(readFileSync(path.join(home, 'package.json'), 'utf8')) as {
      bin: Record<string, string>;
      version: string;
    };
    const main = path.join(home, bin[NAME]!);
    const { code, stdout } = await run(t, process.execPath, [main, '--help'], { cwd: project });
    assert.equal(code, 0);
    assert.match(stdout, /dqlite-node serve/);
    assert.equal((await run(t, process.execPath, [main, '--version'])).stdout, `${version}\n`);
    assert.ok(readFileSync(main, 'utf8').startsWith('#!/usr/bin/env node\n'));
  });
});
