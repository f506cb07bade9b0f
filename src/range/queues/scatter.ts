/**
 * Scatter: a random place for a range, among those that the allocator leaves as they are. Of two stores drawn the one with
 * fewer ranges (or leases) is taken, so what is scattered is evenly spread as well (Mitzenmacher, "The Power of Two Choices").
 */
import {
  allocatorSettings,
  decide,
  type AllocatorAction,
  type AllocatorTarget,
  type ClusterPicture,
  type RangePicture,
} from '../../allocator/index.ts';
import {
  asReplicaId,
  type RelocationTarget,
  type ReplicaDescriptor,
  type StoreId,
} from '../../kv/index.ts';
import { type Random } from '../../util/index.ts';
import { placementOf } from '../replica/placement.ts';
import { type Store } from '../store/store.ts';
import { type ClusterView } from './cluster-view.ts';

/** Draws before a range is left where it is. */
const drawsMax = 50;

interface Candidate extends AllocatorTarget {
  readonly rangeCount: number;
  readonly leaseCount: number;
}

/** Undefined: no other place was found. The view counts the range as moved. */
export function drawPlacement(
  store: Store,
  view: ClusterView,
  range: RangePicture,
  startKey: Buffer,
): RelocationTarget | undefined {
  view.refresh();
  const { random } = store.env;
  const zone = store.deps.zoneConfigFor(startKey);
  const settings = allocatorSettings(store.deps.clusterSettings);
  const { voters, nonVoters } = placementOf(range);
  const live = liveStores(view.picture);
  // What cannot be had anywhere, as a fifth replica on four nodes, speaks against no place.
  const asIs: RangePicture = { ...range, balancing: 'none' };
  const missing = blockedIn(decide(view.picture, asIs, zone, settings));
  for (let draw = 0; draw < drawsMax; draw++) {
    const drawn = drawReplicas(random, live, voters.length + nonVoters.length);
    if (drawn === undefined) return undefined;
    const chosen = drawn.slice(0, voters.length);
    const [first] = chosen;
    if (first === undefined) return undefined;
    const holder = chosen[Math.floor(random.float() * chosen.length)] ?? first;
    const leaseholder = holder.leaseCount < first.leaseCount ? holder.storeId : first.storeId;
    const replicas = drawn.map((target, at) => replicaAt(target, at < voters.length));
    const action = decide(view.picture, { ...range, replicas, leaseholder }, zone, settings);
    const isKept = action.kind === 'none' && blockedIn(action) <= missing;
    if (!isKept && action.kind !== 'transfer-lease') continue;
    noteMoves(view, range, drawn);
    return {
      voters: storeIds(chosen),
      nonVoters: storeIds(drawn.slice(voters.length)),
      leaseholder: action.kind === 'transfer-lease' ? action.to : leaseholder,
    };
  }
  return undefined;
}

function blockedIn(action: AllocatorAction): number {
  return action.kind === 'none' ? action.blocked.length : 0;
}

function liveStores({ stores }: ClusterPicture): Candidate[] {
  return [...stores.values()].filter(({ status }) => status === 'live');
}

/** Undefined: there are too few nodes. */
function drawReplicas(
  random: Random,
  live: readonly Candidate[],
  count: number,
): Candidate[] | undefined {
  const drawn: Candidate[] = [];
  while (drawn.length < count) {
    const free = live.filter(({ nodeId }) => drawn.every((each) => each.nodeId !== nodeId));
    const pick = (): Candidate | undefined => free[Math.floor(random.float() * free.length)];
    const [a, b] = [pick(), pick()];
    if (a === undefined || b === undefined) return undefined;
    drawn.push(b.rangeCount < a.rangeCount ? b : a);
  }
  return drawn;
}

/** As the allocator would see it. */
function replicaAt({ nodeId, storeId }: AllocatorTarget, votes: boolean): ReplicaDescriptor {
  return { nodeId, storeId, replicaId: asReplicaId(1), kind: votes ? 'voter' : 'non-voter' };
}

/** The next range that is drawn for sees it, long before gossip tells of it. */
function noteMoves(
  view: ClusterView,
  range: RangePicture,
  drawn: readonly AllocatorTarget[],
): void {
  const isIn = (targets: readonly AllocatorTarget[], { storeId }: AllocatorTarget): boolean =>
    targets.some((each) => each.storeId === storeId);
  const gone = range.replicas.filter((replica) => !isIn(drawn, replica));
  const come = drawn.filter((target) => !isIn(range.replicas, target));
  for (const [at, add] of come.entries()) {
    const remove = gone[at];
    const common = { role: 'voter', reason: 'scatter', considered: [] } as const;
    const action =
      remove === undefined
        ? ({ kind: 'add', target: add, ...common } as const)
        : ({ kind: 'replace', add, remove, purpose: 'rebalance', ...common } as const);
    view.expect(range, action).met();
  }
}

function storeIds(targets: readonly AllocatorTarget[]): StoreId[] {
  return targets.map(({ storeId }) => storeId);
}
