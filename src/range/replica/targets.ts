/** What operators name as places of replicas, checked against what is known of the stores. Refusals say range, store and reason. */
import { type AllocatorTarget } from '../../allocator/index.ts';
import { inRange, replicaOnStore, type RangeDescriptor, type StoreId } from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';
import { findStore } from '../store/store-status.ts';
import { type Store } from '../store/store.ts';
import { placementOf, type Placement } from './placement.ts';

/** Complete lists; what is undefined stays as it is. */
export interface WantedPlacement {
  readonly voters: readonly StoreId[] | undefined;
  readonly nonVoters: readonly StoreId[] | undefined;
  readonly leaseholder: StoreId | undefined;
}

export function resolvePlacement(
  store: Store,
  range: RangeDescriptor,
  wanted: WantedPlacement,
): Placement | string {
  const present = placementOf(range);
  const isNamed = ({ storeId }: AllocatorTarget): boolean =>
    wanted.voters?.includes(storeId) === true || wanted.nonVoters?.includes(storeId) === true;
  const voters = resolve(store, range, wanted.voters, present.voters, isNamed);
  if (typeof voters === 'string') return voters;
  const nonVoters = resolve(store, range, wanted.nonVoters, present.nonVoters, isNamed);
  if (typeof nonVoters === 'string') return nonVoters;
  const { leaseholder } = wanted;
  if (leaseholder !== undefined && !voters.some(({ storeId }) => storeId === leaseholder)) {
    return `the leaseholder is to be on store ${leaseholder}, which has no vote ${inRange(range)}`;
  }
  return { voters, nonVoters };
}

/** A list that is not given keeps those that the other one does not claim. */
function resolve(
  store: Store,
  range: RangeDescriptor,
  wanted: readonly StoreId[] | undefined,
  present: readonly AllocatorTarget[],
  isNamed: (target: AllocatorTarget) => boolean,
): readonly AllocatorTarget[] | string {
  if (wanted === undefined) return present.filter((target) => !isNamed(target));
  const targets: AllocatorTarget[] = [];
  for (const storeId of wanted) {
    const known = replicaOnStore(range, storeId);
    const target = known ?? findStore(store, storeId)?.target;
    const refusal = refusalOfStore(store, range, storeId);
    if (target === undefined || refusal !== undefined)
      return refusal ?? noSuchStore(storeId, range);
    targets.push({ nodeId: target.nodeId, storeId });
  }
  return targets;
}

/** Why this store gets no replica of the range; undefined when it has one already. */
export function refusalOfStore(
  store: Store,
  range: RangeDescriptor,
  storeId: StoreId,
): string | undefined {
  if (replicaOnStore(range, storeId) !== undefined) return undefined;
  const found = findStore(store, storeId);
  if (found === undefined) return noSuchStore(storeId, range);
  switch (found.status) {
    case 'dead':
    case 'decommissioned':
      return `unable to add store ${storeId} (it is ${found.status}) ${inRange(range)}`;
    case 'decommissioning':
      return `unable to add store ${storeId} (it is being decommissioned) ${inRange(range)}`;
    case 'live':
    case 'suspect':
    case 'draining':
      return undefined;
    default:
      return unreachable(found.status);
  }
}

function noSuchStore(storeId: StoreId, range: RangeDescriptor): string {
  return `unable to add store ${storeId} (there is no such store) ${inRange(range)}`;
}
