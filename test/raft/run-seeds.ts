/** Many seeds from the command line: `node dist/test/raft/run-seeds.js <first> <count>`. */
import { chaos } from './chaos.ts';

const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 100);
let failed = 0;
const sum = { committed: 0, reads: 0, terms: 0, finished: 0 };
for (let seed = first; seed < first + count; seed++) {
  try {
    const result = chaos({ seed });
    sum.committed += result.committed;
    sum.reads += result.reads;
    sum.terms += result.terms;
    sum.finished += result.finished;
  } catch (error) {
    failed++;
    console.log(`seed ${seed}: ${(error as Error).stack?.split('\n').slice(0, 6).join('\n')}`);
    if (failed >= 8) break;
  }
}
console.log({ failed, ...sum });
