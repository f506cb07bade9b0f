/** What the simulation can see of a cluster's ranges, from outside: descriptors, members, leaseholders. */
import { containsKey, type RangeDescriptor, type RangeId } from '../kv/index.ts';
import { type Replica, type Store } from '../range/index.ts';
import { type SkeinNode } from '../server/index.ts';
import { type SimCluster } from './cluster.ts';

/** A store of a node that serves. */
export interface ServingStore {
  /** Of its machine. */
  readonly index: number;
  readonly node: SkeinNode;
  readonly store: Store;
  /** `m2`; of a machine with several stores also which, `m2 store 3`. */
  readonly name: string;
}

export interface Member extends ServingStore {
  readonly replica: Replica;
}

export function storesOf(cluster: SimCluster): ServingStore[] {
  return cluster.serving().flatMap(({ index, node }) =>
    node.stores.map((store, at) => ({
      index,
      node,
      store,
      name: `m${index + 1}${at === 0 ? '' : ` store ${at + 1}`}`,
    })),
  );
}

/** Replicas that serve or follow, on nodes that serve. */
export function replicasOf(cluster: SimCluster, rangeId?: RangeId): Member[] {
  return storesOf(cluster).flatMap((at) =>
    [...at.store.replicas.values()]
      .filter(
        (replica) => replica.initialised && (rangeId === undefined || replica.rangeId === rangeId),
      )
      .map((replica) => ({ ...at, replica })),
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
  return replicasOf(cluster, range.rangeId).filter(({ store }) =>
    range.replicas.some(({ storeId }) => storeId === store.storeId),
  );
}

/** Where the range could get more replicas: of each machine that has none of `members` one store, `place` in [0, 1). */
export function freeStores(
  cluster: SimCluster,
  members: readonly Member[],
  place: number,
): ServingStore[] {
  const stores = storesOf(cluster);
  return cluster.serving().flatMap(({ index }) => {
    if (members.some((member) => member.index === index)) return [];
    const own = stores.filter((each) => each.index === index);
    return own.slice(Math.floor(place * own.length)).slice(0, 1);
  });
}

/** The other stores of a member's machine. */
export function storesBeside(cluster: SimCluster, member: Member | undefined): ServingStore[] {
  return storesOf(cluster).filter(
    ({ index, store }) => index === member?.index && store !== member.store,
  );
}

/** Who holds the lease of `key`, or believes so. */
export function leaseholderOf(cluster: SimCluster, key: Buffer): Member | undefined {
  return replicasOf(cluster).find(
    ({ replica }) => replica.holdsLease && containsKey(replica.descriptor, key),
  );
}
