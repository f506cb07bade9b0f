/** Waiting for a new cluster to be whole. */
import { type Cluster } from '../../src/index.ts';

/** Waits until every range has three replicas. */
export async function allReplicated(cluster: Cluster): Promise<void> {
  for (;;) {
    const ranges = await cluster.node(0).db.ranges(Buffer.from([2]), Buffer.from([255]));
    if (ranges.every((info) => info.range.replicas.filter((r) => r.kind === 'voter').length === 3))
      return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
