/** Scripts of what nodes do step by step: `test/raft/scenarios/*.txt`. `npm run rewrite` writes what comes out. */

import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/paths.ts';
import { playTranscript } from '../support/transcript.ts';
import { Scenario } from './scenario.ts';

const FOLDER = 'test/raft/scenarios';

for (const file of readdirSync(path.join(ROOT, FOLDER)).sort()) {
  test(file, async () => {
    const scenario = new Scenario();
    await playTranscript(`${FOLDER}/${file}`, input => Promise.resolve(scenario.run(input)));
  });
}
