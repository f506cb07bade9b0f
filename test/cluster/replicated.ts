/** Waiting for what a cluster does by itself. */
import { type Cluster } from '../../src/index.ts';

/** Asks again and again until it is so. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Waits until every range has three replicas. */
export async function allReplicated(cluster: Cluster): Promise<void> {
  await until(async () => {
    const ranges = await cluster.node(0).db.ranges(Buffer.from([2]), Buffer.from([255]));
    return ranges.every(
      (info) => info.range.replicas.filter((r) => r.kind === 'voter').length === 3,
    );
  });
}
