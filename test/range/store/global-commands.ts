/** Commands of scripts about ranges with global_reads: transactions of a gateway, and how long their clients wait. */
import { type Txn } from '../../../src/kv/index.ts';
import { type Cluster } from './cluster.ts';

/** What every node hears of when the zone of a table is changed. */
export function setGlobalReads(cluster: Cluster, globalReads: boolean): void {
  cluster.zone = { ...cluster.zone, globalReads };
  for (const { store } of cluster.live()) store.lookAtAll();
}

/** Reads all of `keys` in one transaction; who served that beside the leaseholders. */
export async function readNow(
  cluster: Cluster,
  node: number,
  keys: readonly Buffer[],
): Promise<string> {
  const before = followerReads(cluster);
  const found: string[] = [];
  const took = await timed(cluster, node, async (txn) => {
    found.length = 0;
    for (const key of keys) found.push((await txn.get(key))?.toString('utf8') ?? 'nothing');
  });
  const served = followerReads(cluster).flatMap((count, i) =>
    count > (before[i] ?? 0) ? [`${i + 1}`] : [],
  );
  const where = served.length === 0 ? 'by no follower' : `by the follower on ${served.join(', ')}`;
  return `${found.join(' ')}: ${where}, ${took}`;
}

/** Writes `value` to all of `keys` in one transaction, behind a read of each of `read`. */
export async function writeNow(
  cluster: Cluster,
  node: number,
  keys: readonly Buffer[],
  { value, read }: { readonly value: string; readonly read: readonly Buffer[] },
): Promise<string> {
  const took = await timed(cluster, node, async (txn) => {
    for (const key of read) await txn.get(key);
    for (const key of keys) txn.put(key, Buffer.from(value));
  });
  return `committed, ${took}`;
}

/** How often the body ran, and how long the client waited. */
async function timed(
  cluster: Cluster,
  node: number,
  body: (txn: Txn) => Promise<void>,
): Promise<string> {
  const { time } = cluster;
  const { db } = cluster.machine(node).store.deps;
  const since = time.nowMs;
  let tries = 0;
  await db.run({ name: 'script' }, (txn) => {
    tries++;
    return body(txn);
  });
  const seconds = ((time.nowMs - since) / 1000).toFixed(1);
  return `${tries === 1 ? '' : `${tries} tries, `}${seconds} s`;
}

function followerReads(cluster: Cluster): number[] {
  return cluster.machines.map(({ store }) => store.metrics().counters.followerReads);
}
