/**
 * The README, played from top to bottom: its node is started, its commands run in a new folder, its programs compiled
 * against the package as others see it and run; what they print is compared with what it says.
 */

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { format } from 'node:util';
import { defaultEngineOptions } from '../src/engine/index.ts';
import { Child, run } from './support/child.ts';
import { MAIN, ROOT } from './support/paths.ts';
import { freePort } from './support/ports.ts';
import { blocksOf, commandsOf, README, type Block } from './support/readme.ts';
import { temporaryDirectory } from './support/temporary.ts';

const DEADLINE_MS = 20_000;
const blocks = blocksOf(README);

/** Programs of others that are named, with the options that they are given. */
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  cd: [],
  dqlite: ['-s'],
};

function optionsOf(words: readonly string[]): string[] {
  return words.filter(word => /^--?[a-z]/.test(word));
}

test('commands and options exist', async t => {
  const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  const helps = new Map<string, Promise<string>>();
  const helpOf = (name: string): Promise<string> => {
    const known = helps.get(name);
    if (known !== undefined) return known;
    const help = run(t, process.execPath, [MAIN, name, '--help']).then(({ stdout }) => stdout);
    helps.set(name, help);
    return help;
  };
  let checked = 0;
  for (const block of blocks.filter(({ language }) => language === 'sh' || language === 'console')) {
    for (const [program, ...words] of commandsOf(block)) {
      const where = `README.md:${block.line}: ${program} ${words.join(' ')}`;
      checked++;
      if (program === 'npm') {
        const [verb, name] = words;
        if (verb === 'run' || verb === 'test') {
          assert.ok(Object.hasOwn(scripts, verb === 'test' ? 'test' : name!), where);
        } else {
          assert.ok(['ci', 'pack', 'install'].includes(verb!), where);
        }
      } else if (program === 'npx') {
        const [own, name, ...rest] = words;
        assert.equal(own, 'dqlite-node', where);
        const help = await helpOf(name!);
        assert.ok(help.startsWith(`dqlite-node ${name}`), where);
        for (const option of optionsOf(rest)) assert.match(help, new RegExp(`(^|[\\s[|,])${option}\\b`), where);
      } else {
        const options = OTHERS[program!];
        assert.ok(options !== undefined, where);
        assert.deepEqual(
          optionsOf(words).filter(option => !options.includes(option)),
          [],
          where,
        );
      }
    }
  }
  assert.ok(checked > 10, `${checked} commands were found`);
});

test('limits are as they say', () => {
  const { sqlite, ...engine } = defaultEngineOptions;
  const limits = { ...engine, ...Object.fromEntries(Object.entries(sqlite).map(([k, v]) => [`sqlite.${k}`, v])) };
  const told = [...README.matchAll(/^\| `([a-zA-Z.]+)` \| (\d+)( MiB)? \|/gm)];
  assert.ok(told.length > 8, `${told.length} limits were found`);
  for (const [, name, value, unit] of told) {
    const limit = (limits as Readonly<Record<string, number>>)[name!];
    assert.equal(Number(value) * (unit === undefined ? 1 : 1024 * 1024), limit, name);
  }
});

test('links between documents lead somewhere', () => {
  const documents = readdirSync(path.join(ROOT, 'docs')).filter(name => name.endsWith('.md'));
  let count = 0;
  for (const document of ['README.md', 'CONTRIBUTING.md', ...documents.map(name => path.join('docs', name))]) {
    const markdown = readFileSync(path.join(ROOT, document), 'utf8').replaceAll(/^```[^]*?^```$/gm, '');
    for (const [, file, anchor] of markdown.matchAll(/\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)/g)) {
      count++;
      const text = readFileSync(path.join(ROOT, path.dirname(document), file!), 'utf8');
      if (anchor === undefined) continue;
      const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
      assert.ok(anchors.includes(anchor), `${document}: ${file}#${anchor}`);
    }
  }
  assert.ok(count > 10, `${count} links were found`);
});

/** As GitHub makes them. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

/** The ports that the README names are taken by who knows whom: others stand for them. */
async function portMap(): Promise<(text: string) => string> {
  const ports = new Map<string, number>();
  for (const [address] of README.matchAll(/127\.0\.0\.1:\d+/g)) {
    if (!ports.has(address)) ports.set(address, await freePort());
  }
  return text => text.replaceAll(/127\.0\.0\.1:\d+/g, address => `127.0.0.1:${ports.get(address)}`);
}

test('commands and programs do what it says', async t => {
  const mapped = await portMap();
  const cwd = temporaryDirectory(t);
  const compiled = await compile(t, mapped);
  const before = process.cwd();
  process.chdir(cwd);
  t.after(() => process.chdir(before)); // or the folder cannot be removed on Windows
  let printed = '';
  for (const block of blocks) {
    const where = `README.md:${block.line}`;
    if (block.language === 'sh') {
      printed = '';
      for (const [, , ...words] of commandsOf(block)) {
        const args = [MAIN, ...words.map(mapped)];
        if (words[0] === 'serve') {
          const node = new Child(t, process.execPath, args, { cwd });
          await node.line(/^ready /, DEADLINE_MS);
          if (words.includes('--join')) await node.line(/this node belongs to the cluster/, DEADLINE_MS);
        } else {
          const { code, stdout, stderr } = await run(t, process.execPath, args, { cwd });
          assert.equal(code, 0, `${where}: ${words.join(' ')}\n${stderr}`);
          printed = stdout;
        }
      }
    } else if (block.language === 'text') {
      assert.equal(printed, block.text, where);
    } else if (block.language === 'ts') {
      const told = [...block.text.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
      const lines: string[] = [];
      const log = t.mock.method(console, 'log', (...values: unknown[]) => lines.push(format(...values)));
      try {
        await import(pathToFileURL(compiled.get(block)!).href);
      } finally {
        log.mock.restore();
      }
      assert.deepEqual(lines, told, where);
    }
  }
});

const OPENING = `const db = await connect({ servers: ['127.0.0.1:9001'], database: 'app.db' });`;

/** A program may use `db` without making it: the README says once that this is meant. */
function completed(text: string): string {
  if (/\bconnect\(/.test(text)) return text;
  return `import { connect } from 'dqlite-node/client'; ${OPENING} ${text}\nawait db.close();\n`;
}

/** Inside `dist`, so that the package's name means the package. Fails with what the compiler says. */
async function compile(t: TestContext, mapped: (text: string) => string): Promise<ReadonlyMap<Block, string>> {
  const folder = path.join(ROOT, 'dist/readme');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const compiled = new Map<Block, string>();
  for (const block of blocks.filter(({ language }) => language === 'ts')) {
    const name = `line-${block.line}`;
    writeFileSync(path.join(folder, `${name}.ts`), mapped(completed(block.text)));
    compiled.set(block, path.join(folder, `${name}.js`));
  }
  assert.ok(compiled.size > 5, `${compiled.size} programs were found`);
  // What a project has that says nothing about libraries; the package's own declarations are checked too.
  const compilerOptions = { target: 'es2022', module: 'nodenext', types: [], strict: true, rootDir: '.' };
  writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
  const { code, stdout } = await run(t, process.execPath, [tsc, '-p', folder]);
  assert.equal(code, 0, stdout);
  return compiled;
}
