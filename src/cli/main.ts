#!/usr/bin/env node
/** The program: an old Node is told so here, before it reads what it cannot understand. */

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `dqlite-node: this is Node ${process.versions.node}, and 20.19 or newer is needed (https://nodejs.org)`,
  );
  process.exitCode = 1;
} else {
  void import('./commands.ts').then(({ runCommandLine }) => runCommandLine(process.argv.slice(2)));
}
