/**
 * The API reference, docs/api.md, from the declarations that the compiler writes with their docstrings. `npm test`
 * compares, `npm run rewrite` writes it anew.
 *
 * The declarations are cut out by their layout, which is the compiler's: one that is exported starts a line, and ends
 * where its last brace closes or, without braces, at a semicolon that ends a line.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';

/** What a name stands for: its docstring, and its declaration as text. */
interface Declaration {
  readonly name: string;
  readonly doc: string;
  readonly code: string;
}

interface Exported {
  readonly name: string;
  /** In the file that declares it, below `dist/src`. */
  readonly ownName: string;
  readonly file: string;
}

/** The modules that users import, with their files below `dist/src`. */
const MODULES = [
  ['dqlite-node/client', 'client/index.d.ts'],
  ['dqlite-node', 'node/index.d.ts'],
] as const;

/** What users see of types that they cannot import. */
const SHOWN: Readonly<Record<string, readonly (readonly [name: string, file: string])[]>> = {
  'dqlite-node/client': [['Executor', 'client/executor.d.ts']],
  'dqlite-node': [['SqliteLimits', 'sqlite/sqlite.d.ts']],
};

/** Members that only other parts of the package use: by name, and those whose types are internal. */
const HIDDEN: readonly string[] = ['Executor.iterate', 'Statement.plan'].concat(
  ['settled', 'close', 'abandon', 'idle'].map(name => `Transaction.${name}`),
);
const INTERNAL_TYPES = /\b(?:Bound|ClientHost|Host|LeaderFinder|Pinned|Plan|Plans|Runner)\b/;

function docText(comment: string): string {
  return comment
    .replace(/^\/\*\*\s?/, '')
    .replace(/\s*\*\/$/, '')
    .replaceAll(/^ *\* ?/gm, '')
    .trim();
}

/** The end of the declaration that starts at `start`. */
function endOf(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text.startsWith('/*', i)) i = text.indexOf('*/', i) + 1;
    else if ('{(['.includes(text[i]!)) depth++;
    else if ('})]'.includes(text[i]!)) {
      depth--;
      if (depth === 0 && text[i] === '}' && text[i + 1] === '\n') return i + 1;
    } else if (depth === 0 && text[i] === ';' && text[i + 1] === '\n') return i + 1;
  }
  return text.length;
}

/** Whatever a member begins with: its comment, then its first line. */
const MEMBER = /^ {4}(?:\/\*\*(?:[^*]|\*(?!\/))*\*\/\n {4})?[^\s}/][^\n]*(?:\n {5,}[^\n]*|\n {4}\}[^\n]*)*\n/gm;

function withoutInternals(owner: string, code: string): string {
  return code
    .replaceAll(MEMBER, member => {
      const line = member.replace(/^ {4}\/\*\*(?:[^*]|\*(?!\/))*\*\/\n/, '').trim();
      const name = /^(?:(?:abstract|static|readonly|get|protected) )*([\w$#]+)/.exec(line)?.[1] ?? '';
      const isHidden =
        HIDDEN.includes(`${owner}.${name}`) || name === '#private' || /^(?:private|protected) /.test(line);
      return isHidden || INTERNAL_TYPES.test(line) ? '' : member;
    })
    .replace(' implements Runner', '')
    .replace(/^export (?:declare )?/, '')
    .replaceAll(/^( {4})+/gm, indent => ' '.repeat(indent.length / 2));
}

function declarationOf(dist: string, { name, ownName, file }: Exported): Declaration {
  const text = readFileSync(path.join(dist, file), 'utf8');
  const kind = '(?:declare )?(?:abstract )?(?:class|interface|type|const|function)';
  const found = new RegExp(`^(/\\*\\*(?:[^*]|\\*(?!/))*\\*/\\n)?(export ${kind} ${ownName}\\b)`, 'm').exec(text);
  if (found === null) throw new Error(`${file} has no ${ownName}`);
  const start = found.index + (found[1]?.length ?? 0);
  const doc = docText(found[1]?.trimEnd() ?? '');
  const code = withoutInternals(name, text.slice(start, endOf(text, start))).replace(ownName, name);
  const alias = /^type \w+ = (\w+);$/.exec(code)?.[1];
  const from = new RegExp(`^import [^;]*\\b${alias}\\b[^;]* from '([^']+)';`, 'm').exec(text)?.[1];
  if (alias === undefined || from === undefined) return { name, doc, code };
  const original = declarationOf(dist, { name, ownName: alias, file: declarationFile(file, from) });
  return { ...original, doc: doc === '' ? original.doc : doc };
}

function declarationFile(file: string, from: string): string {
  return path.join(path.dirname(file), from.replace(/\.ts$/, '.d.ts'));
}

/** The names that a module exports. */
function exportsOf(dist: string, file: string): Exported[] {
  const text = readFileSync(path.join(dist, file), 'utf8');
  const exported: Exported[] = [];
  for (const [, names, from] of text.matchAll(/^export (?:type )?\{([^}]*)\} from '([^']+)';/gm)) {
    const target = declarationFile(file, from!);
    for (const [, ownName, name = ownName] of names!.matchAll(/(?:type )?(\w+)(?: as (\w+))?\s*(?:,|$)/g)) {
      // An exit of another folder passes it on.
      const passedOn = target.endsWith('index.d.ts')
        ? exportsOf(dist, target).find(other => other.name === ownName)
        : undefined;
      exported.push({ name: name!, ownName: passedOn?.ownName ?? ownName!, file: passedOn?.file ?? target });
    }
  }
  const ownFiles = [
    file,
    ...[...text.matchAll(/^export (?:type )?\* from '([^']+)';/gm)].map(m => declarationFile(file, m[1]!)),
  ];
  for (const own of ownFiles) {
    const declarations = readFileSync(path.join(dist, own), 'utf8');
    const pattern = /^export (?:declare )?(?:abstract )?(?:function|const|class|interface|type) (\w+)/gm;
    for (const [, name] of declarations.matchAll(pattern)) exported.push({ name: name!, ownName: name!, file: own });
  }
  return exported;
}

/** Functions first, then values, classes, types; each in the order of the file. */
function inOrder(declarations: readonly Declaration[]): Declaration[] {
  const rank = ({ code }: Declaration): number =>
    ['function', 'const', 'class'].findIndex(kind => code.startsWith(kind)) >>> 0;
  return declarations.toSorted((a, b) => rank(a) - rank(b));
}

/** The whole reference, in Markdown. */
export function apiReference(dist: string): string {
  const parts = [
    '# API',
    'Written from the docstrings; `npm run rewrite` writes it anew. The [README](../README.md) shows how it is used.',
  ];
  const seen = new Set<string>();
  for (const [module, file] of MODULES) {
    parts.push(`## ${module}`);
    const internals = (SHOWN[module] ?? []).map(([name, source]) => ({ name, ownName: name, file: source }));
    const names = [...exportsOf(dist, file), ...internals].filter(({ name }) => !seen.has(name));
    for (const { name, doc, code } of inOrder(names.map(exported => declarationOf(dist, exported)))) {
      seen.add(name);
      parts.push(`### ${name}`);
      if (doc !== '') parts.push(doc);
      parts.push(`\`\`\`ts\n${code}\n\`\`\``);
    }
  }
  return `${parts.join('\n\n')}\n`;
}
