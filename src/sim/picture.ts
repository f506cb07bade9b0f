/** What the simulation can see of a cluster's ranges, from outside: descriptors, members, leaseholders. */
import { containsKey, type RangeDescriptor, type RangeId } from '../kv/index.ts';
import { type Replica } from '../range/index.ts';
import { type SkeinNode } from '../server/index.ts';
import { type SimCluster } from './cluster.ts';

export interface Member {
  readonly index: number;
  readonly node: SkeinNode;
  readonly replica: Replica;
}

/** Replicas that serve or follow, on nodes that serve. */
export function replicasOf(cluster: SimCluster, rangeId?: RangeId): Member[] {
  return cluster
    .serving()
    .flatMap(({ index, node }) =>
      [...node.store.replicas.values()]
        .filter(
          (replica) =>
            replica.initialised && (rangeId === undefined || replica.rangeId === rangeId),
        )
        .map((replica) => ({ index, node, replica })),
    );
}

/** Every range once, by its newest descriptor. */
export function ranges(cluster: SimCluster): RangeDescriptor[] {
  const newest = new Map<RangeId, RangeDescriptor>();
  for (const { replica } of replicasOf(cluster)) {
    const { descriptor, rangeId } = replica;
    const known = newest.get(rangeId);
    if (known === undefined || known.generation < descriptor.generation) {
      newest.set(rangeId, descriptor);
    }
  }
  return [...newest.values()];
}

/** The newest descriptor of the range that holds `key`. */
export function rangeOf(cluster: SimCluster, key: Buffer): RangeDescriptor | undefined {
  const holding = ranges(cluster).filter((range) => containsKey(range, key));
  return holding.reduce<RangeDescriptor | undefined>(
    (best, range) => (best !== undefined && best.generation >= range.generation ? best : range),
    undefined,
  );
}

/** Replicas of `range` that its descriptor names. */
export function membersOfRange(cluster: SimCluster, range: RangeDescriptor): Member[] {
  return replicasOf(cluster, range.rangeId).filter(({ node }) =>
    range.replicas.some(({ storeId }) => storeId === node.store.storeId),
  );
}

/** Who holds the lease of `key`, or believes so. */
export function leaseholderOf(cluster: SimCluster, key: Buffer): Member | undefined {
  return replicasOf(cluster).find(
    ({ replica }) => replica.holdsLease && containsKey(replica.descriptor, key),
  );
}
