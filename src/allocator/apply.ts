/** What becomes of a range by an action: for those who play decisions through without a cluster. */
import {
  asReplicaId,
  type ReplicaDescriptor,
  type ReplicaKind,
  type StoreId,
} from '../kv/index.ts';
import { transferLease } from './actions.ts';
import { type ClusterPicture } from './cluster-picture.ts';
import { type PlacementAction, type RangePicture } from './types.ts';

/** Does it to the range and to the picture. A leaseholder that is to go hands over first, and that is all then. */
export function apply(
  cluster: ClusterPicture,
  range: RangePicture,
  wanted: PlacementAction,
): { readonly range: RangePicture; readonly action: PlacementAction } {
  const action = handover(cluster, range, wanted) ?? wanted;
  cluster.note(range, action);
  return { range: applied(range, action), action };
}

/** The same range once the change of its replicas that is under way is finished. */
export function finished(range: RangePicture): RangePicture {
  const replicas: ReplicaDescriptor[] = [];
  for (const each of range.replicas) {
    if (each.kind === 'learner' || each.kind === 'voter-outgoing') continue;
    replicas.push(each.kind === 'voter-incoming' ? { ...each, kind: 'voter' } : each);
  }
  return { ...range, replicas };
}

function handover(
  cluster: ClusterPicture,
  range: RangePicture,
  action: PlacementAction,
): PlacementAction | undefined {
  const { leaseholder, replicas } = range;
  if (leavingVoter(action) !== leaseholder) return undefined;
  for (const each of replicas) {
    const store = cluster.storeOf(each);
    if (each.kind !== 'voter' || each.storeId === leaseholder || store.status !== 'live') continue;
    return transferLease(store, action.reason);
  }
  return undefined;
}

function leavingVoter(action: PlacementAction): StoreId | undefined {
  switch (action.kind) {
    case 'remove':
      return action.target.storeId;
    case 'replace':
      return action.remove.storeId;
    case 'demote':
      return action.target.storeId;
    case 'swap':
      return action.demote.storeId;
    default:
      return undefined;
  }
}

function applied(range: RangePicture, action: PlacementAction): RangePicture {
  const { replicas } = range;
  switch (action.kind) {
    case 'add': {
      const { nodeId, storeId } = action.target;
      const replicaId = asReplicaId(Math.max(0, ...replicas.map((each) => each.replicaId)) + 1);
      const added: ReplicaDescriptor = { nodeId, storeId, replicaId, kind: action.role };
      return { ...range, replicas: [...replicas, added] };
    }
    case 'remove': {
      const { storeId } = action.target;
      return { ...range, replicas: replicas.filter((each) => each.storeId !== storeId) };
    }
    case 'replace': {
      const { role, reason, considered } = action;
      const grown = applied(range, { kind: 'add', role, target: action.add, reason, considered });
      return applied(grown, { kind: 'remove', role, target: action.remove, reason, considered });
    }
    case 'promote':
      return withKind(range, action.target.storeId, 'voter');
    case 'demote':
      return withKind(range, action.target.storeId, 'non-voter');
    case 'swap': {
      const promoted = withKind(range, action.promote.storeId, 'voter');
      return withKind(promoted, action.demote.storeId, 'non-voter');
    }
    case 'transfer-lease':
      return { ...range, leaseholder: action.to };
  }
}

function withKind(range: RangePicture, storeId: StoreId, kind: ReplicaKind): RangePicture {
  const replicas = range.replicas.map((each) =>
    each.storeId === storeId ? { ...each, kind } : each,
  );
  return { ...range, replicas };
}
