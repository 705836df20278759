/** Many seeds from the command line: `node dist/test/raft/run-seeds.js <first> <count> [<failures>]`. */
import { chaos } from './chaos.ts';

const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 100);
const maxFailures = Number(process.argv[4] ?? 8);
let failed = 0;
const sum = { committed: 0, reads: 0, leaseReads: 0, terms: 0, finished: 0 };
for (let seed = first; seed < first + count; seed++) {
  try {
    const result = chaos({ seed });
    sum.committed += result.committed;
    sum.reads += result.reads;
    sum.leaseReads += result.leaseReads;
    sum.terms += result.terms;
    sum.finished += result.finished;
  } catch (error) {
    failed++;
    console.log(`seed ${seed}: ${(error as Error).stack?.split('\n').slice(0, 6).join('\n')}`);
    if (failed >= maxFailures) break;
  }
}
console.log({ failed, ...sum });
if (failed > 0) process.exitCode = 1;
