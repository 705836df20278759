import { chaos } from './chaos.ts';
import { Cluster } from './cluster.ts';
const seed = Number(process.argv[2]);
let c: Cluster | undefined;
const orig = Cluster.prototype.heal;
let healed = 0;
Cluster.prototype.heal = function (this: Cluster) {
  c = this;
  healed = this.nowMs;
  orig.call(this);
};
const oi = Cluster.prototype.input;
const log: string[] = [];
Cluster.prototype.input = function (this: Cluster, node, input) {
  const before = log.length;
  if (node.process)
    log.push(
      `${this.nowMs.toFixed(1)} n${node.id} ${node.process.raft.role}/${node.process.raft.term} <- ${JSON.stringify(input, (_, v) => (typeof v === 'bigint' ? String(v) : v instanceof Uint8Array ? v.length : v)).slice(0, 230)}`,
    );
  oi.call(this, node, input);
  void before;
};
try {
  chaos({ seed });
} catch (e) {
  console.log((e as Error).message);
}
for (const n of c!.nodes) {
  const r = n.process?.raft;
  console.log(
    n.id,
    r?.role,
    r?.term,
    'commit',
    r?.commitIndex,
    'stored',
    r?.storedIndex,
    'last',
    r?.log.lastIndex,
    r?.log.lastTerm,
    'first',
    r?.log.firstIndex,
    r?.configuration.servers.map(s => `${s.id}${s.role}`).join(' '),
  );
  for (const [id, p] of r?.progress ?? [])
    console.log('   ', id, p.state, p.match, p.next, p.isWaiting, p.isReading, p.electionTimeoutMs);
}
console.log('healed', healed);
const skip = process.argv[4];
console.log(
  log
    .filter(l => skip === undefined || !l.includes(skip))
    .slice(-Number(process.argv[3] ?? 40))
    .join('\n'),
);
